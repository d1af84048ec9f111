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


class Source(Protocol):
    """What is read of an event log."""

    def read(self, *, after: int, limit: int) -> Sequence[Recorded]: ...

    def stream(self, originator_id: UUID) -> Sequence[Recorded]: ...

    def head(self) -> int: ...


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
        self._batcher = self._new_batcher()
        self._lock = Lock()
        self._position = -1
        self._highest = 0

    @property
    def store(self) -> ProjectionStore:
        """The store that is kept up to date."""
        return self._store

    @property
    def position(self) -> int:
        """Everything up to this seq is in the tables; −1 before the first step."""
        return self._position

    def start(self) -> int:
        """Find the position. Raises AnotherLog when the tables are not of this log."""
        with self._lock:
            self._resume()
            return self._position

    def seek(self, after: int) -> None:
        """Read again from an earlier position. What is there already collapses."""
        with self._lock:
            self._position = min(after, self._position)

    def step(self) -> int:
        """Project the next events; how many. 0 means that the tables are level with the log."""
        with self._lock:
            if self._position < 0:
                self._resume()
            events = self._log.read(after=self._position, limit=self._batch_events_max)
            if events:
                self._project(events)
            return len(events)

    def catch_up(self) -> int:
        """Step until level with the log as it was when this began; the position then."""
        head = self._log.head()
        while self._position < head and self.step():
            pass
        if self._position < 0:
            self.start()
        return self._position

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
            self._position, self._highest = other._position, other._highest

    def retry_dead_letters(self) -> int:
        """Try what could not be read before once more, by today's program; how many succeeded."""
        with self._lock:
            seqs = self._store.query(
                "SELECT DISTINCT seq FROM $db.dead_letters FINAL WHERE resolved = 0 ORDER BY seq"
            )
            return sum(
                self._retry(recorded)
                for (seq,) in seqs
                for recorded in self._log.read(after=seq - 1, limit=1)
            )

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
            history=self._log.stream, books=self._books, on_dead_letter=self._on_dead_letter
        )

    def _resume(self) -> None:
        (highest, dense) = self._store.query(
            "SELECT max(seq), groupBitmap(seq) FROM $db.log_lines"
        )[0]
        position = highest if highest == dense else self._first_gap()
        if position > self._log.head():
            raise AnotherLog("the tables reach further than the log: rebuild them")
        if position:
            stored = self._store.query(
                "SELECT hash FROM $db.log_lines WHERE seq = {seq:UInt64}", {"seq": position}
            )
            line = self._log.read(after=position - 1, limit=1)[0]
            if (bytes.fromhex(line.hash),) not in stored:
                raise AnotherLog(f"seq {position} of the log is not what was projected: rebuild")
        self._position, self._highest = position, highest

    def _first_gap(self) -> int:
        rows = self._store.query(
            "SELECT min(seq) FROM (SELECT 0 AS seq UNION ALL SELECT seq FROM $db.log_lines)"
            " WHERE seq + 1 NOT IN (SELECT seq FROM $db.log_lines)"
        )
        return int(rows[0][0])

    def _project(self, events: Sequence[Recorded]) -> None:
        if events[0].seq != self._position + 1 or events[-1].seq != self._position + len(events):
            raise CorruptLog(f"the log has a gap after seq {self._position}")
        conflicting = self._conflicting(events)
        batch = self._batcher.batch(events, skip=conflicting)
        if batch.dead > max(DEAD_LETTERS_MIN, len(events) // DEAD_LETTER_SHARE):
            raise TooManyDeadLetters(
                f"{batch.dead} of {len(events)} events after seq {self._position} are unreadable"
            )
        if conflicting:
            seconds = [conflict(place) for place in batch.lines if place.seq in conflicting]
            batch.add("conflicts", *seconds)
        token = self._token(batch.lines)
        self._insert(batch, token)
        # Last, because it makes the position.
        self._store.insert("log_lines", columns("log_lines", batch.lines), token=token)
        self._position = events[-1].seq
        self._highest = max(self._highest, self._position)

    def _insert(self, batch: Batch, token: str) -> None:
        for table, rows in batch.rows.items():
            self._store.insert(table, columns(table, rows), token=token)

    def _conflicting(self, events: Sequence[Recorded]) -> set[int]:
        """Seqs that are in the tables with another payload; the first one stands."""
        if events[0].seq > self._highest:
            return set()
        stored: dict[int, set[bytes]] = {}
        for seq, line_hash in self._store.query(
            "SELECT seq, hash FROM $db.log_lines"
            " WHERE seq BETWEEN {first:UInt64} AND {last:UInt64}",
            {"first": events[0].seq, "last": events[-1].seq},
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
