"""The life of one call, as its page tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from api.auth import Caller
from api.routes.usage import UsageRoutes
from api.web.names import Names
from domain.clock import parse_instant
from domain.eventlog.port import Recorded
from domain.events.base import JsonObject
from domain.ids import event_id, parse_id
from domain.money import text_of
from pricing.book import PriceBook
from pricing.cost import Component
from pricing.explain import LOST
from pricing.request import RatedRequest
from pricing.row import Row
from projections.queries.one_request import attempts, billed
from projections.rows import RequestState
from projections.store.port import ProjectionUnavailable
from projections.trail import request_trail

TITLES: Final[Mapping[str, str]] = {
    "request.routed": "Routed",
    "request.usage-reported": "Answered; the provider told the usage",
    "request.usage-estimated": "Answered; we estimated the usage",
    "request.failed": "Failed",
    "request.usage-corrected": "Corrected",
    "request.usage-rerated": "Rated again",
}
_EACH: Final = frozenset({"web_search_calls", "requests"})


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the receipt's arithmetic."""

    unit: str
    quantity: int
    price_name: str
    price: str
    each: bool
    """Priced by the piece, else by the million."""
    multiplier: str | None
    amount: str
    row: str | None
    why: str | None
    """The tier or the hours that this price comes from."""


def life(usage: UsageRoutes, caller: Caller, request_id: str, names: Names) -> dict[str, Any]:
    """Everything on the page. Raises ApiError 404 for a call that the caller may not see."""
    recorded, state = usage.found(caller, request_id)
    trail = request_trail(recorded, state, usage.books, usage.directory)
    rated = state.rated(usage.books)
    return {
        "trail": trail,
        "routed": state.routed,
        "events": events_of(trail["events"]),
        "steps": steps_of(rated, usage.books.open(state.book), state) if rated else [],
        "used": state.used,
        "candidates": [
            {**each, "why": LOST.get(each["lost"], each["lost"])}
            for each in trail.get("candidates", ())
        ],
        "credential": names.credential(state.routed.credential_id),
        "api_key": names.api_key(state.routed.api_key_id),
        "account": names.account(state.routed.account_id),
        **_belongs(usage, state, recorded, request_id),
    }


def events_of(events: Sequence[JsonObject]) -> list[dict[str, Any]]:
    """The timeline, with the time that went by since the first event."""
    first = parse_instant(events[0]["recorded_at"])
    return [
        {
            "title": TITLES.get(event["topic"], event["topic"]),
            "event": event,
            "after_ms": _ms(parse_instant(event["recorded_at"]), first),
        }
        for event in events
    ]


def steps_of(rated: RatedRequest, book: PriceBook, state: RequestState) -> list[Step]:
    """Each component with the price row that it comes from; they add up to the at-cost amount."""
    rows = _rows_of(book, rated)
    at = parse_instant(state.routed.price_at)
    return [
        _step(component, rows.get(component.row or ""), at, rated)
        for component in rated.rating.components
    ]


def _step(component: Component, row: Row | None, at: datetime, rated: RatedRequest) -> Step:
    multiplier = None
    if row is not None and row.multiplier != 1:
        multiplier = text_of(row.multiplier)
    return Step(
        unit=component.unit,
        quantity=component.quantity,
        price_name=component.price_name,
        price=text_of(component.price),
        each=component.unit in _EACH,
        multiplier=multiplier,
        amount=str(component.amount),
        row=component.row,
        why=None if row is None else _why(component, row, at, rated),
    )


def _why(component: Component, row: Row, at: datetime, rated: RatedRequest) -> str | None:
    """Where the price stands in the row, if it is not its plain one."""
    for tier in row.tiers:
        if (
            f"input_above_{tier.above}" in rated.rating.notes
            and component.price_name in tier.prices
        ):
            return f"tier above {tier.above:,} input tokens"
    override = next((each for each in row.time_overrides if each.holds(at)), None)
    if override is not None and component.price_name in override.prices:
        windows = ", ".join(f"{_hour(start)}–{_hour(end)}" for start, end in override.windows)
        return f"price of the hours {windows} UTC"
    return None


def _hour(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _rows_of(book: PriceBook, rated: RatedRequest) -> dict[str, Row]:
    """The price rows that the components name."""
    rows: dict[str, Row] = {}
    references = [rated.rating.reference, *(part.reference for part in rated.parts)]
    for reference in references:
        if reference is not None:
            for row in book.rows_of(reference.provider, reference.model):
                rows[row.id] = row
    return rows


def _belongs(
    usage: UsageRoutes, state: RequestState, recorded: Sequence[Recorded], request_id: str
) -> dict[str, Any]:
    """What the projections know: other attempts of the same call, and who billed it."""
    account = state.routed.account_id
    first = state.routed.attempt_of or request_id
    events = [event_id(each.originator_id, each.originator_version) for each in recorded]
    try:
        projected = usage.projected()
        return {
            "attempts": attempts(projected.store, account, parse_id("req", first)),
            "billed": billed(projected.store, account, events, as_of=projected.reached()),
            "first_attempt": first,
        }
    except ProjectionUnavailable:
        return {"attempts": None, "billed": None, "first_attempt": first}


def _ms(at: datetime, since: datetime) -> int:
    return int((at - since).total_seconds() * 1000)
