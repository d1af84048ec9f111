"""Credit notes as JSON, CSV and PDF. The same event gives the same bytes, whenever and wherever."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from domain.events.base import JsonObject
from domain.invoice import InvoiceNotFound
from domain.invoice_register import CreditNote, InvoiceRegister
from projections.documents import Form, json_bytes
from projections.invoice_words import cents, instant_words, percent
from projections.paper import ACCENT, BOLD, LEFT, RIGHT, SOFT, Sheet, printed

_FIGURES: Final = ("subtotal", "tax", "total")
_COLUMNS: Final = (
    *("line", "kind", "service_period", "adjusts", "provider", "model", "billed", "amount"),
)


class CreditNotes:
    """Reads credit notes for the API, the pages and the commands."""

    def __init__(self, register: InvoiceRegister) -> None:
        self._register = register

    def of(self, invoice: str, *, account_id: str | None = None) -> Sequence[JsonObject]:
        """Those on an invoice (its id or number), oldest first.

        Raises InvoiceNotFound, also when it is of another account.
        """
        self._register.catch_up()
        known = self._register.get(invoice)
        if account_id not in {None, known.account_id}:
            raise InvoiceNotFound("there is no such invoice")
        return [self._document(note) for note in self._register.credit_notes(known.invoice_id)]

    def show(self, number: str, *, account_id: str | None = None) -> JsonObject:
        """One of them. Raises InvoiceNotFound, also when it is of another account."""
        self._register.catch_up()
        note = self._register.credit_note(number)
        if account_id not in {None, note.event.account_id}:
            raise InvoiceNotFound("there is no such credit note")
        return self._document(note)

    def _document(self, note: CreditNote) -> JsonObject:
        """As the API shows it; amounts are what is given back, so they are positive."""
        event = note.event
        return {
            "number": event.number,
            "invoice_id": event.invoice_id,
            "invoice_number": self._register.get(event.invoice_id).number,
            "account_id": event.account_id,
            "sandbox": event.sandbox,
            "currency": event.currency,
            "reason": event.reason,
            "lines": event.lines,
            **{name: getattr(event, name) for name in _FIGURES},
            "tax_rate": event.tax_rate,
            "issued_at": note.issued_at,
        }


def _csv(document: JsonObject) -> bytes:
    """Its lines, one record each; the figures of the whole in records of their own."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["record", "number", "invoice", "currency", *_COLUMNS])
    head = [document["number"], document["invoice_number"], document["currency"]]
    for line in document["lines"]:
        writer.writerow(["line", *head, *(line.get(name, "") for name in _COLUMNS)])
    for name in _FIGURES:
        writer.writerow([name, *head, *[""] * (len(_COLUMNS) - 1), document[name]])
    return out.getvalue().encode()


def _pdf(document: JsonObject) -> bytes:
    return printed(lambda pages: _Note(document, pages=pages).written())


class _Note(Sheet):
    def __init__(self, document: JsonObject, *, pages: int) -> None:
        super().__init__(
            title=f"Credit note {document['number']}",
            subject=f"{document['account_id']} {document['invoice_number']}",
            issued_at=document["issued_at"],
            foot=f"{document['number']} · {document['account_id']}",
            pages=pages,
        )
        self._document = document

    def written(self) -> tuple[bytes, int]:
        """The file, and how many pages it has."""
        document = self._document
        self.at(LEFT, "Credit note", size=20, font=BOLD)
        self.ends(RIGHT, str(document["number"]), size=16, font=BOLD)
        self.down(14)
        if document["sandbox"]:
            self.down(8)
            self.at(LEFT, "SANDBOX: nothing was owed.", size=9, font=BOLD, color=ACCENT)
            self.down(6)
        self.rule()
        self.down(14)
        facts = {
            "Account": document["account_id"],
            "Invoice": f"{document['invoice_number']} ({document['invoice_id']})",
            "Issued": f"{instant_words(document['issued_at'])} UTC",
            "Currency": document["currency"],
            "Reason": document["reason"],
        }
        for name, value in facts.items():
            self.fact(name, str(value))
        self.down(8)
        self._lines()
        self._figures()
        return self.finished()

    def _lines(self) -> None:
        self.band()
        self.at(LEFT, "Line of the invoice", size=7, font=BOLD, color=SOFT)
        self.ends(460, "Billed", size=7, font=BOLD, color=SOFT)
        self.ends(RIGHT, "Given back", size=7, font=BOLD, color=SOFT)
        self.down(17)
        for line in self._document["lines"]:
            self.room(14)
            self.ends(460, cents(line["billed"]), size=8)
            self.ends(RIGHT, cents(line["amount"]), size=8)
            self.text(f"{line['line']}. {line['provider']}: {line['model']}", size=8, width=350)
            self.down(3)
        self.rule()
        self.down(14)

    def _figures(self) -> None:
        document = self._document
        figures = (
            ("Subtotal", document["subtotal"]),
            (f"Tax, {percent(document['tax_rate'])}", document["tax"]),
            (f"Total given back, {document['currency']}", document["total"]),
        )
        self.room(14 * len(figures))
        for name, value in figures:
            self.at(300, name, size=9, font=BOLD)
            self.ends(RIGHT, cents(value), size=9, font=BOLD)
            self.down(14)


CREDIT_NOTE_FORMS: Final[Mapping[Form, tuple[str, Callable[[JsonObject], bytes]]]] = {
    "json": ("application/json", json_bytes),
    "csv": ("text/csv; charset=utf-8", _csv),
    "pdf": ("application/pdf", _pdf),
}
"""Each form of a credit note: its media type, and what makes it."""
