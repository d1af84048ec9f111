"""Invoice numbers: a series per legal entity and year, whose stream has one event per number.

The version of an event in the series' stream *is* its number, and a version is taken once, so
numbers are 1, 2, 3, … without gap and without double, whoever closes at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final
from uuid import UUID

from domain.errors import BadValue
from domain.events.base import JsonObject, PlainEvent
from domain.ids import derived_id

ENTITY: Final = "KT"
"""The legal entity that issues, as it stands in every number."""
SANDBOX: Final = "SANDBOX"


@dataclass(frozen=True, slots=True)
class Series:
    """One sequence of numbers."""

    entity: str
    year: int

    @property
    def stream(self) -> UUID:
        """The stream whose versions are the numbers."""
        return derived_id("invoice-series", self.entity, str(self.year))

    def number(self, version: int) -> str:
        """`KT-2026-000001`: entity, year of issue, version; as text it sorts as issued."""
        return f"{self.entity}-{self.year}-{version:06d}"


def series_of(*, entity: str = ENTITY, year: int, sandbox: bool) -> Series:
    """Sandbox calls never share an invoice with real ones, so they have a series apart."""
    return Series(SANDBOX if sandbox else entity, year)


@dataclass(frozen=True, kw_only=True)
class InvoiceIssued(PlainEvent):
    """An account's period was closed. Everything that the document says is here, for ever."""

    TOPIC: ClassVar[str] = "invoice.issued"

    invoice_id: str
    number: str
    account_id: str
    sandbox: bool
    start: str
    end: str
    currency: str
    lines: list[JsonObject]
    fee_usd_exact: str
    carried_in: str
    carried_out: str
    subtotal: str
    tax: str
    total: str
    cutoff: dict[str, int]
    """Store → the seq up to which events count; that of the seal the close wrote first."""
    price_books: list[str]
    merkle: dict[str, JsonObject]
    """Store → {size, root} of that seal."""
    tax_rate: str = "0"
    tax_note: str = ""

    def __post_init__(self) -> None:
        _check_number(self.number, self.originator_version)
        if not self.start < self.end:
            raise BadValue("an invoice covers a period that ends after it starts")


@dataclass(frozen=True, kw_only=True)
class CreditNoteIssued(PlainEvent):
    """Money given back on an issued invoice, as a document with a number of its own."""

    TOPIC: ClassVar[str] = "invoice.credit-note-issued"
    class_version: ClassVar[int] = 2

    number: str
    invoice_id: str
    account_id: str
    sandbox: bool
    currency: str
    reason: str
    lines: list[JsonObject]
    """{line: its number on the invoice, billed, amount given back, and what the line is about}."""
    subtotal: str
    tax: str
    total: str
    tax_rate: str

    @staticmethod
    def upcast_v1_v2(state: dict[str, Any]) -> None:
        # No program ever wrote version 1, which said nothing but its lines.
        unsaid = {"account_id": "", "sandbox": False, "currency": "USD", "reason": ""}
        state |= unsaid | dict.fromkeys(("subtotal", "tax", "total", "tax_rate"), "0")

    def __post_init__(self) -> None:
        _check_number(self.number, self.originator_version)


def _check_number(number: str, version: int) -> None:
    if not number.endswith(f"-{version:06d}"):
        raise BadValue("the number of a document is its version in the series' stream")
