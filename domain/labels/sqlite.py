"""Labels in a SQLite file, read from memory: one process owns them, and there are few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock

from domain.eventlog.port import StoreUnavailable
from domain.labels.memory import MemoryLabels
from domain.sqlite import Connection, DatabaseError, connect


class SqliteLabels:
    """Writes through to the file; a label that is taken back leaves nothing there."""

    def __init__(self, path: Path) -> None:
        self._lock = Lock()
        path.touch(mode=0o600)  # before SQLite makes it, so that its log gets the same mode
        self._connection: Connection = connect(path, secure_delete=True)
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS labels (id TEXT NOT NULL, field TEXT NOT NULL,"
            " value TEXT NOT NULL, PRIMARY KEY (id, field)) WITHOUT ROWID"
        )
        self._known = MemoryLabels()
        for row in self._connection.execute("SELECT id, field, value FROM labels"):
            self._known.set(row["id"], row["field"], row["value"])

    def get(self, public_id: str) -> Mapping[str, str]:
        return self._known.get(public_id)

    def set(self, public_id: str, field: str, value: str | None) -> None:
        with self._lock:
            self._set(public_id, field, value)

    def take(self, public_id: str, field: str) -> str | None:
        with self._lock:
            value = self._known.get(public_id).get(field)
            if value is not None:
                self._set(public_id, field, None)
            return value

    def rows(self) -> Sequence[tuple[str, str, str]]:
        return self._known.rows()

    def catch_up(self) -> None:
        """Nobody else writes: the file has one owner."""

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _set(self, public_id: str, field: str, value: str | None) -> None:
        try:
            self._write(public_id, field, value)
        except DatabaseError as error:
            raise StoreUnavailable(f"the labels cannot be stored: {error}") from error
        self._known.set(public_id, field, value)

    def _write(self, public_id: str, field: str, value: str | None) -> None:
        if value is None:
            self._connection.execute(
                "DELETE FROM labels WHERE id = ? AND field = ?", (public_id, field)
            )
        else:
            self._connection.execute(
                "INSERT INTO labels (id, field, value) VALUES (?, ?, ?)"
                " ON CONFLICT (id, field) DO UPDATE SET value = excluded.value",
                (public_id, field, value),
            )
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
