"""Room for calls and drains: the last that fits and the first that does not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from api.chat.inflight import InFlight
from api.errors import ApiError
from domain.clock import FixedClock
from domain.eventlog.log import StoredLog
from domain.eventlog.memory import MemoryStore
from domain.eventlog.port import Conflict
from domain.events.codec import decode
from domain.events.requests import RequestFailed, RequestRouted, generated_nothing
from tests.domain.events.samples import sample


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


async def test_without_room_nobody_enters(log: StoredLog) -> None:
    calls = InFlight(log, per_account_max=1, drains_max=0)
    calls.enter("req_1", "acc_a", interrupt)
    with pytest.raises(ApiError) as refused:
        calls.enter("req_2", "acc_a", interrupt)
    assert (refused.value.status, refused.value.code) == (429, "rate_limit_exceeded")
    calls.leave("req_1", "acc_a")
    calls.enter("req_2", "acc_a", interrupt)
    assert len(calls) == 1


async def test_the_same_request_runs_once(log: StoredLog) -> None:
    calls = InFlight(log, per_account_max=9, drains_max=0)
    calls.enter("req_1", "acc_a", interrupt)
    with pytest.raises(Conflict):
        calls.enter("req_1", "acc_a", interrupt)
    calls.leave("req_1", "acc_a")
    assert len(calls) == 0


async def test_stopping_does_not_wait_for_who_reads_nothing(
    log: StoredLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.chat.inflight.SETTLE_S", 0.05)
    calls = InFlight(log, per_account_max=9, drains_max=0)
    interrupted: list[str] = []
    calls.enter("req_1", "acc_a", lambda: interrupted.append("req_1"))
    async with asyncio.timeout(5):
        await calls.stop(limit_s=0.05)
    assert interrupted == ["req_1"]


async def test_drains_are_limited(log: StoredLog) -> None:
    calls = InFlight(log, per_account_max=9, drains_max=1)
    assert calls.may_drain()
    calls.drains += 1
    assert not calls.may_drain()


def routed(owner: str) -> RequestRouted:
    like = sample("request.routed")
    assert isinstance(like, RequestRouted)
    return replace(like, originator_id=UUID(int=7), originator_version=1, owner=owner)


@pytest.mark.parametrize(("owner", "open_"), [("this", 0), ("another", 1)])
async def test_what_was_recorded_after_all_and_never_sent_is_ended(
    log: StoredLog, monkeypatch: pytest.MonkeyPatch, owner: str, open_: int
) -> None:
    monkeypatch.setattr("api.chat.inflight.UNSENT_LOOKS_S", (0.01,) * 500)
    calls = InFlight(log, per_account_max=1, drains_max=0)
    calls.end_unsent(routed("this"))
    assert not calls.store_failing
    await asyncio.sleep(0.03)
    stored = routed(owner)
    await log.append(stored, account_id=stored.account_id)
    async with asyncio.timeout(5):
        await asyncio.gather(*calls._unsent)
    assert len(log.open_requests()) == open_
    events = [decode(each) for each in log.stream(stored.originator_id)]
    assert [type(each) for each in events[1:]] == [RequestFailed] * (1 - open_)
    for each in events[1:]:
        assert isinstance(each, RequestFailed)
        assert generated_nothing(each)
