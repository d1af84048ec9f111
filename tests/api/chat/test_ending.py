"""A request ends once, and what was used is billed once, whoever ends it first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from api.chat.ending import store_ending
from api.chat.inflight import InFlight
from domain.clock import FixedClock
from domain.eventlog.port import EventLog, Recorded, StoreUnavailable
from domain.eventlog.postgres import open_postgres_log
from domain.eventlog.sqlite import open_sqlite_log
from domain.events.base import Event
from domain.events.codec import decode
from domain.events.requests import (
    RequestFailed,
    RequestRouted,
    UsageCorrected,
    UsageEstimated,
    UsageReported,
)
from tests.api.chat.calls import START
from tests.domain.events.samples import sample
from workers.sweep import sweep

REQUEST = UUID(int=7)
ACCOUNT = "acc_" + "a" * 32


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.services)])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventLog]:
    clock = FixedClock(START)
    if request.param == "sqlite":
        log: EventLog = open_sqlite_log(tmp_path / "events.sqlite", clock=clock)
    else:
        log = open_postgres_log(request.getfixturevalue("postgres_dsn"), clock=clock)
    yield log
    log.close()


def of(kind: type[Any], topic: str, version: int, **fields: Any) -> Any:
    like = sample(topic)
    assert isinstance(like, kind)
    whole = {**vars(like), "originator_id": REQUEST, "originator_version": version, **fields}
    return kind(**whole)


def reported() -> UsageReported:
    event: UsageReported = of(UsageReported, "request.usage-reported", 2)
    return event


def estimated() -> UsageEstimated:
    event: UsageEstimated = of(UsageEstimated, "request.usage-estimated", 2)
    return event


def failed() -> RequestFailed:
    return RequestFailed(originator_id=REQUEST, originator_version=2, failure="timeout")


async def route(log: EventLog) -> None:
    routed: RequestRouted = of(
        RequestRouted, "request.routed", 1, account_id=ACCOUNT, owner="epoch-1"
    )
    await log.append(routed, account_id=ACCOUNT)


def stream(log: EventLog) -> list[Event]:
    return [decode(each) for each in log.stream(REQUEST)]


class Unsure:
    """Stores, and says that it could not; then is away for a while."""

    def __init__(self, log: EventLog, *, stores_at: int, away: int = 0) -> None:
        self._log = log
        self._stores_at = stores_at
        self._away = away
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, *events: Event, account_id: str | None) -> tuple[Recorded, ...]:
        self.calls += 1
        if self.calls == self._stores_at:
            await self._log.append(*events, account_id=account_id)
            raise StoreUnavailable("the connection broke after the commit")
        if self._stores_at < self.calls <= self._stores_at + self._away:
            raise StoreUnavailable("away")
        return await self._log.append(*events, account_id=account_id)


async def until_stored(log: EventLog, event: Event) -> None:
    for _ in range(10):
        try:
            return await store_ending(log, event, account_id=ACCOUNT)
        except StoreUnavailable:
            continue
    raise AssertionError("never stored")


@pytest.mark.parametrize("event", [reported(), estimated()])
async def test_what_was_used_is_billed_though_a_sweep_was_first(
    log: EventLog, event: UsageReported | UsageEstimated
) -> None:
    await route(log)
    assert sweep(log, epoch="another") == 1
    for _ in range(3):
        await store_ending(log, event, account_id=ACCOUNT)
    _, lost, late = stream(log)
    assert isinstance(lost, RequestFailed)
    assert isinstance(late, UsageCorrected)
    assert (late.replaces, late.reason) == (2, "late_report")
    assert (late.usage, late.provenance, late.usage_raw) == (
        event.usage,
        event.provenance,
        event.usage_raw,
    )


async def test_a_failure_that_a_sweep_was_first_to_end_stays_lost(log: EventLog) -> None:
    await route(log)
    sweep(log, epoch="another")
    await store_ending(log, failed(), account_id=ACCOUNT)
    assert [type(each) for each in stream(log)] == [RequestRouted, RequestFailed]


@pytest.mark.parametrize("away", [0, 3])
async def test_what_was_stored_at_the_first_try_is_not_stored_as_a_correction(
    log: EventLog, away: int
) -> None:
    await route(log)
    await until_stored(Unsure(log, stores_at=1, away=away), reported())
    assert [type(each) for each in stream(log)] == [RequestRouted, UsageReported]


@pytest.mark.parametrize("away", [0, 3])
async def test_a_correction_that_was_stored_at_the_first_try_is_stored_once(
    log: EventLog, away: int
) -> None:
    await route(log)
    sweep(log, epoch="another")
    await until_stored(Unsure(log, stores_at=2, away=away), reported())
    kinds = [type(each) for each in stream(log)]
    assert kinds == [RequestRouted, RequestFailed, UsageCorrected]


async def test_another_end_than_a_lost_one_stands(log: EventLog) -> None:
    await route(log)
    await log.append(failed(), account_id=ACCOUNT)
    await store_ending(log, reported(), account_id=ACCOUNT)
    assert [type(each) for each in stream(log)] == [RequestRouted, RequestFailed]


async def test_what_waits_for_the_store_is_billed_though_a_sweep_comes_between(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.chat.inflight.RETRY_FIRST_S", 0.001)
    await route(log)

    class SweptMeanwhile(Unsure):
        async def append(self, *events: Event, account_id: str | None) -> tuple[Recorded, ...]:
            self.calls += 1
            if self.calls == 1:
                raise StoreUnavailable("away")
            if self.calls == 2:
                assert sweep(log, epoch="another") == 1
            return await log.append(*events, account_id=account_id)

    swept = SweptMeanwhile(log, stores_at=-9)
    in_flight = InFlight(swept, per_account_max=9, drains_max=9)
    in_flight.keep_storing(reported(), account_id=ACCOUNT)
    waiting = in_flight.store_failing
    await in_flight.stop(limit_s=5)
    assert (waiting, in_flight.store_failing) == (True, False)
    kinds = [type(each) for each in stream(log)]
    assert kinds == [RequestRouted, RequestFailed, UsageCorrected]
