"""The forms of an issued invoice: it was paid, it is void, some of it is given back."""

# No `from __future__ import annotations` here: FastAPI has to see what `router` closes over.

import asyncio
from collections.abc import Mapping
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.auth import REPORT_READERS
from api.errors import ApiError, api_error
from api.routes.invoices import WRITERS, InvoiceRoutes
from api.routes.report_schemas import NewCreditNote, Payment, Voiding
from api.routes.schemas import built
from api.web.forms import Refused, repeated
from api.web.invoices import InvoicePages
from api.web.names import Names
from api.web.operations import Operations
from api.web.pages import HEADERS, Pages, page_route, wants_part
from domain.errors import DomainError
from projections.documents import Form

SAID: Final[Mapping[str, str]] = {
    "pay": "The invoice is marked as paid.",
    "void": "The invoice is void.",
    "credit": "The credit note is issued.",
}
"""Form → what the page says once it is done."""


def router(pages: Pages, operations: Operations) -> APIRouter:
    """The routes of this file."""
    routes = APIRouter(prefix="/invoices", route_class=page_route(pages), include_in_schema=False)
    desk = InvoicePages(operations.invoices, Names(operations.provider_keys), pages)

    @routes.get("/credit-notes/{number}/file.{form}")
    def credit_note(request: Request, number: str, form: Form) -> Response:
        """A credit note to save: the bytes that the API gives."""
        session = pages.visitor(request, *REPORT_READERS)
        answer = desk.invoices.credit_file(session.caller, number, form)
        answer.headers.update(HEADERS)
        return answer

    @routes.post("/{invoice_id}/{form}")
    async def settle(request: Request, invoice_id: str, form: str) -> Response:
        """One of the forms."""
        session, fields = await pages.form(request, *WRITERS)
        if form not in SAID:
            raise ApiError(404, "not_found", "There is no such form.")
        try:
            await asyncio.to_thread(_apply, operations.invoices, invoice_id, form, fields)
        except DomainError as error:
            if api_error(error).status == 404:
                raise
            typed = repeated(fields, ("amount", "reason", "reference"))
            refused = Refused.of(error, form, typed)
            return await asyncio.to_thread(desk.one, request, session, invoice_id, refused=refused)
        if wants_part(request):
            return await asyncio.to_thread(
                desk.one, request, session, invoice_id, said=(form, SAID[form])
            )
        return pages.go(request, f"/invoices/{invoice_id}")

    return routes


def _apply(invoices: InvoiceRoutes, invoice_id: str, form: str, fields: Mapping[str, str]) -> None:
    """Do what the JSON route does. Raises what it raises."""
    given = {name: fields.get(name, "").strip() for name in ("amount", "reason", "reference")}
    if form == "pay":
        payment = built(Payment, {"reference": given["reference"]})
        invoices.receivables.pay(invoice_id, reference=payment.reference)
    elif form == "void":
        voiding = built(Voiding, {"reason": given["reason"]})
        invoices.receivables.void(invoice_id, reason=voiding.reason)
    else:
        wanted = {"reason": given["reason"], "amount": given["amount"] or None}
        invoices.credit(invoice_id, built(NewCreditNote, wanted))
