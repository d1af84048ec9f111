"""How far each store was published to each topic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol


class Relayed(NamedTuple):
    """The last line of a store that is acknowledged, with everything before it."""

    seq: int
    hash: str
    """Its leaf hash: by it a position in another log is told from one in this."""


NOTHING_RELAYED: Final = Relayed(0, "")


class RelayPositions(Protocol):
    """One position for each topic and store. Any thread may call anything.

    A topic is named by the id that the brokers gave it when it was made: in one that was made
    again, or by other brokers, nothing was published yet. Everything but `close` raises
    StoreUnavailable.
    """

    def get(self, topic_id: str, store_id: str) -> Relayed:
        """NOTHING_RELAYED if none was ever stored."""

    def set(self, topic_id: str, store_id: str, relayed: Relayed) -> None:
        """Store it durably. Setting it back is allowed: what follows is published again."""

    def rows(self) -> Sequence[tuple[str, str, Relayed]]:
        """Every topic id, store id and position, for copying."""

    def close(self) -> None:
        """Release the file, or the connection."""
