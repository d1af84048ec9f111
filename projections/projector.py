"""Follows one event log and keeps the tables up to date: read, decode, rate, insert.

The position is not kept anywhere: it is the highest seq up to which `log_lines` has no gap, and
`log_lines` is written last. Dying anywhere therefore only means that rows are written again, and
equal rows collapse.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final, Protocol
from uuid import UUID

from domain.errors import DomainError
from domain.eventlog.port import CorruptLog, Recorded
from pricing.book import Books
from projections.batch import Batch, Batcher, OnDeadLetter
from projections.migrate import migrations
from projections.rows import Place, columns, conflict, dead_letter
from projections.store.port import ProjectionStore

BATCH_EVENTS_MAX: Final = 10_000
DEAD_LETTERS_MIN: Final = 20
DEAD_LETTER_SHARE: Final = 20
"""More than a twentieth of a batch, and more than twenty: the fault is ours, not the data's."""


class AnotherLog(DomainError):
    """The tables were made from a log that is not this one (restored, cut or rewritten)."""


class TooManyDeadLetters(DomainError):
    """So many events are unreadable that the program, not the data, must be wrong."""


class StoreSource(Protocol):
    """What is read of one store."""

    @property
    def store_id(self) -> str: ...

    def read(self, *, after: int, limit: int) -> Sequence[Recorded]: ...

    def head(self) -> int: ...


class Source(StoreSource, Protocol):
    """What is read of an event log: the store that is written, and those that it continues."""

    def stream(self, originator_id: UUID) -> Sequence[Recorded]: ...

    def earlier(self) -> Sequence[StoreSource]: ...


def bases_of(log: Source) -> dict[str, int]:
    """For each store of a log the number of events in the stores before it."""
    bases: dict[str, int] = {}
    total = 0
    for store in log.earlier():
        bases[store.store_id] = total
        total += store.head()
    bases[log.store_id] = total
    return bases


class Projector:
    """One log into one projection store. Any thread may call; steps wait for each other."""

    def __init__(
        self,
        *,
        log: Source,
        store: ProjectionStore,
        books: Books,
        batch_events_max: int = BATCH_EVENTS_MAX,
        on_dead_letter: OnDeadLetter | None = None,
    ) -> None:
        self._log = log
        self._store = store
        self._books = books
        self._batch_events_max = batch_events_max
        self._on_dead_letter = on_dead_letter
        self._schema = len(migrations())
        self._stores: tuple[StoreSource, ...] = (*log.earlier(), log)
        self._batcher = self._new_batcher()
        self._lock = Lock()
        self._positions: dict[str, int] = {}
        self._highest: dict[str, int] = {}

    @property
    def store(self) -> ProjectionStore:
        """The store that is kept up to date."""
        return self._store

    @property
    def store_id(self) -> str:
        """The store of the log that is written."""
        return self._log.store_id

    @property
    def position(self) -> int:
        """Everything up to this seq of the log is in the tables; −1 before the first step."""
        return self._positions.get(self._log.store_id, -1)

    @property
    def as_of(self) -> dict[str, int]:
        """How far into the log the tables reach, as reports say it."""
        return {self._log.store_id: max(self.position, 0)}

    def start(self) -> int:
        """Find the position. Raises AnotherLog when the tables are not of this log."""
        with self._lock:
            self._resume()
            return self.position

    def seek(self, after: int) -> None:
        """Read again from an earlier position. What is there already collapses."""
        with self._lock:
            self._positions[self._log.store_id] = min(after, self.position)

    def step(self) -> int:
        """Project the next events; how many. 0 means that the tables are level with the log."""
        with self._lock:
            if self.position < 0:
                self._resume()
            for store in self._stores:
                after = self._positions[store.store_id]
                events = store.read(after=after, limit=self._batch_events_max)
                if events:
                    self._project(events, after=after)
                    return len(events)
            return 0

    def catch_up(self) -> int:
        """Step until level with the log as it was when this began; the position then."""
        head = self._log.head()
        if self.position < 0:
            self.start()
        while (self.position < head or self._has_earlier()) and self.step():
            pass
        return self.position

    def sibling(self, store: ProjectionStore) -> Projector:
        """A projector of the same log into another store."""
        return Projector(
            log=self._log,
            store=store,
            books=self._books,
            batch_events_max=self._batch_events_max,
            on_dead_letter=self._on_dead_letter,
        )

    def exchange(self, other: Projector, switch: Callable[[], None]) -> None:
        """Go on where another projector of the same log has come to, once it is level."""
        with self._lock:
            other.catch_up()
            switch()
            self._store.use(other.store.database)
            self._batcher = self._new_batcher()
            self._positions, self._highest = other._positions, other._highest

    def retry_dead_letters(self) -> int:
        """Try what could not be read before once more, by today's program; how many succeeded."""
        with self._lock:
            seqs = self._store.query(
                "SELECT DISTINCT store_id, seq FROM $db.dead_letters FINAL"
                " WHERE resolved = 0 ORDER BY store_id, seq"
            )
            stores = {store.store_id: store for store in self._stores}
            return sum(
                self._retry(recorded)
                for store_id, seq in seqs
                if store_id in stores
                for recorded in stores[store_id].read(after=seq - 1, limit=1)
            )

    def _has_earlier(self) -> bool:
        """Something of the stores that the log continues is not in the tables yet."""
        return any(self._positions[store.store_id] < store.head() for store in self._stores[:-1])

    def _retry(self, recorded: Recorded) -> bool:
        batch = self._batcher.batch([recorded])
        if batch.dead:
            return False
        (place,) = batch.lines
        batch.add("dead_letters", dead_letter(place, error="", resolved=True))
        self._insert(batch, f"retry-{recorded.hash}")
        return True

    def _new_batcher(self) -> Batcher:
        return Batcher(
            history=self._log.stream,
            books=self._books,
            bases=bases_of(self._log),
            on_dead_letter=self._on_dead_letter,
        )

    def _resume(self) -> None:
        known = {store.store_id for store in self._stores}
        stored = {
            store_id: (highest, dense)
            for store_id, highest, dense in self._store.query(
                "SELECT store_id, max(seq), groupBitmap(seq) FROM $db.log_lines GROUP BY store_id"
            )
        }
        if stored.keys() - known:
            raise AnotherLog("the tables hold a store that is not of this log: rebuild them")
        positions = {}
        for store in self._stores:
            highest, dense = stored.get(store.store_id, (0, 0))
            position = highest if highest == dense else self._first_gap(store.store_id)
            self._check_same(store, position)
            positions[store.store_id] = position
            self._highest[store.store_id] = highest
        self._positions = positions

    def _check_same(self, store: StoreSource, position: int) -> None:
        """The last line that was projected is still what the log says. Raises AnotherLog."""
        if position > store.head():
            raise AnotherLog("the tables reach further than the log: rebuild them")
        if position:
            stored = self._store.query(
                "SELECT hash FROM $db.log_lines"
                " WHERE store_id = {store:String} AND seq = {seq:UInt64}",
                {"store": store.store_id, "seq": position},
            )
            line = store.read(after=position - 1, limit=1)[0]
            if (bytes.fromhex(line.hash),) not in stored:
                raise AnotherLog(f"seq {position} of the log is not what was projected: rebuild")

    def _first_gap(self, store_id: str) -> int:
        rows = self._store.query(
            "WITH seqs AS (SELECT seq FROM $db.log_lines WHERE store_id = {store:String})"
            " SELECT min(seq) FROM (SELECT 0 AS seq UNION ALL SELECT seq FROM seqs)"
            " WHERE seq + 1 NOT IN (SELECT seq FROM seqs)",
            {"store": store_id},
        )
        return int(rows[0][0])

    def _project(self, events: Sequence[Recorded], *, after: int) -> None:
        """Rows of the next events of one store."""
        store_id = events[0].store_id
        if events[0].seq != after + 1 or events[-1].seq != after + len(events):
            raise CorruptLog(f"the log has a gap after seq {after}")
        conflicting = self._conflicting(events)
        batch = self._batcher.batch(events, skip=conflicting)
        if batch.dead > max(DEAD_LETTERS_MIN, len(events) // DEAD_LETTER_SHARE):
            raise TooManyDeadLetters(
                f"{batch.dead} of {len(events)} events after seq {after} are unreadable"
            )
        if conflicting:
            seconds = [conflict(place) for place in batch.lines if place.seq in conflicting]
            batch.add("conflicts", *seconds)
        token = self._token(batch.lines)
        self._insert(batch, token)
        # Last, because it makes the position.
        self._store.insert("log_lines", columns("log_lines", batch.lines), token=token)
        self._positions[store_id] = last = events[-1].seq
        self._highest[store_id] = max(self._highest.get(store_id, 0), last)

    def _insert(self, batch: Batch, token: str) -> None:
        for table, rows in batch.rows.items():
            self._store.insert(table, columns(table, rows), token=token)

    def _conflicting(self, events: Sequence[Recorded]) -> set[int]:
        """Seqs that are in the tables with another payload; the first one stands."""
        store_id = events[0].store_id
        if events[0].seq > self._highest.get(store_id, 0):
            return set()
        stored: dict[int, set[bytes]] = {}
        for seq, line_hash in self._store.query(
            "SELECT seq, hash FROM $db.log_lines"
            " WHERE store_id = {store:String} AND seq BETWEEN {first:UInt64} AND {last:UInt64}",
            {"store": store_id, "first": events[0].seq, "last": events[-1].seq},
        ):
            stored.setdefault(seq, set()).add(line_hash)
        return {
            recorded.seq
            for recorded in events
            if stored.get(recorded.seq, set()) - {bytes.fromhex(recorded.hash)}
        }

    def _token(self, lines: Sequence[Place]) -> str:
        """Of the batch's ids, payloads and schema; the store keeps tokens apart by table."""
        digest = hashlib.sha256(str(self._schema).encode())
        for place in lines:
            digest.update(place.event_id.bytes)
            digest.update(place.hash)
        return digest.hexdigest()
