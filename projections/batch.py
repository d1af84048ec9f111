"""A stretch of the log as rows by table: what the projector inserts and the drift check expects."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from domain.errors import DomainError
from domain.eventlog.port import Recorded, StoreUnavailable
from domain.events.base import Event
from domain.events.codec import decode
from domain.events.requests import TERMINAL_VERSION, RequestRouted
from domain.invoice_series import InvoiceIssued
from pricing.book import Books, UnknownBook
from projections.rows import (
    IGNORED,
    ROWS,
    Cells,
    Place,
    RequestState,
    closed_period_row,
    dead_letter,
    fold,
    request_rows,
)
from projections.store.port import ProjectionUnavailable

OPEN_KEPT_MAX: Final = 50_000
"""Running requests whose first event is held in memory; others are read from the log again."""

History = Callable[[UUID], Sequence[Recorded]]
"""All events of a stream: `EventLog.stream`."""
OnDeadLetter = Callable[[Recorded, str], None]


@dataclass(slots=True)
class Batch:
    """Rows by table. `log_lines` is kept apart, because it is inserted last."""

    lines: list[Place] = field(default_factory=list)
    rows: dict[str, list[Cells]] = field(default_factory=dict)
    dead: int = 0

    def add(self, table: str, *rows: Cells) -> None:
        self.rows.setdefault(table, []).extend(rows)


def cutoff_position(cutoff: Mapping[str, int], bases: Mapping[str, int]) -> int:
    """An invoice's cutoff as a position, which counts through all stores of a log."""
    return max(bases[store] + seq for store, seq in cutoff.items())


class Batcher:
    """Turns events into rows. The same events give the same rows, in batches of any size."""

    def __init__(
        self,
        *,
        history: History,
        books: Books,
        bases: Mapping[str, int],
        on_dead_letter: OnDeadLetter | None = None,
    ) -> None:
        """`bases`: for each store of the log the number of events in the stores before it."""
        self._history = history
        self._bases = bases
        self._books = books
        self._on_dead_letter = on_dead_letter
        self._open: OrderedDict[UUID, RequestState] = OrderedDict()

    def batch(self, events: Sequence[Recorded]) -> Batch:
        """The rows of some events, in their order."""
        batch = Batch()
        for recorded in events:
            place = self.place(recorded)
            batch.lines.append(place)
            if recorded.topic not in IGNORED:
                self._add(batch, recorded, place)
        return batch

    def place(self, recorded: Recorded) -> Place:
        """Where an event stands. Raises KeyError for a store that is not of the log."""
        return Place.of(recorded, base=self._bases[recorded.store_id])

    def _add(self, batch: Batch, recorded: Recorded, place: Place) -> None:
        """The rows of one event. One that cannot be read becomes a dead letter."""
        try:
            if recorded.topic not in ROWS:
                raise LookupError(f"{recorded.topic!r} is a topic of a newer program")
            self._add_rows(batch, recorded, place, decode(recorded))
        except (UnknownBook, ProjectionUnavailable, StoreUnavailable):
            # Not the event's fault: nothing is skipped, the batch is tried again.
            raise
        except (DomainError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            batch.dead += 1
            batch.add("dead_letters", dead_letter(place, error=reason))
            if self._on_dead_letter is not None:
                self._on_dead_letter(recorded, reason)

    def _add_rows(self, batch: Batch, recorded: Recorded, place: Place, event: Event) -> None:
        if isinstance(event, RequestRouted):
            self._keep(event.originator_id, RequestState.began(event, recorded.recorded_at))
        elif isinstance(event, InvoiceIssued):
            cutoff = cutoff_position(event.cutoff, self._bases)
            batch.add("closed_periods", closed_period_row(place, event, cutoff=cutoff))
        else:
            before = self._before(recorded)
            now = before.after(event, recorded.recorded_at)
            replaced = before if place.originator_version > TERMINAL_VERSION else None
            batch.add("request_lines", *request_rows(place, replaced, now, self._books))

    def _keep(self, request: UUID, state: RequestState) -> None:
        self._open[request] = state
        if len(self._open) > OPEN_KEPT_MAX:
            self._open.popitem(last=False)

    def _before(self, recorded: Recorded) -> RequestState:
        """The state that an event meets: from memory for a running request, else from the log."""
        if recorded.originator_version == TERMINAL_VERSION:
            state = self._open.pop(recorded.originator_id, None)
            if state is not None:
                return state
        earlier = (
            (each, decode(each))
            for each in self._history(recorded.originator_id)
            if each.originator_version < recorded.originator_version
        )
        state = fold(earlier)
        if state is None:
            raise LookupError("the request was never routed")
        return state
