"""Invoices, issued and drafted: `/api/v1/invoices` (API.md 5)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Response

from api.auth import REPORT_READERS, Access, Caller
from api.routes.report_schemas import Invoice, InvoiceList
from api.routes.schemas import ERRORS
from domain.clock import Clock
from domain.errors import BadValue
from domain.events.base import JsonObject
from domain.invoice import Period, parse_period
from projections.documents import FORMS, Form
from projections.invoicing import Invoices

LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1000
_Text = Annotated[str | None, Query(max_length=100)]


@dataclass(frozen=True, kw_only=True)
class InvoiceRoutes:
    """What the routes need."""

    access: Access
    invoices: Callable[[], Invoices]
    """Raises ProjectionUnavailable while the projections are not open."""
    clock: Clock
    grace_s: float
    """How long a period must be over before it may be closed."""

    def shown(self, caller: Caller, invoice_id: str) -> JsonObject:
        """One issued invoice. Raises InvoiceNotFound, also when the caller may not know of it."""
        own = None if caller.sees_all_accounts else caller.account_id
        return self.invoices().show(invoice_id, account_id=own)

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

    return routes
