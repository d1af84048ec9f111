"""AsyncAPI's own parser reads docs/asyncapi.json."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from domain.events.asyncapi import document
from tests.clients.conftest import HERE

pytestmark = pytest.mark.services


def test_the_document_is_valid(node: Path) -> None:
    file = HERE.parents[1] / "docs" / "asyncapi.json"
    done = subprocess.run(
        [node, "asyncapi.mjs", str(file)],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["problems"] == []
    assert found["valid"]
    assert set(found["messages"]) == set(document()["components"]["messages"])
