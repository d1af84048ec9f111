"""The eventsourcing library's recorder over our connections, and what a server has to be.

The library owns the table `stored_events`, and reads it as its own. It does not write here: its
inserts know neither the tail nor the tables beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eventsourcing.persistence import ProgrammingError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

from domain.errors import UnsafeSetup
from domain.eventlog.postgres_rows import FORMAT, TABLES
from domain.postgres import Connection, Pool


def line_recorder(pool: RecorderPool) -> LineRecorder:
    """Raises UnsafeSetup where the library would work through functions in the database."""
    recorder = LineRecorder(_Datastore(pool))
    if recorder.datastore.enable_db_functions:
        raise UnsafeSetup("the event log cannot work through functions in the database")
    return recorder


class LineRecorder(PostgresApplicationRecorder):
    """The library's recorder: the owner of `stored_events`, which only `PostgresStore` writes."""

    def make_tables(self, connection: Connection) -> None:
        """The library's table and ours. Its types and functions are not made."""
        for statement in self.sql_create_statements:
            text = statement.as_string(connection)
            if text.lstrip().startswith(("CREATE TABLE", "CREATE UNIQUE INDEX")):
                connection.execute(text)
        for table in TABLES:
            connection.execute(table)
        if connection.execute("SELECT 1 FROM log_format").fetchone() is None:
            connection.execute("INSERT INTO log_format VALUES (%s)", (FORMAT,))

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        raise ProgrammingError("events are stored by the event log, which gives them their places")


class _Datastore(PostgresDatastore):
    """The library's datastore over our connections."""

    def __init__(self, pool: RecorderPool) -> None:
        super().__init__("", "", "", "", "", enable_db_functions=False)
        self.pool.close()
        self.pool = pool  # type: ignore[assignment]  # as far as the library asks

    def register_type_adapters(self) -> None:
        """None: the types serve the library's own statements only."""


class RecorderPool(Pool):
    """Connections as the library's datastore asks for them."""

    def open(self, wait: bool, timeout: object) -> None:
        """They are opened when they are needed."""


def check_server(connection: Connection) -> None:
    """Raise UnsafeSetup unless this is a database that can hold the log."""
    encoding, standby = _one(
        connection, "SELECT current_setting('server_encoding'), pg_is_in_recovery()"
    )
    if encoding != "UTF8":
        raise UnsafeSetup(f"the database has the encoding {encoding}: make one with UTF8")
    if standby:
        raise UnsafeSetup("the database is a standby, which cannot be written")
    if _one(connection, "SHOW synchronous_commit") != ("on",):
        raise UnsafeSetup("synchronous_commit is not on, although this session asks for it")


def _one(connection: Connection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None  # noqa: S101 - the query gives one
    return row
