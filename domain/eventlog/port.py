"""The event log: what the rest of the program may rely on, whichever database holds it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import Future
from typing import NamedTuple, Protocol
from uuid import UUID

from domain.errors import DomainError
from domain.events.base import Event


class Conflict(DomainError):
    """An event with this originator and version is already stored. Nothing of the call was."""


class StoreUnavailable(DomainError):
    """The events could not be made durable (disk full, database away), and are not in the log.

    Only if the store fails so that it cannot even be asked may they turn up later; appending them
    again then raises Conflict.
    """


class CorruptLog(DomainError):
    """Stored bytes are not what they were: the message names the seq."""


class Recorded(NamedTuple):
    """An event as stored for ever: `line` is the canonical JSON of EVENTS.md."""

    store_id: str
    seq: int
    hash: str
    """SHA-256(0x00 ‖ line), hex: the leaf of RFC 6962."""
    line: bytes
    originator_id: UUID
    originator_version: int
    topic: str
    account_id: str | None
    recorded_at: str


class LogReader(Protocol):
    """The events of one store. Any thread may read.

    Reading raises CorruptLog rather than pass over damage, StoreUnavailable when it cannot read.
    """

    @property
    def store_id(self) -> str:
        """The name of the store in every line."""

    def read(
        self, *, after: int, limit: int, streams: Collection[str] | None = None
    ) -> Sequence[Recorded]:
        """Up to `limit` events with seq > `after`, by seq.

        `streams` keeps only topics whose first part is named ("account", "credential", …).
        """

    def stream(self, originator_id: UUID) -> Sequence[Recorded]:
        """All events of one stream, by version, also those of the stores that this continues."""

    def head(self) -> int:
        """The last durable seq, 0 when empty."""


class EventLog(LogReader, Protocol):
    """The store that is written. Any thread may call anything; only one process owns it."""

    def submit(self, *events: Event, account_id: str | None) -> Future[tuple[Recorded, ...]]:
        """Queue events that must become durable together; the future resolves once they are.

        The future raises Conflict if a version is taken, StoreUnavailable if they cannot be made
        durable. `seq` is dense from 1, `recorded_at` never runs backwards. What cannot be an
        event (NotAnEvent), or nothing at all (BadValue), is raised here and not by the future.
        """

    async def append(self, *events: Event, account_id: str | None) -> tuple[Recorded, ...]:
        """`submit`, awaited. Cancelling the caller does not undo the append."""

    def opened(self, *, epoch: str, program: str) -> Future[Recorded]:
        """Append a StoreOpened: this process now writes under `epoch`.

        Events of the store itself are never passed to `append`: seals come between them, so the
        writer gives them their versions.
        """

    def seal(self) -> Future[Recorded]:
        """Append a LogSealed over everything before it."""

    def open_requests(self) -> Sequence[UUID]:
        """Streams that have a RequestRouted and no terminal event."""

    def earlier(self) -> Sequence[LogReader]:
        """The stores that this one continues, oldest first; none unless a backup was restored.

        They never change. Versions of a stream are counted on, and open requests stay open,
        across all of them; only seq begins again.
        """

    def close(self) -> None:
        """Finish what was submitted, then refuse more."""
