"""ClickHouse, in this process (chDB) or as a server: the one home of both drivers.

What is odd about the engine is handled here and shown in tests/contracts/test_projection_store.py:
what does not fit is cut silently (so arrow.py checks before sending); one process per path and one
path per process; a process that ends during a query crashes (so `close` waits, and also runs at
exit); a query after fork() hangs (so a child refuses).
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from domain.errors import UnsafeSetup
from projections.store.dsn import DATABASE, Server, server_of
from projections.store.port import (
    Columns,
    ProjectionStore,
    ProjectionUnavailable,
    Row,
    Site,
    Value,
)

CLIENTS_MAX: Final = 4
CLOSE_TIMEOUT_S: Final = 30.0
CONNECT_TIMEOUT_S: Final = 5
SILENCE_S_MAX: Final = 60
"""A server that says nothing for so long is away: it reports its progress more often than that."""
VERSION_MIN: Final = (25, 3)
"""The oldest server that is let in. Tests run against the engine of the embedded mode."""

SETTINGS: Final[Mapping[str, str]] = {
    # 1 is the default of 26.x: an insert would be acknowledged before it is durable.
    "async_insert": "0",
    "insert_deduplicate": "1",
    # An insert is acknowledged after its part is on the disk, so that a position is true.
    "fsync_metadata": "1",
    # Duplicates are collapsed when read, anyway; doing it in every insert as well costs half of it.
    "optimize_on_insert": "0",
    # 1 returns duplicates of rows that are in different partitions.
    "do_not_merge_across_partitions_select_final": "0",
    "max_insert_threads": "1",
    "max_execution_time": "300",
    "session_timezone": "UTC",
}
"""What every statement runs with, wherever."""
EMBEDDED: Final[Mapping[str, str]] = {
    **SETTINGS,
    "max_threads": "2",
    "max_memory_usage": "1500000000",
    "max_bytes_before_external_group_by": "500000000",
    "max_bytes_before_external_sort": "500000000",
}
"""The engine shares the process; a server has limits of its own."""
REPLICATED: Final[Mapping[str, str]] = {
    # Acknowledged once most replicas have it, one insert after the other, so that reading can
    # refuse a replica that lacks any of them: what stands in log_lines then stands in every table.
    "insert_quorum": "auto",
    "insert_quorum_parallel": "0",
    "insert_quorum_timeout": "60000",
    "select_sequential_consistency": "1",
    "distributed_ddl_output_mode": "throw",
}
"""In a cluster, besides."""

_WAIT: Final = {"wait_end_of_query": "1"}
"""The answer begins when the statement has ended, so that 200 means that it succeeded."""
_MISCONFIGURED: Final = frozenset({192, 193, 194, 291, 452, 497, 516})
"""Error codes of a server that knows us not, or does not let us do what we must."""

Connect = Callable[[], Any]


def open_embedded(path: Path, *, database: str = "default") -> ProjectionStore:
    """The engine inside this process, over a folder. Raises UnsafeSetup if another process has it.

    The driver is imported here and not at the top: it costs a second and 250 MB, and must never
    be inherited by a forked process.
    """
    _checked(database)
    path.mkdir(parents=True, exist_ok=True)

    def connect() -> Any:
        import clickhouse_connect  # noqa: PLC0415

        return clickhouse_connect.get_client(
            interface="chdb", path=str(path), settings=dict(EMBEDDED)
        )

    clients = _Clients(connect)
    try:
        with clients.borrowed():
            pass
    except ProjectionUnavailable as error:
        clients.close()
        if "EmbeddedServer" in str(error):
            # All that the engine says when another process holds the folder's lock.
            raise UnsafeSetup(f"{path} cannot be opened: does another process use it?") from error
        raise
    return _Store(clients, database, Site())


def open_server(dsn: str, *, cluster: str | None = None) -> ProjectionStore:
    """A ClickHouse server, by its DSN (`dsn.py`). No message repeats what the DSN says.

    Raises UnsafeSetup when the DSN makes no sense, the server is too old, refuses us or the
    settings; ProjectionUnavailable when it does not answer.
    """
    server = server_of(dsn)
    settings = {**SETTINGS, **(REPLICATED if cluster else {})}
    clients = _Clients(lambda: _connect(server, settings))
    store = _Store(clients, "default", Site(server.name, shared=True, cluster=cluster))
    try:
        _check_server(store, server, settings)
    except BaseException as error:
        clients.close()
        code = getattr(error.__cause__, "code", None)
        if isinstance(error, ProjectionUnavailable) and code in _MISCONFIGURED:
            raise UnsafeSetup(f"{server.where} refuses us: error {code}") from None
        raise
    return store


def _connect(server: Server, settings: Mapping[str, str]) -> Any:
    import clickhouse_connect  # noqa: PLC0415
    from clickhouse_connect.driver.httputil import get_pool_manager  # noqa: PLC0415

    for talker in ("clickhouse_connect", "urllib3"):
        # They tell each failure in words of theirs; it is raised, and told once.
        logging.getLogger(talker).setLevel(logging.CRITICAL)
    # A pool of our own: no proxy of the environment, and nothing shared between clients.
    pool = get_pool_manager(ca_cert=server.ca_cert, num_pools=1, maxsize=1)
    client: Any = clickhouse_connect.get_client(
        host=server.host,
        port=server.port,
        interface="https" if server.tls else "http",
        username=server.user,
        password=server.password,
        database="default",
        settings=dict(settings),
        compress="lz4",
        connect_timeout=CONNECT_TIMEOUT_S,
        send_receive_timeout=SILENCE_S_MAX,
        query_retries=0,
        autogenerate_session_id=False,
        pool_mgr=pool,
    )
    # Whoever asked tries again, and knows what that means.
    client.http_retries = 0
    return client


def _check_server(store: ProjectionStore, server: Server, settings: Mapping[str, str]) -> None:
    version = str(store.query("SELECT version()")[0][0])
    if tuple(map(int, version.split(".")[:2])) < VERSION_MIN:
        oldest = ".".join(map(str, VERSION_MIN))
        raise UnsafeSetup(f"{server.where} is {version}; it must be {oldest} or newer")
    said: dict[str, str] = dict(
        store.query(
            "SELECT name, value FROM system.settings WHERE name IN {names:Array(String)}",
            {"names": list(settings)},
        )
    )
    for name, value in settings.items():
        if said.get(name) != value:
            raise UnsafeSetup(f"{server.where} runs with {name}={said.get(name)}, not {value}")


class _Clients:
    """A bounded pool: each client is used by one thread at a time."""

    def __init__(self, connect: Connect) -> None:
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
    def __init__(self, clients: _Clients, database: str, site: Site) -> None:
        self._clients = clients
        self._site = site
        self._types: dict[tuple[str, str], dict[str, str]] = {}
        self._database = _checked(database)

    @property
    def site(self) -> Site:
        return self._site

    @property
    def database(self) -> str:
        return self._database

    def at(self, database: str) -> ProjectionStore:
        return _Store(self._clients, database, self._site)

    def use(self, database: str) -> None:
        self._database = _checked(database)

    def command(self, sql: str) -> None:
        with self._clients.borrowed() as client:
            client.command(sql.replace("$db", self._database), settings=dict(_WAIT))

    def query(self, sql: str, parameters: Mapping[str, Value] | None = None) -> Sequence[Row]:
        with self._clients.borrowed() as client:
            answer = client.query(
                sql.replace("$db", self._database), parameters=dict(parameters or {})
            )
            rows: Sequence[Row] = answer.result_rows
            return rows

    def insert(self, table: str, rows: Columns, *, token: str) -> None:
        from projections.store.arrow import arrow_file  # noqa: PLC0415 - heavy

        if not len(rows):
            return
        database = self._database
        block = arrow_file(table, rows, self._column_types(database, table))
        with self._clients.borrowed() as client:
            client.raw_insert(
                f"{database}.{table}",
                column_names=rows.names,
                insert_block=block,
                fmt="Arrow",
                settings={"insert_deduplication_token": token, **_WAIT},
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
            if not known:
                raise ProjectionUnavailable(f"there is no table {database}.{table}")
            self._types[database, table] = known
        return known


def _checked(database: str) -> str:
    if not DATABASE.fullmatch(database):
        raise ValueError(f"{database!r} is not the name of a database")
    return database


def _first_line(error: BaseException) -> str:
    """What went wrong, without the address of the statement where the driver wraps it in that."""
    error = getattr(error.__cause__, "reason", None) or error
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
