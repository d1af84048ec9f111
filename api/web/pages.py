"""What all pages share: who looks, how a template becomes an answer, how a form is read."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from api.errors import NO_PATH, ApiError, error_response, public_error
from api.request_id import request_id_of
from api.web.assets import asset
from api.web.session import COOKIE, SESSION_S, Session, Sessions

HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
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
NEXT_CHARS_MAX: Final = 2000
_URL_SAFE: Final = "/?&=#%+,:;@!$'()*~[]"
_HOST: Final = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_OUR_OWN: Final = frozenset({"same-origin", "none"})
_FOR_PROGRAMS: Final = ("/api/", "/v1/", "/static/", "/healthz", "/readyz", "/metrics", "/openapi")
TITLES: Final[Mapping[int, str]] = {
    400: "That did not work",
    403: "Not with this key",
    404: "Nothing here",
    405: "Nothing here",
    409: "Not any more",
    413: "Too much at once",
    429: "Too many at once",
    503: "Not just now",
}
_OUR_FAULT: Final = "Something broke"
_NO_PAGE: Final = "There is no page at this address, or none that you may see."


@dataclass(frozen=True, slots=True)
class Link:
    """One entry of the navigation."""

    path: str
    title: str
    roles: frozenset[str]


NAVIGATION: Final = (
    Link("/keys", "Keys", frozenset({"owner"})),
    Link("/usage", "Usage", frozenset({"owner", "finance", "operator"})),
    Link("/calls", "Calls", frozenset({"owner", "finance", "operator"})),
    Link("/invoices", "Invoices", frozenset({"owner", "finance", "operator"})),
    Link("/audit", "Audit", frozenset({"owner", "auditor", "operator"})),
    Link("/operator", "Operator", frozenset({"operator"})),
    Link("/start", "Start", frozenset({"caller"})),
    Link("/calls", "Calls", frozenset({"caller"})),
    Link("/models", "Models", frozenset({"caller"})),
)
"""In this order; the first that a role may see is its home."""


class Pages:
    """Templates and sessions. One for all pages.

    `public_url`: how people reach the server; None shows the address that a browser asked for.
    """

    def __init__(
        self, sessions: Sessions, *, public_url: str | None = None, version: str = ""
    ) -> None:
        self.sessions = sessions
        self._public_url = public_url
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(asset=asset, version=version)

    @property
    def templates(self) -> Environment:
        """For filters and globals of a page's own."""
        return self._templates

    def session(self, request: Request) -> Session | None:
        """The session of a request, or None. Raises ApiError 403 if its account is suspended."""
        return self.sessions.open(request.cookies.get(self.cookie))

    def standing_session(self, request: Request) -> Session | None:
        """The session of a request that still opens pages, or None."""
        try:
            return self.session(request)
        except ApiError:
            return None

    @property
    def cookie(self) -> str:
        """The cookie's name. Over https no other host, and no page over http, can set it."""
        return f"__Host-{COOKIE}" if self._secure else COOKIE

    @property
    def _secure(self) -> bool:
        return (self._public_url or "").startswith("https:")

    def base_url(self, request: Request) -> str:
        """What stands before every path of this server, without a slash at its end."""
        if self._public_url is not None:
            return self._public_url
        asked = request.headers.get("host", "")
        if _HOST.fullmatch(asked):
            return f"{request.url.scheme}://{asked}"
        host, port = request.scope.get("server") or ("localhost", None)
        return f"{request.url.scheme}://{host}" + (f":{port}" if port else "")

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
        self.check_origin(request)
        if not hmac.compare_digest(given.encode(), session.csrf.encode()):
            raise ApiError(
                400,
                "invalid_parameter_value",
                "This form is out of date: load the page again.",
                param="csrf",
            )
        return session, fields

    def check_origin(self, request: Request) -> None:
        """Refuse what another site sent; browsers say where a form comes from.

        Raises ApiError 400. Programs that are no browsers say nothing, and hold no cookie of
        anybody.
        """
        ours = {request.headers.get("host"), urlsplit(self._public_url or "").netloc or None}
        origin = request.headers.get("origin")
        foreign = origin is not None and netloc_of(origin) not in ours - {None}
        if foreign or request.headers.get("sec-fetch-site", "same-origin") not in _OUR_OWN:
            raise ApiError(400, "invalid_parameter_value", "This form came from another site.")

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
            base_url=self.base_url(request),
            partial=wants_part(request),
            **context,
        )
        return HTMLResponse(text, status_code=status, headers=dict(HEADERS))

    def go(self, request: Request, path: str) -> Response:
        """Send the browser to another page of ours."""
        where = quote(path, safe=_URL_SAFE)
        if "hx-request" in request.headers:
            return Response(status_code=204, headers={**HEADERS, "hx-redirect": where})
        return Response(status_code=303, headers={**HEADERS, "location": where})

    def refused(self, request: Request, error: ApiError) -> Response:
        """The page of an error; without a session, the way to the sign-in."""
        if error.status == 401:
            return self.go(request, _sign_in_path(request))
        fault = error.status >= 500 and error.status != 503
        response = self.show(
            request,
            "error.html",
            self.standing_session(request),
            status=error.status,
            title=TITLES.get(error.status, _OUR_FAULT if fault else TITLES[400]),
            code=error.code,
            message=_NO_PAGE if error.message == NO_PATH else error.message,
            request_id=request_id_of(request.scope) if fault else None,
        )
        response.headers.update(error.headers)
        return response

    def answer(self, request: Request, error: ApiError) -> Response:
        """An error where no page was asked: browsers get a page, programs what the API gives."""
        browser = "text/html" in request.headers.get("accept", "")
        if browser and not request.url.path.startswith(_FOR_PROGRAMS):
            return self.refused(request, error)
        return error_response(request, error)

    def signed_in(self, request: Request, token: str, path: str) -> Response:
        """Set the cookie and go on."""
        response = self.go(request, path)
        response.set_cookie(
            self.cookie,
            token,
            max_age=SESSION_S,
            httponly=True,
            samesite="lax",
            secure=self._secure,
            path="/",
        )
        return response

    def signed_out(self, request: Request) -> Response:
        """Take the cookie back and go to the sign-in."""
        response = self.go(request, "/sign-in")
        response.delete_cookie(
            self.cookie, path="/", secure=self._secure, httponly=True, samesite="lax"
        )
        return response


def page_route(pages: Pages) -> type[APIRoute]:
    """The routes of pages: their errors are pages too."""

    class PageRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Any]:
            handle = super().get_route_handler()

            async def shown(request: Request) -> Response:
                try:
                    return await handle(request)
                except Exception as error:  # logged, if it is ours
                    return pages.refused(request, public_error(request, error))

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


def wants_part(request: Request) -> bool:
    """Whether htmx asks for a part of a page; going back in its history takes a whole one."""
    asks = request.headers
    return "hx-request" in asks and "hx-history-restore-request" not in asks


def netloc_of(origin: str) -> str | None:
    """The host and port of an origin; None for `null` and nonsense."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def _sign_in_path(request: Request) -> str:
    """To the sign-in, and back to what was looked at."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.method != "GET" or wanted == "/" or len(wanted) > NEXT_CHARS_MAX:
        return "/sign-in"
    return f"/sign-in?next={quote(wanted, safe='')}"
