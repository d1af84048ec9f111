"""The models that the account's keys reach, with their prices."""

# No `from __future__ import annotations` here: FastAPI has to see what `router` closes over.

from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api.web.operations import Operations
from api.web.pages import Pages, page_route

SHOWN_MAX: Final = 100
"""Models of one page; a search finds the others."""


def router(pages: Pages, operations: Operations) -> APIRouter:
    """The routes of this file."""
    routes = APIRouter(route_class=page_route(pages), include_in_schema=False)
    models = operations.models

    @routes.get("/models")
    def listed(
        request: Request,
        search: Annotated[str, Query(alias="q", max_length=200)] = "",
        provider: Annotated[str, Query(max_length=60)] = "",
    ) -> Response:
        """What `GET /api/v1/models` lists, to be searched by people."""
        session = pages.visitor(request, "caller", "owner")
        entries = models.listed(models.account_of(session.caller, None)).entries
        slugs = list(dict.fromkeys(o["slug"] for e in entries.values() for o in e["providers"]))
        words = search.lower().split()
        only = session.caller.models
        offers = [
            (name, offer)
            for name, entry in entries.items()
            if all(word in name.lower() for word in words) and (only is None or name in only)
            for offer in entry["providers"]
            if provider in {"", offer["slug"]}
        ]
        return pages.show(
            request,
            "keys/models.html",
            session,
            title="Models",
            search=search,
            provider=provider,
            names={slug: models.providers[slug].name for slug in slugs},
            offers=offers[:SHOWN_MAX],
            found=len(offers),
            limited=only is not None,
        )

    return routes
