"""The log as it was: reads of an earlier position, for replaying."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import NoReturn
from uuid import UUID

from domain.clock import instant_text
from domain.errors import BadValue
from domain.eventlog.port import Chain, EventLog, HasChains, LogReader, Recorded, stores_of
from domain.events.base import Event


class PastLog:
    """An EventLog up to a place in each chain. It reads what a reader would have read then."""

    def __init__(self, log: EventLog, *, until: Mapping[str, int]) -> None:
        """`until`: store id → last seq. The last store of a chain that it names was written then.

        A chain of which it names none had not begun. Raises BadValue when the log does not hold a
        store that it names.
        """
        unknown = until.keys() - {store.store_id for store in stores_of(log)}
        if unknown:
            raise BadValue(f"the log holds no store {min(unknown)[:40]!r}")
        self._log = log
        self._chains = [_past_of(chain, until) for chain in log.chains()]

    def chains(self) -> Sequence[Chain]:
        return self._chains

    def home(self, account_id: str | None) -> str:
        return self._log.home(account_id)

    def stream(self, originator_id: UUID) -> Sequence[Recorded]:
        ends = {store.store_id: store.head() for store in stores_of(self)}
        return [
            each
            for each in self._log.stream(originator_id)
            if each.seq <= ends.get(each.store_id, 0)
        ]

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

    def close(self) -> None:
        """The log itself stays open."""

    def _refuse(self) -> NoReturn:
        raise NotImplementedError("the past takes no events")


class _PastStore:
    """A store up to a seq."""

    def __init__(self, store: LogReader, until: int) -> None:
        self._store = store
        self._until = min(until, store.head())

    @property
    def store_id(self) -> str:
        return self._store.store_id

    def read(
        self, *, after: int, limit: int, streams: Collection[str] | None = None
    ) -> Sequence[Recorded]:
        page = self._store.read(after=after, limit=limit, streams=streams)
        return [each for each in page if each.seq <= self._until]

    def stream(self, originator_id: UUID) -> Sequence[Recorded]:
        return [
            each
            for each in self._store.stream(originator_id)
            if each.store_id != self.store_id or each.seq <= self._until
        ]

    def head(self) -> int:
        return self._until


def _past_of(chain: Chain, until: Mapping[str, int]) -> Chain:
    named = [at for at, store in enumerate(chain.stores) if store.store_id in until]
    written = named[-1] if named else 0
    store = chain.stores[written]
    return Chain((*chain.stores[:written], _PastStore(store, until.get(store.store_id, 0))))


def places_at(log: HasChains, instant: datetime) -> dict[str, int]:
    """The store of each chain that was written at an instant → the last seq in it.

    Of a chain that had not begun, the first store and 0.
    """
    return dict(_place_at(chain, instant) for chain in log.chains())


def _place_at(chain: Chain, instant: datetime) -> tuple[str, int]:
    first, *later = chain.stores
    for store in reversed(later):
        if seq := seq_at(store, instant):
            return store.store_id, seq
    return first.store_id, seq_at(first, instant)


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
