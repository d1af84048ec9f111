"""The calls that the pages offer for copying work as they stand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from api.web.examples import examples
from tests.e2e.gate import TollGate


def _runs(language: str) -> list[str]:
    programs = {"curl": "sh", "python": sys.executable, "javascript": "node"}
    needed = {"curl": "curl", "python": sys.executable, "javascript": "node"}[language]
    if shutil.which(needed) is None:
        pytest.skip(f"{needed} is not here")
    ends = {"curl": ["-c"], "python": ["-c"], "javascript": ["--input-type=module", "-e"]}
    return [programs[language], *ends[language]]


@pytest.mark.parametrize("index", range(3), ids=["curl", "python", "javascript"])
def test_a_copied_call_is_answered_with_its_receipt(gate: TollGate, index: int) -> None:
    example = examples(gate.program.base_url, "openai")[index]
    done = subprocess.run(
        [*_runs(example.language), example.text],
        env={"PATH": os.environ["PATH"], "KEYTOLL_API_KEY": gate.program.api_keys["caller"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert gate.credentials["openai"] in done.stdout, done.stdout + done.stderr
