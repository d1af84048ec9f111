"""Events that could not be turned into rows, and what they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from projections.rows import instant_of
from projections.store.port import ProjectionStore


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One event that stands open."""

    store_id: str
    seq: int
    topic: str
    account_id: str
    """"": of no account."""
    recorded_at: str
    error: str
    originator_id: UUID | None
    """The stream that it belongs to; None if its line is not in the tables."""


def open_dead_letters(store: ProjectionStore, *, limit: int) -> Sequence[DeadLetter]:
    """The newest first. Raises ProjectionUnavailable."""
    rows = store.query(
        """
        SELECT store_id, seq, topic, account_id, toUnixTimestamp64Micro(recorded_at), error
        FROM $db.dead_letters FINAL
        WHERE resolved = 0
        ORDER BY recorded_at DESC, seq DESC
        LIMIT {limit:UInt64}
        """,
        {"limit": limit},
    )
    streams = _streams(store, limit) if rows else {}
    return [
        DeadLetter(
            store_id=store_id,
            seq=seq,
            topic=topic,
            account_id=account_id,
            recorded_at=instant_of(recorded_at),
            error=error,
            originator_id=streams.get((store_id, seq)),
        )
        for store_id, seq, topic, account_id, recorded_at, error in rows
    ]


def _streams(store: ProjectionStore, limit: int) -> dict[tuple[str, int], UUID]:
    """Apart from the first question: a join would read every line of the log."""
    rows = store.query(
        """
        SELECT store_id, seq, originator_id FROM $db.log_lines
        WHERE (store_id, seq) IN (
            SELECT store_id, seq FROM $db.dead_letters FINAL
            WHERE resolved = 0
            ORDER BY recorded_at DESC, seq DESC
            LIMIT {limit:UInt64}
        )
        """,
        {"limit": limit},
    )
    return {(store_id, seq): originator for store_id, seq, originator in rows}
