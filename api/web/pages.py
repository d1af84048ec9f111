"""What all pages share: who looks, how a template becomes an answer, how a form is read."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from api.errors import ApiError, api_error
from api.web.assets import asset
from api.web.session import COOKIE, SESSION_S, Session, Sessions
from domain.errors import DomainError

HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; font-src 'self'; form-action 'self'; frame-ancestors 'none';"
        " base-uri 'none'"
    ),
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "cache-control": "no-store",
}
"""Of every page: no inline script or style, no frame, nothing from elsewhere, no copy kept."""
FIELDS_MAX: Final = 200
_OUR_OWN: Final = frozenset({"same-origin", "none"})


@dataclass(frozen=True, slots=True)
class Link:
    """One entry of the navigation."""

    path: str
    title: str
    roles: frozenset[str]


NAVIGATION: Final = (
    Link("/keys", "Keys", frozenset({"owner"})),
    Link("/usage", "Usage", frozenset({"owner", "finance", "operator"})),
    Link("/invoices", "Invoices", frozenset({"owner", "finance", "operator"})),
    Link("/audit", "Audit", frozenset({"owner", "auditor", "operator"})),
    Link("/operator", "Operator", frozenset({"operator"})),
    Link("/start", "Start", frozenset({"caller"})),
)
"""In this order; the first that a role may see is its home."""


class Pages:
    """Templates and sessions. One for all pages."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals["asset"] = asset

    @property
    def templates(self) -> Environment:
        """For filters and globals of a page's own."""
        return self._templates

    def session(self, request: Request) -> Session | None:
        """The session of a request, or None."""
        return self.sessions.open(request.cookies.get(COOKIE))

    def visitor(self, request: Request, *roles: str) -> Session:
        """Who looks, if their role is one of these (any role, if none is named).

        Raises ApiError: 401 without a session, 403 role_not_allowed.
        """
        session = self.session(request)
        if session is None:
            raise ApiError(401, "invalid_api_key", "Please sign in.")
        if roles and session.caller.role not in roles:
            raise ApiError(
                403,
                "role_not_allowed",
                f"You are signed in as {session.caller.role}; this page is for"
                f" {' or '.join(roles)}.",
            )
        return session

    async def form(self, request: Request, *roles: str) -> tuple[Session, dict[str, str]]:
        """Who sends a form, and its fields; refused unless it came from one of our pages."""
        session = self.visitor(request, *roles)
        fields = await fields_of(request)
        given = request.headers.get("x-csrf-token") or fields.pop("csrf", "")
        check_origin(request)
        if not hmac.compare_digest(given.encode(), session.csrf.encode()):
            raise ApiError(
                400,
                "invalid_parameter_value",
                "This form is out of date: load the page again.",
                param="csrf",
            )
        return session, fields

    def show(
        self,
        request: Request,
        template: str,
        session: Session | None = None,
        *,
        status: int = 200,
        **context: Any,
    ) -> HTMLResponse:
        """A template as a page; for htmx, the part of it that the template gives."""
        role = session.caller.role if session else None
        text = self._templates.get_template(template).render(
            session=session,
            role=role,
            navigation=[link for link in NAVIGATION if role in link.roles],
            path=request.url.path,
            base_url=str(request.base_url).rstrip("/"),
            partial="hx-request" in request.headers,
            **context,
        )
        return HTMLResponse(text, status_code=status, headers=dict(HEADERS))

    def go(self, request: Request, path: str) -> Response:
        """Send the browser to another page of ours."""
        if "hx-request" in request.headers:
            return Response(status_code=204, headers={**HEADERS, "hx-redirect": path})
        return RedirectResponse(path, status_code=303, headers=dict(HEADERS))

    def refused(self, request: Request, error: ApiError) -> Response:
        """The page of an error; without a session, the way to the sign-in."""
        session = self.session(request) if error.status != 403 else self._quiet(request)
        if error.status == 401:
            wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return self.go(request, f"/sign-in?next={quote(wanted, safe='')}")
        return self.show(
            request,
            "error.html",
            session,
            status=error.status,
            title=HTTPStatus(error.status).phrase,
            error=error,
        )

    def signed_in(self, request: Request, token: str, path: str) -> Response:
        """Set the cookie and go on."""
        response = self.go(request, path)
        response.set_cookie(
            COOKIE,
            token,
            max_age=SESSION_S,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
            path="/",
        )
        return response

    def signed_out(self, request: Request) -> Response:
        """Take the cookie back and go to the sign-in."""
        response = self.go(request, "/sign-in")
        response.delete_cookie(COOKIE, path="/")
        return response

    def _quiet(self, request: Request) -> Session | None:
        try:
            return self.session(request)
        except ApiError:  # the account is suspended: the page that says so is not theirs
            return None


def page_route(pages: Pages) -> type[APIRoute]:
    """The routes of pages: their errors are pages too."""

    class PageRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Any]:
            handle = super().get_route_handler()

            async def shown(request: Request) -> Response:
                try:
                    return await handle(request)
                except DomainError as error:
                    return pages.refused(request, api_error(error))

            return shown

    return PageRoute


def home_of(role: str) -> str:
    """Where a role begins."""
    return next((link.path for link in NAVIGATION if role in link.roles), "/sign-in")


def own_path(wanted: str) -> str | None:
    """A path of this server to go to after the sign-in, or None if it could lead elsewhere."""
    parts = urlsplit(wanted)
    plain = wanted.startswith("/") and not wanted.startswith("//") and "\\" not in wanted
    return (
        wanted if plain and not parts.scheme and not parts.netloc and wanted.isprintable() else None
    )


async def fields_of(request: Request) -> dict[str, str]:
    """The fields of a form. Raises ApiError 400."""
    body = await request.body()
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict"
        )
    except ValueError:
        raise ApiError(400, "invalid_parameter_value", "The form cannot be read.") from None
    return dict(pairs)


def check_origin(request: Request) -> None:
    """Refuse what another site sent; browsers say where a form comes from.

    Raises ApiError 400. Programs that are no browsers say nothing, and hold no cookie of anybody.
    """
    origin = request.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if foreign or request.headers.get("sec-fetch-site", "same-origin") not in _OUR_OWN:
        raise ApiError(400, "invalid_parameter_value", "This form came from another site.")
