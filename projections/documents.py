"""Invoices as JSON, CSV and PDF. The same event gives the same bytes, whenever and wherever."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from typing import Final, Literal

import orjson

from domain.clock import instant_text
from domain.events.base import JsonObject
from domain.invoice import Period, Status
from domain.invoice_series import InvoiceIssued
from pricing.invoice import COUNTS, Bill
from projections.invoice_pdf import invoice_pdf

Form = Literal["json", "csv", "pdf"]

_LINE_FIELDS: Final = (
    *("kind", "service_period", "adjusts", "provider", "model"),
    *("reference_provider", "reference_model", "rule", "usage_source", "markup_rate"),
    *("price_rows", "requests", *COUNTS, "at_cost_usd", "fee_usd", "amount"),
)
_FIGURES: Final = (*("fee_usd_exact", "carried_in", "carried_out", "subtotal", "tax", "total"),)


def issued_document(event: InvoiceIssued, *, issued_at: str, status: Status) -> JsonObject:
    """An issued invoice as API.md 5 shows it."""
    return {
        "id": event.invoice_id,
        "number": event.number,
        "account_id": event.account_id,
        "status": status,
        "sandbox": event.sandbox,
        "period": {"start": event.start, "end": event.end},
        "currency": event.currency,
        "lines": event.lines,
        **{name: getattr(event, name) for name in _FIGURES},
        "tax_rate": event.tax_rate,
        "tax_note": event.tax_note,
        "cutoff": event.cutoff,
        "price_books": event.price_books,
        "merkle": event.merkle,
        "issued_at": issued_at,
    }


def draft_document(
    bill: Bill,
    *,
    account_id: str,
    sandbox: bool,
    period: Period,
    currency: str,
    tax_rate: str,
    tax_note: str,
    cutoff: dict[str, int],
    books: list[str],
) -> JsonObject:
    """What closing now would give: the same figures, but no id, number or seal."""
    return {
        "id": None,
        "number": None,
        "account_id": account_id,
        "status": "draft",
        "sandbox": sandbox,
        "period": {"start": instant_text(period.start), "end": instant_text(period.end)},
        "currency": currency,
        **bill.as_json(),
        "tax_rate": tax_rate,
        "tax_note": tax_note,
        "cutoff": cutoff,
        "price_books": books,
        "merkle": None,
        "issued_at": None,
    }


def json_bytes(document: JsonObject) -> bytes:
    """Readable JSON, one value per line, with a line feed at the end."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def csv_text(document: JsonObject) -> str:
    """The lines as CSV, one record each; the figures of the whole in records of their own.

    The first column says what a record is: `line`, or the name of a figure whose amount stands in
    the last column.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["record", "number", "currency", *_LINE_FIELDS])
    head = [document["number"] or "", document["currency"]]
    for line in document["lines"]:
        writer.writerow(["line", *head, *(_cell(line.get(name)) for name in _LINE_FIELDS)])
    for name in _FIGURES:
        blank = [""] * (len(_LINE_FIELDS) - 1)
        writer.writerow([name, *head, *blank, document[name]])
    return out.getvalue()


FORMS: Final[Mapping[Form, tuple[str, Callable[[JsonObject], bytes]]]] = {
    "json": ("application/json", json_bytes),
    "csv": ("text/csv; charset=utf-8", lambda document: csv_text(document).encode()),
    "pdf": ("application/pdf", invoice_pdf),
}
"""Each form of an issued invoice: its media type, and what makes it."""


def _cell(value: object) -> object:
    if value is None:
        return ""
    return " ".join(value) if isinstance(value, list) else value
