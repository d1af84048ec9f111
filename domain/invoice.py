"""An invoice after it was issued: paid or voided. What it says never changes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Literal
from uuid import UUID

from domain.clock import instant_text, parse_instant
from domain.errors import BadValue, DomainError
from domain.events.base import PlainEvent
from domain.ids import derived_id

Status = Literal["draft", "open", "paid", "void"]


class InvoiceNotFound(DomainError):
    """There is no such invoice."""


class InvoiceSettled(DomainError):
    """The invoice was paid or voided before; it cannot become the other."""


@dataclass(frozen=True, kw_only=True)
class InvoicePaid(PlainEvent):
    """The money arrived."""

    TOPIC: ClassVar[str] = "invoice.paid"

    reference: str = ""


@dataclass(frozen=True, kw_only=True)
class InvoiceVoided(PlainEvent):
    """The document holds no longer. Its period stays closed, its number stays taken."""

    TOPIC: ClassVar[str] = "invoice.voided"

    reason: str


@dataclass(frozen=True, slots=True)
class Period:
    """Half-open, UTC: a terminal event recorded at `end` is in the next one."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if not self.start < self.end:
            raise BadValue("a period ends after it starts", param="period")

    def overlaps(self, other: Period) -> bool:
        """Whether an instant is in both."""
        return self.start < other.end and other.start < self.end

    def __str__(self) -> str:
        return f"{instant_text(self.start)}/{instant_text(self.end)}"


def month_of(instant: datetime) -> Period:
    """The month (UTC) that an instant is in."""
    year, month = instant.year, instant.month
    later = (year + month // 12, month % 12 + 1)
    return Period(datetime(year, month, 1, tzinfo=UTC), datetime(*later, 1, tzinfo=UTC))


def invoice_stream(account_id: str, period: Period, *, sandbox: bool) -> UUID:
    """Derived, so that closing a period twice is recognised."""
    kind = "sandbox" if sandbox else "real"
    return derived_id(
        "invoice", account_id, kind, instant_text(period.start), instant_text(period.end)
    )


def status_of(events: Sequence[PlainEvent]) -> Status:
    """Where the invoice's own events have led."""
    for event in events:
        if isinstance(event, InvoicePaid):
            return "paid"
        if isinstance(event, InvoiceVoided):
            return "void"
    return "open"


def pay(invoice: UUID, events: Sequence[PlainEvent], *, reference: str = "") -> InvoicePaid:
    """The event that marks an open invoice as paid. Raises InvoiceSettled."""
    _check_open(events)
    return InvoicePaid(
        originator_id=invoice, originator_version=len(events) + 1, reference=reference
    )


def void(invoice: UUID, events: Sequence[PlainEvent], *, reason: str) -> InvoiceVoided:
    """The event that voids an open invoice. Raises InvoiceSettled."""
    _check_open(events)
    if not reason:
        raise BadValue("an invoice is voided for a reason", param="reason")
    return InvoiceVoided(originator_id=invoice, originator_version=len(events) + 1, reason=reason)


def _check_open(events: Sequence[PlainEvent]) -> None:
    status = status_of(events)
    if status != "open":
        raise InvoiceSettled(f"the invoice is {status}")


def parse_period(text: str) -> Period:
    """Read `2026-11` (a month, UTC) or `START/END` (RFC 3339 instants or days, half-open)."""
    match = re.fullmatch(r"(\d{4})-(0[1-9]|1[0-2])", text)
    if match:
        try:
            return month_of(datetime(int(match[1]), int(match[2]), 1, tzinfo=UTC))
        except ValueError:
            raise BadValue("period is out of range", param="period") from None
    start, slash, end = text.partition("/")
    if not slash:
        raise BadValue("period is YYYY-MM or START/END", param="period")
    return Period(parse_instant(start, param="period"), parse_instant(end, param="period"))
