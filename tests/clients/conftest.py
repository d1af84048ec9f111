"""Other people's programs against the running one. `make test-services` brings what they need."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.conftest import gate, open_gate, upstream

__all__ = ["gate", "node", "open_gate", "upstream"]

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def node() -> Path:
    """The node program, with the packages of package-lock.json installed beside the scripts."""
    found = shutil.which("node")
    assert found is not None, "the service tests need Node.js 20 or newer"
    assert (HERE / "node_modules" / "ai").is_dir(), "run them by `make test-services`"
    return Path(found)
