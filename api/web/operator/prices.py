"""The price book: what is in force, why a model costs what it costs, and what changed."""

# No `from __future__ import annotations` here: FastAPI has to see what `router` closes over.

import asyncio
from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api.providers.catalogue import PROVIDERS
from api.web.forms import Refused, repeated
from api.web.operations import Operations
from api.web.operator.price_answers import (
    PRICE_FIELDS,
    PriceAnswers,
    Question,
    row_of_fields,
)
from api.web.pages import Pages, page_route, wants_part
from api.web.session import Session
from domain.errors import DomainError
from pricing.additions import read_entries
from pricing.explain import LOST
from pricing.row import CONDITIONS

_PATH = "/operator/prices"
_FIELDS = ("provider", "model", *PRICE_FIELDS, "effective_from")
_Text = Annotated[str, Query(max_length=300)]


def router(pages: Pages, operations: Operations) -> APIRouter:
    """The routes of this file."""
    routes = APIRouter(route_class=page_route(pages), include_in_schema=False)
    desk = _Prices(pages, operations)

    @routes.get(_PATH)
    def prices(
        request: Request, q: _Text = "", provider: _Text = "", model: _Text = ""
    ) -> Response:
        """The book in force, and a search; `provider` and `model` fill the form for a price."""
        session = pages.visitor(request, "operator")
        prefilled = {"provider": provider, "model": model}
        return desk.book(request, session, search=q, prefilled=prefilled)

    @routes.post(_PATH)
    async def add(request: Request) -> Response:
        """Rows of the operator's own come into force."""
        session, fields = await pages.form(request, "operator")
        return await asyncio.to_thread(desk.add, request, session, fields)

    @routes.get(_PATH + "/model")
    def model(
        request: Request,
        *,
        provider: _Text = "",
        model: _Text = "",
        at: _Text = "",
        book: _Text = "",
        usage: Annotated[str, Query(max_length=2_000)] = "",
        context: Annotated[str, Query(max_length=2_000)] = "",
    ) -> Response:
        """What `keytoll prices explain` says of a model."""
        question = Question(
            provider=provider, model=model, at=at, book=book, usage=usage, context=context
        )
        return desk.model(request, pages.visitor(request, "operator"), question)

    @routes.get(_PATH + "/compare")
    def compare(
        request: Request,
        old: _Text = "",
        new: _Text = "",
        at: _Text = "",
        period: _Text = "",
    ) -> Response:
        """What `keytoll prices diff` says of two books."""
        session = pages.visitor(request, "operator")
        wanted = {"old": old, "new": new, "at": at, "period": period}
        return desk.compare(request, session, wanted)

    return routes


class _Prices:
    """Asks, and shows what is answered. Blocks."""

    def __init__(self, pages: Pages, operations: Operations) -> None:
        self._pages = pages
        self._answers = PriceAnswers(operations)
        self._desk = operations.desk

    def book(
        self,
        request: Request,
        session: Session,
        *,
        search: str = "",
        prefilled: Mapping[str, str],
        refused: Refused | None = None,
        said: str = "",
    ) -> Response:
        """The book in force."""
        answers = self._answers
        return self._pages.show(
            request,
            "operator/prices.html",
            session,
            status=refused.status if refused else 200,
            title="Prices",
            book=answers.current,
            counts=answers.current.counts(),
            providers=PROVIDERS,
            search=search,
            found=answers.search(search) if search.strip() else None,
            added=answers.added(),
            published=tuple(reversed(self._desk.published.all())),
            price_fields=PRICE_FIELDS,
            prefilled=prefilled,
            refused=refused or Refused(),
            said=said,
        )

    def add(self, request: Request, session: Session, fields: Mapping[str, str]) -> Response:
        """Take one row from the fields of a form, or many as JSON lines."""
        form = "lines" if "lines" in fields else "row"
        try:
            given = (
                read_entries(fields["lines"].encode(), what="lines")
                if form == "lines"
                else [row_of_fields(fields)]
            )
            added = self._desk.add_prices(given)
        except DomainError as error:
            typed = {**repeated(fields, _FIELDS), "lines": fields.get("lines", "")}
            refused = Refused.of(error, form, typed)
            return self.book(request, session, prefilled={}, refused=refused)
        if not wants_part(request):
            return self._pages.go(request, _PATH)
        count = f"{len(added)} {'entry' if len(added) == 1 else 'entries'}"
        said = (
            f"Added: {count}. Calls that waited for a price are rated within a minute."
            if added
            else "Nothing to add: the book in force says all of it already."
        )
        return self.book(request, session, prefilled={}, said=said)

    def model(self, request: Request, session: Session, question: Question) -> Response:
        """One model's rows, and what a call costs by them."""
        answer, refused = None, None
        try:
            answer = self._answers.explained(question)
        except DomainError as error:
            refused = Refused.of(error, "explain", question.typed())
        return self._pages.show(
            request,
            "operator/model.html",
            session,
            status=refused.status if refused else 200,
            title=question.model or "Why a model costs what it costs",
            question=question,
            answer=answer,
            providers=PROVIDERS,
            lost=LOST,
            conditions=CONDITIONS,
            refused=refused or Refused(),
        )

    def compare(self, request: Request, session: Session, wanted: Mapping[str, str]) -> Response:
        """Two books, side by side."""
        answer, refused = None, None
        try:
            answer = self._answers.compared(wanted) if wanted["old"] or wanted["new"] else None
        except DomainError as error:
            refused = Refused.of(error, "compare", wanted)
        return self._pages.show(
            request,
            "operator/compare.html",
            session,
            status=refused.status if refused else 200,
            title="Compare two price books",
            wanted=wanted,
            answer=answer,
            published=tuple(reversed(self._desk.published.all())),
            current=self._answers.current,
            refused=refused or Refused(),
        )
