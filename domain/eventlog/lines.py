"""What an adapter has to keep: lines, and the tail behind which the next ones are put.

The tail of a store that one process owns is kept in memory (`OwnedTail`). Where several processes
share a store, each batch begins by reading the tail under the store's lock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from domain.eventlog.port import CorruptLog, LogReader, Recorded
from domain.events.base import Event, JsonObject
from domain.events.codec import Encoded, encode
from domain.events.store import store_stream
from domain.seal import Frontier, leaf_hash

Key = tuple[UUID, int]
"""Stream and version."""


class Taken(Exception):
    """A row of the batch exists already; nothing of the batch was stored."""


class StoreFailure(Exception):
    """The database did not take the batch."""


class Tail(NamedTuple):
    """Where a store ends: all that the next batch has to know of what was before."""

    frontier: Frontier
    recorded_at: str
    """Of the latest event, be it of a store that this one continues; "" before the first."""
    version: int
    """The last one in the store's own stream."""


class Position(NamedTuple):
    """Where a store event comes to stand; known only when its batch is put together."""

    version: int
    """Its version in the store's own stream."""
    size: int
    """Number of events before it."""
    root: bytes


MakeEvent = Callable[[UUID, Position], Event]
Group = tuple[Sequence[Encoded], MakeEvent | None]
"""Events that become durable together, or the maker of one event of the store itself."""


class Staged(NamedTuple):
    """A batch put together behind a tail."""

    rows: Sequence[Recorded]
    groups: Sequence[tuple[Recorded, ...]]
    """The rows, as their groups were given."""
    tail: Tail
    """As it is once the rows are stored."""
    own: bool
    """Whether an event of the store itself is among them."""


Stage = Callable[[Tail], Staged]


class LineStore(Protocol):
    """Lines of one chain of stores; the last store is written, by one thread of this process.

    Whatever reads raises StoreFailure when it cannot, CorruptLog when bytes have changed.
    """

    def check(self) -> None:
        """Raise CorruptLog when the end of the store cannot be continued."""

    def commit(self, stage: Stage) -> Staged:
        """Store what `stage` puts behind the tail, all rows or none.

        Raises Taken or StoreFailure; either can be wrong about rows that were staged: ask `holds`.
        """

    def holds(self, rows: Sequence[Recorded]) -> bool:
        """Whether a batch lies in the store although `commit` raised. Final, if it can be told."""

    def taken(self, keys: Collection[Key]) -> Collection[Key]:
        """Those of the keys that are stored."""

    def head(self) -> int: ...

    def stream(self, originator_id: UUID) -> Sequence[Recorded]: ...

    def read(
        self, *, after: int, limit: int, streams: Collection[str] | None
    ) -> Sequence[Recorded]: ...

    def open_requests(self) -> Sequence[UUID]: ...

    def earlier(self) -> Sequence[LogReader]: ...

    def continues(self) -> JsonObject | None:
        """{store_id, size, root} of the store before this one, if there is one."""

    def close(self) -> None: ...


def stage(groups: Sequence[Group], tail: Tail, *, store_id: str, now: str) -> Staged:
    """Number and hash the events of a batch. `now` is the instant, as text, by this clock."""
    recorded_at, version = max(now, tail.recorded_at), tail.version
    frontier = tail.frontier.copy()
    rows: list[Recorded] = []
    staged: list[tuple[Recorded, ...]] = []
    for encoded, make in groups:
        events = encoded
        if make is not None:
            version += 1
            position = Position(version, frontier.size, frontier.root())
            events = (encode(make(store_stream(store_id), position), account_id=None),)
        first = len(rows)
        for event in events:
            seq = frontier.size + 1
            line = event.line(recorded_at=recorded_at, seq=seq, store_id=store_id)
            leaf = leaf_hash(line)
            frontier.add(leaf)
            rows.append(
                Recorded(
                    store_id,
                    seq,
                    leaf.hex(),
                    line,
                    event.originator_id,
                    event.originator_version,
                    event.topic,
                    event.account_id,
                    recorded_at,
                )
            )
        staged.append(tuple(rows[first:]))
    return Staged(rows, staged, Tail(frontier, recorded_at, version), version != tail.version)


class OwnedTail(ABC):
    """A store that only this process writes: its tail is read once and then known."""

    def __init__(self) -> None:
        self._tail: Tail | None = None

    @property
    @abstractmethod
    def store_id(self) -> str:
        """The store that is written."""

    @abstractmethod
    def write(self, rows: Sequence[Recorded], *, sealed: Frontier | None) -> None:
        """Store all rows or none. `sealed`, if given, may be kept to shorten the next start.

        Raises Taken or StoreFailure.
        """

    @abstractmethod
    def at(self, seq: int) -> Recorded | None: ...

    @abstractmethod
    def last(self) -> Recorded | None:
        """The latest event, be it of a store that this one continues: time goes on from it."""

    @abstractmethod
    def stored_head(self) -> int:
        """The last seq, as the rows say."""

    @abstractmethod
    def sealed(self) -> Frontier:
        """The latest frontier that `write` kept, or the empty one."""

    @abstractmethod
    def hashes(self, *, after: int) -> Iterable[tuple[int, bytes]]:
        """(seq, leaf hash) of every line past `after`, by seq."""

    @abstractmethod
    def stream(self, originator_id: UUID) -> Sequence[Recorded]: ...

    def check(self) -> None:
        self._tail = self._read_tail()

    def head(self) -> int:
        tail = self._tail
        return self.stored_head() if tail is None else tail.frontier.size

    def commit(self, stage: Stage) -> Staged:
        tail = self._tail
        if tail is None:
            tail = self._tail = self._read_tail()
        staged = stage(tail)
        try:
            self.write(staged.rows, sealed=staged.tail.frontier if staged.own else None)
        except Taken:
            if self.stored_head() != tail.frontier.size:
                self._tail = None  # somebody else wrote, or a try of ours that was repeated
            raise
        except StoreFailure:
            self._tail = None
            raise
        self._tail = staged.tail
        return staged

    def holds(self, rows: Sequence[Recorded]) -> bool:
        # A batch is stored as one, so its two ends tell; seq and instant make them its own.
        return all(self.at(row.seq) == row for row in (rows[0], rows[-1]))

    def _read_tail(self) -> Tail:
        frontier = self.sealed()
        for seq, leaf in self.hashes(after=frontier.size):
            if seq != frontier.size + 1:
                raise CorruptLog(f"seq {frontier.size + 1} of {self.store_id} is missing")
            frontier.add(leaf)
        last = self.last()
        if self.stored_head() != frontier.size or (frontier.size and last is None):
            raise CorruptLog(f"seq {frontier.size} of {self.store_id} is missing")
        own = self.stream(store_stream(self.store_id))
        return Tail(
            frontier, last.recorded_at if last else "", own[-1].originator_version if own else 0
        )
