"""A log file read without trusting it, and copied while it is in use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from domain import sqlite
from domain.errors import DomainError, UnsafeSetup
from domain.eventlog.checkpoint import Checkpoint
from domain.eventlog.rows import frontier_of
from domain.eventlog.spans import Span, spans_of
from domain.eventlog.sqlite_rows import SELECT_BROKEN_STREAMS, SELECT_RAW, SELECT_STRAYS
from domain.eventlog.verify import RawLine, RawStore, Report, verify
from domain.seal import Frontier


def verify_file(
    path: Path,
    *,
    checkpoints: Sequence[Checkpoint] = (),
) -> Report:
    """Verify a log file as of now; it may be in use. Raises UnsafeSetup if it cannot be read."""
    with open_raw(path) as log:
        return verify(log, checkpoints=checkpoints)


def is_blank(path: Path) -> bool:
    """No event was ever stored: the file is not there, or whoever made it died right away."""
    if not path.exists():
        return True
    try:
        with closing(sqlite.connect(path, read_only=True)) as connection:
            tables = connection.execute(
                "SELECT 1 FROM sqlite_schema WHERE name = 'stored_events'"
            ).fetchone()
            if tables is None:
                return True
            return connection.execute("SELECT 1 FROM stored_events LIMIT 1").fetchone() is None
    except sqlite.DatabaseError as error:
        raise UnsafeSetup(f"the event log {path} cannot be read: {error}") from error


@contextmanager
def open_raw(path: Path) -> Iterator[SQLiteRawLog]:
    """One unchanging view of the file."""
    if not path.exists():
        raise UnsafeSetup(f"there is no event log {path}")
    try:
        connection = sqlite.connect(path, read_only=True)
        try:
            connection.execute("BEGIN")
            yield SQLiteRawLog(connection)
        finally:
            connection.close()
    except sqlite.DatabaseError as error:
        raise UnsafeSetup(f"the event log {path} cannot be read: {error}") from error


class SQLiteRawLog:
    """The stores in one file."""

    def __init__(self, connection: sqlite.Connection) -> None:
        self._connection = connection

    def stores(self) -> Sequence[RawStore]:
        rows = self._connection.execute(
            "SELECT store_id, base, frontier FROM stores ORDER BY number"
        ).fetchall()
        spans = spans_of([(row["store_id"], row["base"]) for row in rows])
        return [
            _RawStore(self._connection, span, row["frontier"])
            for span, row in zip(spans, rows, strict=True)
        ]

    def strays(self, limit: int) -> Sequence[str]:
        rows = self._connection.execute(SELECT_STRAYS, (limit,))
        return [f"the event at place {row['position']} has no line in the log" for row in rows]

    def broken_streams(self, limit: int) -> Sequence[str]:
        rows = self._connection.execute(SELECT_BROKEN_STREAMS, (limit,))
        return [
            f"stream {row['originator_id']} holds {row['held']} events,"
            f" but versions {row['first']} to {row['last']}"
            for row in rows
        ]

    def open_requests(self) -> Iterable[str]:
        for row in self._connection.execute("SELECT originator_id FROM open_requests"):
            yield row["originator_id"]


class _RawStore:
    def __init__(self, connection: sqlite.Connection, span: Span, kept: str | None) -> None:
        self._connection = connection
        self._span = span
        self._kept = kept

    @property
    def store_id(self) -> str:
        return self._span.store_id

    def kept(self) -> Frontier | None:
        try:
            return frontier_of(self._kept)
        except (DomainError, LookupError, TypeError, ValueError):
            return None

    def lines(self) -> Iterable[RawLine]:
        cursor = self._connection.execute(SELECT_RAW, (self._span.base, self._span.end))
        cursor.row_factory = None
        for position, digest, stream, version, line, *filed in cursor:
            yield RawLine(position - self._span.base, digest, stream, version, line, tuple(filed))
