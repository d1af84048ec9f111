"""The log as it was: reads of an earlier position, for replaying."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import NoReturn
from uuid import UUID

from domain.clock import instant_text
from domain.eventlog.port import EventLog, LogReader, Recorded
from domain.events.base import Event


class PastLog:
    """An EventLog up to a seq. What it reads is what a reader would have read then."""

    def __init__(self, log: EventLog, *, until: int) -> None:
        self._log = log
        self._until = min(until, log.head())

    @property
    def store_id(self) -> str:
        return self._log.store_id

    def head(self) -> int:
        return self._until

    def stream(self, originator_id: UUID) -> Sequence[Recorded]:
        return [
            each
            for each in self._log.stream(originator_id)
            if each.store_id != self.store_id or each.seq <= self._until
        ]

    def read(
        self, *, after: int, limit: int, streams: Collection[str] | None = None
    ) -> Sequence[Recorded]:
        page = self._log.read(after=after, limit=limit, streams=streams)
        return [each for each in page if each.seq <= self._until]

    def open_requests(self) -> Sequence[UUID]:
        raise NotImplementedError("which requests are open is known of the present only")

    def submit(self, *events: Event, account_id: str | None) -> Future[tuple[Recorded, ...]]:
        return self._refuse()

    async def append(self, *events: Event, account_id: str | None) -> tuple[Recorded, ...]:
        return self._refuse()

    def opened(self, *, epoch: str, program: str) -> Future[Recorded]:
        return self._refuse()

    def seal(self) -> Future[Recorded]:
        return self._refuse()

    def earlier(self) -> Sequence[LogReader]:
        return self._log.earlier()

    def close(self) -> None:
        """The log itself stays open."""

    def _refuse(self) -> NoReturn:
        raise NotImplementedError("the past takes no events")


def seq_at(log: EventLog, instant: datetime) -> int:
    """The last seq recorded at or before the instant; 0 if there is none."""
    wanted = instant_text(instant)
    low, high = 0, log.head()
    while low < high:
        middle = (low + high + 1) // 2
        if log.read(after=middle - 1, limit=1)[0].recorded_at <= wanted:
            low = middle
        else:
            high = middle - 1
    return low
