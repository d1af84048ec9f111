"""Invoices: those issued, what the running month would give, and why a close waits."""

# No `from __future__ import annotations` here: FastAPI has to see what `router` closes over.

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.auth import REPORT_READERS, Caller
from api.routes.invoices import WRITERS, InvoiceRoutes
from api.web.forms import Refused
from api.web.names import Names
from api.web.operations import Operations
from api.web.pages import HEADERS, Pages, page_route
from api.web.session import Session
from domain.errors import BadValue
from domain.events.base import JsonObject
from domain.invoice import InvoiceNotFound, Period, parse_period
from domain.invoice_register import PeriodOverlaps
from projections import invoice_words
from projections.closing import Wait
from projections.documents import Form

SHOWN_MAX: Final = 200
"""Invoices in the list; older ones by the account or the period that is asked for."""
TEXT_MAX: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the address asks for, and what is wrong with it."""

    account: str = ""
    period: str = ""
    problems: dict[str, str]

    @classmethod
    def of(cls, request: Request) -> "Asked":
        """Read the query."""
        given = {
            name: request.query_params.get(name, "").strip()[:TEXT_MAX]
            for name in ("account", "period")
        }
        problems = {}
        try:
            _period(given["period"])
        except BadValue:
            problems["period"] = "Enter a month such as 2026-11, or START/END with two days."
        return cls(**given, problems=problems)

    @property
    def within(self) -> Period | None:
        """The period, if one is named."""
        return None if self.problems else _period(self.period)


class InvoicePages:
    """What the routes of this file share."""

    def __init__(self, invoices: InvoiceRoutes, names: Names, pages: Pages) -> None:
        self.invoices = invoices
        self.names = names
        self.pages = pages

    def one(
        self,
        request: Request,
        session: Session,
        invoice_id: str,
        *,
        refused: Refused | None = None,
        said: tuple[str, str] = ("", ""),
    ) -> Response:
        """An issued invoice and its credit notes; `said` is a form and what came of it. Blocks."""
        caller = session.caller
        document = self.invoices.shown(caller, invoice_id)
        return self.pages.show(
            request,
            "invoices/invoice.html",
            session,
            status=refused.status if refused else 200,
            title=document["number"],
            words=invoice_words,
            notes=self.invoices.credits(caller, invoice_id),
            may_settle=caller.role in WRITERS,
            refused=refused or Refused(),
            said=said,
            **self.shown(caller, document),
        )

    def reach(self, caller: Caller, asked: Asked) -> str | None:
        """Whose invoices. Raises ApiError 404 for an account that the caller may not know of."""
        return self.invoices.access.reach(caller, asked.account or None)

    def month(self) -> Period:
        """The running one."""
        return parse_period(f"{self.invoices.clock.now():%Y-%m}")

    def drafts(self, caller: Caller, asked: Asked) -> Sequence[JsonObject]:
        """What closing now would give. Raises PeriodOverlaps."""
        reader, whose = self.invoices.invoices(), self.reach(caller, asked)
        if asked.within is None:
            return reader.running(self.month(), account_id=whose)
        return reader.drafts(asked.within, account_id=whose)

    def waits(self, caller: Caller, asked: Asked) -> Sequence[Wait]:
        """What a close would wait for, as the closer itself says it."""
        return self.invoices.invoices().waits(
            asked.within or self.month(),
            now=self.invoices.clock.now(),
            grace=timedelta(seconds=self.invoices.grace_s),
            account_id=self.reach(caller, asked),
        )

    def shown(self, caller: Caller, document: JsonObject) -> dict[str, Any]:
        """A document with what a page needs beside it."""
        groups = invoice_words.groups_of(document)
        return {
            "document": document,
            "groups": groups,
            "account": self.names.account(document["account_id"]),
            "adjusted": {
                group.adjusts: self._number(caller, group.adjusts)
                for group in groups
                if group.adjusts is not None
            },
        }

    def accounts(self, caller: Caller) -> dict[str, str]:
        """Those to choose from; none for who has only one."""
        return self.names.choices(caller, None)["account"] if caller.sees_all_accounts else {}

    def _number(self, caller: Caller, invoice_id: str) -> str:
        try:
            return str(self.invoices.shown(caller, invoice_id)["number"])
        except InvoiceNotFound:
            return invoice_id


def router(pages: Pages, operations: Operations) -> APIRouter:
    """The routes of this file."""
    routes = APIRouter(prefix="/invoices", route_class=page_route(pages), include_in_schema=False)
    desk = InvoicePages(operations.invoices, Names(operations.provider_keys), pages)
    _add_list(routes, pages, desk)
    _add_draft(routes, pages, desk)
    _add_document(routes, pages, desk)
    return routes


def _add_list(routes: APIRouter, pages: Pages, desk: InvoicePages) -> None:
    @routes.get("")
    def listed(request: Request) -> Response:
        """Issued invoices, newest first."""
        session = pages.visitor(request, *REPORT_READERS)
        asked = Asked.of(request)
        found: Sequence[JsonObject] = []
        if not asked.problems:
            found = desk.invoices.invoices().list(
                account_id=desk.reach(session.caller, asked), period=asked.within, limit=SHOWN_MAX
            )
        return pages.show(
            request,
            "invoices/list.html",
            session,
            status=400 if asked.problems else 200,
            title="Invoices",
            asked=asked,
            accounts=desk.accounts(session.caller),
            found=found,
            full=len(found) == SHOWN_MAX,
            names=desk.names,
            words=invoice_words,
        )


def _add_draft(routes: APIRouter, pages: Pages, desk: InvoicePages) -> None:
    @routes.get("/draft")
    def draft(request: Request) -> Response:
        """What closing now would give."""
        session = pages.visitor(request, *REPORT_READERS)
        asked = Asked.of(request)
        found: Sequence[JsonObject] = []
        overlap = None
        try:
            found = [] if asked.problems else desk.drafts(session.caller, asked)
        except PeriodOverlaps as error:
            overlap = str(error)
        return pages.show(
            request,
            "invoices/draft.html",
            session,
            status=400 if asked.problems else 200,
            title="Draft",
            asked=asked,
            accounts=desk.accounts(session.caller),
            month=desk.month(),
            overlap=overlap,
            shown=[desk.shown(session.caller, each) for each in found],
            words=invoice_words,
        )

    @routes.get("/draft/waits")
    def waits(request: Request) -> Response:
        """Why a close waits: a part of the page of drafts, because it reads every line's hash."""
        session = pages.visitor(request, *REPORT_READERS)
        asked = Asked.of(request)
        if asked.problems:
            raise BadValue(asked.problems["period"], param="period")
        return pages.show(
            request,
            "invoices/waits.html",
            session,
            title="Why a close waits",
            asked=asked,
            waits=desk.waits(session.caller, asked),
            period=asked.within or desk.month(),
            names=desk.names,
        )


def _add_document(routes: APIRouter, pages: Pages, desk: InvoicePages) -> None:
    @routes.get("/{invoice_id}")
    def one(request: Request, invoice_id: str) -> Response:
        """One issued invoice."""
        return desk.one(request, pages.visitor(request, *REPORT_READERS), invoice_id)

    @routes.get("/{invoice_id}/file.{form}")
    def file(request: Request, invoice_id: str, form: Form) -> Response:
        """One of its forms to save: the bytes that the API gives."""
        session = pages.visitor(request, *REPORT_READERS)
        answer = desk.invoices.file(session.caller, invoice_id, form)
        answer.headers.update(HEADERS)
        return answer


def _period(text: str) -> Period | None:
    return parse_period(text) if text else None
