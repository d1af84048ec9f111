"""The one home of psycopg: how a database is reached, and what its failures mean to us."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock
from typing import Final, LiteralString, TypeVar

import psycopg
from psycopg import errors
from psycopg.abc import PQGen
from psycopg.rows import TupleRow

from domain.errors import UnsafeSetup
from domain.eventlog.port import StoreUnavailable

Cursor = psycopg.Cursor[TupleRow]
DatabaseError = psycopg.Error
ConnectionLost = (psycopg.OperationalError, psycopg.InterfaceError)
"""The database is away, or the connection to it is."""
LockNotAvailable = errors.LockNotAvailable
UniqueViolation = errors.UniqueViolation

CONNECT_S: Final = 5
ANSWER_S: Final = 75
"""No answer is waited for longer: a server that was stopped keeps its connections open. Those who
wait for a lock wait for a minute at most."""
_UNREADABLE: Final = (
    "a Postgres URL cannot be read: it is of the form postgresql://user:password@host/database,"
    " and what is special in a URL is written in it as % and two digits"
)
_NO_CONNECTION: Final = "no connection"
_REASONS: Final = (
    ("password authentication failed", "it refuses the user or the password"),
    ("no pg_hba.conf entry", "it does not let this host in"),
    ("does not exist", "there is no such database or user"),
    ("too many connections", "it has no connection left"),
    ("remaining connection slots", "it has no connection left"),
    ("Connection refused", "nothing listens at that address"),
)
"""Words of a server that speaks English → what is said instead."""
_TABLES_LOCK: Final = 0x6B65_7974_6F6C_6C01
_SESSION: Final[Mapping[str, str]] = {
    # A machine that vanished holds no lock and no row for longer than these allow.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "idle_in_transaction_session_timeout": "30000",
    "synchronous_commit": "on",
    "search_path": "public",
    "timezone": "UTC",
}

T = TypeVar("T")


class Connection(psycopg.Connection[TupleRow]):
    """A connection that is given up when the database does not answer for ANSWER_S."""

    answer_s: float = ANSWER_S

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """As the driver's, but never for ever."""
        try:
            return super().wait(gen, interval, self.answer_s if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if error.sqlstate is None:
                self.pgconn.finish()  # whatever it did, it is not known any more
            raise


def connect(dsn: str, *, purpose: str, settings: Mapping[str, str] | None = None) -> Connection:
    """A connection in autocommit mode; `purpose` is shown in pg_stat_activity.

    `settings` are the server's, for this session. Raises ConnectionLost, and UnsafeSetup for a DSN
    that makes no sense; neither repeats what the DSN says. A database that no longer answers is
    given up after some 10 seconds.
    """
    try:
        return Connection.connect(
            dsn,
            autocommit=True,
            connect_timeout=CONNECT_S,
            application_name=f"keytoll {purpose}",
            options=" ".join(f"-c {n}={v}" for n, v in {**_SESSION, **(settings or {})}.items()),
            keepalives=1,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=10_000,
        )
    except psycopg.ProgrammingError:
        raise UnsafeSetup(_UNREADABLE) from None
    except psycopg.OperationalError as error:
        # The driver's text repeats parts of the DSN: of a password with an @, what it takes for
        # the host.
        raise type(error)(_refusal(str(error))) from None


def _refusal(text: str) -> str:
    """Why there is no connection: what the server or the system said behind the address."""
    _, said, why = text.partition("connection to server ")
    _, _, why = why.partition(" failed: ")
    return f"{_NO_CONNECTION}: {why.splitlines()[0]}" if said and why else _NO_CONNECTION


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


class Pool:
    """A few connections for many threads; those that broke are replaced when they are needed."""

    def __init__(
        self, dsn: str, *, purpose: str, size: int, settings: Mapping[str, str] | None = None
    ) -> None:
        self._dsn = dsn
        self._purpose = purpose
        self._settings = settings
        self._room = BoundedSemaphore(size)
        self._lock = Lock()
        self._idle: list[Connection] = []
        self._closed = False

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """One connection for a block of statements. Raises ConnectionLost."""
        if not self._room.acquire(timeout=CONNECT_S):
            raise errors.TooManyConnections("all connections to the database are in use")
        try:
            connection = self._taken() or connect(
                self._dsn, purpose=self._purpose, settings=self._settings
            )
            try:
                yield connection
            finally:
                self._put_back(connection)
        finally:
            self._room.release()

    def renew(self) -> None:
        """Close what lies idle: one connection broke, so the others are likely to have."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def close(self) -> None:
        """End the connections; those in use end when they are put back."""
        self._closed = True
        self.renew()

    def _taken(self) -> Connection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _put_back(self, connection: Connection) -> None:
        clean = connection.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE
        with self._lock:
            if clean and not self._closed:
                self._idle.append(connection)
                return
        connection.close()


def make_tables(connection: Connection, statements: LiteralString) -> None:
    """Carry out CREATE … IF NOT EXISTS, which fails by itself when two processes start together."""
    with changing_tables(connection):
        connection.execute(statements)


@contextmanager
def changing_tables(connection: Connection) -> Iterator[None]:
    """A transaction that no other process which changes tables runs at the same time."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_TABLES_LOCK,))
        yield


def is_lost(error: psycopg.Error) -> bool:
    """Whether the connection is gone, so that a new one may do better."""
    return isinstance(error, ConnectionLost) and (error.sqlstate or "08").startswith(("08", "57P"))


def unavailable(error: Exception) -> StoreUnavailable:
    """The error in our words, never a text that may hold a DSN."""
    return StoreUnavailable(f"the database is not available: {kind_of(error)}")


def kind_of(error: Exception) -> str:
    """What an operator should look at, where the server said it, else the kind of the error."""
    text = str(error)
    known = (ours for said, ours in _REASONS if text.startswith(_NO_CONNECTION) and said in text)
    return next(known, type(error).__name__)
