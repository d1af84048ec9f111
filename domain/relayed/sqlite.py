"""Relay positions in a small file beside the embedded store: one process owns it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Final

from domain.eventlog.port import StoreUnavailable
from domain.relayed.port import NOTHING_RELAYED, Relayed
from domain.sqlite import Connection, DatabaseError, connect

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS relayed (topic_id TEXT NOT NULL, store_id TEXT NOT NULL,"
    " seq INTEGER NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (topic_id, store_id)) WITHOUT ROWID"
)
_ALL: Final = "SELECT topic_id, store_id, seq, hash FROM relayed ORDER BY topic_id, store_id"
_GET: Final = "SELECT seq, hash FROM relayed WHERE topic_id = ? AND store_id = ?"
_SET: Final = "INSERT OR REPLACE INTO relayed (topic_id, store_id, seq, hash) VALUES (?, ?, ?, ?)"


class SqliteRelayPositions:
    """A file of its own: the log is copied and restored without it."""

    def __init__(self, path: Path) -> None:
        self._lock = Lock()
        path.touch(mode=0o600)  # before SQLite makes it, so that its log gets the same mode
        self._connection: Connection = connect(path)
        self._connection.execute(_SCHEMA)

    def get(self, topic_id: str, store_id: str) -> Relayed:
        with self._lock:
            try:
                row = self._connection.execute(_GET, (topic_id, store_id)).fetchone()
            except DatabaseError as error:
                raise StoreUnavailable(f"the relay's position cannot be read: {error}") from error
        return NOTHING_RELAYED if row is None else Relayed(row["seq"], row["hash"])

    def set(self, topic_id: str, store_id: str, relayed: Relayed) -> None:
        with self._lock:
            try:
                self._connection.execute(_SET, (topic_id, store_id, *relayed))
            except DatabaseError as error:
                raise StoreUnavailable(f"the relay's position cannot be kept: {error}") from error

    def rows(self) -> Sequence[tuple[str, str, Relayed]]:
        with self._lock:
            try:
                rows = self._connection.execute(_ALL).fetchall()
            except DatabaseError as error:
                raise StoreUnavailable(f"the relay's positions cannot be read: {error}") from error
        return [(topic, store, Relayed(seq, digest)) for topic, store, seq, digest in rows]

    def close(self) -> None:
        with self._lock:
            self._connection.close()
