"""Signing in with an API key or a one-time link, and out."""

# No `from __future__ import annotations` here: FastAPI has to see what `router` closes over.
import asyncio
from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api.auth import KEY_CHARS_MAX
from api.errors import ApiError
from api.web.pages import NEXT_CHARS_MAX, Pages, fields_of, home_of, own_path, page_route
from api.web.session import Session
from domain.ledger import API_KEY_PREFIX


def router(pages: Pages) -> APIRouter:
    """The routes of this file."""
    routes = APIRouter(route_class=page_route(pages), include_in_schema=False)

    @routes.get("/")
    def home(request: Request) -> Response:
        """To where the visitor's role begins."""
        session = pages.session(request)
        return pages.go(request, _onward(session))

    @routes.get("/sign-in")
    def sign_in(
        request: Request,
        wanted: Annotated[str, Query(alias="next", max_length=NEXT_CHARS_MAX)] = "",
    ) -> Response:
        """The form; who is signed in already goes on."""
        session = pages.standing_session(request)
        if session is not None:
            return pages.go(request, own_path(wanted) or _onward(session))
        return _form(pages, request, wanted, ended=pages.cookie in request.cookies)

    @routes.post("/sign-in")
    async def signed_in(request: Request) -> Response:
        """A new session, whatever the browser had before."""
        pages.check_origin(request)
        return _sign_in(pages, request, await fields_of(request))

    @routes.get("/sign-in/{ticket}")
    def redeemed(request: Request, ticket: str) -> Response:
        """A one-time link, as `keytoll serve` prints it; not to be followed from elsewhere.

        Else another site could sign somebody in as somebody else, who then gets their keys.
        """
        if request.headers.get("sec-fetch-site", "none") == "cross-site":
            return _form(pages, request, "", "Copy this link into the address bar to use it.")
        token = pages.sessions.redeem(ticket)
        if token is None:
            return _form(pages, request, "", "This link was used already, or is too old.")
        return pages.signed_in(request, token, "/")

    @routes.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        """The end of the session, also for whoever copied its cookie."""
        session, _ = await pages.form(request)
        await asyncio.to_thread(pages.sessions.sign_out, session)
        return pages.signed_out(request)

    return routes


def _onward(session: Session | None) -> str:
    return "/sign-in" if session is None else home_of(session.caller.role)


def _sign_in(pages: Pages, request: Request, fields: Mapping[str, str]) -> Response:
    wanted, api_key = fields.get("next", ""), fields.get("api_key", "").strip()
    if not 0 < len(api_key) <= KEY_CHARS_MAX:
        return _form(pages, request, wanted, "Enter an API key: it begins with kt_.")
    if not api_key.startswith(API_KEY_PREFIX):
        problem = "This is not an API key of keytoll: those begin with kt_."
        return _form(pages, request, wanted, problem)
    try:
        token = pages.sessions.sign_in(api_key)
    except ApiError as error:
        return _form(pages, request, wanted, error.message)
    return pages.signed_in(request, token, own_path(wanted) or "/")


def _form(
    pages: Pages,
    request: Request,
    wanted: str,
    problem: str | None = None,
    *,
    ended: bool = False,
) -> Response:
    return pages.show(
        request,
        "sign_in.html",
        status=200 if problem is None else 401,
        title="Sign in",
        wanted=wanted,
        problem=problem,
        ended=ended,
    )
