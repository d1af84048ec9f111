"""The short run of `make torture`: everything dies some times, and nothing is doubled or missed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture.__main__ import run
from tests.torture.torture import Order

pytestmark = pytest.mark.slow


@pytest.mark.services
def test_the_scaled_topology_survives(tmp_path: Path) -> None:
    report = run(Order(seed=7, kills=15, seconds=60.0, wait_s=1.5), tmp_path, topology="scaled")
    print(report.text())
    assert report.verdict.good, report.text()


def test_the_embedded_topology_survives(tmp_path: Path) -> None:
    report = run(Order(seed=7, kills=5, seconds=30.0, wait_s=2.5), tmp_path, topology="embedded")
    print(report.text())
    assert report.verdict.good, report.text()
