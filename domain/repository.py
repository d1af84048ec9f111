"""Aggregates from and to the event log."""

from __future__ import annotations

from typing import Protocol, TypeVar, cast
from uuid import UUID

from eventsourcing.domain import Aggregate

from domain.errors import DomainError
from domain.eventlog.port import EventLog, Recorded
from domain.events.base import Event
from domain.events.codec import decode

A = TypeVar("A", bound=Aggregate)


class WrongKind(DomainError):
    """The stream exists, but it is not one of the wanted aggregate."""


class Mutates(Protocol):
    """An event of an aggregate."""

    def mutate(self, aggregate: Aggregate | None) -> Aggregate | None:
        """The aggregate after the event; the first event makes it."""


class Repository:
    """Loads aggregates by replaying their streams, and appends what they decided."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def get(self, kind: type[A], originator_id: UUID) -> A | None:
        """The aggregate as of now, or None if its stream is empty."""
        aggregate: Aggregate | None = None
        for recorded in self._log.stream(originator_id):
            aggregate = mutated(decode(recorded), aggregate)
        if aggregate is not None and not isinstance(aggregate, kind):
            raise WrongKind(f"{originator_id} is not a {kind.__name__}")
        return aggregate

    def save(self, *aggregates: Aggregate, account_id: str | None) -> tuple[Recorded, ...]:
        """Append all pending events, durable together. Raises Conflict, StoreUnavailable.

        After an exception the aggregates are of no more use: load them again.
        """
        events = [
            cast("Event", event) for aggregate in aggregates for event in aggregate.collect_events()
        ]
        if not events:
            return ()
        return self._log.submit(*events, account_id=account_id).result()


def mutated(event: Event, aggregate: Aggregate | None) -> Aggregate | None:
    """The aggregate after an event of its stream."""
    return cast("Mutates", event).mutate(aggregate)
