"""Relay positions in a table of the store's database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from domain.postgres import Session
from domain.relayed.port import NOTHING_RELAYED, Relayed

_SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS relayed (
        topic_id text NOT NULL,
        store_id text NOT NULL,
        seq bigint NOT NULL,
        hash text NOT NULL,
        PRIMARY KEY (topic_id, store_id)
    )
"""
_ALL: Final = "SELECT topic_id, store_id, seq, hash FROM relayed ORDER BY topic_id, store_id"
_GET: Final = "SELECT seq, hash FROM relayed WHERE topic_id = %s AND store_id = %s"
_SET: Final = """
    INSERT INTO relayed (topic_id, store_id, seq, hash) VALUES (%s, %s, %s, %s)
    ON CONFLICT (topic_id, store_id) DO UPDATE SET seq = excluded.seq, hash = excluded.hash
"""


class PostgresRelayPositions:
    """Shared by every process that may relay."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn, purpose="relay positions")
        self._session.run(lambda connection: connection.execute(_SCHEMA))

    def get(self, topic_id: str, store_id: str) -> Relayed:
        row = self._session.run(lambda c: c.execute(_GET, (topic_id, store_id)).fetchone())
        return NOTHING_RELAYED if row is None else Relayed(int(row[0]), str(row[1]))

    def set(self, topic_id: str, store_id: str, relayed: Relayed) -> None:
        self._session.run(lambda c: c.execute(_SET, (topic_id, store_id, *relayed)))

    def rows(self) -> Sequence[tuple[str, str, Relayed]]:
        rows = self._session.run(lambda c: c.execute(_ALL).fetchall())
        return [(str(row[0]), str(row[1]), Relayed(int(row[2]), str(row[3]))) for row in rows]

    def close(self) -> None:
        self._session.close()
