"""Labels in a table of the shared database, read from memory, which follows the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Final

from domain.labels.memory import MemoryLabels
from domain.postgres import Connection, Session, make_tables

_SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS labels (
        id text NOT NULL,
        field text NOT NULL,
        value text,
        change bigint GENERATED ALWAYS AS IDENTITY,
        changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (id, field)
    );
    CREATE INDEX IF NOT EXISTS labels_change ON labels (change)
"""
_ONE_WRITER: Final = "LOCK TABLE labels IN SHARE ROW EXCLUSIVE MODE"
"""So that changes are committed in the order of their numbers, and no follower misses one."""
_SET: Final = """
    INSERT INTO labels (id, field, value) VALUES (%s, %s, %s)
    ON CONFLICT (id, field)
    DO UPDATE SET value = excluded.value, change = DEFAULT, changed_at = DEFAULT
"""
_TAKEN_BACK: Final = """
    DELETE FROM labels WHERE value IS NULL AND changed_at < clock_timestamp() - interval '7 days'
"""
"""A row without a value tells the other processes that there is none any more."""
_GET: Final = "SELECT value FROM labels WHERE id = %s AND field = %s"
_NEWS: Final = "SELECT change, id, field, value FROM labels WHERE change > %s ORDER BY change"


class PostgresLabels:
    """Writes through to the table; what others write is seen after the next `catch_up`."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn, purpose="labels")
        self._session.run(lambda connection: make_tables(connection, _SCHEMA))
        self._known = MemoryLabels()
        self._lock = Lock()
        self._seen = 0
        self.catch_up()

    def get(self, public_id: str) -> Mapping[str, str]:
        return self._known.get(public_id)

    def set(self, public_id: str, field: str, value: str | None) -> None:
        def work(connection: Connection) -> None:
            with connection.transaction():
                connection.execute(_ONE_WRITER)
                connection.execute(_SET, (public_id, field, value))
                connection.execute(_TAKEN_BACK)

        self._session.run(work)
        self.catch_up()

    def take(self, public_id: str, field: str) -> str | None:
        def work(connection: Connection) -> str | None:
            with connection.transaction():
                connection.execute(_ONE_WRITER)
                row = connection.execute(_GET, (public_id, field)).fetchone()
                if row is None or row[0] is None:
                    return None
                connection.execute(_SET, (public_id, field, None))
                return str(row[0])

        taken = self._session.run(work)
        self.catch_up()
        return taken

    def rows(self) -> Sequence[tuple[str, str, str]]:
        return self._known.rows()

    def catch_up(self) -> None:
        with self._lock:
            news = self._session.run(lambda c: c.execute(_NEWS, (self._seen,)).fetchall())
            for change, public_id, field, value in news:
                self._known.set(public_id, field, value)
                self._seen = change

    def close(self) -> None:
        self._session.close()
