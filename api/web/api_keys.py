"""The account's API keys of keytoll: issued, shown once, revoked."""

# No `from __future__ import annotations` here: FastAPI has to see what `router` closes over.

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api.errors import api_error
from api.routes.schemas import IssuedApiKey, NewApiKey, built
from api.web.forms import repeated, sentence, whole, words_of
from api.web.operations import Operations
from api.web.pages import Pages, page_route
from api.web.session import Session
from domain.errors import DomainError

_TYPED: Final = ("role", "name", "requests_per_minute", "models", "expires_on", "receipt")


@dataclass(frozen=True, slots=True)
class ApiKeyPage:
    """The page, with whatever happened on it."""

    pages: Pages
    operations: Operations

    def show(
        self,
        request: Request,
        session: Session,
        *,
        issued: IssuedApiKey | None = None,
        problem: str = "",
        param: str = "",
        typed: Mapping[str, str] | None = None,
        said: str = "",
        status: int = 200,
    ) -> Response:
        """The keys in use and the form; `issued` is shown with its secret."""
        return self.pages.show(
            request,
            "keys/api.html",
            session,
            status=status,
            title="API keys",
            keys=self.operations.api_keys.listed(session.caller, None).keys,
            issued=issued,
            problem=problem,
            param=param,
            typed=typed,
            said=said,
            today=self.operations.usage.clock.now().date().isoformat(),
        )


def router(pages: Pages, operations: Operations) -> APIRouter:
    """The routes of this file."""
    routes = APIRouter(route_class=page_route(pages), include_in_schema=False)
    keys, page = operations.api_keys, ApiKeyPage(pages, operations)

    @routes.get("/keys/api")
    def all_keys(request: Request, said: Annotated[str, Query(max_length=20)] = "") -> Response:
        """The keys, and the form for another."""
        words = "The key is revoked: whoever holds it is turned away." if said == "revoked" else ""
        return page.show(request, pages.visitor(request, "owner"), said=words)

    @routes.post("/keys/api")
    async def issue(request: Request) -> Response:
        """A new key. Its secret is in this answer and nowhere else, so the browser stays here."""
        session, fields = await pages.form(request, "owner")
        try:
            body = built(NewApiKey, _wanted(fields))
            issued = await asyncio.to_thread(keys.issue, session.caller, body)
        except DomainError as error:
            shown = api_error(error)
            return page.show(
                request,
                session,
                problem=sentence(shown),
                param=(shown.param or "").split(".")[0],
                typed=repeated(fields, _TYPED),
                status=shown.status,
            )
        return page.show(request, session, issued=issued)

    @routes.post("/keys/api/{key_id}/revoke")
    async def revoke(request: Request, key_id: str) -> Response:
        """Turn the holder away."""
        session, _ = await pages.form(request, "owner")
        await asyncio.to_thread(keys.revoke, session.caller, key_id)
        return pages.go(request, "/keys/api?said=revoked")

    return routes


def _wanted(fields: Mapping[str, str]) -> dict[str, Any]:
    """The body of `POST /api/user/api-keys`."""
    day = fields.get("expires_on", "").strip()
    return {
        "role": fields.get("role", "caller"),
        "name": fields.get("name", "").strip() or None,
        "receipt": "receipt" in fields,
        "requests_per_minute": whole(
            fields.get("requests_per_minute", ""), param="requests_per_minute"
        ),
        "models": words_of(fields.get("models", "")),
        "expires_at": f"{day}T00:00:00Z" if day else None,
    }
