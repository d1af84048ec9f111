"""Logs for the tests that damage, copy and export them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from domain.clock import FixedClock
from domain.eventlog.log import StoredLog
from domain.eventlog.sqlite import SQLiteLog, open_sqlite_log
from domain.events.requests import RequestFailed, RequestRouted, UsageCorrected, UsageReported
from domain.ids import new_id
from tests.domain.events.samples import ACCOUNT_ID, sample

START: Final = datetime(2026, 11, 1, tzinfo=UTC)


def opened(
    path: Path, *, store_id: str | None = None, clock: FixedClock | None = None
) -> SQLiteLog:
    """The log of a file, on a clock that stands still."""
    return open_sqlite_log(path, store_id=store_id, clock=clock or FixedClock(START))


def routed(request: UUID | None = None, *, account_id: str = ACCOUNT_ID) -> RequestRouted:
    """A first event."""
    like = sample("request.routed")
    assert isinstance(like, RequestRouted)
    return replace(like, originator_id=request or new_id(), account_id=account_id)


def reported(request: UUID) -> UsageReported:
    """A terminal event with usage."""
    like = sample("request.usage-reported")
    assert isinstance(like, UsageReported)
    return replace(like, originator_id=request)


def corrected(request: UUID) -> UsageCorrected:
    """A third event."""
    like = sample("request.usage-corrected")
    assert isinstance(like, UsageCorrected)
    return replace(like, originator_id=request)


def failed(request: UUID | None = None, version: int = 2) -> RequestFailed:
    """A terminal event without usage."""
    return RequestFailed(
        originator_id=request or new_id(), originator_version=version, failure="timeout"
    )


def fill(log: StoredLog, *, calls: int = 4) -> list[UUID]:
    """Settled calls, sealed after each: three events a call."""
    requests = [new_id() for _ in range(calls)]
    for request in requests:
        log.submit(routed(request), account_id=ACCOUNT_ID).result()
        log.submit(reported(request), account_id=ACCOUNT_ID).result()
        log.seal().result()
    return requests
