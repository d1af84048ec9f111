"""What takes a browser to try: frames, forged forms of another site, history, weight."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Page, Response

from tests.browser.conftest import Visit
from tests.e2e.gate import TollGate

pytestmark = pytest.mark.services

PAGE_BYTES_MAX = 150_000
CHARTS = "chart.umd.min.js"


class _OtherSite(BaseHTTPRequestHandler):
    """Frames the pages, and sends their forms by itself."""

    target = ""

    def do_GET(self) -> None:
        if self.path == "/frame":
            text = f'<iframe src="{self.target}/sign-in" width="600" height="400"></iframe>'
        else:
            text = (
                f'<form method="post" action="{self.target}{self.path}">'
                '<input name="csrf" value="guessed"><input name="api_key" value="kt_x">'
                "</form><script>document.forms[0].submit()</script>"
            )
        body = f"<!doctype html><title>other</title>{text}".encode()
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Not on the terminal."""


@pytest.fixture(scope="module")
def other_site(gate: TollGate) -> Iterator[str]:
    handler = type("Handler", (_OtherSite,), {"target": gate.program.base_url})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    # Another name of this machine is another site to a browser.
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def unwatched(visit: Visit, role: str | None) -> Page:
    """A signed-in browser that may go to other places."""
    return visit(role).context.new_page()


def test_another_site_cannot_frame_a_page(visit: Visit, other_site: str) -> None:
    page = unwatched(visit, "owner")
    page.goto(f"{other_site}/frame")
    page.wait_for_timeout(300)
    (frame,) = page.frames[1:]
    assert "API key" not in frame.locator("body").inner_text()
    assert frame.locator("input").count() == 0


@pytest.mark.parametrize("path", ["/sign-out", "/keys/api", "/sign-in"])
def test_another_site_cannot_send_a_form(visit: Visit, other_site: str, path: str) -> None:
    visitor = visit("owner")
    page = visitor.context.new_page()
    page.goto(f"{other_site}{path}")
    page.wait_for_url(re.compile(re.escape(visitor.base_url)))
    assert page.locator("main").count() == 1
    # A cross-site POST carries no cookie at all (SameSite), or is told apart by where it is from.
    assert visitor.go("/keys").url.endswith("/keys"), "the session must have survived"


def test_a_revoked_key_has_no_pages_within_two_seconds(visit: Visit, gate: TollGate) -> None:
    with gate.program.client() as client:
        made = client.post("/api/user/api-keys", json={"role": "owner", "name": "short"}).json()
        visitor = visit(None)
        visitor.sign_in(made["secret"])
        assert visitor.go("/keys").url.endswith("/keys")
        client.delete(f"/api/user/api-keys/{made['id']}").raise_for_status()
    deadline = time.monotonic() + 2
    while not visitor.go("/keys").url.endswith("/sign-in?next=%2Fkeys"):
        assert time.monotonic() < deadline, "a revoked key still opens pages"
    assert "Your session has ended" in visitor.page.locator("main").inner_text()


def test_nothing_is_shown_from_history_after_signing_out(visit: Visit) -> None:
    visitor = visit("owner")
    visitor.go("/keys")
    visitor.page.get_by_role("button", name="Sign out").click()
    visitor.page.wait_for_url("**/sign-in")
    visitor.page.go_back()
    visitor.page.wait_for_url("**/sign-in**")
    assert visitor.page.get_by_label("API key").count() == 1


@pytest.mark.parametrize(
    ("role", "path"),
    [
        (None, "/sign-in"),
        ("owner", "/keys"),
        ("owner", "/keys/api"),
        ("owner", "/usage"),
        ("owner", "/calls"),
        ("owner", "/invoices"),
        ("auditor", "/audit"),
        ("operator", "/operator"),
        ("caller", "/start"),
    ],
)
def test_a_first_look_is_light(visit: Visit, role: str | None, path: str) -> None:
    """Bytes over the wire of everything that a page loads, with nothing kept from before."""
    visitor = visit(role)
    session = visitor.context.new_cdp_session(visitor.page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    charts: set[str] = set()
    sizes: dict[str, float] = {}

    def seen(event: dict[str, object]) -> None:
        request, size = event["requestId"], event["encodedDataLength"]
        assert isinstance(size, int | float)
        sizes[str(request)] = float(size)

    def answered(event: dict[str, dict[str, str]]) -> None:
        if CHARTS in event["response"]["url"]:
            charts.add(str(event["requestId"]))

    session.on("Network.loadingFinished", seen)
    session.on("Network.responseReceived", answered)
    visitor.go(path)
    visitor.settle()
    visitor.page.wait_for_timeout(100)
    weight = sum(size for request, size in sizes.items() if request not in charts)
    assert len(sizes) >= 4, "style, scripts and picture belong to it"
    assert weight <= PAGE_BYTES_MAX, f"{path}: {weight:.0f} bytes"


def test_pages_that_have_no_charts_do_not_load_them(visit: Visit) -> None:
    visitor = visit("owner")
    loaded: list[str] = []

    def note(answer: Response) -> None:
        loaded.append(answer.url)

    visitor.page.on("response", note)
    visitor.go("/keys")
    assert loaded
    assert not [url for url in loaded if CHARTS in url]
