"""The event log in a Postgres database that several processes share.

The table `stored_events` is that of the eventsourcing library's recorder. Each batch is one
transaction: it takes the tail of the store (a row, locked until the commit), is put together behind
it and stored with the new tail. So seq is dense and time never runs back whoever writes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from secrets import token_hex
from typing import Any, Final
from uuid import UUID

from domain.clock import Clock
from domain.errors import UnsafeSetup
from domain.eventlog.lines import Key, Stage, Staged, StoreFailure, Tail, Taken
from domain.eventlog.log import StoredLog
from domain.eventlog.port import CorruptLog, LogReader, Recorded
from domain.eventlog.postgres_recorder import RecorderPool, check_server, line_recorder
from domain.eventlog.postgres_rows import (
    BEGIN,
    END_STORE,
    FORMAT,
    INSERT,
    INSERT_STORE,
    SELECT_AT,
    SELECT_CHECK,
    SELECT_HASHES,
    SELECT_HEAD,
    SELECT_PAGE,
    SELECT_STORES,
    SELECT_STREAM,
    SELECT_TAKEN,
    array,
    frontier_of,
    streams_query,
    values_of,
)
from domain.eventlog.rows import Row, check_dense, recorded
from domain.eventlog.spans import EarlierStore, Span, spans_of
from domain.events.base import JsonObject
from domain.events.store import store_stream
from domain.postgres import (
    Connection,
    DatabaseError,
    UniqueViolation,
    changing_tables,
    connect,
    is_lost,
)
from domain.seal import Frontier

READERS_MAX: Final = 8
_HASHES_PAGE: Final = 10_000
_READING: Final[Mapping[str, str]] = {"statement_timeout": "20000"}
_WRITING: Final[Mapping[str, str]] = {
    "statement_timeout": "20000",
    # A writer that was stopped while it held the tail loses it, before those that wait give up.
    "idle_in_transaction_session_timeout": "5000",
    "lock_timeout": "12000",
}
ANSWER_S: Final = 30
"""A read or a batch is given up when the server says nothing for so long."""


def open_postgres_log(dsn: str, *, store_id: str | None = None, clock: Clock) -> StoredLog:
    """Join the writers of a database, whose tables are made if they are not there.

    A new database gets `store_id` or a fresh name. Raises UnsafeSetup when the database cannot be
    used or is the store of another id, CorruptLog when the end of the log cannot be continued.
    """
    with _opening(dsn) as store:
        store.begin_first(store_id)
        if store_id not in {None, store.store_id}:
            raise UnsafeSetup(f"the database holds the store {store.store_id}, not {store_id}")
        return StoredLog(store, store_id=store.store_id, clock=clock)


def begin_new_postgres_store(dsn: str, *, store_id: str | None = None) -> str:
    """Let a restored database continue under a new store id, which is returned (decision 0006).

    Processes that still write the store before it are refused from now on.
    """
    with _opening(dsn) as store:
        try:
            return store.begin_next(store_id)
        finally:
            store.close()


class PostgresStore:
    """The lines of one database; the last store in it is the one that is written."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._pool = RecorderPool(dsn, purpose="event log", size=READERS_MAX, settings=_READING)
        self._writing: Connection | None = None
        self._recorder = line_recorder(self._pool)
        self._stores: list[Span] = []
        self._bases: dict[str, int] = {}

    def prepare(self) -> None:
        """Make the tables, unless they are there. Raises UnsafeSetup for an unfit database."""
        self._make_tables()
        self._look_up_stores()

    @property
    def store_id(self) -> str:
        """The store that is written."""
        return self._stores[-1].store_id

    def begin_first(self, store_id: str | None) -> None:
        """Name the store of a new database; an old one has its name for ever."""
        with self._changing_tables() as connection:
            if not connection.execute(SELECT_STORES).fetchone():
                name = store_id or f"st_{token_hex(6)}"
                connection.execute(INSERT_STORE, (name, 0, ""))
        self._look_up_stores()

    def begin_next(self, store_id: str | None) -> str:
        """Everything there is becomes the past; a new store begins behind it."""
        if not self._stores:
            raise UnsafeSetup("the database holds no store that could be continued")
        name = store_id or f"st_{token_hex(6)}"
        if name in self._bases:
            raise UnsafeSetup(f"the store {name} is in the database already")
        with self._changing_tables() as connection:
            before = self._stores[-1]
            row = connection.execute(END_STORE, (before.store_id,)).fetchone()
            assert row is not None  # noqa: S101 - it was looked up
            connection.execute(INSERT_STORE, (name, before.base + row[0], row[1]))
        self._look_up_stores()
        return self.store_id

    def check(self) -> None:
        own = store_stream(self.store_id).hex
        ((size, version, position, base, own_version),) = self._select(
            SELECT_CHECK, own, self.store_id
        )
        if (position or 0) != base + size or (size and self._at([size])[0] is None):
            raise CorruptLog(f"{self.store_id} does not end at seq {size}, where its tail says")
        if version != (own_version or 0):
            raise CorruptLog(f"an event of the store {self.store_id} itself is missing")

    def commit(self, stage: Stage) -> Staged:
        with self._transaction() as (connection, tail):
            staged = stage(tail)
            values = values_of(
                staged.rows, store_id=self.store_id, base=self._stores[-1].base, tail=staged.tail
            )
            with connection.pipeline():
                connection.execute(INSERT, values, prepare=True)
                connection.execute("COMMIT")
            return staged

    def holds(self, rows: Sequence[Recorded]) -> bool:
        # Behind the lock nothing is under way any more: neither a commit whose answer was lost.
        with self._transaction() as (connection, _):
            base = self._stores[-1].base
            places = array(str(base + row.seq) for row in (rows[0], rows[-1]))
            found = connection.execute(SELECT_AT, (places,), binary=True).fetchall()
            connection.execute("COMMIT")
        lines = {position - base: line for position, *_, line in found}
        return all(lines.get(row.seq) == row.line for row in (rows[0], rows[-1]))

    def taken(self, keys: Collection[Key]) -> Collection[Key]:
        streams = array(stream.hex for stream, _ in keys)
        versions = array(str(version) for _, version in keys)
        return [(row[0], row[1]) for row in self._select(SELECT_TAKEN, streams, versions)]

    def head(self) -> int:
        ((size,),) = self._select(SELECT_HEAD, self.store_id)
        return int(size)

    def stream(self, originator_id: UUID) -> Sequence[Recorded]:
        return self._recorded(self._select(SELECT_STREAM, originator_id.hex))

    def read(
        self, *, after: int, limit: int, streams: Collection[str] | None
    ) -> Sequence[Recorded]:
        return self.read_span(self._stores[-1], after=after, limit=limit, streams=streams)

    def read_span(
        self, span: Span, *, after: int, limit: int, streams: Collection[str] | None
    ) -> Sequence[Recorded]:
        """`read` of any store in the database."""
        start = span.base + after
        if streams is not None:
            wanted = (start, span.end, list(streams), limit)
            return self._recorded(self._select(streams_query(streams), *wanted))
        rows = self._select(SELECT_PAGE, start, span.end, limit)
        check_dense(rows, after=after, base=span.base)
        return self._recorded(rows)

    def open_requests(self) -> Sequence[UUID]:
        return [row[0] for row in self._select("SELECT originator_id FROM open_requests")]

    def earlier(self) -> Sequence[LogReader]:
        return [EarlierStore(self, span) for span in self._stores[:-1]]

    def continues(self) -> JsonObject | None:
        if len(self._stores) < 2:
            return None
        before = self._stores[-2]
        frontier = Frontier()
        position = before.base
        while page := self._select(SELECT_HASHES, position, before.end, _HASHES_PAGE):
            for _, leaf in page:
                frontier.add(leaf)
            position = page[-1][0]
        root = frontier.root().hex()
        return {"store_id": before.store_id, "size": frontier.size, "root": root}

    def close(self) -> None:
        self._drop()
        self._pool.close()

    def _at(self, seqs: Sequence[int]) -> list[Recorded | None]:
        base = self._stores[-1].base
        places = array(str(base + seq) for seq in seqs)
        found = {row.seq: row for row in self._recorded(self._select(SELECT_AT, places))}
        return [found.get(seq) for seq in seqs]

    def _recorded(self, rows: Sequence[Any]) -> list[Recorded]:
        return [recorded(_with_hex(row), self._bases) for row in rows]

    def _select(self, query: str, *values: object) -> list[Any]:
        """Read; once more over a new connection if the one it had has broken."""
        try:
            return self._selected(query, values)
        except DatabaseError as error:
            if not is_lost(error):
                raise StoreFailure(str(error)) from error
        self._pool.renew()
        try:
            return self._selected(query, values)
        except DatabaseError as error:
            raise StoreFailure(str(error)) from error

    def _selected(self, query: str, values: Sequence[object]) -> list[Any]:
        with self._pool.connection() as connection:
            connection.answer_s = ANSWER_S
            return connection.execute(query, values, binary=True).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[tuple[Connection, Tail]]:
        """A transaction that holds the tail; the body commits it."""
        try:
            try:
                connection, tail = self._begin()
            except DatabaseError as error:
                if self._writing is None or not is_lost(error):
                    raise
                # It broke while nobody used it, and nothing was asked of it yet.
                self._drop()
                connection, tail = self._begin()
            yield connection, tail
        except UniqueViolation as error:
            # After ROLLBACK the driver no longer knows which statements the server has prepared.
            self._drop()
            raise Taken from error
        except DatabaseError as error:
            self._drop()
            raise StoreFailure(str(error)) from error
        except BaseException:
            self._drop()
            raise

    def _begin(self) -> tuple[Connection, Tail]:
        if self._writing is None:
            self._writing = connect(self._dsn, purpose="writer", settings=_WRITING)
        connection = self._writing
        connection.answer_s = ANSWER_S
        answers = connection.execute(BEGIN.format(len(self._stores)).encode())
        answers.nextset()
        row = answers.fetchone()
        if row is None or row[4]:
            raise StoreFailure(f"the store {self.store_id} is written no more: restart")
        return connection, Tail(frontier_of(row[0], row[1]), row[2], row[3])

    def _drop(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            with suppress(DatabaseError):
                writing.close()

    def _make_tables(self) -> None:
        with _failures(), self._pool.connection() as connection:
            check_server(connection)
            ready = connection.execute("SELECT to_regclass('log_format')").fetchone()
        if ready is None or ready[0] is None:
            with self._changing_tables() as connection:
                self._recorder.make_tables(connection)
        ((version,),) = self._select("SELECT version FROM log_format")
        if version != FORMAT:
            raise UnsafeSetup("the event log was written by a newer program")

    @contextmanager
    def _changing_tables(self) -> Iterator[Connection]:
        with _failures(), self._pool.connection() as connection, changing_tables(connection):
            yield connection

    def _look_up_stores(self) -> None:
        self._stores = spans_of(self._select(SELECT_STORES))
        self._bases = {span.store_id: span.base for span in self._stores}


@contextmanager
def _opening(dsn: str) -> Iterator[PostgresStore]:
    """The store, closed again if the block fails."""
    store: PostgresStore | None = None
    try:
        store = PostgresStore(dsn)
        store.prepare()
        yield store
    except StoreFailure as error:
        raise UnsafeSetup(f"the event log cannot be opened: {error}") from error
    except BaseException:
        if store is not None:
            store.close()
        raise


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        raise StoreFailure(str(error)) from error


def _with_hex(row: Any) -> Row:
    position, digest, stream, version, line = row
    return position, digest, stream and stream.hex, version, line
