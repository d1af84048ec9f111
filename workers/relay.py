"""Publishes the events of a chain of stores, in their order, each at least once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from domain.coordination.port import Held, Locks, relaying
from domain.errors import DomainError
from domain.eventlog.feed import Sink
from domain.eventlog.port import Chain, CorruptLog, LogReader, Recorded
from domain.relayed.port import NOTHING_RELAYED, Relayed, RelayPositions

BATCH: Final = 2000
"""Published, then waited for, as one: 2 MB, some 0.1 s."""
REST_S: Final = 0.05
"""Between two looks for new events."""
TURN_S: Final = 2.0
"""Between two looks whether another process has given the relaying up."""


class WrongPosition(DomainError):
    """The stored position is not one in this log. Nothing is published until somebody decides."""


@dataclass(frozen=True, slots=True)
class RelayState:
    """What a relay does, for operators."""

    store_id: str
    relays: bool
    """False while another process relays this chain."""
    seq: int
    """The last acknowledged one of the store that is written."""
    backlog: int
    """Events of the whole chain that are not known to be acknowledged."""


class Relay:
    """The step of a worker: relays while it holds the chain's lock, else waits for its turn.

    Read after the stored position, publish, wait for all acknowledgements, store the position. A
    death or a lost lock at any place between leaves the position behind: what follows it is
    published again, and readers know an event by its id. Nothing is ever passed over.
    """

    def __init__(
        self,
        chain: Chain,
        *,
        sink: Sink,
        positions: RelayPositions,
        topic_id: str,
        locks: Locks,
        batch: int = BATCH,
    ) -> None:
        self._chain = chain
        self._sink = sink
        self._positions = positions
        self._topic_id = topic_id
        self._locks = locks
        self._batch = batch
        self._lock: Held | None = None
        self._reached: dict[str, Relayed] = {}

    def __call__(self) -> float:
        """One batch. Raises FeedUnavailable, StoreUnavailable, WrongPosition, CorruptLog."""
        lock = self._take()
        if lock is None:
            return TURN_S
        for store in self._chain.stores:
            records = self._unpublished(store)
            if not records:
                continue
            if self._lost(lock):
                return 0
            self._sink.publish(records)
            if self._lost(lock):
                return 0
            self._reach(store, Relayed(records[-1].seq, records[-1].hash))
            return 0 if len(records) == self._batch else REST_S
        return REST_S

    def state(self) -> RelayState:
        """As of now. Any thread may ask. Raises StoreUnavailable."""
        written = self._chain.written
        reached = {
            store.store_id: self._positions.get(self._topic_id, store.store_id).seq
            for store in self._chain.stores
        }
        heads = {store.store_id: store.head() for store in self._chain.stores}
        return RelayState(
            store_id=written.store_id,
            relays=self._lock is not None,
            seq=reached[written.store_id],
            backlog=sum(max(0, heads[store] - seq) for store, seq in reached.items()),
        )

    def close(self) -> None:
        """Let another process relay."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()
        self._sink.close()

    def _take(self) -> Held | None:
        """The lock; where it is new, with the positions that its last holder left."""
        if self._lock is None:
            lock = self._locks.take(relaying(self._chain.written.store_id))
            if lock is not None:
                self._reached = {}
                self._lock = lock
        return self._lock

    def _lost(self, lock: Held) -> bool:
        """Asked right before anything that another process would do as well by now."""
        if lock.still():
            return False
        lock.release()
        self._lock = None
        return True

    def _unpublished(self, store: LogReader) -> Sequence[Recorded]:
        reached = self._reached.get(store.store_id)
        if reached is None:
            reached = self._positions.get(self._topic_id, store.store_id)
            self._check(store, reached)
            self._reached[store.store_id] = reached
        records = store.read(after=reached.seq, limit=self._batch)
        if records and records[-1].seq != reached.seq + len(records):
            raise CorruptLog(f"events are missing after seq {reached.seq} of {store.store_id}")
        return records

    def _reach(self, store: LogReader, relayed: Relayed) -> None:
        self._positions.set(self._topic_id, store.store_id, relayed)
        self._reached[store.store_id] = relayed

    def _check(self, store: LogReader, relayed: Relayed) -> None:
        """A position ahead of the log, or with another line, is of another log."""
        if relayed == NOTHING_RELAYED:
            return
        line = store.read(after=relayed.seq - 1, limit=1)
        if line and line[0].seq == relayed.seq and line[0].hash == relayed.hash:
            return
        found = f"has another event there ({line[0].hash})" if line else f"ends at {store.head()}"
        raise WrongPosition(
            f"the relay's position of {store.store_id} is seq {relayed.seq} ({relayed.hash}),"
            f" but the store {found}: this is not the log that was relayed, or an older copy of it."
            " To publish this log from its beginning, delete its row from the table `relayed`"
        )
