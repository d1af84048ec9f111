"""kill −9 of the relay at named points: nothing is missing in the topic, duplicates are all."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from domain.eventlog.topic_drift import topic_drift
from domain.events.codec import read_line
from tests.domain.eventlog.brokers import KafkaBroker
from tests.domain.eventlog.filling import failed, opened
from tests.workers.relay_process import BATCH, POINTS

ROOT: Final = Path(__file__).parents[2]
EVENTS: Final = 45

AGAIN: Final = {
    "before publish": [],
    "within publish": range(BATCH + 1, BATCH + BATCH // 2 + 1),
    "after publish": range(BATCH + 1, 2 * BATCH + 1),
    "after position": [],
}
"""What is in the topic twice after a death in the second batch."""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "events.sqlite"
    log = opened(path)
    for _ in range(EVENTS):
        log.submit(failed(version=1), account_id=None).result()
    log.close()
    return path


def relay(store: Path, topic: str, point: str) -> int:
    """Runs one process to its end; its return code."""
    positions = str(store.with_name("relayed.sqlite"))
    command = [sys.executable, "-m", "tests.workers.relay_process"]
    return subprocess.run(
        [*command, str(store), positions, topic, point], cwd=ROOT, check=False, timeout=60
    ).returncode


def seqs(topic: Path) -> Sequence[int]:
    return [read_line(line)["seq"] for line in topic.read_bytes().splitlines()]


@pytest.mark.parametrize("point", POINTS)
def test_after_a_death_the_next_one_leaves_no_hole(store: Path, tmp_path: Path, point: str) -> None:
    topic = tmp_path / "topic"
    assert relay(store, str(topic), point) == -signal.SIGKILL
    assert relay(store, str(topic), "none") == 0
    assert sorted(seqs(topic)) == sorted([*range(1, EVENTS + 1), *AGAIN[point]])
    firsts = list(dict.fromkeys(seqs(topic)))
    assert firsts == sorted(firsts)


@pytest.mark.services
@pytest.mark.parametrize("point", POINTS)
def test_the_same_on_kafka(store: Path, kafka_bootstrap: str, kafka_topic: str, point: str) -> None:
    address = f"{kafka_bootstrap}/{kafka_topic}"
    assert relay(store, address, point) == -signal.SIGKILL
    assert relay(store, address, "none") == 0
    log, scan = opened(store), KafkaBroker(kafka_bootstrap, kafka_topic).scan()
    found = topic_drift(log, scan)
    scan.close()
    log.close()
    assert found.differences == []
    assert found.stores[0].relayed == EVENTS
    assert found.stores[0].duplicates == len(AGAIN[point])
