"""Where a caller begins: the call to copy, and what this API key may do."""

# No `from __future__ import annotations` here: FastAPI has to see what `router` closes over.

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api.web.key_cards import cards_of
from api.web.keys import chosen_example
from api.web.operations import Operations
from api.web.pages import Pages, page_route


def router(pages: Pages, operations: Operations) -> APIRouter:
    """The routes of this file."""
    routes = APIRouter(route_class=page_route(pages), include_in_schema=False)

    @routes.get("/start")
    def start(request: Request, example: Annotated[str, Query(max_length=60)] = "") -> Response:
        """The example call, and the limits of the key that the visitor signed in with."""
        session = pages.visitor(request, "caller", "owner")
        caller = session.caller
        view = operations.provider_keys.directory.api_key_by_id(caller.key_id)
        cards = cards_of(operations, caller.account_id)
        return pages.show(
            request,
            "keys/start.html",
            session,
            title="Start",
            usable=[card.provider for card in cards if card.usable],
            models=sorted(caller.models or ()),
            expires_at=view.expires_at if view else None,
            **chosen_example(cards, example),
        )

    return routes
