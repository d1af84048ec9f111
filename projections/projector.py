"""Follows one event log and keeps the tables up to date: read, decode, rate, insert.

The position is not kept anywhere: it is the highest seq up to which `log_lines` has no gap, and
`log_lines` is written last. Dying anywhere therefore only means that rows are written again, and
equal rows collapse.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Final, Protocol
from uuid import UUID

from domain.errors import DomainError
from domain.eventlog.port import CorruptLog, Recorded, StoreUnavailable
from domain.events.base import Event
from domain.events.codec import decode
from domain.events.requests import TERMINAL_VERSION, RequestRouted
from domain.ids import event_id
from domain.invoice_series import InvoiceIssued
from pricing.book import Books, UnknownBook
from projections.migrate import migrations
from projections.rows import (
    IGNORED,
    ROWS,
    Cells,
    RequestState,
    closed_period_row,
    columns,
    dead_letter,
    fold,
    log_line,
    request_rows,
    routed_row,
)
from projections.store.port import ProjectionStore, ProjectionUnavailable

BATCH_EVENTS_MAX: Final = 10_000
OPEN_KEPT_MAX: Final = 50_000
"""Running requests whose first event is held in memory; others are read from the log again."""
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


@dataclass(slots=True)
class _Batch:
    """Rows by table, gathered for one round of inserts."""

    rows: dict[str, list[Cells]] = field(default_factory=dict)
    dead: int = 0

    def add(self, table: str, *rows: Cells) -> None:
        self.rows.setdefault(table, []).extend(rows)


class Projector:
    """One log into one projection store. `step` may be called by any thread, one at a time."""

    def __init__(
        self,
        *,
        log: Source,
        store: ProjectionStore,
        books: Books,
        batch_events_max: int = BATCH_EVENTS_MAX,
        on_dead_letter: Callable[[Recorded, str], None] | None = None,
    ) -> None:
        self._log = log
        self._store = store
        self._books = books
        self._batch_events_max = batch_events_max
        self._on_dead_letter = on_dead_letter
        self._schema = len(migrations())
        self._open: OrderedDict[UUID, RequestState] = OrderedDict()
        self._lock = Lock()
        self._position = -1
        self._highest = 0

    @property
    def store(self) -> ProjectionStore:
        """The store that is kept up to date."""
        return self._store

    @property
    def position(self) -> int:
        """Everything up to this seq is in the tables; −1 before `start`."""
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
        """Step until level with the log; the position then."""
        while self.step():
            pass
        return self._position

    def exchange(self, other: Projector, switch: Callable[[], None]) -> None:
        """Go on where another projector of the same log, level with it, has come to."""
        with self._lock:
            other.catch_up()
            switch()
            self._store.use(other.store.database)
            self._open.clear()
            self._position, self._highest = other._position, other._highest

    def retry_dead_letters(self) -> int:
        """Try what could not be read before once more, by today's program; how many succeeded."""
        with self._lock:
            seqs = self._store.query(
                "SELECT seq FROM $db.dead_letters FINAL WHERE resolved = 0 ORDER BY seq"
            )
            done = 0
            for (seq,) in seqs:
                for recorded in self._log.read(after=seq - 1, limit=1):
                    done += self._retry(recorded)
            return done

    def _retry(self, recorded: Recorded) -> bool:
        batch = _Batch()
        self._add(batch, recorded)
        if batch.dead:
            return False
        batch.add("dead_letters", dead_letter(recorded, error="", resolved=True))
        self._insert(batch, f"retry-{self._highest}-{recorded.hash}")
        return True

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
        batch = _Batch()
        for recorded in events:
            if recorded.seq not in conflicting:
                self._add(batch, recorded)
        if batch.dead > max(DEAD_LETTERS_MIN, len(events) // DEAD_LETTER_SHARE):
            raise TooManyDeadLetters(
                f"{batch.dead} of {len(events)} events after seq {self._position} are unreadable"
            )
        lines = [log_line(recorded) for recorded in events]
        if conflicting:
            rows = [row for row in lines if row[1] in conflicting]
            batch.add("conflicts", *[(*row[:4], row[5], row[4], row[6]) for row in rows])
        batch.add("log_lines", *lines)
        self._insert(batch, self._token(events))
        self._position = events[-1].seq
        self._highest = max(self._highest, self._position)

    def _insert(self, batch: _Batch, token: str) -> None:
        # log_lines was added last, so it is inserted last: it makes the position.
        for table, rows in batch.rows.items():
            self._store.insert(table, columns(table, rows), token=f"{table}-{token}")

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

    def _token(self, events: Sequence[Recorded]) -> str:
        digest = hashlib.sha256(str(self._schema).encode())
        for recorded in events:
            digest.update(event_id(recorded.originator_id, recorded.originator_version).bytes)
            digest.update(bytes.fromhex(recorded.hash))
        return digest.hexdigest()

    def _add(self, batch: _Batch, recorded: Recorded) -> None:
        """The rows of one event. One that cannot be read becomes a dead letter."""
        if recorded.topic in IGNORED:
            return
        try:
            if recorded.topic not in ROWS:
                raise ValueError(f"{recorded.topic!r} is a topic of a newer program")
            self._add_rows(batch, recorded, decode(recorded))
        except (UnknownBook, ProjectionUnavailable, StoreUnavailable):
            # Not the event's fault: nothing is skipped, the batch is tried again.
            raise
        except (DomainError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            batch.dead += 1
            batch.add("dead_letters", dead_letter(recorded, error=reason))
            if self._on_dead_letter is not None:
                self._on_dead_letter(recorded, reason)

    def _add_rows(self, batch: _Batch, recorded: Recorded, event: Event) -> None:
        if isinstance(event, RequestRouted):
            state = RequestState.began(event, recorded.recorded_at)
            self._keep(recorded.originator_id, state)
            batch.add("routed_requests", routed_row(recorded, event))
        elif isinstance(event, InvoiceIssued):
            batch.add("closed_periods", closed_period_row(recorded, event))
        else:
            before = self._before(recorded)
            now = before.after(event, recorded.recorded_at)
            first = recorded.originator_version <= TERMINAL_VERSION
            rows = request_rows(recorded, None if first else before, now, self._books)
            batch.add("request_lines", *rows)

    def _keep(self, request: UUID, state: RequestState) -> None:
        self._open[request] = state
        if len(self._open) > OPEN_KEPT_MAX:
            self._open.popitem(last=False)

    def _before(self, recorded: Recorded) -> RequestState:
        """The state that an event meets: from memory for a running request, else from the log."""
        if recorded.originator_version == TERMINAL_VERSION:
            state = self._open.pop(recorded.originator_id, None)
            if state is not None:
                return state
        earlier = [
            (each, decode(each))
            for each in self._log.stream(recorded.originator_id)
            if each.originator_version < recorded.originator_version
        ]
        state = fold(earlier)
        if state is None:
            raise LookupError("the request was never routed")
        return state
