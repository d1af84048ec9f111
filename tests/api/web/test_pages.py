"""The frame: how errors look as pages, and who gets a page at all."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.errors import ApiError, install_error_handlers
from api.limits import BodyLimit
from api.web.pages import TITLES, Pages, own_path, page_route
from api.web.session import Sessions
from domain.labels.memory import MemoryLabels
from domain.vault.envelope import LocalMasterKey
from domain.vault.memory import memory_vault
from projections.store.port import ProjectionUnavailable
from tests.api.test_auth import Desk, desk

__all__ = ["desk"]

ERRORS: dict[str, Exception] = {
    "400": ApiError(400, "invalid_parameter_value", "It does not do."),
    "403": ApiError(403, "role_not_allowed", "This page is for owners."),
    "404": ApiError(404, "not_found", "There is no such call."),
    "409": ApiError(409, "conflict", "Somebody was faster."),
    "413": HTTPException(413),
    "429": ApiError(429, "rate_limit_exceeded", "Later.", headers={"retry-after": "7"}),
    "500": RuntimeError("kt_secret in a message of a library"),
    "503": ProjectionUnavailable("the projections are not open yet"),
}


@pytest.fixture
async def browser(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    vault = memory_vault(LocalMasterKey(bytes(32)))
    sessions = Sessions(desk.access, desk.directory, desk.clock, vault.keyed_hash, MemoryLabels())
    pages = Pages(sessions, version="9.9")
    routes = APIRouter(route_class=page_route(pages))

    @routes.get("/breaks/{how}")
    def breaks(how: str) -> Response:
        raise ERRORS[how]

    @routes.get("/number")
    def number(n: int) -> Response:
        raise AssertionError(n)

    @routes.post("/form")
    async def form(request: Request) -> Response:
        await pages.form(request)
        return pages.go(request, "/")

    app = FastAPI()
    app.include_router(routes)
    install_error_handlers(app, pages.answer)
    app.add_middleware(BodyLimit)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    token = sessions.sign_in(desk.secrets["owner"])
    async with httpx.AsyncClient(
        transport=transport,
        base_url="http://toll.test",
        cookies={"kt-session": token},
        headers={"accept": "text/html"},
    ) as client:
        yield client


@pytest.mark.parametrize("how", ERRORS)
async def test_an_error_on_a_page_is_a_page(browser: httpx.AsyncClient, how: str) -> None:
    answer = await browser.get(f"/breaks/{how}")
    assert answer.status_code == int(how)
    assert answer.headers["content-type"].startswith("text/html")
    assert "<h1>" in answer.text
    assert TITLES.get(int(how), "Something broke") in answer.text
    assert "kt_secret" not in answer.text
    assert ("req_" in answer.text) == (how == "500")
    assert ('data-reload-s="5"' in answer.text) == (how == "503")
    assert "keytoll 9.9" in answer.text


async def test_htmx_gets_a_part_and_its_history_a_page(browser: httpx.AsyncClient) -> None:
    part = await browser.get("/breaks/409", headers={"hx-request": "true"})
    assert "<html" not in part.text
    assert "Somebody was faster." in part.text
    whole = await browser.get(
        "/breaks/409", headers={"hx-request": "true", "hx-history-restore-request": "true"}
    )
    assert "<html" in whole.text


async def test_headers_of_an_error_are_kept(browser: httpx.AsyncClient) -> None:
    assert (await browser.get("/breaks/429")).headers["retry-after"] == "7"


async def test_a_value_of_the_wrong_kind_is_named(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/number?n=<b>")
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/html")
    assert "<b>" not in answer.text


async def test_a_form_that_is_too_long_is_refused(browser: httpx.AsyncClient) -> None:
    answer = await browser.post("/form", data={"csrf": "x" * (1 << 20)})
    assert answer.status_code == 413
    assert "Too much at once" in answer.text


@pytest.mark.parametrize(
    ("path", "accept", "page"),
    [
        ("/nowhere", "text/html,*/*", True),
        ("/nowhere", "application/json", False),
        ("/nowhere", "*/*", False),
        ("/api/nowhere", "text/html", False),
        ("/v1/nowhere", "text/html", False),
        ("/static/nowhere", "text/html", False),
    ],
)
async def test_an_unknown_path_is_a_page_for_browsers_only(
    browser: httpx.AsyncClient, path: str, accept: str, page: bool
) -> None:
    answer = await browser.get(path, headers={"accept": accept})
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html" if page else "application/json")
    assert ("There is no page at this address" in answer.text) == page


async def test_a_wrong_method_is_a_page_too(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/form")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert "<html" in answer.text


async def test_after_a_lost_form_the_sign_in_leads_home(browser: httpx.AsyncClient) -> None:
    browser.cookies.clear()
    answer = await browser.post("/form", data={})
    assert answer.headers["location"] == "/sign-in"


def test_own_paths() -> None:
    assert own_path("/usage?x=1") == "/usage?x=1"
    assert own_path("//evil.example") is None
    assert own_path("") is None
