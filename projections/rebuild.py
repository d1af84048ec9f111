"""The projections made anew from the log: beside the old ones, compared, then exchanged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from domain.coordination.port import REBUILDING, Locks, held
from domain.errors import DomainError
from projections.group import carry_offsets, highest_offsets
from projections.inserter import TooManyDeadLetters
from projections.migrate import (
    create,
    database_of,
    drop,
    generation_in_force,
    next_generation,
    record,
    tidy,
)
from projections.projector import AnotherLog, Projector
from projections.queries.billing import reach, within
from projections.rows import COUNTS
from projections.store.port import ProjectionStore

_LINES_HASH: Final = (
    "groupBitXor(sipHash64(event_id, sign, seq, hash, terminal_at, status, usage_source,"
    " model, rule, reference_provider, reference_model, price_rows, price_book, markup_rate,"
    " ifNull(toString(fee_usd), ''), ifNull(toString(at_cost_usd), ''), written_off))"
)
_FACTS: Final = {
    "log_lines": (
        "count()",
        "groupBitXor(sipHash64(store_id, seq, position, hash, event_id, recorded_at))",
    ),
    "request_lines": (
        *("count()", "sum(sign)", "sum(sign * toDecimal256(ifNull(fee_usd, 0), 24))"),
        "sum(sign * toDecimal256(ifNull(at_cost_usd, 0), 24))",
        *(f"sum(sign * toInt64(ifNull({unit}, 0)))" for unit in COUNTS),
        _LINES_HASH,
    ),
    "closed_periods": ("count()", "groupBitXor(sipHash64(invoice_id, cutoff, seq, hash))"),
    "dead_letters": ("countIf(resolved = 0)",),
}
"""What two generations are compared by: numbers of rows, sums, and a hash of what matters."""


class RebuildFailed(DomainError):
    """The new tables do not hold the log; the old ones stay in force."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild found."""

    reached: dict[str, int]
    """Each store that is written → the last seq in the new tables."""
    database: str
    differences: tuple[str, ...]
    """Where the old tables said something else, one sentence each."""


def rebuild(
    projector: Projector, *, locks: Locks, on_progress: Callable[[int], None] | None = None
) -> Rebuilt:
    """Fill a new generation from the log, compare it with the old one, put it in force.

    Whoever fills the tables, this projector or other processes, may be at work meanwhile, and goes
    on in the new ones: from where these end, or, in a group, from the offsets that are carried
    over. The old ones are dropped by the next rebuild, or by the next start when nobody else uses
    them: somebody may be reading. Raises RebuildFailed, Busy.
    """
    with held(locks, REBUILDING):
        store = projector.store
        tidy(store)
        with suppress(AnotherLog, TooManyDeadLetters):
            if store.site.shared:
                projector.start()
            else:
                projector.catch_up()
        return _rebuild(projector, on_progress)


def _rebuild(projector: Projector, on_progress: Callable[[int], None] | None) -> Rebuilt:
    store = projector.store
    old, new = generation_in_force(store), next_generation(store)
    fresh = projector.sibling(create(store, new))
    try:
        while fresh.step():
            if on_progress is not None:
                on_progress(sum(fresh.reached().values()))
        differences = _compare(projector, fresh)
        _check(fresh)
        # What was delivered up to here lies in the log by now, and so will it in the new tables:
        # `exchange` makes these level with the log once more.
        delivered = highest_offsets(store)
    except BaseException:
        drop(store, new)
        raise

    def switch() -> None:
        carry_offsets(delivered, fresh.store)
        record(store, new, "in_force")
        record(store, old, "retired")

    projector.exchange(fresh, switch)
    return Rebuilt(projector.reached(), database_of(store, new), differences)


def facts(store: ProjectionStore, *, until: Mapping[str, int]) -> dict[str, tuple[object, ...]]:
    """The figures of all tables up to an end of the log."""
    return {
        table: tuple(
            store.query(
                f"SELECT {', '.join(expressions)} FROM $db.{table} FINAL"  # noqa: S608
                f" WHERE {within()}",
                reach(until),
            )[0]
        )
        for table, expressions in _FACTS.items()
    }


def _compare(old: Projector, new: Projector) -> tuple[str, ...]:
    if not old.started:
        return ("the old tables are not of this log",)
    now = new.reached()
    until = {at: min(seq, now[at]) for at, seq in old.reached().items()}
    before, after = facts(old.store, until=until), facts(new.store, until=until)
    return tuple(
        f"{table}: {expression}: was {was}, is {now}"
        for table, expressions in _FACTS.items()
        for expression, was, now in zip(expressions, before[table], after[table], strict=True)
        if was != now
    )


def _check(fresh: Projector) -> None:
    """A new generation stands on its own: start from its tables as after a crash."""
    reached = fresh.reached()
    if fresh.start() != reached:
        raise RebuildFailed(f"the new tables reach only {fresh.reached()}")
