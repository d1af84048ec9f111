"""Calls: the list, newest first, and the whole life of one."""

# No `from __future__ import annotations` here: FastAPI has to see what `router` closes over.

from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.auth import REPORT_READERS, Caller
from api.routes.usage import UsageRoutes
from api.web.choices import Choices
from api.web.life import life
from api.web.names import Names
from api.web.operations import Operations
from api.web.pages import Pages, page_route
from api.web.usage import OPTIONS, place_of, still, unchanged
from domain.events.base import JsonObject
from domain.ids import public_id
from projections.queries.filters import Filters
from projections.queries.one_request import open_requests
from projections.queries.requests import RequestsQuestion, request_list
from projections.trail import request_state

LIMIT: Final = 50
"""Calls of a page."""
LIMIT_SHORT: Final = 10
READERS: Final = ("caller", *REPORT_READERS)


class CallPages:
    """What the routes of this file share."""

    def __init__(self, usage: UsageRoutes, names: Names) -> None:
        self.usage = usage
        self.names = names

    def choices(self, request: Request) -> Choices:
        """What the address asks."""
        return Choices.of(request.query_params, self.usage.clock.now())

    def reach(self, caller: Caller, choices: Choices) -> Filters:
        """What is listed. Raises ApiError 404 for an account of others."""
        return self.usage.reach(caller, choices.filters, choices["account"] or None)

    def part(
        self, caller: Caller, choices: Choices, after: str | None, limit: int
    ) -> dict[str, Any]:
        """A page of the list, as the JSON route gives it, and before the newest what is running.

        Raises ApiError 404 and 503, and BadValue for a cursor that is none.
        """
        question = RequestsQuestion(
            start=choices.start,
            end=choices.end,
            filters=self.reach(caller, choices),
            after=after,
            limit=limit,
        )
        projected = self.usage.projected()
        as_of = projected.reached()
        return {
            "listed": request_list(projected.store, question, as_of=as_of),
            "place": place_of(as_of),
            "running": [] if after else self.running(caller, choices),
            "after": after,
            "paged": limit == LIMIT,
        }

    def running(self, caller: Caller, choices: Choices) -> list[JsonObject]:
        """Calls that nothing has ended, as far as the newest events tell; none under a filter."""
        if choices.end <= self.usage.clock.now() or choices.is_filtered:
            return []
        reach = self.usage.reach(caller, Filters(), choices["account"] or None)
        projected = self.usage.projected()
        found = []
        for request in open_requests(projected.store, reach.account, as_of=projected.reached()):
            state = request_state(self.usage.log.stream(request))
            if (
                state is None
                or state.terminal_at
                or reach.api_key not in {None, state.routed.api_key_id}
            ):
                continue
            found.append(
                {
                    "request_id": public_id("req", request),
                    "provider": state.routed.provider,
                    "model": state.routed.requested_model,
                    "tags": state.routed.tags,
                    "sandbox": state.routed.sandbox,
                    "routed_at": state.routed_at,
                }
            )
        return found


def router(pages: Pages, operations: Operations) -> APIRouter:
    """The routes of this file."""
    routes = APIRouter(route_class=page_route(pages), include_in_schema=False)
    calls = CallPages(operations.usage, Names(operations.provider_keys))

    @routes.get("/calls")
    def page(request: Request) -> Response:
        """A page of the list with its filters; of the newest part the frame, unless asked whole."""
        session, choices = pages.visitor(request, *READERS), calls.choices(request)
        after = request.query_params.get("after") or None
        part: dict[str, Any] = {"listed": None, "after": after}
        if not choices.problems:
            calls.reach(session.caller, choices)
            if after or "whole" in request.query_params:
                part = calls.part(session.caller, choices, after, LIMIT)
        return pages.show(
            request,
            "call/calls.html",
            session,
            status=400 if choices.problems else 200,
            title="Calls",
            choices=choices,
            offered=calls.names.choices(session.caller, choices["account"] or None),
            options=OPTIONS,
            **part,
        )

    @routes.get("/calls/rows")
    def rows(request: Request) -> Response:
        """The newest calls, or nothing while the page has them."""
        session, choices = pages.visitor(request, *READERS), calls.choices(request)
        if "hx-request" not in request.headers or choices.problems:
            return pages.go(request, f"/calls?{choices.query()}&whole=1")
        if still(request, calls.usage):
            return unchanged()
        limit = LIMIT_SHORT if "limit" in request.query_params else LIMIT
        part = calls.part(session.caller, choices, None, limit)
        return pages.show(
            request,
            "call/rows.html",
            session,
            title="Calls",
            choices=choices,
            options=OPTIONS,
            **part,
        )

    @routes.get("/calls/{request_id}")
    def call(request: Request, request_id: str) -> Response:
        """One call: from the log, so it is there at once."""
        session = pages.visitor(request)
        return pages.show(
            request,
            "call/call.html",
            session,
            title="Call",
            call=life(calls.usage, session.caller, request_id, calls.names),
        )

    return routes
