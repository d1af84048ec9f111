"""What waits for somebody: calls without a price, and events that could not be read."""

# No `from __future__ import annotations` here: FastAPI has to see what `router` closes over.

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api.web.operations import Operations
from api.web.pages import Pages, page_route
from domain.ids import public_id
from projections.queries.dead_letters import DeadLetter, open_dead_letters
from projections.queries.health import conflicts
from projections.queries.unrated import unrated_count, waiting_calls, waiting_models

SHOWN_MAX: Final = 100
_Text = Annotated[str, Query(max_length=300)]


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter beside the call that it belongs to."""

    letter: DeadLetter
    request_id: str | None


def router(pages: Pages, operations: Operations) -> APIRouter:
    """The routes of this file."""
    routes = APIRouter(route_class=page_route(pages), include_in_schema=False)
    usage, desk = operations.usage, operations.desk

    @routes.get("/operator/unrated")
    def unrated(
        request: Request,
        provider: _Text = "",
        model: _Text = "",
        page: Annotated[int, Query(ge=1, le=10_000)] = 1,
    ) -> Response:
        """By model, because a row settles a model; and the calls, the oldest first."""
        session = pages.visitor(request, "operator")
        store = usage.projected().store
        calls = waiting_calls(
            store,
            provider=provider or None,
            model=model or None,
            limit=SHOWN_MAX + 1,
            offset=(page - 1) * SHOWN_MAX,
        )
        return pages.show(
            request,
            "operator/unrated.html",
            session,
            title="Calls without a price",
            count=unrated_count(store),
            models=waiting_models(store, limit=SHOWN_MAX),
            calls=calls[:SHOWN_MAX],
            more=len(calls) > SHOWN_MAX,
            provider=provider,
            model=model,
            page=page,
            days=desk.unrated_days,
        )

    @routes.get("/operator/dead-letters")
    def dead_letters(request: Request) -> Response:
        """Events that are in the log but in no table."""
        session = pages.visitor(request, "operator")
        store = usage.projected().store
        return pages.show(
            request,
            "operator/dead_letters.html",
            session,
            title="Dead letters",
            letters=_with_calls(open_dead_letters(store, limit=SHOWN_MAX)),
            shown_max=SHOWN_MAX,
            conflicts=conflicts(store),
        )

    return routes


def _with_calls(letters: Sequence[DeadLetter]) -> Sequence[Letter]:
    return [
        Letter(
            each,
            public_id("req", each.originator_id)
            if each.originator_id is not None and each.topic.startswith("request.")
            else None,
        )
        for each in letters
    ]
