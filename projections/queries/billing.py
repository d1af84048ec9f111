"""In which period a row was billed: one SQL fragment for reports, so that they equal invoices.

A row counts where its request ended. Only a row that came after that period was closed (its place
is past the cutoff) counts in the first later invoice whose cutoff covers it, and until there is
one, when it was recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from projections.store.port import Value

_LAST: Final = 2**64 - 1


def within(line: str = "") -> str:
    """The condition for rows up to an end of the log that `reach` gives; `line` names their table.

    The stores that a restored log continues have ended, and count whole.
    """
    ends = "{stores:Array(String)}, {seqs:Array(UInt64)}"
    return f"{line}seq <= transform({line}store_id, {ends}, toUInt64({_LAST}))"


def reach(as_of: Mapping[str, int]) -> dict[str, Value]:
    """The parameters of `within` for an end of the log: the last seq to count of each store that is
    written."""
    return {"stores": list(as_of.keys()), "seqs": list(as_of.values())}


_PERIODS: Final = f"""
    SELECT account_id, sandbox,
        arraySort(p -> p.3, groupArray((period_start, period_end, cutoff, invoice_id))) AS closed
    FROM $db.closed_periods FINAL
    WHERE {within()}
    GROUP BY account_id, sandbox
"""  # noqa: S608 - put together from our own text; values are parameters

BILLED_LINES: Final = f"""
    SELECT l.*,
        arrayFirst(p -> p.1 <= terminal_at AND terminal_at < p.2, closed) AS own,
        own.4 != '' AND l.position > own.3 AS late,
        arrayFirst(p -> p.3 >= l.position, closed) AS later,
        if(late, later.4, own.4) AS billed_in,
        if(late, later.1, own.1) AS billed_start,
        if(late, later.2, own.2) AS billed_end,
        multiIf(
            NOT late, terminal_at,
            later.4 = '', recorded_at,
            greatest(later.1, least(recorded_at, later.2 - toIntervalMicrosecond(1)))
        ) AS billed_at
    FROM $db.request_lines AS l FINAL
    LEFT JOIN ({_PERIODS}) AS periods
        ON l.account_id = periods.account_id AND l.sandbox = periods.sandbox
    WHERE {within("l.")}
"""  # noqa: S608 - put together from our own text; values are parameters
"""request_lines with `billed_at`, `billed_in` (invoice id or ''), `billed_start`, `billed_end`."""


ENDED_WITHIN: Final = """
    AND toUnixTimestamp64Micro(l.terminal_at) >= {start:Int64}
    AND toUnixTimestamp64Micro(l.terminal_at) < {end:Int64}
"""

_ALL: Final = "$db.request_lines AS l FINAL"
_OF_EVENTS: Final = """(
        SELECT * FROM $db.request_lines WHERE event_id IN {events:Array(UUID)}
        ORDER BY first_wins DESC LIMIT 1 BY account_id, event_id, sign
    ) AS l"""
BILLED_EVENTS: Final = BILLED_LINES.replace(_ALL, _OF_EVENTS)
"""The same of a few events only. FINAL would merge all rows; this collapses theirs as it does."""
