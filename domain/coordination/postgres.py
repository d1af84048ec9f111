"""Locks and leases in the database that the processes share.

A lock is a session advisory lock on a connection of its own: the database gives it up the moment
the session ends, however it ends. A process that is frozen, with its connections open, would hold
its locks for ever; so the database ends sessions that were silent for long, and those that hold
locks are not. Behind a connection pooler that hands one session to several
clients neither would hold, so the program connects to the database itself.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Final

from domain.postgres import (
    Connection,
    ConnectionLost,
    DatabaseError,
    LockNotAvailable,
    Session,
    connect,
    make_tables,
    unavailable,
)

SILENT_S: Final = 30
"""A holder that was not heard of for so long has lost its locks."""
_MEASURES_SILENCE: Final = 14_00_00
"""The version of Postgres from which on a session can be ended for its silence."""
_LEASES: Final = """
    CREATE TABLE IF NOT EXISTS leases (
        epoch text PRIMARY KEY,
        lapses_at timestamptz NOT NULL
    )
"""
_RENEW: Final = """
    WITH before AS (
        SELECT lapses_at > clock_timestamp() AS alive FROM leases WHERE epoch = %(epoch)s
    ), renewed AS (
        INSERT INTO leases (epoch, lapses_at)
        VALUES (%(epoch)s, clock_timestamp() + make_interval(secs => %(for_s)s))
        ON CONFLICT (epoch) DO UPDATE SET lapses_at = excluded.lapses_at
    )
    SELECT coalesce((SELECT alive FROM before), true)
"""
_FORGET: Final = "DELETE FROM leases WHERE lapses_at < clock_timestamp() - interval '1 day'"


class PostgresLocks:
    """Locks of one database."""

    def __init__(self, dsn: str, *, silent_s: int = SILENT_S) -> None:
        self._dsn = dsn
        self._silent_s = silent_s
        self._lock = Lock()
        self._held: set[PostgresHeld] = set()
        self._closed = Event()
        self._speaking: Thread | None = None

    def take(self, name: str, *, wait_s: float = 0.0) -> PostgresHeld | None:
        try:
            connection = connect(self._dsn, purpose=f"lock {name}")
        except ConnectionLost as error:
            raise unavailable(error) from error
        try:
            taken = _locked(connection, _key(name), wait_s)
            if taken and connection.info.server_version >= _MEASURES_SILENCE:
                limit = (f"{self._silent_s}s",)
                connection.execute("SELECT set_config('idle_session_timeout', %s, false)", limit)
        except ConnectionLost as error:
            connection.close()
            raise unavailable(error) from error
        if not taken:
            connection.close()
            return None
        lock = PostgresHeld(self, connection)
        with self._lock:
            self._held.add(lock)
            if self._speaking is None:
                self._speaking = Thread(target=self._speak, name="locks", daemon=True)
                self._speaking.start()
        return lock

    def close(self) -> None:
        self._closed.set()
        for lock in self._all_held():
            lock.release()
        if self._speaking is not None:
            self._speaking.join(self._silent_s)

    def _speak(self) -> None:
        """Let the database hear of every lock that is held."""
        while not self._closed.wait(self._silent_s / 6):
            for lock in self._all_held():
                lock.still()

    def _all_held(self) -> list[PostgresHeld]:
        with self._lock:
            return list(self._held)

    def forget(self, lock: PostgresHeld) -> None:
        """It is held no more."""
        with self._lock:
            self._held.discard(lock)


class PostgresHeld:
    """A session that holds one advisory lock until it ends."""

    def __init__(self, locks: PostgresLocks, connection: Connection) -> None:
        self._locks = locks
        self._connection = connection
        self._lock = Lock()

    def still(self) -> bool:
        with self._lock:
            try:
                self._connection.execute("SELECT 1")
            except DatabaseError:
                self._connection.close()
                return False
        return True

    def release(self) -> None:
        with self._lock, suppress(DatabaseError):
            self._connection.close()
        self._locks.forget(self)


class PostgresLeases:
    """One row for each process, by the clock of the database."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn, purpose="leases")
        self._session.run(lambda connection: make_tables(connection, _LEASES))

    def renew(self, epoch: str, *, for_s: float) -> bool:
        def work(connection: Connection) -> bool:
            row = connection.execute(_RENEW, {"epoch": epoch, "for_s": for_s}).fetchone()
            connection.execute(_FORGET)
            return row is not None and bool(row[0])

        return self._session.run(work)

    def release(self, epoch: str) -> None:
        self._session.run(lambda c: c.execute("DELETE FROM leases WHERE epoch = %s", (epoch,)))

    def alive(self) -> frozenset[str]:
        rows = self._session.run(
            lambda c: c.execute(
                "SELECT epoch FROM leases WHERE lapses_at > clock_timestamp()"
            ).fetchall()
        )
        return frozenset(str(row[0]) for row in rows)

    def close(self) -> None:
        self._session.close()


def _locked(connection: Connection, key: int, wait_s: float) -> bool:
    if wait_s <= 0:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
        return row is not None and bool(row[0])
    limit = f"{max(1, int(wait_s * 1000))}ms"
    connection.execute("SELECT set_config('lock_timeout', %s, false)", (limit,))
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", (key,))
    except LockNotAvailable:
        return False
    return True


def _key(name: str) -> int:
    """The number under which the database knows the lock: 64 bits of the name's hash."""
    digest = hashlib.sha256(f"keytoll lock {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
