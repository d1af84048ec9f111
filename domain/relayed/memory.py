"""Relay positions in a dictionary: for tests, and where nothing is relayed."""

from __future__ import annotations

from collections.abc import Sequence

from domain.relayed.port import NOTHING_RELAYED, Relayed


class MemoryRelayPositions:
    """Of one process."""

    def __init__(self) -> None:
        self._positions: dict[tuple[str, str], Relayed] = {}

    def get(self, topic_id: str, store_id: str) -> Relayed:
        return self._positions.get((topic_id, store_id), NOTHING_RELAYED)

    def set(self, topic_id: str, store_id: str, relayed: Relayed) -> None:
        self._positions[topic_id, store_id] = relayed

    def rows(self) -> Sequence[tuple[str, str, Relayed]]:
        return [(*place, relayed) for place, relayed in sorted(self._positions.items())]

    def close(self) -> None:
        """Nothing is held."""
