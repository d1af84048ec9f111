"""What stands beside the code: decisions, changelog, manual, and nothing that should not."""

from __future__ import annotations

import re
import subprocess
from typing import Final

import pytest

from keytoll.commands.table import COMMANDS
from tests.architecture.source import LAYERS, ROOT, sources

MACHINE_PATHS: Final = re.compile(r"(?<![\w.<-])/(work|home|root|Users|tmp/[a-z0-9]+/)[/\w]")
REGISTRY_HOSTS: Final = re.compile(
    r"(?i)https?://[^\s\"']*(pythonhosted|pypi\.org/simple|artifactory|nexus|jfrog|pkg\.dev|mirror)"
)
LARGEST_BYTES: Final = 2_000_000


def tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_tracked_file_names_a_machine_or_a_registry() -> None:
    found = []
    for name in tracked():
        if name in {"uv.lock", "tests/architecture/test_papers.py"}:
            continue
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            for pattern in (MACHINE_PATHS, REGISTRY_HOSTS):
                if match := pattern.search(line):
                    found.append(f"{name}:{number}: {match[0]!r} belongs to one machine")
    assert not found, "\n".join(found)


def test_the_lock_file_names_public_registries_only() -> None:
    hosts = set(re.findall(r"https?://([^/\"]+)", (ROOT / "uv.lock").read_text(encoding="utf-8")))
    assert hosts <= {"pypi.org", "files.pythonhosted.org"}, f"uv.lock: {sorted(hosts)}"


def test_no_tracked_file_is_huge() -> None:
    huge = [
        f"{name}:1: {size} bytes, at most {LARGEST_BYTES}"
        for name in tracked()
        if (size := (ROOT / name).stat().st_size) > LARGEST_BYTES
    ]
    assert not huge, "\n".join(huge)


def test_decisions_are_numbered_once_and_have_four_parts() -> None:
    records = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert records
    numbers: dict[str, str] = {}
    for record in records:
        match = re.fullmatch(r"(\d{4})-[a-z0-9-]+\.md", record.name)
        assert match, f"docs/decisions/{record.name}: name it NNNN-what-was-decided.md"
        assert match[1] not in numbers, (
            f"docs/decisions/{record.name}:1: {numbers[match[1]]} has the number {match[1]} already"
        )
        numbers[match[1]] = record.name
        text = record.read_text(encoding="utf-8")
        for part in ("Context", "Decision", "Consequences", "Alternatives"):
            assert re.search(rf"(?m)^## {part}\b", text), (
                f"docs/decisions/{record.name}:1: no part `## {part}`"
            )


def test_the_papers_are_there() -> None:
    for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE", "docs/operations.md"):
        assert (ROOT / name).stat().st_size > 500, f"{name}:1: missing or empty"


def test_every_command_is_in_the_manual() -> None:
    manual = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    part = manual.partition("## Commands")[2].partition("\n## ")[0]
    documented = re.findall(r"(?m)^\| `([a-z-]+)` \|", part)
    assert sorted(documented) == sorted(command.name for command in COMMANDS)


def test_every_metric_is_in_the_manual() -> None:
    manual = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"(?m)^\| `(keytoll_\w+)` \|", manual))
    used = {
        name
        for source in sources(*LAYERS)
        for name in re.findall(r"\"(keytoll_[a-z_]+)\"", source.text)
    }
    assert used
    assert used == documented, f"docs/operations.md: {sorted(used ^ documented)}"


def test_every_link_leads_somewhere() -> None:
    dead = []
    for name in tracked():
        if not name.endswith((".md", ".py", ".toml")):
            continue
        text = (ROOT / name).read_text(encoding="utf-8")
        for number in re.findall(r"docs/decisions/(\d{4})", text):
            if not list((ROOT / "docs/decisions").glob(f"{number}-*.md")):
                dead.append(f"{name}:1: there is no decision {number}")
        if name.endswith(".md"):
            for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
                if not ((ROOT / name).parent / target).exists():
                    dead.append(f"{name}:1: the link {target} is dead")
    assert not dead, "\n".join(dead)
