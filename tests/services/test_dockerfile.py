"""The Dockerfile copies what exists, locks what it installs, and leaves no root and no tools."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
from typing import Final

import pytest

from tests.architecture.source import LAYERS
from tests.services import dockerfile
from tests.services.server import REPOSITORY

FILE: Final = REPOSITORY / "Dockerfile"
FOUND: Final = dockerfile.instructions(FILE)
LAST: Final = dockerfile.last_stage(FOUND)


def copied() -> list[str]:
    """What is taken from the checkout."""
    return [
        source
        for word, rest in FOUND
        if word == "COPY" and "--from=" not in rest
        for source in rest.split()[:-1]
    ]


def test_everything_that_is_copied_exists_and_is_not_ignored() -> None:
    rules = [line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line]
    allowed = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert "*" in rules
    assert set(copied()) == allowed
    assert all((REPOSITORY / name).exists() for name in copied())


def test_the_image_has_every_folder_of_the_program() -> None:
    assert set(LAYERS) <= set(copied())


def test_what_is_installed_is_locked() -> None:
    installs = [rest for word, rest in FOUND if word == "RUN" and re.search(r"\b(pip|uv)\b", rest)]
    assert installs
    for rest in installs:
        assert "uv sync --frozen --no-dev" in rest, rest


def test_bases_are_pinned() -> None:
    bases = [rest.split()[0] for word, rest in FOUND if word == "FROM"]
    bases += re.findall(r"--from=(\S+[:/]\S+)", FILE.read_text())
    for base in bases:
        assert not fnmatch.fnmatch(base, "*:latest"), base
        assert ":" in base, base


def test_the_last_stage_has_no_tools_and_no_root() -> None:
    words = [word for word, _ in LAST]
    (user,) = (rest for word, rest in LAST if word == "USER")
    assert user.split(":")[0].isdigit()
    assert user.split(":")[0] != "0"
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert "HEALTHCHECK" in words
    assert not [rest for word, rest in LAST if word == "RUN" and re.search("apt|pip|uv ", rest)]


@pytest.mark.services
def test_hadolint_finds_nothing() -> None:
    linted = subprocess.run(
        [f"{sys.prefix}/bin/hadolint", str(FILE)], capture_output=True, text=True, check=False
    )
    assert linted.returncode == 0, linted.stdout
