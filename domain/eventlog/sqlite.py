"""The event log in one SQLite file, through the recorder of the eventsourcing library.

The library's table `stored_events` holds id, version, topic and state; the state is the line of
EVENTS.md. Beside it, in the same transaction, our table `lines` gives each event its seq and
hash: the rowids of SQLite are reused once a tail is deleted, and prove nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any, Final
from uuid import UUID

import orjson
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
from domain.eventlog.commit import StoreFailure, Taken
from domain.eventlog.log import StoredLog
from domain.eventlog.port import CorruptLog, Recorded
from domain.events.codec import UnreadableEvent, read_line
from domain.events.requests import ROUTED_VERSION, TERMINAL_VERSION
from domain.seal import Frontier, leaf_hash

FORMAT: Final = "1"
REQUEST: Final = "request"

_LINES: Final = """
    CREATE TABLE IF NOT EXISTS lines (
        seq INTEGER PRIMARY KEY,
        hash BLOB NOT NULL,
        stream TEXT NOT NULL,
        originator_id TEXT NOT NULL,
        originator_version INTEGER NOT NULL
    )"""
# Accounts and credentials are few among millions of request events: reading them must not touch
# the requests.
_LINES_BUT_REQUESTS: Final = """
    CREATE INDEX IF NOT EXISTS lines_but_requests ON lines (seq, stream)
    WHERE stream <> 'request'"""
_OPEN_REQUESTS: Final = """
    CREATE TABLE IF NOT EXISTS open_requests (originator_id TEXT PRIMARY KEY) WITHOUT ROWID"""
_STORE_FACTS: Final = """
    CREATE TABLE IF NOT EXISTS store_facts (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) WITHOUT ROWID"""
_COLUMNS: Final = "SELECT l.seq, l.hash, l.originator_id, l.originator_version, e.state FROM "
_JOINED: Final = "lines l LEFT JOIN stored_events e ON e.rowid = l.seq "


def open_sqlite_log(path: Path, *, store_id: str | None = None, clock: Clock) -> SQLiteLog:
    """Own a store file, made if it is not there; a new one gets `store_id` or a fresh name.

    Raises UnsafeSetup when another writer owns the file or when it is the store of another id.
    """
    owner = sqlite.Ownership(path.with_name(path.name + ".lock"), what=f"the event log {path}")
    try:
        store = SQLiteStore(path)
        try:
            named = store.name(store_id)
            return SQLiteLog(store, store_id=named, clock=clock, owner=owner)
        except BaseException:
            store.close()
            raise
    except BaseException:
        owner.release()
        raise


class SQLiteLog(StoredLog):
    """The event log of one SQLite file, and the ownership of the file."""

    def __init__(
        self, store: SQLiteStore, *, store_id: str, clock: Clock, owner: sqlite.Ownership
    ) -> None:
        super().__init__(store, store_id=store_id, clock=clock)
        self._owner = owner

    def close(self) -> None:
        super().close()
        self._owner.release()


class SQLiteStore:
    """Lines in a SQLite file."""

    def __init__(self, path: Path) -> None:
        self._datastore = _Datastore(path)
        self._recorder = _LineRecorder(self._datastore)
        with _failures():
            self._recorder.create_table()

    def name(self, wanted: str | None) -> str:
        """The store's id, given on first use and never changed."""
        known = self._fact("store_id")
        if known is None:
            known = wanted or f"st_{token_hex(6)}"
            with _failures(), self._datastore.transaction(commit=True) as cursor:
                cursor.execute(
                    "INSERT INTO store_facts VALUES ('format', ?), ('store_id', ?)",
                    (FORMAT, known),
                )
        elif wanted is not None and wanted != known:
            raise UnsafeSetup(f"the file is the store {known}, not {wanted}")
        if self._fact("format") != FORMAT:
            raise UnsafeSetup("the event log was written by a newer program")
        return known

    def write(self, rows: Sequence[Recorded], *, sealed: Frontier | None) -> None:
        try:
            self._recorder.insert_lines(rows, sealed)
        except RecorderIntegrityError as error:
            raise Taken from error
        except PersistenceError as error:
            raise StoreFailure(str(error)) from error

    def head(self) -> int:
        rows = self._select("SELECT max(seq) AS head FROM lines")
        return rows[0]["head"] or 0

    def at(self, seq: int) -> Recorded | None:
        rows = self._select(_COLUMNS + _JOINED + "WHERE l.seq = ?", seq)
        return _recorded(rows[0]) if rows else None

    def has(self, originator_id: UUID, originator_version: int) -> bool:
        return bool(
            self._select(
                "SELECT 1 FROM stored_events WHERE originator_id = ? AND originator_version = ?",
                originator_id.hex,
                originator_version,
            )
        )

    def stream(self, originator_id: UUID) -> Sequence[Recorded]:
        rows = self._select(
            _COLUMNS + "stored_events e LEFT JOIN lines l ON l.seq = e.rowid"
            " WHERE e.originator_id = ? ORDER BY e.originator_version",
            originator_id.hex,
        )
        return [_recorded(row) for row in rows]

    def read(
        self, *, after: int, limit: int, streams: Collection[str] | None
    ) -> Sequence[Recorded]:
        if streams is None:
            found = self._select(
                _COLUMNS + _JOINED + "WHERE l.seq > ? ORDER BY l.seq LIMIT ?", after, limit
            )
            _check_dense(found, after)
        else:
            found = self._select(streams_query(streams), after, *streams, limit)
        return [_recorded(row) for row in found]

    def open_requests(self) -> Sequence[UUID]:
        return [UUID(row[0]) for row in self._select("SELECT originator_id FROM open_requests")]

    def sealed(self) -> Frontier:
        kept = self._fact("frontier")
        if kept is None:
            return Frontier()
        fields = orjson.loads(kept)
        return Frontier(size=fields["size"], subtrees=map(bytes.fromhex, fields["subtrees"]))

    def hashes(self, *, after: int) -> Iterable[tuple[int, bytes]]:
        while page := self._select(
            "SELECT seq, hash FROM lines WHERE seq > ? ORDER BY seq LIMIT 10000", after
        ):
            for row in page:
                yield row["seq"], row["hash"]
            after = page[-1]["seq"]

    def close(self) -> None:
        self._datastore.close()

    def _fact(self, name: str) -> str | None:
        rows = self._select("SELECT value FROM store_facts WHERE name = ?", name)
        return rows[0]["value"] if rows else None

    def _select(self, statement: str, *values: Any) -> list[Any]:
        with _failures(), self._datastore.transaction(commit=False) as cursor:
            cursor.execute(statement, values)
            rows: list[Any] = cursor.fetchall()
            return rows


def streams_query(streams: Collection[str]) -> str:
    """Lines of some streams after a seq, by seq; without requests it reads only the index."""
    table = _JOINED
    where = f"WHERE l.seq > ? AND l.stream IN ({','.join('?' * len(streams))})"
    if REQUEST not in streams:
        table = _JOINED.replace("lines l", "lines l INDEXED BY lines_but_requests")
        where += " AND l.stream <> 'request'"
    return f"{_COLUMNS}{table}{where} ORDER BY l.seq LIMIT ?"


class _LineRecorder(SQLiteApplicationRecorder):
    """The library's recorder, with our tables written in the same transaction."""

    def construct_create_table_statements(self) -> list[str]:
        return [
            *super().construct_create_table_statements(),
            _LINES,
            _LINES_BUT_REQUESTS,
            _OPEN_REQUESTS,
            _STORE_FACTS,
        ]

    def insert_lines(self, rows: Sequence[Recorded], sealed: Frontier | None) -> None:
        stored = [
            StoredEvent(row.originator_id, row.originator_version, row.topic, row.line)
            for row in rows
        ]
        self.insert_events(stored, rows=rows, sealed=sealed)

    def _insert_events(
        self,
        c: SQLiteCursor,
        stored_events: Sequence[StoredEvent],
        *,
        rows: Sequence[Recorded] = (),
        sealed: Frontier | None = None,
        **_: Any,
    ) -> None:
        ids = [row.originator_id.hex for row in rows]
        c.executemany(
            "INSERT INTO stored_events (rowid, originator_id, originator_version, topic, state)"
            " VALUES (?,?,?,?,?)",
            [
                (row.seq, hex_id, row.originator_version, row.topic, row.line)
                for row, hex_id in zip(rows, ids, strict=True)
            ],
        )
        c.executemany(
            "INSERT INTO lines VALUES (?,?,?,?,?)",
            [
                (
                    row.seq,
                    bytes.fromhex(row.hash),
                    row.topic.partition(".")[0],
                    hex_id,
                    row.originator_version,
                )
                for row, hex_id in zip(rows, ids, strict=True)
            ],
        )
        _keep_open_requests(c, rows, ids)
        if sealed is not None:
            _keep_frontier(c, sealed)


class _Datastore(SQLiteDatastore):
    """The library's pool, its connections opened by us."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), pool_size=8, max_overflow=24, pool_timeout=30)
        self.pool.close()
        self.pool = _Pool(path)


class _Pool(SQLiteConnectionPool):
    def __init__(self, path: Path) -> None:
        super().__init__(db_name=str(path), pool_size=8, max_overflow=24, pool_timeout=30)
        self._path = path

    def _create_connection(self) -> SQLiteConnection:
        try:
            return SQLiteConnection(sqlite.connect(self._path), max_age=None)
        except sqlite.DatabaseError as error:
            raise InterfaceError(error) from error


def _keep_open_requests(c: SQLiteCursor, rows: Sequence[Recorded], ids: Sequence[str]) -> None:
    """Requests that are routed and not settled. A request may open and end in one batch."""
    opened, ended = [], []
    for row, hex_id in zip(rows, ids, strict=True):
        if row.topic.startswith("request."):
            if row.originator_version == ROUTED_VERSION:
                opened.append((hex_id,))
            elif row.originator_version == TERMINAL_VERSION:
                ended.append((hex_id,))
    if opened:
        c.executemany("INSERT INTO open_requests VALUES (?)", opened)
    if ended:
        c.executemany("DELETE FROM open_requests WHERE originator_id = ?", ended)


def _keep_frontier(c: SQLiteCursor, sealed: Frontier) -> None:
    kept = orjson.dumps({"size": sealed.size, "subtrees": [node.hex() for node in sealed.subtrees]})
    c.execute("INSERT OR REPLACE INTO store_facts VALUES ('frontier', ?)", (kept.decode(),))


def _recorded(row: Any) -> Recorded:
    """A row as the line it holds; raises CorruptLog unless every column agrees with the line."""
    seq, line = row["seq"], row["state"]
    if seq is None or line is None:
        raise CorruptLog(f"the event of seq {seq} is missing" if seq else "a line has no seq")
    if type(line) is not bytes or leaf_hash(line) != row["hash"]:
        raise CorruptLog(f"the bytes of seq {seq} are not those that were hashed")
    try:
        fields = read_line(line)
    except UnreadableEvent as error:
        raise CorruptLog(f"seq {seq}: {error}") from error
    originator_id = UUID(fields["originator_id"])
    version = fields["originator_version"]
    if (seq, row["originator_id"], row["originator_version"]) != (
        fields["seq"],
        originator_id.hex,
        version,
    ):
        raise CorruptLog(f"seq {seq} is not where its line says that it is")
    return Recorded(
        fields["store_id"],
        seq,
        row["hash"].hex(),
        line,
        originator_id,
        version,
        fields["topic"],
        fields["account_id"],
        fields["recorded_at"],
    )


def _check_dense(rows: Sequence[Any], after: int) -> None:
    for expected, row in enumerate(rows, start=after + 1):
        if row["seq"] != expected:
            raise CorruptLog(f"seq {expected} is missing")


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except PersistenceError as error:
        raise StoreFailure(str(error)) from error
