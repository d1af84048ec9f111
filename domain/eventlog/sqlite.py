"""The event log in one SQLite file, through the recorder of the eventsourcing library.

The library's table `stored_events` holds id, version, topic and state; the state is the line of
EVENTS.md. Beside it, in the same transaction, our table `lines` gives each event its place and
hash: the rowids of SQLite are reused once a tail is deleted, and prove nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any, Final
from uuid import UUID

from eventsourcing.persistence import IntegrityError as RecorderIntegrityError
from eventsourcing.persistence import InterfaceError, PersistenceError, StoredEvent
from eventsourcing.sqlite import (
    SQLiteApplicationRecorder,
    SQLiteConnection,
    SQLiteConnectionPool,
    SQLiteCursor,
    SQLiteDatastore,
)

from domain import sqlite
from domain.clock import Clock
from domain.errors import UnsafeSetup
from domain.eventlog.lines import Key, OwnedTail, StoreFailure, Taken
from domain.eventlog.log import StoredLog
from domain.eventlog.port import LogReader, Recorded
from domain.eventlog.rows import check_dense, frontier_of, frontier_text, recorded
from domain.eventlog.spans import EarlierStore, Span, spans_of
from domain.eventlog.sqlite_rows import (
    FORMAT,
    SELECT_AT,
    SELECT_LAST,
    SELECT_PAGE,
    SELECT_STREAM,
    TABLES,
    streams_query,
    writes,
)
from domain.events.base import JsonObject
from domain.seal import Frontier

_READERS_MAX: Final = 32
_HASHES_PAGE: Final = 10_000


def open_sqlite_log(path: Path, *, store_id: str | None = None, clock: Clock) -> SQLiteLog:
    """Own a store file, made if it is not there; a new one gets `store_id` or a fresh name.

    Raises UnsafeSetup when another writer owns the file, when it is the store of another id or
    cannot be opened, CorruptLog when the end of the log cannot be continued.
    """
    owner = _owner(path)
    try:
        path.touch(mode=0o600)
        store = SQLiteStore(path)
        try:
            store.begin_first(store_id)
            if store_id not in {None, store.store_id}:
                raise UnsafeSetup(f"the file is the store {store.store_id}, not {store_id}")
            return SQLiteLog(store, clock=clock, owner=owner)
        except BaseException:
            store.close()
            raise
    except StoreFailure as error:
        owner.release()
        raise UnsafeSetup(f"the event log {path} cannot be opened: {error}") from error
    except BaseException:
        owner.release()
        raise


def begin_new_store(path: Path, *, store_id: str | None = None) -> str:
    """Let a restored file continue under a new store id, which is returned (decision 0006).

    The file that was copied may have gone on: no seq of its store is given out twice.
    """
    if not path.exists():
        raise UnsafeSetup(f"there is no event log {path}")
    owner = _owner(path)
    try:
        store = SQLiteStore(path)
        try:
            return store.begin_next(store_id)
        finally:
            store.close()
    except StoreFailure as error:
        raise UnsafeSetup(f"the event log {path} cannot be continued: {error}") from error
    finally:
        owner.release()


class SQLiteLog(StoredLog):
    """The event log of one SQLite file, and the ownership of the file."""

    def __init__(self, store: SQLiteStore, *, clock: Clock, owner: sqlite.Ownership) -> None:
        super().__init__(store, store_id=store.store_id, clock=clock)
        self._owner = owner

    def close(self) -> None:
        super().close()
        self._owner.release()


class SQLiteStore(OwnedTail):
    """The lines of one SQLite file; the last store in it is the one that is written."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._datastore = _Datastore(path)
        self._recorder = _LineRecorder(self._datastore)
        self._stores: list[Span] = []
        self._bases: dict[str, int] = {}
        try:
            with _failures():
                self._recorder.create_table()
            self._look_up_stores()
        except BaseException:
            self._datastore.close()
            raise

    @property
    def store_id(self) -> str:
        """The store that is written."""
        return self._stores[-1].store_id

    def begin_first(self, store_id: str | None) -> None:
        """Name the store of a new file; an old one has its name for ever."""
        if not self._stores:
            self._begin(store_id, base=0)

    def begin_next(self, store_id: str | None) -> str:
        """Everything there is becomes the past; a new store begins behind it."""
        if not self._stores:
            raise UnsafeSetup("the file holds no store that could be continued")
        span = self._stores[-1]
        self._begin(store_id, base=span.base + self.stored_head())
        return self.store_id

    def write(self, rows: Sequence[Recorded], *, sealed: Frontier | None) -> None:
        try:
            self._recorder.insert_lines(rows, sealed=sealed, span=self._stores[-1])
        except RecorderIntegrityError as error:
            raise Taken from error
        except PersistenceError as error:
            raise StoreFailure(str(error)) from error

    def stored_head(self) -> int:
        return self._head(self._stores[-1])

    def at(self, seq: int) -> Recorded | None:
        rows = self._select(SELECT_AT, self._stores[-1].base + seq)
        return recorded(rows[0], self._bases) if rows else None

    def last(self) -> Recorded | None:
        rows = self._select(SELECT_LAST)
        return recorded(rows[0], self._bases) if rows else None

    def taken(self, keys: Collection[Key]) -> Collection[Key]:
        statement = "SELECT 1 FROM stored_events WHERE originator_id = ? AND originator_version = ?"
        return [key for key in keys if self._select(statement, key[0].hex, key[1])]

    def stream(self, originator_id: UUID) -> Sequence[Recorded]:
        rows = self._select(SELECT_STREAM, originator_id.hex)
        return [recorded(row, self._bases) for row in rows]

    def read(
        self, *, after: int, limit: int, streams: Collection[str] | None
    ) -> Sequence[Recorded]:
        return self.read_span(self._stores[-1], after=after, limit=limit, streams=streams)

    def read_span(
        self, span: Span, *, after: int, limit: int, streams: Collection[str] | None
    ) -> Sequence[Recorded]:
        """`read` of any store in the file."""
        start = span.base + after
        if streams is None:
            rows = self._select(SELECT_PAGE, start, span.end, limit)
            check_dense(rows, after=after, base=span.base)
        else:
            rows = self._select(streams_query(streams), start, span.end, *streams, limit)
        return [recorded(row, self._bases) for row in rows]

    def open_requests(self) -> Sequence[UUID]:
        return [UUID(row[0]) for row in self._select("SELECT originator_id FROM open_requests")]

    def earlier(self) -> Sequence[LogReader]:
        return [EarlierStore(self, span) for span in self._stores[:-1]]

    def continues(self) -> JsonObject | None:
        if len(self._stores) < 2:
            return None
        before = self._stores[-2]
        frontier = Frontier()
        for _, leaf in self._hashes(before, after=0):
            frontier.add(leaf)
        return {
            "store_id": before.store_id,
            "size": frontier.size,
            "root": frontier.root().hex(),
        }

    def sealed(self) -> Frontier:
        rows = self._select("SELECT frontier FROM stores WHERE store_id = ?", self.store_id)
        return frontier_of(rows[0]["frontier"])

    def hashes(self, *, after: int) -> Iterable[tuple[int, bytes]]:
        return self._hashes(self._stores[-1], after=after)

    def close(self) -> None:
        self._datastore.close()

    def _head(self, span: Span) -> int:
        rows = self._select("SELECT max(position) AS last FROM lines WHERE position <= ?", span.end)
        return max(0, (rows[0]["last"] or 0) - span.base)

    def _hashes(self, span: Span, *, after: int) -> Iterator[tuple[int, bytes]]:
        position = span.base + after
        while page := self._select(
            "SELECT position, hash FROM lines WHERE position > ? AND position <= ?"
            " ORDER BY position LIMIT ?",
            position,
            span.end,
            _HASHES_PAGE,
        ):
            for row in page:
                yield row["position"] - span.base, row["hash"]
            position = page[-1]["position"]

    def _begin(self, store_id: str | None, *, base: int) -> None:
        named = store_id or f"st_{token_hex(6)}"
        if named in self._bases:
            raise UnsafeSetup(f"the store {named} is in the file already")
        with _failures(), self._datastore.transaction(commit=True) as cursor:
            cursor.execute("INSERT INTO stores (store_id, base) VALUES (?, ?)", (named, base))
            cursor.execute(f"PRAGMA user_version = {FORMAT}")
        self._look_up_stores()

    def _look_up_stores(self) -> None:
        if self._select("PRAGMA user_version")[0][0] > FORMAT:
            raise UnsafeSetup("the event log was written by a newer program")
        rows = self._select("SELECT store_id, base FROM stores ORDER BY number")
        self._stores = spans_of([(row["store_id"], row["base"]) for row in rows])
        self._bases = {span.store_id: span.base for span in self._stores}

    def _select(self, statement: str, *values: Any) -> list[Any]:
        with _failures(), self._datastore.transaction(commit=False) as cursor:
            cursor.execute(statement, values)
            rows: list[Any] = cursor.fetchall()
            return rows


class _LineRecorder(SQLiteApplicationRecorder):
    """The library's recorder, with our tables written in the same transaction."""

    def construct_create_table_statements(self) -> list[str]:
        return [*super().construct_create_table_statements(), *TABLES]

    def insert_lines(
        self, rows: Sequence[Recorded], *, sealed: Frontier | None, span: Span
    ) -> None:
        """Store a batch through the library's own transaction."""
        self.insert_events((), rows=rows, sealed=sealed, span=span)

    def _insert_events(
        self,
        c: SQLiteCursor,
        stored_events: Sequence[StoredEvent],
        **parts: Any,
    ) -> None:
        rows, span, sealed = parts["rows"], parts["span"], parts["sealed"]
        for statement, values in writes(rows, base=span.base):
            c.execute(statement, values)
        if sealed is not None:
            kept = (frontier_text(sealed), span.store_id)
            c.execute("UPDATE stores SET frontier = ? WHERE store_id = ?", kept)


class _Datastore(SQLiteDatastore):
    """The library's datastore over connections that we open; what is written goes over one of them,
    since taking it from the pool and giving it back costs as much as the statements do."""

    def __init__(self, path: Path) -> None:
        self._writing: SQLiteConnection | None = None
        super().__init__(str(path))
        self.pool.close()
        self.pool = _Pool(path)

    @contextmanager
    def get_connection(self, *, commit: bool) -> Iterator[SQLiteConnection]:
        if commit:
            if self._writing is None:
                self._writing = self.pool._create_connection()
            yield self._writing
        else:
            with super().get_connection(commit=False) as connection:
                yield connection

    def close(self) -> None:
        if self._writing is not None:
            self._writing.close()
            self._writing = None
        super().close()


class _Pool(SQLiteConnectionPool):
    def __init__(self, path: Path) -> None:
        super().__init__(
            db_name=str(path),
            pool_size=8,
            max_overflow=_READERS_MAX - 8,
            pool_timeout=30,
            max_age=None,
            pre_ping=False,
        )
        self._path = path

    def _create_connection(self) -> SQLiteConnection:
        try:
            connection = sqlite.connect(self._path)
            # Each event touches a page of the library's index at random; moving 16 MB at a time
            # into the file, not 4, lets more of them share a page.
            connection.execute("PRAGMA wal_autocheckpoint=4000")
            return SQLiteConnection(connection, max_age=None)
        except sqlite.DatabaseError as error:
            raise InterfaceError(error) from error


def _owner(path: Path) -> sqlite.Ownership:
    return sqlite.Ownership(path.with_name(path.name + ".lock"), what=f"the event log {path}")


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except PersistenceError as error:
        raise StoreFailure(str(error)) from error
