"""The event log: what the rest of the program may rely on, whichever database holds it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Chain:
    """A store that is written, and the ones that it continues: restored, or migrated from.

    Which stores those are never changes while the log is open. Versions of a stream are counted
    on, and open requests stay open, across all of them; only seq begins again.
    """

    stores: tuple[LogReader, ...]
    """The oldest first; the last is written."""

    @property
    def written(self) -> LogReader:
        """The store that takes new events."""
        return self.stores[-1]


class HasChains(Protocol):
    """What is made of chains of stores: a log, as far as its readers go."""

    def chains(self) -> Sequence[Chain]:
        """At least one. The first holds invoices and price lists, the last takes new accounts."""

    def stream(self, originator_id: UUID) -> Sequence[Recorded]:
        """All events of one stream, by version, from whatever chain holds it."""


class EventLog(HasChains, Protocol):
    """The whole log of an installation: one chain, or several that share the accounts.

    Any thread may call anything.
    """

    def home(self, account_id: str | None) -> str:
        """The store to which the account's events are written.

        That of a chain where the account has events; else, and for None, where a new account goes.
        """

    def submit(self, *events: Event, account_id: str | None) -> Future[tuple[Recorded, ...]]:
        """Queue events that must become durable together; the future resolves once they are.

        The future raises Conflict if a version is taken, StoreUnavailable if they cannot be made
        durable. `seq` is dense from 1 in each store, `recorded_at` never runs backwards in a
        chain. What cannot be an event (NotAnEvent), nothing at all, or events whose chains differ
        (BadValue) are raised here and not by the future.
        """

    async def append(self, *events: Event, account_id: str | None) -> tuple[Recorded, ...]:
        """`submit`, awaited. Cancelling the caller does not undo the append."""

    def opened(self, *, epoch: str, program: str) -> Future[tuple[Recorded, ...]]:
        """Append a StoreOpened to each chain: this process now writes under `epoch`.

        Events of the store itself are never passed to `append`: seals come between them, so the
        writer gives them their versions.
        """

    def seal(self) -> Future[tuple[Recorded, ...]]:
        """Append a LogSealed over everything before it to each chain, in their order."""

    def open_requests(self) -> Sequence[UUID]:
        """Streams that have a RequestRouted and no terminal event."""

    def close(self) -> None:
        """Finish what was submitted, then refuse more."""


def stores_of(log: HasChains) -> tuple[LogReader, ...]:
    """All stores, chain by chain, each chain from its oldest store on."""
    return tuple(store for chain in log.chains() for store in chain.stores)


def heads_of(log: HasChains) -> dict[str, int]:
    """Store id → its last durable seq, of all stores."""
    return {store.store_id: store.head() for store in stores_of(log)}


def written_heads_of(log: HasChains) -> dict[str, int]:
    """Store id → its last durable seq, of the store of each chain that is written."""
    return {chain.written.store_id: chain.written.head() for chain in log.chains()}


def bases_of(log: HasChains) -> dict[str, int]:
    """Store id → the number of events before it in its chain, of all stores."""
    bases: dict[str, int] = {}
    for chain in log.chains():
        base = 0
        for store in chain.stores:
            bases[store.store_id] = base
            if store is not chain.written:
                base += store.head()
    return bases
