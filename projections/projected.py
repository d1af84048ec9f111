"""How far the tables reach: what everything that reads them needs to know.

`Projector` implements it in the process that fills the tables. `Watch` is for all others: it asks
the tables themselves, and follows when a rebuild has put others in force.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event, Lock
from typing import Final, NamedTuple, Protocol

from domain.clock import Clock
from domain.eventlog.port import HasChains, heads_of
from projections.migrate import database_of, generation_in_force
from projections.store.port import ProjectionStore, ProjectionUnavailable

FRESH_S: Final = 1.0
"""How old an answer about the tables may be."""
WAIT_S: Final = 30.0
_LOOK_S: Final = 0.1


class Projected(Protocol):
    """The tables, and the place in the log up to which they hold everything. Any thread may call.

    `reached` and `catch_up` give {store that is written: seq}. All events of the store up to that
    seq are in the tables, and so are all of the stores that it continues; 0 until these are.
    """

    @property
    def store(self) -> ProjectionStore:
        """Where the tables are."""

    def reached(self) -> dict[str, int]:
        """How far they reach now. Raises ProjectionUnavailable."""

    def catch_up(self) -> dict[str, int]:
        """Return once they reach where the log ends as this is called.

        Raises ProjectionUnavailable when another process projects and has not come there in time.
        """


class Reach(NamedTuple):
    """What the tables hold of one store."""

    dense: int
    """Every seq up to this one."""
    highest: int
    """The last seq; it may lie beyond a gap."""


def reach_of(store: ProjectionStore, store_id: str, *, known: int = 0) -> Reach:
    """Ask the tables. `known` is a seq up to which they are dense: only what follows is read."""
    (highest, odd, count) = store.query(
        """
        WITH arraySort(bitmapToArray(groupBitmapState(seq))) AS seqs
        SELECT seqs[-1], arrayFirstIndex((seq, place) -> seq != {known:UInt64} + place,
            seqs, arrayEnumerate(seqs)), length(seqs)
        FROM $db.log_lines
        WHERE store_id = {store:String} AND seq > {known:UInt64}
        """,
        {"store": store_id, "known": known},
    )[0]
    return Reach(known + (odd - 1 if odd else count), max(highest, known))


def _has(store: ProjectionStore, store_id: str, seq: int) -> bool:
    """Whether the tables hold this one line."""
    rows = store.query(
        "SELECT 1 FROM $db.log_lines"
        " WHERE store_id = {store:String} AND seq = {seq:UInt64} LIMIT 1",
        {"store": store_id, "seq": seq},
    )
    return bool(rows)


def reached_of(log: HasChains, dense: Mapping[str, int]) -> dict[str, int]:
    """Dense seqs of all stores as `Projected.reached` gives them."""
    found = {}
    for chain in log.chains():
        ended, written = chain.stores[:-1], chain.written.store_id
        whole = all(dense.get(store.store_id, 0) >= store.head() for store in ended)
        found[written] = max(dense.get(written, 0), 0) if whole else 0
    return found


def lag_of(log: HasChains, reached: Mapping[str, int]) -> dict[str, int]:
    """Store that is written → events of it that are not in the tables yet."""
    return {
        chain.written.store_id: max(
            chain.written.head() - reached.get(chain.written.store_id, 0), 0
        )
        for chain in log.chains()
    }


class Watch:
    """Projected, for a process that does not project: what the tables say, a second old at most."""

    def __init__(
        self,
        *,
        log: HasChains,
        store: ProjectionStore,
        clock: Clock,
        fresh_s: float = FRESH_S,
        wait_s: float = WAIT_S,
    ) -> None:
        """`wait_s`: how long `catch_up` waits for the process that projects."""
        self._log = log
        self._store = store
        self._clock = clock
        self._fresh_s = fresh_s
        self._wait_s = wait_s
        self._lock = Lock()
        self._dense: dict[str, int] = {}
        self._seen_s: float | None = None

    @property
    def store(self) -> ProjectionStore:
        return self._store

    def reached(self) -> dict[str, int]:
        with self._lock:
            now_s = self._clock.monotonic_s()
            if self._seen_s is None or now_s - self._seen_s >= self._fresh_s:
                self._look()
                self._seen_s = now_s
            return reached_of(self._log, self._dense)

    def catch_up(self) -> dict[str, int]:
        heads = heads_of(self._log)
        until_s = self._clock.monotonic_s() + self._wait_s
        while True:
            with self._lock:
                self._look()
                self._seen_s = self._clock.monotonic_s()
                dense = {at: self._dense.get(at, 0) for at in heads}
                reached = reached_of(self._log, dense)
            # Of all stores: one that was just begun is level at 0, those before it may not be.
            behind = {at: heads[at] - seq for at, seq in dense.items() if seq < heads[at]}
            if not behind:
                return reached
            if self._clock.monotonic_s() >= until_s:
                said = ", ".join(f"{lag} events of {at}" for at, lag in behind.items())
                raise ProjectionUnavailable(
                    f"the projections lack {said} after {self._wait_s:g} s:"
                    " is a process projecting?"
                )
            Event().wait(_LOOK_S)

    def _look(self) -> None:
        """Ask the tables that are in force. What was dense stays so within a generation."""
        database = database_of(self._store, generation_in_force(self._store))
        if database != self._store.database:
            self._store.use(database)
            self._dense = {}
        for store_id in heads_of(self._log):
            known = self._dense.get(store_id, 0)
            if not _has(self._store, store_id, known + 1):
                continue  # nothing new, or a gap with much behind it: not read again each second
            self._dense[store_id] = reach_of(self._store, store_id, known=known).dense
