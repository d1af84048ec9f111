"""The harness names what is planted: the embedded program with one fault each, for some seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.torture.__main__ import run
from tests.torture.planted import FAULTS
from tests.torture.torture import Order

pytestmark = pytest.mark.slow
ORDER: Final = Order(seed=5, seconds=6.0, wait_s=60.0, period_s=6.0, quiet_s=6.0)
NAMED: Final = {
    "two-terminal-events": {"one terminal event", "keytoll verify"},
    "counts-doubled": {"billed as served", "invoices give every digit"},
    "projector-skips": {"in the tables too", "keytoll drift"},
}


@pytest.mark.parametrize("fault", NAMED)
def test_a_planted_fault_is_named(fault: str, tmp_path: Path) -> None:
    report = run(ORDER, tmp_path, topology="embedded", fault=fault)
    assert report.verdict.findings.keys() >= NAMED[fault], report.text()
    assert fault in FAULTS
