"""Brings a whole log into an empty Postgres database, where it goes on as a new store.

One transaction: the database holds all of the log, checked line by line, or nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from secrets import token_hex
from typing import Final

from domain.errors import BadValue, UnsafeSetup
from domain.eventlog.lines import StoreFailure
from domain.eventlog.postgres import PostgresStore
from domain.eventlog.postgres_raw import PostgresRawLog
from domain.eventlog.postgres_recorder import check_server
from domain.eventlog.verify import RawLog, RawStore, Report, StoreState, verify
from domain.events.codec import read_line
from domain.events.store import store_stream
from domain.postgres import Connection, DatabaseError, connect, kind_of
from domain.seal import Frontier

_SESSION: Final = {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}
_ANSWER_S: Final = 3600
"""The checks at the end and the commit of a large log may take long."""
_EVENTS: Final = (
    "COPY stored_events (originator_id, originator_version, topic, state, notification_id)"
    " FROM STDIN"
)
_LINES: Final = "COPY lines (position, hash, stream, originator_id, originator_version) FROM STDIN"
_STORE: Final = (
    "INSERT INTO stores (number, store_id, base, size, frontier, recorded_at, version, ended)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
)


@dataclass(slots=True)
class _Tail:
    """What the row of a store keeps of its end."""

    frontier: Frontier = field(default_factory=Frontier)
    last: bytes | None = None
    version: int = 0

    @property
    def recorded_at(self) -> str:
        return "" if self.last is None else str(read_line(self.last)["recorded_at"])


def imported(dsn: str, report: Report) -> str | None:
    """The store that goes on behind this very log, if it was imported before.

    `report` tells of the log. None: the database holds no log at all. Raises BadValue when it holds
    another one, UnsafeSetup when it cannot be asked.
    """
    with _using(dsn) as connection:
        if connection.execute("SELECT to_regclass('stores')").fetchone() == (None,):
            return None
        return _behind(connection, report)


def import_log(dsn: str, source: RawLog, report: Report) -> str:
    """Copy a log and begin a new store behind it, whose id is returned (decision 0006).

    `report` is what verifying the source has found, which must be nothing. What was imported
    before is left as it is. Raises BadValue when the database holds another log, UnsafeSetup when
    it cannot be used, or when the copy is not what was copied.
    """
    with _using(dsn) as connection:
        _make_tables(dsn)
        with connection.transaction():
            check_server(connection)
            connection.execute("LOCK TABLE stores IN ACCESS EXCLUSIVE MODE")
            return _behind(connection, report) or _imported(connection, source, report)


@contextmanager
def _using(dsn: str) -> Iterator[Connection]:
    try:
        connection = connect(dsn, purpose="import", settings=_SESSION)
        connection.answer_s = _ANSWER_S
        try:
            yield connection
        finally:
            connection.close()
    except (DatabaseError, StoreFailure) as error:
        raise UnsafeSetup(f"the database cannot be used: {kind_of(error)}") from error


def _make_tables(dsn: str) -> None:
    store = PostgresStore(dsn)
    try:
        store.prepare()
    finally:
        store.close()


def _behind(connection: Connection, report: Report) -> str | None:
    held = PostgresRawLog(connection).stores()
    if not held:
        return None
    *before, last = held
    kept = [(store.store_id, store.kept()) for store in before]
    found = [(name, tree.size, tree.root().hex()) for name, tree in kept if tree is not None]
    if found != [(state.store_id, state.size, state.root) for state in report.stores]:
        raise BadValue("the database holds another log already; nothing was changed")
    return last.store_id


def _imported(connection: Connection, source: RawLog, report: Report) -> str:
    stores = source.stores()
    bases = [0, *accumulate(state.size for state in report.stores)]
    tails = _copy_events(connection, stores, bases)
    _copy_lines(connection, stores, bases)
    with connection.cursor() as cursor, cursor.copy("COPY open_requests FROM STDIN") as copy:
        for request in source.open_requests():
            copy.write_row((request,))
    for number, (store, base, tail) in enumerate(zip(stores, bases, tails, strict=False), 1):
        nodes = b"".join(tail.frontier.subtrees)
        size, recorded_at = tail.frontier.size, tail.recorded_at
        row = (number, store.store_id, base, size, nodes, recorded_at, tail.version, True)
        connection.execute(_STORE, row)
    store_id = f"st_{token_hex(6)}"
    # Time goes on from the last event, as seq would.
    row = (len(stores) + 1, store_id, bases[-1], 0, b"", tails[-1].recorded_at, 0, False)
    connection.execute(_STORE, row)
    _check(verify(PostgresRawLog(connection)), report, store_id)
    return store_id


def _copy_events(
    connection: Connection, stores: Sequence[RawStore], bases: Iterable[int]
) -> list[_Tail]:
    tails: list[_Tail] = []
    with connection.cursor() as cursor, cursor.copy(_EVENTS) as copy:
        for store, base in zip(stores, bases, strict=False):
            tail, own = _Tail(), store_stream(store.store_id).hex
            for raw in store.lines():
                assert isinstance(raw.line, bytes)  # noqa: S101 - it was verified
                assert isinstance(raw.hash, bytes)  # noqa: S101
                _, topic, stream, version = raw.filed
                copy.write_row((stream, version, topic, raw.line, base + raw.seq))
                tail.frontier.add(raw.hash)
                tail.last = raw.line
                tail.version += raw.originator_id == own
            tails.append(tail)
    return tails


def _copy_lines(connection: Connection, stores: Sequence[RawStore], bases: Iterable[int]) -> None:
    with connection.cursor() as cursor, cursor.copy(_LINES) as copy:
        for store, base in zip(stores, bases, strict=False):
            for raw in store.lines():
                first = raw.filed[0]
                copy.write_row(
                    (base + raw.seq, raw.hash, first, raw.originator_id, raw.originator_version)
                )


def _check(copied: Report, report: Report, store_id: str) -> None:
    """Raise UnsafeSetup, which undoes the import, unless the copy is what was copied."""
    if not copied.ok:
        raise UnsafeSetup(f"the copy is damaged: {copied.findings[0].message}")
    begun = StoreState(store_id, 0, Frontier().root().hex(), 0)
    if (copied.stores, copied.open_requests) != ((*report.stores, begun), report.open_requests):
        raise UnsafeSetup("the copy is not what was copied")
