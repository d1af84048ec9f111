"""A log in Postgres read without trusting it: the twin of `sqlite_file`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

from domain.errors import UnsafeSetup
from domain.eventlog.port import CorruptLog
from domain.eventlog.postgres_rows import (
    SELECT_BEHIND,
    SELECT_BROKEN_STREAMS,
    SELECT_KEPT,
    SELECT_RAW,
    SELECT_STRAYS,
    frontier_of,
)
from domain.eventlog.spans import Span, spans_of
from domain.eventlog.verify import RawLine, RawStore
from domain.postgres import Connection, DatabaseError, connect
from domain.seal import Frontier

_PAGE: Final = 5_000


@contextmanager
def open_postgres_raw(dsn: str) -> Iterator[PostgresRawLog]:
    """One unchanging view of the database; it may be in use. Raises UnsafeSetup."""
    try:
        connection = connect(dsn, purpose="verify", settings={"statement_timeout": "0"})
        try:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            if connection.execute("SELECT to_regclass('stores')").fetchone() == (None,):
                raise UnsafeSetup("there is no event log in the database")
            yield PostgresRawLog(connection)
        finally:
            connection.close()
    except DatabaseError as error:
        raise UnsafeSetup(f"the event log cannot be read: {error}") from error


class PostgresRawLog:
    """The stores in one database."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def stores(self) -> Sequence[RawStore]:
        kept = self._connection.execute(SELECT_KEPT).fetchall()
        spans = spans_of([(row[0], row[1]) for row in kept])
        return [
            _RawStore(self._connection, span, kept=(row[2], row[3]))
            for span, row in zip(spans, kept, strict=True)
        ]

    def strays(self, limit: int) -> Sequence[str]:
        events = self._connection.execute(SELECT_STRAYS, (limit,)).fetchall()
        lines = self._connection.execute(SELECT_BEHIND, (limit,)).fetchall()
        return [
            *(f"the event at place {row[0]} has no line in the log" for row in events),
            *(f"the line at place {row[0]} lies behind the end of its store" for row in lines),
        ]

    def broken_streams(self, limit: int) -> Sequence[str]:
        rows = self._connection.execute(SELECT_BROKEN_STREAMS, (limit,))
        return [
            f"stream {stream.hex} holds {held} events, but versions {first} to {last}"
            for stream, held, first, last in rows
        ]

    def open_requests(self) -> Iterable[str]:
        for row in self._connection.execute("SELECT originator_id FROM open_requests"):
            yield row[0].hex


class _RawStore:
    def __init__(self, connection: Connection, span: Span, *, kept: tuple[int, bytes]) -> None:
        self._connection = connection
        self._span = span
        self._kept = kept

    @property
    def store_id(self) -> str:
        return self._span.store_id

    def kept(self) -> Frontier | None:
        try:
            return frontier_of(*self._kept)
        except CorruptLog:
            return None

    def lines(self) -> Iterable[RawLine]:
        base = self._span.base
        with self._connection.cursor("lines", binary=True) as cursor:
            cursor.itersize = _PAGE
            cursor.execute(SELECT_RAW, (base, self._span.end))
            for row in cursor:
                position, digest, stream, version, line, first, topic, filed, filed_version = row
                yield RawLine(
                    position - base,
                    digest,
                    _hex(stream),
                    version,
                    line,
                    (first, topic, _hex(filed), filed_version),
                )


def _hex(value: Any) -> object:
    return value.hex if isinstance(value, UUID) else value
