"""Events to rows: pure, and the same rows whenever and however often an event comes by.

`ROWS` names the table of every topic that makes rows, `IGNORED` the topics that make none; a test
compares both with domain/events/registry.py, so a new event cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from domain.clock import instant_text
from domain.errors import BadValue
from domain.eventlog.port import Recorded
from domain.events.base import Event
from domain.events.requests import (
    WRITTEN_OFF,
    RequestFailed,
    RequestRouted,
    UsageCorrected,
    UsageEstimated,
    UsageEvent,
    UsageReported,
    UsageRerated,
    generated_nothing,
)
from domain.ids import event_id_bytes
from domain.invoice_series import InvoiceIssued
from domain.money import ZERO, text_of
from domain.usage import UNITS
from pricing.book import Books
from pricing.request import RatedRequest, rate_request
from projections.store.port import Columns

COUNTS: Final = tuple(unit for unit in UNITS if unit != "requests")
"""The units that have a column. The unit `requests` is always one per call, and the word means
the number of calls in every table and report."""

ROWS: Final = {
    "request.routed": "log_lines",
    "request.usage-reported": "request_lines",
    "request.usage-estimated": "request_lines",
    "request.failed": "request_lines",
    "request.usage-corrected": "request_lines",
    "request.usage-rerated": "request_lines",
    "invoice.issued": "closed_periods",
}
IGNORED: Final = frozenset(
    {
        "store.opened",
        "store.log-sealed",
        "price-book.published",
        "account.opened",
        "account.suspended",
        "account.resumed",
        "account.api-key-issued",
        "account.api-key-revoked",
        "account.markup-agreed",
        "account.tax-set",
        "account.routing-preferred",
        "account.remainder-carried",
        "credential.key-added",
        "credential.key-checked",
        "credential.key-restricted",
        "credential.key-reordered",
        "credential.key-disabled",
        "credential.key-enabled",
        "credential.key-rotated",
        "credential.key-removed",
        "invoice.credit-note-issued",
        "invoice.paid",
        "invoice.voided",
    }
)
"""Topics of which only the line itself is kept (table log_lines)."""

COLUMNS: Final = {
    "log_lines": (
        *("store_id", "seq", "position", "hash", "event_id", "originator_id"),
        *("originator_version", "topic", "account_id", "recorded_at"),
    ),
    "request_lines": (
        *("account_id", "event_id", "sign", "request_id", "version", "topic", "store_id"),
        *("seq", "position", "hash", "recorded_at", "terminal_at", "routed_at"),
        *("sandbox", "epoch"),
        *("api_key_id", "credential_id", "provider", "api", "requested_model", "tags"),
        *("attempt_of", "stream", "account_version", "price_at", "first_wins"),
        *("state", "failure", "finish_reason", "delivered", "first_byte_ms", "total_ms"),
        *("tries", "model", "status", "usage_source", "price_book", "markup_rate"),
        *("rule", "reference_provider", "reference_model", "price_rows", "unrated_units"),
        "written_off",
        *("at_cost_usd", "fee_usd"),
        *COUNTS,
    ),
    "closed_periods": (
        *("account_id", "sandbox", "invoice_id", "number", "store_id", "seq", "position"),
        *("hash", "issued_at", "period_start", "period_end", "cutoff", "first_wins"),
    ),
    "dead_letters": (
        *("store_id", "seq", "hash", "account_id", "topic", "recorded_at", "error", "resolved"),
    ),
    "conflicts": (*("store_id", "seq", "hash", "event_id", "account_id", "topic", "recorded_at"),),
}

Cells = tuple[object, ...]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = 2**64 - 1


def micros(instant: str | datetime) -> int:
    """Microseconds since 1970, as instants travel to and from the store. Exact."""
    if isinstance(instant, str):
        instant = datetime.fromisoformat(instant)
    since = instant - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def instant_of(since: int) -> str:
    """The instant of so many microseconds since 1970: the other way round. Exact."""
    return instant_text(_EPOCH + timedelta(microseconds=since))


def columns(table: str, rows: Sequence[Cells]) -> Columns:
    """Rows turned by a quarter, as the store wants them."""
    return Columns(COLUMNS[table], tuple(zip(*rows, strict=True)))


class Place(NamedTuple):
    """Where an event stands; as a tuple, its row in log_lines."""

    store_id: str
    seq: int
    position: int
    """seq, counted on through the stores that the log continues."""
    hash: bytes
    event_id: bytes
    """The 16 bytes of the UUID."""
    originator_id: UUID
    originator_version: int
    topic: str
    account_id: str
    recorded_at: int

    @classmethod
    def of(cls, recorded: Recorded, *, base: int = 0) -> Place:
        """`base` is the number of events in the stores before this one."""
        return cls(
            recorded.store_id,
            recorded.seq,
            base + recorded.seq,
            bytes.fromhex(recorded.hash),
            event_id_bytes(recorded.originator_id, recorded.originator_version),
            recorded.originator_id,
            recorded.originator_version,
            recorded.topic,
            recorded.account_id or "",
            micros(recorded.recorded_at),
        )


def dead_letter(place: Place, *, error: str, resolved: bool = False) -> Cells:
    """An event that could not be turned into rows."""
    return (
        place.store_id,
        place.seq,
        place.hash,
        place.account_id,
        place.topic,
        place.recorded_at,
        error[:500],
        int(resolved),
    )


def conflict(place: Place) -> Cells:
    """A second payload."""
    return (
        place.store_id,
        place.seq,
        place.hash,
        place.event_id,
        place.account_id,
        place.topic,
        place.recorded_at,
    )


def closed_period_row(place: Place, issued: InvoiceIssued, *, cutoff: int) -> Cells:
    """A period that an invoice closed; the cutoff as a position."""
    return (
        issued.account_id,
        issued.sandbox,
        issued.invoice_id,
        issued.number,
        place.store_id,
        place.seq,
        place.position,
        place.hash,
        place.recorded_at,
        micros(issued.start),
        micros(issued.end),
        cutoff,
        _LAST - place.position,
    )


class RequestState(NamedTuple):
    """What a request's events have led to, as of one of them."""

    routed: RequestRouted
    routed_at: str
    book: str
    """The effective book: the latest re-rating's, else the one pinned when it was routed."""
    terminal_at: str = ""
    used: UsageEvent | None = None
    """The effective usage: that of the highest version that carries any."""
    failed: RequestFailed | None = None
    written_off: bool = False
    """No price came in time for what has none; better counts would be another chance."""

    @classmethod
    def began(cls, routed: RequestRouted, recorded_at: str) -> RequestState:
        """As of version 1."""
        return cls(routed, recorded_at, routed.price_book)

    def after(self, event: Event, recorded_at: str) -> RequestState:
        """As of the next version."""
        terminal_at = self.terminal_at or recorded_at
        if isinstance(event, UsageReported | UsageEstimated | UsageCorrected):
            return self._replace(
                used=event, failed=None, written_off=False, terminal_at=terminal_at
            )
        if isinstance(event, RequestFailed):
            return self._replace(failed=event, terminal_at=terminal_at)
        if isinstance(event, UsageRerated):
            written_off = event.reason == WRITTEN_OFF
            return self._replace(
                book=event.price_book, written_off=written_off, terminal_at=terminal_at
            )
        raise BadValue(f"{type(event).__name__} is not an event of a running request")

    def rated(self, books: Books) -> RatedRequest | None:
        """The price of the effective usage by the effective book; None when nothing was used."""
        if self.used is None:
            return None
        return rate_request(self.routed, self.used, books.open(self.book))


def request_rows(
    place: Place, before: RequestState | None, now: RequestState, books: Books
) -> list[Cells]:
    """The state after an event, and, if there was one before, the row that takes it back."""
    rows = [_line(place, 1, now, now.rated(books))]
    if before is not None:
        rows.append(_line(place, -1, before, before.rated(books)))
    return rows


def _line(place: Place, sign: int, state: RequestState, rated: RatedRequest | None) -> Cells:
    routed = state.routed
    identity = (
        routed.account_id,
        place.event_id,
        sign,
        place.originator_id,
        place.originator_version,
        place.topic,
        place.store_id,
        place.seq,
        place.position,
        place.hash,
        place.recorded_at,
        micros(state.terminal_at),
        micros(state.routed_at),
        routed.sandbox,
        routed.owner,
        routed.api_key_id,
        routed.credential_id,
        routed.provider,
        routed.api,
        routed.requested_model,
        routed.tags,
        routed.attempt_of or "",
        routed.stream,
        routed.account_version,
        micros(routed.price_at),
        _LAST - place.position,
    )
    if rated is None or state.used is None:
        return identity + _failed(state)
    return identity + _used(state, state.used, rated)


def _used(state: RequestState, used: UsageEvent, rated: RatedRequest) -> Cells:
    reference = rated.rating.reference
    return (
        "settled",
        "",
        used.finish_reason or "",
        used.delivered,
        used.first_byte_ms,
        used.total_ms,
        used.tries,
        rated.model,
        rated.status,
        rated.usage_source,
        rated.price_book,
        text_of(rated.markup_rate),
        reference.rule if reference else "",
        reference.provider if reference else "",
        reference.model if reference else "",
        list(reference.price_rows) if reference else [],
        list(rated.rating.unrated_units),
        state.written_off,
        None if rated.at_cost is None else rated.at_cost.usd,
        None if rated.fee is None else rated.fee.usd,
        *map(used.usage.get, COUNTS),
    )


def _failed(state: RequestState) -> Cells:
    failed = state.failed
    return (
        "failed",
        failed.failure if failed else "",
        "",
        "none",
        None,
        failed.total_ms if failed else None,
        failed.tries if failed else 1,
        state.routed.upstream_model,
        "failed",
        "none",
        state.book,
        state.routed.markup_rate,
        "",
        "",
        "",
        [],
        [],
        False,
        # What it cost at the provider is unknown, unless that refused it.
        ZERO.usd if failed and generated_nothing(failed) else None,
        ZERO.usd,
        *[None] * len(COUNTS),
    )


def fold(events: Iterable[tuple[Recorded, Event]]) -> RequestState | None:
    """The state that a request's events lead to; None without any."""
    state: RequestState | None = None
    for recorded, event in events:
        if isinstance(event, RequestRouted):
            state = RequestState.began(event, recorded.recorded_at)
        elif state is not None:
            state = state.after(event, recorded.recorded_at)
    return state
