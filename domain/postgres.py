"""The one home of psycopg: how a database is reached, and what its failures mean to us."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Final, TypeVar

import psycopg
from psycopg import errors
from psycopg.rows import TupleRow

from domain.eventlog.port import StoreUnavailable

Connection = psycopg.Connection[TupleRow]
Cursor = psycopg.Cursor[TupleRow]
DatabaseError = psycopg.Error
ConnectionLost = (psycopg.OperationalError, psycopg.InterfaceError)
"""The database is away, or the connection to it is."""
LockNotAvailable = errors.LockNotAvailable
UniqueViolation = errors.UniqueViolation

CONNECT_S: Final = 5
_SERVER_OPTIONS: Final = " ".join(
    f"-c {option}"
    for option in (
        # A machine that vanished holds no lock and no row for longer than these allow.
        "tcp_keepalives_idle=5",
        "tcp_keepalives_interval=2",
        "tcp_keepalives_count=3",
        "tcp_user_timeout=10000",
        "idle_in_transaction_session_timeout=30000",
        "synchronous_commit=on",
        "timezone=UTC",
    )
)

T = TypeVar("T")


def connect(dsn: str, *, purpose: str) -> Connection:
    """A connection in autocommit mode; `purpose` is shown in pg_stat_activity.

    Raises ConnectionLost. A database that no longer answers is given up after some 10 seconds.
    """
    return psycopg.connect(
        dsn,
        autocommit=True,
        connect_timeout=CONNECT_S,
        application_name=f"keytoll {purpose}",
        options=_SERVER_OPTIONS,
        keepalives=1,
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
        tcp_user_timeout=10_000,
    )


class Session:
    """One connection, opened when it is needed and again after it broke. Any thread may call."""

    def __init__(self, dsn: str, *, purpose: str) -> None:
        self._dsn = dsn
        self._purpose = purpose
        self._lock = Lock()
        self._connection: Connection | None = None

    def run(self, work: Callable[[Connection], T]) -> T:
        """Do what is harmless when it is done twice; one thread at a time.

        Tried again once when the connection had broken while nobody used it. Raises
        StoreUnavailable when the database is away; other errors of it as they are.
        """
        with self._lock:
            try:
                return self._tried(work)
            except LockNotAvailable:
                raise
            except ConnectionLost as error:
                self._drop()
                raise unavailable(error) from error

    def close(self) -> None:
        """End the connection, if there is one."""
        with self._lock:
            self._drop()

    def _tried(self, work: Callable[[Connection], T]) -> T:
        if self._connection is not None:
            try:
                return work(self._connection)
            except ConnectionLost:
                if not self._connection.broken:
                    raise
                self._drop()
        self._connection = connect(self._dsn, purpose=self._purpose)
        return work(self._connection)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def unavailable(error: Exception) -> StoreUnavailable:
    """The error in our words: the kind of it, never a text that may hold a DSN."""
    return StoreUnavailable(f"the database is not available: {type(error).__name__}")
