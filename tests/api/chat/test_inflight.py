"""Room for calls and drains: the last that fits and the first that does not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from api.chat.inflight import InFlight
from domain.clock import FixedClock
from domain.eventlog.log import StoredLog
from domain.eventlog.memory import MemoryStore


@pytest.fixture
def log() -> Iterator[StoredLog]:
    clock = FixedClock(datetime(2026, 11, 1, tzinfo=UTC))
    log = StoredLog(MemoryStore(), store_id="test", clock=clock)
    yield log
    log.close()


def interrupt() -> None:
    """Nothing to settle."""


async def test_an_account_has_room_up_to_its_limit(log: StoredLog) -> None:
    calls = InFlight(log, per_account_max=2, drains_max=0)
    calls.enter("req_1", "acc_a", interrupt)
    assert calls.has_room("acc_a")
    calls.enter("req_2", "acc_a", interrupt)
    assert not calls.has_room("acc_a")
    assert calls.has_room("acc_b")
    calls.leave("req_1", "acc_a")
    assert calls.has_room("acc_a")


async def test_the_process_has_room_up_to_its_limit(log: StoredLog) -> None:
    calls = InFlight(log, per_account_max=9, drains_max=0, calls_max=2)
    calls.enter("req_1", "acc_a", interrupt)
    assert calls.has_room("acc_b")
    calls.enter("req_2", "acc_b", interrupt)
    assert not calls.has_room("acc_a")
    assert not calls.has_room("acc_c")
    calls.leave("req_2", "acc_b")
    assert calls.has_room("acc_c")


async def test_drains_are_limited(log: StoredLog) -> None:
    calls = InFlight(log, per_account_max=9, drains_max=1)
    assert calls.may_drain()
    calls.drains += 1
    assert not calls.may_drain()
