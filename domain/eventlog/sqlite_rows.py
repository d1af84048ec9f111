"""The tables beside the library's `stored_events` in an SQLite file, and the statements over them.

`position` is the rowid in `stored_events`. Versions, streams and open requests span the file, so
nothing is ever stored twice across a restore.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Final

from domain.eventlog.port import Recorded
from domain.eventlog.rows import opened_and_ended

FORMAT: Final = 1
"""The `user_version` of the file."""

TABLES: Final = (
    """
    CREATE TABLE IF NOT EXISTS lines (
        position INTEGER PRIMARY KEY,
        hash BLOB NOT NULL,
        stream TEXT NOT NULL,
        originator_id TEXT NOT NULL,
        originator_version INTEGER NOT NULL
    )""",
    # Accounts and credentials are few among millions of request events: reading them must not
    # touch the requests.
    """
    CREATE INDEX IF NOT EXISTS lines_but_requests ON lines (position, stream)
    WHERE stream <> 'request'""",
    """
    CREATE TABLE IF NOT EXISTS open_requests (originator_id TEXT PRIMARY KEY) WITHOUT ROWID""",
    """
    CREATE TABLE IF NOT EXISTS stores (
        number INTEGER PRIMARY KEY,
        store_id TEXT NOT NULL UNIQUE,
        base INTEGER NOT NULL,
        frontier TEXT
    )""",
)

_INSERT_EVENTS: Final = (
    "INSERT INTO stored_events (rowid, originator_id, originator_version, topic, state) VALUES"
)
_INSERT_LINES: Final = "INSERT INTO lines VALUES"
_INSERT_OPEN: Final = "INSERT INTO open_requests VALUES"
_DELETE_OPEN: Final = "DELETE FROM open_requests WHERE originator_id IN (VALUES"

_ROWS_AT_ONCE: Final = (64, 32, 16, 8, 4, 2, 1)
"""Few sizes, so that SQLite's cache keeps every statement ready."""

_COLUMNS: Final = "SELECT l.position, l.hash, l.originator_id, l.originator_version, e.state FROM "
_LINES: Final = "lines l LEFT JOIN stored_events e ON e.rowid = l.position "
_ALL: Final = "WHERE l.position > ? AND l.position <= ? "

SELECT_AT: Final = _COLUMNS + _LINES + "WHERE l.position = ?"
SELECT_LAST: Final = _COLUMNS + _LINES + "ORDER BY l.position DESC LIMIT 1"
SELECT_PAGE: Final = _COLUMNS + _LINES + _ALL + "ORDER BY l.position LIMIT ?"
SELECT_STREAM: Final = (
    _COLUMNS + "stored_events e LEFT JOIN lines l ON l.position = e.rowid"
    " WHERE e.originator_id = ? ORDER BY e.originator_version"
)
SELECT_RAW: Final = (
    _COLUMNS.replace(
        " FROM ", ", l.stream, e.topic, e.originator_id, e.originator_version AS version FROM "
    )
    + _LINES
    + _ALL
    + "ORDER BY l.position"
)
SELECT_STRAYS: Final = (
    "SELECT e.rowid AS position FROM stored_events e LEFT JOIN lines l ON l.position = e.rowid"
    " WHERE l.position IS NULL ORDER BY e.rowid LIMIT ?"
)
SELECT_BROKEN_STREAMS: Final = (
    "SELECT originator_id, count(*) AS held, min(originator_version) AS first,"
    " max(originator_version) AS last FROM stored_events GROUP BY originator_id"
    " HAVING first <> 1 OR last <> held LIMIT ?"
)


def streams_query(streams: Collection[str]) -> str:
    """A page of some streams, by position; unless requests are wanted it reads only the index."""
    lines, wanted = _LINES, f"AND l.stream IN ({','.join('?' * len(streams))}) "
    if "request" not in streams:
        lines = _LINES.replace("lines l", "lines l INDEXED BY lines_but_requests")
        wanted += "AND l.stream <> 'request' "
    return f"{_COLUMNS}{lines}{_ALL}{wanted}ORDER BY l.position LIMIT ?"


def writes(rows: Sequence[Recorded], *, base: int) -> Iterator[tuple[str, Sequence[object]]]:
    """The statements that store a batch, each for many rows.

    The driver lets go of Python's global lock at every step, and has to queue for it again behind
    a busy event loop; `executemany` would take a step for each row.
    """
    events, lines = _values_to_insert(rows, base=base)
    opened, ended = ([(stream,) for stream in streams] for streams in opened_and_ended(rows))
    yield from _statements(_INSERT_EVENTS, events)
    yield from _statements(_INSERT_LINES, lines)
    yield from _statements(_INSERT_OPEN, opened)
    yield from _statements(_DELETE_OPEN, ended, end=")")


def _statements(
    beginning: str, rows: Sequence[tuple[object, ...]], *, end: str = ""
) -> Iterator[tuple[str, list[object]]]:
    at = 0
    for size in _ROWS_AT_ONCE:
        while len(rows) - at >= size:
            part = rows[at : at + size]
            yield _statement(beginning, len(part[0]), size, end), list(chain.from_iterable(part))
            at += size


@cache
def _statement(beginning: str, columns: int, rows: int, end: str) -> str:
    marks = f" ({','.join('?' * columns)})"
    return beginning + ",".join([marks] * rows) + end


def _values_to_insert(
    rows: Sequence[Recorded], *, base: int
) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """The values for _INSERT_EVENTS and for _INSERT_LINES."""
    events: list[tuple[object, ...]] = []
    lines: list[tuple[object, ...]] = []
    for row in rows:
        position, hex_id = base + row.seq, row.originator_id.hex
        version, topic = row.originator_version, row.topic
        events.append((position, hex_id, version, topic, row.line))
        stream = topic.partition(".")[0]
        lines.append((position, bytes.fromhex(row.hash), stream, hex_id, version))
    return events, lines
