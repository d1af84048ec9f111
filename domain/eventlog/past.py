"""The log as it was: reads of an earlier position, for replaying."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import NoReturn
from uuid import UUID

from domain.clock import instant_text
from domain.errors import BadValue
from domain.eventlog.port import Chain, EventLog, LogReader, Recorded, stores_of
from domain.events.base import Event


class PastLog:
    """An EventLog up to a seq. What it reads is what a reader would have read then."""

    def __init__(self, log: EventLog, *, until: int, store_id: str | None = None) -> None:
        """`store_id`: the store that was written then, if it is not the one that is now.

        Raises BadValue when the log does not hold it.
        """
        stores = {each.store_id: each for each in stores_of(log)}
        written = log.store_id if store_id is None else store_id
        if written not in stores:
            raise BadValue(f"the log holds no store {written[:40]!r}")
        self._log = log
        self._written: LogReader = stores[written]
        self._earlier = list(stores.values())[: list(stores).index(written)]
        self._until = min(until, self._written.head())

    @property
    def store_id(self) -> str:
        return self._written.store_id

    def head(self) -> int:
        return self._until

    def stream(self, originator_id: UUID) -> Sequence[Recorded]:
        ends = {store.store_id: store.head() for store in (*self._earlier, self)}
        return [
            each
            for each in self._log.stream(originator_id)
            if each.seq <= ends.get(each.store_id, 0)
        ]

    def read(
        self, *, after: int, limit: int, streams: Collection[str] | None = None
    ) -> Sequence[Recorded]:
        page = self._written.read(after=after, limit=limit, streams=streams)
        return [each for each in page if each.seq <= self._until]

    def chains(self) -> Sequence[Chain]:
        return (Chain((*self._earlier, self)),)

    def home(self, account_id: str | None) -> str:
        return self.store_id

    def open_requests(self) -> Sequence[UUID]:
        raise NotImplementedError("which requests are open is known of the present only")

    def submit(self, *events: Event, account_id: str | None) -> Future[tuple[Recorded, ...]]:
        return self._refuse()

    async def append(self, *events: Event, account_id: str | None) -> tuple[Recorded, ...]:
        return self._refuse()

    def opened(self, *, epoch: str, program: str) -> Future[tuple[Recorded, ...]]:
        return self._refuse()

    def seal(self) -> Future[tuple[Recorded, ...]]:
        return self._refuse()

    def earlier(self) -> Sequence[LogReader]:
        return self._earlier

    def close(self) -> None:
        """The log itself stays open."""

    def _refuse(self) -> NoReturn:
        raise NotImplementedError("the past takes no events")


def place_at(log: EventLog, instant: datetime) -> tuple[str, int]:
    """The store that was written at an instant, and the last seq in it; 0 before the first."""
    stores = stores_of(log)
    for store in reversed(stores[1:]):
        if seq := seq_at(store, instant):
            return store.store_id, seq
    return stores[0].store_id, seq_at(stores[0], instant)


def seq_at(store: LogReader, instant: datetime) -> int:
    """The last seq of a store recorded at or before the instant; 0 if there is none."""
    wanted = instant_text(instant)
    low, high = 0, store.head()
    while low < high:
        middle = (low + high + 1) // 2
        if store.read(after=middle - 1, limit=1)[0].recorded_at <= wanted:
            low = middle
        else:
            high = middle - 1
    return low
