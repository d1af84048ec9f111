"""How long calls took: percentiles over time, and over the whole period."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from projections.queries.billing import ENDED_WITHIN, reach, within
from projections.queries.usage import GROUPS, UsageQuestion
from projections.rows import micros
from projections.store.port import ProjectionStore

_SHARES: Final = "0.5, 0.95"


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds; None without any call that was answered."""

    p50_ms: int | None
    p95_ms: int | None
    first_byte_p50_ms: int | None
    first_byte_p95_ms: int | None


NONE: Final = Latency(None, None, None, None)


def latency(
    store: ProjectionStore, question: UsageQuestion, *, as_of: Mapping[str, int], span: str
) -> tuple[Latency, dict[str, Latency]]:
    """Of the calls that ended well in a period: over all of it, and by `span` (a time of `GROUPS`).

    Percentiles are of the nearest rank, so each is the time of a call that took place. Without
    FINAL, which would read everything: only a row that was inserted twice, until both are merged,
    counts twice.
    """
    conditions, parameters = question.filters.sql()
    sql = f"""
        SELECT {GROUPS[span].replace("billed_at", "terminal_at")} AS span, grouping(span),
            quantilesExact({_SHARES})(total_ms), quantilesExact({_SHARES})(first_byte_ms),
            countIf(isNotNull(total_ms)), countIf(isNotNull(first_byte_ms))
        FROM $db.request_lines AS l
        WHERE version = 2 AND sign = 1 AND state = 'settled'
            AND {within("l.")}
            {ENDED_WITHIN} {conditions}
        GROUP BY span WITH ROLLUP
    """  # noqa: S608 - put together from our own text; values are parameters
    rows = store.query(
        sql,
        {
            **parameters,
            **reach(as_of),
            "start": micros(question.start),
            "end": micros(question.end),
        },
    )
    found = {(span, whole): _latency(*figures) for span, whole, *figures in rows}
    return (
        found.pop(("", 1), NONE),
        {span: figures for (span, _), figures in found.items()},
    )


def _latency(
    total: list[int], first_byte: list[int], with_total: int, with_first_byte: int
) -> Latency:
    return Latency(
        *(total if with_total else (None, None)),
        *(first_byte if with_first_byte else (None, None)),
    )
