"""Follows the log and keeps the tables up to date: read, decode, rate, insert.

The position is not kept anywhere: it is the highest seq of a store up to which `log_lines` has no
gap, and `log_lines` is written last. Dying anywhere therefore only means that rows are written
again, and equal rows collapse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Final

from domain.errors import DomainError
from domain.eventlog.port import CorruptLog, HasChains, LogReader, Recorded, bases_of, stores_of
from pricing.book import Books
from projections.batch import Batcher, OnDeadLetter
from projections.inserter import Inserter
from projections.migrate import database_of, generation_in_force
from projections.projected import reach_of, reached_of
from projections.store.port import ProjectionStore

BATCH_EVENTS_MAX: Final = 10_000


class AnotherLog(DomainError):
    """The tables were made from a log that is not this one (restored, cut or rewritten)."""


class Projector:
    """One log into one projection store. Any thread may call; steps wait for each other."""

    def __init__(
        self,
        *,
        log: HasChains,
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
        self._stores = stores_of(log)
        self._turn = 0
        self._inserter = self._new_inserter()
        self._lock = Lock()
        self._positions: dict[str, int] = {}
        self._highest: dict[str, int] = {}

    @property
    def store(self) -> ProjectionStore:
        """The store that is kept up to date."""
        return self._store

    @property
    def started(self) -> bool:
        """Whether the position was found: the tables are of this log."""
        return bool(self._positions)

    def reached(self) -> dict[str, int]:
        """`Projected.reached`, without asking the tables."""
        return reached_of(self._log, self._positions)

    def catch_up(self) -> dict[str, int]:
        """Step until level with the log as it was when this began; how far the tables reach then.

        Raises AnotherLog, and what `step` raises.
        """
        heads = {store.store_id: store.head() for store in self._stores}
        if not self.started:
            self.start()
        while any(self._positions[at] < head for at, head in heads.items()) and self.step():
            pass
        return self.reached()

    def start(self) -> dict[str, int]:
        """Find the position, anew if need be. Raises AnotherLog when the tables are not of this
        log."""
        with self._lock:
            self._resume()
            return self.reached()

    def follow(self) -> None:
        """Go on in the tables in force, where another process has put others there.

        Nothing is lost: where these end is found anew. Raises AnotherLog.
        """
        with self._lock:
            database = database_of(self._store, generation_in_force(self._store))
            if database != self._store.database:
                self._store.use(database)
                self._inserter = self._new_inserter()
                self._resume()

    def seek(self, after: Mapping[str, int]) -> None:
        """Read stores again from an earlier position. What is there already is not inserted."""
        with self._lock:
            for store_id, seq in after.items():
                self._positions[store_id] = min(seq, self._positions[store_id])

    def step(self) -> int:
        """Project the next events of one store; how many. 0: the tables are level with the log."""
        with self._lock:
            if not self.started:
                self._resume()
            for _ in self._stores:
                store = self._stores[self._turn]
                # The others get their turn however much one store holds.
                self._turn = (self._turn + 1) % len(self._stores)
                after = self._positions[store.store_id]
                events = store.read(after=after, limit=self._batch_events_max)
                if events:
                    self._project(events, after=after)
                    return len(events)
            return 0

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
            self._inserter = self._new_inserter()
            self._positions, self._highest = other._positions, other._highest

    def retry_dead_letters(self) -> int:
        """`Inserter.retry_dead_letters`."""
        with self._lock:
            return self._inserter.retry_dead_letters(self._log)

    def _new_inserter(self) -> Inserter:
        batcher = Batcher(
            history=self._log.stream,
            books=self._books,
            bases=bases_of(self._log),
            on_dead_letter=self._on_dead_letter,
        )
        return Inserter(self._store, batcher)

    def _resume(self) -> None:
        check_stores(self._store, self._log)
        positions = {}
        for store in self._stores:
            position, self._highest[store.store_id] = reach_of(self._store, store.store_id)
            check_same(self._store, store, position)
            positions[store.store_id] = position
        self._positions = positions

    def _project(self, events: Sequence[Recorded], *, after: int) -> None:
        """Rows of the next events of one store."""
        store_id, last = events[0].store_id, events[-1].seq
        if events[0].seq != after + 1 or last != after + len(events):
            raise CorruptLog(f"the log has a gap after seq {after}")
        self._inserter.insert(events, new=after >= self._highest[store_id])
        self._positions[store_id] = last
        self._highest[store_id] = max(self._highest[store_id], last)


def check_stores(tables: ProjectionStore, log: HasChains) -> None:
    """The tables hold no store that the log has not. Raises AnotherLog."""
    known = {store.store_id for store in stores_of(log)}
    stored = {at for (at,) in tables.query("SELECT DISTINCT store_id FROM $db.log_lines")}
    if stored - known:
        raise AnotherLog("the tables hold a store that is not of this log: rebuild them")


def check_same(tables: ProjectionStore, store: LogReader, position: int) -> None:
    """The last line that was projected is still what the log says. Raises AnotherLog."""
    if position > store.head():
        raise AnotherLog("the tables reach further than the log: rebuild them")
    if position:
        stored = tables.query(
            "SELECT hash FROM $db.log_lines WHERE store_id = {store:String} AND seq = {seq:UInt64}",
            {"store": store.store_id, "seq": position},
        )
        line = store.read(after=position - 1, limit=1)[0]
        if (bytes.fromhex(line.hash),) not in stored:
            raise AnotherLog(f"seq {position} of the log is not what was projected: rebuild")
