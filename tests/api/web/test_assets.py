"""What others wrote is as they published it, and every file that a page names is there."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

import pytest

from api.web.assets import FOLDER, asset

VENDOR: Final = FOLDER / "vendor"
TEMPLATES: Final = FOLDER.parent / "templates"
ROWS: Final = re.findall(
    r"(?m)^\| `([^`]+)` \| ([^|]+) \| ([0-9.]+) \| ([^|]*`([^`]+)`[^|]*) \| `([0-9a-f]{64})` \|$",
    (VENDOR / "README.md").read_text(encoding="utf-8"),
)


def test_the_table_names_every_file_and_no_other() -> None:
    named = {name for name, _, _, _, licence, _ in ROWS for name in (name, licence)}
    assert named | {"README.md"} == {path.name for path in VENDOR.iterdir()}
    assert len(ROWS) >= 2


@pytest.mark.parametrize(("name", "what", "version", "licence", "file", "sha256"), ROWS)
def test_a_file_is_as_published(
    name: str, what: str, version: str, licence: str, file: str, sha256: str
) -> None:
    data = (VENDOR / name).read_bytes()
    assert hashlib.sha256(data).hexdigest() == sha256, f"{name}: not what the table says"
    assert version.encode() in data, f"{name}: not {what} {version}"
    text = (VENDOR / file).read_text(encoding="utf-8")
    assert "copyright" in text.lower() or "Zero-Clause BSD" in text, f"{file}: no licence"


def test_the_address_of_a_file_changes_with_its_content() -> None:
    digest = hashlib.sha256((FOLDER / "app.css").read_bytes()).hexdigest()
    assert asset("app.css") == f"/static/app.css?v={digest[:12]}"


def templates() -> list[Path]:
    return sorted(TEMPLATES.rglob("*.html"))


@pytest.mark.parametrize(
    "path", templates(), ids=lambda path: path.relative_to(TEMPLATES).as_posix()
)
def test_a_template_has_nothing_that_the_policy_forbids(path: Path) -> None:
    """No inline style, handler or script; no other place; nothing that leaves escaping out."""
    text = path.read_text(encoding="utf-8")
    forbidden = {
        "an inline style": r"<style|\sstyle\s*=",
        "an inline handler": r"\son[a-z]+\s*=",
        "an inline script": r"<script(?![^>]*\bsrc=)(?![^>]*type=\"application/json\")",
        "another place": r"(?:src|href|action|hx-\w+)\s*=\s*[\"']?(?:https?:)?//",
        "unescaped text": r"\|\s*safe\b|autoescape\s+false|Markup\(",
        "code in an attribute": r"hx-on|[\"']\s*js:|javascript:",
        "code in a filter": r"hx-trigger=\"[^\"]*\[",
    }
    found = [name for name, pattern in forbidden.items() if re.search(pattern, text)]
    assert not found, f"{path.name}: {found}"


def test_every_file_that_a_template_names_is_there() -> None:
    for path in templates():
        for name in re.findall(r"asset\('([^']+)'\)|asset\(\"([^\"]+)\"\)", path.read_text()):
            assert asset(name[0] or name[1])
