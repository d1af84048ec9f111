"""ClickHouse, in this process (chDB) or as a server: the one home of both drivers.

What is odd about the engine is handled here and shown in tests/contracts/test_projection_store.py:
surplus decimal digits are cut silently (so range and scale are checked before sending); one
process per path and one path per process; a process that ends during a query crashes (so `close`
waits, and also runs at exit); a query after fork() hangs (so a child refuses).
"""

from __future__ import annotations

import atexit
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal, DecimalException
from pathlib import Path
from typing import Any, Final

from domain.errors import UnsafeSetup
from domain.money import EXACT
from projections.store.port import (
    Columns,
    OutOfRange,
    ProjectionStore,
    ProjectionUnavailable,
    Row,
    Value,
)

CLIENTS_MAX: Final = 4
CLOSE_TIMEOUT_S: Final = 30.0

SETTINGS: Final[Mapping[str, str]] = {
    # 1 is the default of 26.x: an insert would be acknowledged before it is durable.
    "async_insert": "0",
    "insert_deduplicate": "1",
    # An insert is acknowledged after its part is on the disk, so that a position is true.
    "fsync_metadata": "1",
    # 1 returns duplicates of rows that are in different partitions.
    "do_not_merge_across_partitions_select_final": "0",
    "max_threads": "2",
    "max_insert_threads": "1",
    "max_memory_usage": "1500000000",
    "max_bytes_before_external_group_by": "500000000",
    "max_bytes_before_external_sort": "500000000",
    "max_execution_time": "300",
    "session_timezone": "UTC",
}

_DATABASE: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_DECIMAL: Final = re.compile(r"(?:Nullable\()?Decimal\((\d+), (\d+)\)\)?")


def open_embedded(path: Path, *, database: str = "default") -> ProjectionStore:
    """The engine inside this process, over a folder. Raises UnsafeSetup if another process has it.

    The driver is imported here and not at the top: it costs a second and 250 MB, and must never
    be inherited by a forked process.
    """
    path.mkdir(parents=True, exist_ok=True)

    def connect() -> Any:
        import clickhouse_connect  # noqa: PLC0415

        return clickhouse_connect.get_client(
            interface="chdb", path=str(path), settings=dict(SETTINGS)
        )

    return _open(connect, database, what=str(path))


def open_server(dsn: str, *, database: str = "default") -> ProjectionStore:
    """A ClickHouse server, by its DSN."""

    def connect() -> Any:
        import clickhouse_connect  # noqa: PLC0415

        return clickhouse_connect.get_client(
            dsn=dsn, settings=dict(SETTINGS), autogenerate_session_id=False
        )

    return _open(connect, database, what="ClickHouse")


def _open(connect: Any, database: str, *, what: str) -> ProjectionStore:
    name = _checked(database)
    clients = _Clients(connect)
    try:
        with clients.borrowed():
            pass
    except ProjectionUnavailable as error:
        clients.close()
        if "EmbeddedServer" in str(error):
            # All that the engine says when another process holds the folder's lock.
            raise UnsafeSetup(f"{what} cannot be opened: does another process use it?") from error
        raise
    return _Store(clients, name)


class _Clients:
    """A bounded pool: each client is used by one thread at a time."""

    def __init__(self, connect: Any) -> None:
        self._connect = connect
        self._changed = threading.Condition()
        self._idle: list[Any] = []
        self._made = 0
        self._closed = False
        self._process = os.getpid()
        atexit.register(self.close)

    @contextmanager
    def borrowed(self) -> Iterator[Any]:
        client = self._take()
        try:
            yield client
        except (DecimalException, OutOfRange):
            raise
        except Exception as error:
            # The drivers raise many kinds, and all mean the same to a caller: not answered.
            raise ProjectionUnavailable(f"ClickHouse: {_first_line(error)}") from error
        finally:
            with self._changed:
                self._idle.append(client)
                self._changed.notify_all()

    def _take(self) -> Any:
        if os.getpid() != self._process:
            raise ProjectionUnavailable("the store was opened before a fork; open it anew")
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._idle or self._made < CLIENTS_MAX)
            if self._closed:
                raise ProjectionUnavailable("the projection store is closed")
            if self._idle:
                return self._idle.pop()
            self._made += 1
        try:
            return self._connect()
        except Exception as error:
            with self._changed:
                self._made -= 1
                self._changed.notify_all()
            raise ProjectionUnavailable(f"ClickHouse: {_first_line(error)}") from error

    def close(self) -> None:
        if os.getpid() != self._process:
            return
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: len(self._idle) == self._made, CLOSE_TIMEOUT_S)
            clients, self._idle, self._made = self._idle, [], self._made - len(self._idle)
        atexit.unregister(self.close)
        for client in clients:
            client.close()


class _Store:
    def __init__(self, clients: _Clients, database: str) -> None:
        self._clients = clients
        self._types: dict[tuple[str, str], dict[str, str]] = {}
        self._database = _checked(database)

    @property
    def database(self) -> str:
        return self._database

    def at(self, database: str) -> ProjectionStore:
        return _Store(self._clients, database)

    def use(self, database: str) -> None:
        self._database = _checked(database)

    def command(self, sql: str) -> None:
        with self._clients.borrowed() as client:
            client.command(sql.replace("$db", self._database))

    def query(self, sql: str, parameters: Mapping[str, Value] | None = None) -> Sequence[Row]:
        with self._clients.borrowed() as client:
            answer = client.query(
                sql.replace("$db", self._database), parameters=dict(parameters or {})
            )
            rows: Sequence[Row] = answer.result_rows
            return rows

    def insert(self, table: str, rows: Columns, *, token: str) -> None:
        if not len(rows):
            return
        database = self._database
        types = self._column_types(database, table)
        for name, values in zip(rows.names, rows.values, strict=True):
            _check_decimals(f"{table}.{name}", types[name], values)
        with self._clients.borrowed() as client:
            client.insert(
                table,
                rows.values,
                database=database,
                column_names=rows.names,
                column_type_names=[types[name] for name in rows.names],
                column_oriented=True,
                settings={"insert_deduplication_token": token},
            )

    def close(self) -> None:
        self._clients.close()

    def _column_types(self, database: str, table: str) -> dict[str, str]:
        known = self._types.get((database, table))
        if known is None:
            known = dict(
                self.at(database).query(
                    "SELECT name, type FROM system.columns"
                    " WHERE database = {database:String} AND table = {table:String}",
                    {"database": database, "table": table},
                )
            )
            self._types[database, table] = known
        return known


def _checked(database: str) -> str:
    if not _DATABASE.fullmatch(database):
        raise ValueError(f"{database!r} is not the name of a database")
    return database


def _check_decimals(name: str, column_type: str, values: Sequence[object]) -> None:
    match = _DECIMAL.fullmatch(column_type)
    if match is None:
        return
    precision, scale = int(match[1]), int(match[2])
    limit, step = Decimal(10) ** (precision - scale), Decimal(1).scaleb(-scale)
    for value in values:
        if value is None:
            continue
        if type(value) is not Decimal:
            raise OutOfRange(f"{name}: {type(value).__name__} is not a Decimal", param=name)
        try:
            EXACT.quantize(value, step)
        except DecimalException:
            raise OutOfRange(f"{name}: {value} does not fit {column_type}", param=name) from None
        if not value.is_finite() or not -limit < value < limit:
            raise OutOfRange(f"{name}: {value} does not fit {column_type}", param=name)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
