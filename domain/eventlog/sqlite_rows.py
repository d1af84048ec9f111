"""The tables beside the library's `stored_events`, and how their rows become events again.

A file can hold several stores: restoring a backup begins a new one behind the old, whose lines
stay as they are. `position` counts through the whole file and is the rowid in `stored_events`;
the seq of a line is its position minus the `base` of its store. Versions, streams and open
requests span the file, so nothing is ever stored twice across a restore.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any, Final
from uuid import UUID

import orjson

from domain.eventlog.port import CorruptLog, Recorded
from domain.events.codec import UnreadableEvent, read_line
from domain.events.requests import ROUTED_VERSION, TERMINAL_VERSION
from domain.seal import Frontier, leaf_hash

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


def recorded(row: Any, bases: Mapping[str, int]) -> Recorded:
    """A row as the line it holds; raises CorruptLog unless every column agrees with the line."""
    position, line = row["position"], row["state"]
    if position is None:
        raise CorruptLog("an event has no line in the log")
    if line is None:
        raise CorruptLog(f"the event of seq {_seq(position, bases)} is missing")
    if type(line) is not bytes or leaf_hash(line) != row["hash"]:
        raise CorruptLog(f"the bytes of seq {_seq(position, bases)} are not those that were hashed")
    try:
        fields = read_line(line)
    except UnreadableEvent as error:
        raise CorruptLog(f"seq {_seq(position, bases)}: {error}") from error
    store_id, seq, version = fields["store_id"], fields["seq"], fields["originator_version"]
    originator_id = UUID(fields["originator_id"])
    if (position, row["originator_id"], row["originator_version"]) != (
        bases.get(store_id, -1) + seq,
        originator_id.hex,
        version,
    ):
        raise CorruptLog(f"seq {_seq(position, bases)} is not where its line says that it is")
    return Recorded(
        store_id,
        seq,
        row["hash"].hex(),
        line,
        originator_id,
        version,
        fields["topic"],
        fields["account_id"],
        fields["recorded_at"],
    )


def check_dense(rows: Sequence[Any], *, after: int, base: int) -> None:
    """Raise CorruptLog, naming the seq, unless each row follows the one before."""
    for expected, row in enumerate(rows, start=after + 1):
        if row["position"] - base != expected:
            raise CorruptLog(f"seq {expected} is missing")


def writes(rows: Sequence[Recorded], *, base: int) -> Iterator[tuple[str, Sequence[object]]]:
    """The statements that store a batch, each for many rows.

    The driver lets go of Python's global lock at every step, and has to queue for it again behind
    a busy event loop; `executemany` would take a step for each row.
    """
    events, lines = _values_to_insert(rows, base=base)
    opened, ended = _opened_and_ended(rows)
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


def _opened_and_ended(
    rows: Sequence[Recorded],
) -> tuple[list[tuple[str]], list[tuple[str]]]:
    """Requests that a batch routes and those that it settles; a request may be in both."""
    opened: list[tuple[str]] = []
    ended: list[tuple[str]] = []
    for row in rows:
        if row.topic.startswith("request."):
            if row.originator_version == ROUTED_VERSION:
                opened.append((row.originator_id.hex,))
            elif row.originator_version == TERMINAL_VERSION:
                ended.append((row.originator_id.hex,))
    return opened, ended


def frontier_text(frontier: Frontier) -> str:
    """A frontier as the `stores` table keeps it."""
    subtrees = [node.hex() for node in frontier.subtrees]
    return orjson.dumps({"size": frontier.size, "subtrees": subtrees}).decode()


def frontier_of(text: str | None) -> Frontier:
    """The inverse of `frontier_text`; nothing kept is the empty frontier."""
    if text is None:
        return Frontier()
    fields = orjson.loads(text)
    return Frontier(size=fields["size"], subtrees=map(bytes.fromhex, fields["subtrees"]))


def _seq(position: int, bases: Mapping[str, int]) -> int:
    return position - max((base for base in bases.values() if base < position), default=0)
