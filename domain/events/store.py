"""What happens to a store itself. Its stream is derived from the store's id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from domain.events.base import JsonObject, PlainEvent
from domain.ids import derived_id


def store_stream(store_id: str) -> UUID:
    """The stream of a store's own events."""
    return derived_id("store", store_id)


@dataclass(frozen=True, kw_only=True)
class StoreOpened(PlainEvent):
    """A process begins to write under this epoch; others may write too."""

    TOPIC: ClassVar[str] = "store.opened"

    epoch: str
    program: str
    """Name and version of the program, e.g. `keytoll 0.1.0`."""
    continues: JsonObject | None = None
    """{store_id, size, root} of the store before; said once, after a restore or a migration."""


@dataclass(frozen=True, kw_only=True)
class LogSealed(PlainEvent):
    """The Merkle root of all before this event; also the heartbeat that closing waits for."""

    TOPIC: ClassVar[str] = "store.log-sealed"

    size: int
    """Number of leaves under the root: this event's own seq − 1."""
    root: str
    """RFC 6962 Merkle tree hash, hex."""
