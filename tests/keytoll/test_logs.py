"""What is logged about an error tells where it happened, never what was in hand there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import logging, structlog
from keytoll.logs import configure_logs
from keytoll.settings import Settings
configure_logs(Settings.from_environment())
def fail():
    secret = "sk-" + "CANARY" * 3
    raise ValueError("broken")
try:
    fail()
except ValueError:
    structlog.get_logger().exception("it_broke")
    logging.getLogger("library").exception("a library fails")
logging.getLogger("library").info("a library chats")
"""


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_local_variables_in_tracebacks(form: str, tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "KEYTOLL_LOG_FORMAT": form,
        "KEYTOLL_DATA": str(tmp_path / "data"),
        "KEYTOLL_NONSENSE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    assert "it_broke" in done.stderr
    assert "a library fails" in done.stderr
    assert "a library chats" not in done.stderr
    assert "ValueError: broken" in done.stderr
    assert "CANARYCANARY" not in done.stderr
    assert done.stdout == ""
    if form == "json":
        unknown, ours, library = [json.loads(line) for line in done.stderr.splitlines()]
        assert (unknown["event"], unknown["name"]) == ("unknown_setting", "KEYTOLL_NONSENSE")
        assert (ours["event"], library["event"]) == ("it_broke", "a library fails")
        assert ours.keys() == library.keys()
