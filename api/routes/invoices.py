"""Invoices, issued and drafted: `/api/v1/invoices` (API.md 5)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Response

from api.auth import REPORT_READERS, Access, Caller
from api.routes.report_schemas import (
    CreditNote,
    CreditNoteList,
    Invoice,
    InvoiceList,
    NewCreditNote,
    Payment,
    Voiding,
)
from api.routes.schemas import ERRORS
from domain.clock import Clock
from domain.errors import BadValue
from domain.events.base import JsonObject
from domain.invoice import Period, parse_period
from domain.money import Money
from domain.receivables import Receivables
from projections.credit_notes import CREDIT_NOTE_FORMS, CreditNotes
from projections.documents import FORMS, Form
from projections.invoicing import Invoices

LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1000
WRITERS: Final = ("finance", "operator")
"""Who may say that an invoice was paid, void it or credit it."""
_Text = Annotated[str | None, Query(max_length=100)]


@dataclass(frozen=True, kw_only=True)
class InvoiceRoutes:
    """What the routes need."""

    access: Access
    invoices: Callable[[], Invoices]
    """Raises ProjectionUnavailable while the projections are not open."""
    credit_notes: CreditNotes
    receivables: Receivables
    clock: Clock
    grace_s: float
    """How long a period must be over before it may be closed."""

    def shown(self, caller: Caller, invoice_id: str) -> JsonObject:
        """One issued invoice. Raises InvoiceNotFound, also when the caller may not know of it."""
        own = None if caller.sees_all_accounts else caller.account_id
        return self.invoices().show(invoice_id, account_id=own)

    def credits(self, caller: Caller, invoice_id: str) -> list[JsonObject]:
        """The credit notes on an invoice. Raises InvoiceNotFound."""
        own = None if caller.sees_all_accounts else caller.account_id
        return list(self.credit_notes.of(invoice_id, account_id=own))

    def credit(self, invoice_id: str, body: NewCreditNote) -> JsonObject:
        """Issue a credit note. Raises InvoiceSettled, NothingToCredit, BadValue."""
        if body.amount is not None and body.lines is not None:
            raise BadValue("name an amount or lines, not both", param="amount")
        lines = None
        if body.lines is not None:
            lines = {each.line: Money.parse(each.amount, what="lines") for each in body.lines}
            if len(lines) < len(body.lines):
                raise BadValue("name each line once", param="lines")
        note = self.receivables.credit(
            invoice_id,
            reason=body.reason,
            amount=None if body.amount is None else Money.parse(body.amount),
            amounts=lines,
        )
        return self.credit_notes.show(note.event.number)

    def credit_file(self, caller: Caller, number: str, form: Form) -> Response:
        """A credit note in one of its forms, the same bytes every time."""
        own = None if caller.sees_all_accounts else caller.account_id
        document = self.credit_notes.show(number, account_id=own)
        media_type, made = CREDIT_NOTE_FORMS[form]
        name = f'attachment; filename="{document["number"]}.{form}"'
        return Response(
            made(document), media_type=media_type, headers={"content-disposition": name}
        )

    def file(self, caller: Caller, invoice_id: str, form: Form) -> Response:
        """The same in one of its forms, the same bytes every time; with a name to save it under."""
        document = self.shown(caller, invoice_id)
        media_type, made = FORMS[form]
        name = f'attachment; filename="{document["number"]}.{form}"'
        return Response(
            made(document), media_type=media_type, headers={"content-disposition": name}
        )


def router(routes_of: InvoiceRoutes) -> APIRouter:
    """The routes of this file."""
    routes = APIRouter(prefix="/api/v1/invoices", tags=["invoices"], responses=ERRORS)
    reader = Depends(routes_of.access.allow(*REPORT_READERS))

    @routes.get("", response_model=None, responses={200: {"model": InvoiceList}})
    def invoices(
        caller: Annotated[Caller, reader],
        account: _Text = None,
        period: _Text = None,
        limit: int = LIMIT_DEFAULT,
    ) -> JsonObject:
        """Issued invoices, newest first; with a period, those that lie within it."""
        if not 1 <= limit <= LIMIT_MAX:
            raise BadValue(f"limit must be 1 to {LIMIT_MAX}", param="limit")
        within: Period | None = None if period is None else parse_period(period)
        whose = routes_of.access.reach(caller, account)
        found = routes_of.invoices().list(account_id=whose, period=within, limit=limit)
        return {"invoices": list(found)}

    @routes.get("/draft", response_model=None, responses={200: {"model": InvoiceList}})
    def draft(
        caller: Annotated[Caller, reader],
        period: Annotated[str, Query(max_length=100)],
        account: _Text = None,
    ) -> JsonObject:
        """What closing the period now would give."""
        asked = parse_period(period)
        whose = routes_of.access.reach(caller, account)
        return {"invoices": list(routes_of.invoices().drafts(asked, account_id=whose))}

    @routes.get(
        "/{invoice_id}",
        responses={200: {"model": Invoice, "content": {"text/csv": {}, "application/pdf": {}}}},
    )
    def invoice(
        invoice_id: str,
        caller: Annotated[Caller, reader],
        form: Annotated[Form, Query(alias="format")] = "json",
    ) -> Response:
        """One invoice, the same bytes every time."""
        return routes_of.file(caller, invoice_id, form)

    _add_credit_notes(routes, routes_of)
    _add_settling(routes, routes_of)
    return routes


def _add_credit_notes(routes: APIRouter, routes_of: InvoiceRoutes) -> None:
    reader = Depends(routes_of.access.allow(*REPORT_READERS))
    writer = Depends(routes_of.access.allow(*WRITERS))

    @routes.get(
        "/{invoice_id}/credit-notes",
        response_model=None,
        responses={200: {"model": CreditNoteList}},
    )
    def credit_notes(invoice_id: str, caller: Annotated[Caller, reader]) -> JsonObject:
        """What was given back on an invoice, oldest first."""
        return {"credit_notes": routes_of.credits(caller, invoice_id)}

    @routes.post(
        "/{invoice_id}/credit-notes",
        status_code=201,
        dependencies=[writer],
        response_model=None,
        responses={201: {"model": CreditNote}},
    )
    def credit(invoice_id: str, body: NewCreditNote) -> JsonObject:
        """Give back an amount, amounts of single lines, or all that is left."""
        return routes_of.credit(invoice_id, body)

    @routes.get(
        "/credit-notes/{number}",
        responses={200: {"model": CreditNote, "content": {"text/csv": {}, "application/pdf": {}}}},
    )
    def credit_note(
        number: str,
        caller: Annotated[Caller, reader],
        form: Annotated[Form, Query(alias="format")] = "json",
    ) -> Response:
        """One credit note, the same bytes every time."""
        return routes_of.credit_file(caller, number, form)


def _add_settling(routes: APIRouter, routes_of: InvoiceRoutes) -> None:
    writer = Depends(routes_of.access.allow(*WRITERS))

    @routes.post("/{invoice_id}/pay", response_model=None, responses={200: {"model": Invoice}})
    def pay(invoice_id: str, body: Payment, caller: Annotated[Caller, writer]) -> JsonObject:
        """The money has arrived."""
        routes_of.receivables.pay(invoice_id, reference=body.reference)
        return routes_of.shown(caller, invoice_id)

    @routes.post("/{invoice_id}/void", response_model=None, responses={200: {"model": Invoice}})
    def void(invoice_id: str, body: Voiding, caller: Annotated[Caller, writer]) -> JsonObject:
        """The document holds no longer; its number stays taken, its period closed."""
        routes_of.receivables.void(invoice_id, reason=body.reason)
        return routes_of.shown(caller, invoice_id)
