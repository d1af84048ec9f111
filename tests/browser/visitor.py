"""A visitor with a real browser, who notices what a page may not do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

AXE: Final = Path(__file__).parent.parent / "clients/node_modules/axe-core/axe.min.js"
WIDE: Final = 1440
NARROW: Final = 360
Scheme = Literal["light", "dark"]
_FLAGS: Final = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """The distribution's browser, headless."""
    found = shutil.which("chromium")
    assert found is not None, "the browser tests need Chromium: run them by `make test-services`"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=_FLAGS)
        yield browser
        browser.close()


@dataclass
class Visitor:
    """One browser session at a server of ours."""

    context: BrowserContext
    page: Page
    base_url: str
    faults: list[str] = field(default_factory=list)
    """Errors in the console, requests to other places, answers that broke."""

    def sign_in(self, api_key: str) -> None:
        """As a person does it."""
        self.page.goto(f"{self.base_url}/sign-in")
        self.page.get_by_label("API key").fill(api_key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_load_state()

    def go(self, path: str) -> Page:
        """Open a page of the server; it must not break."""
        self.page.goto(f"{self.base_url}{path}")
        return self.page

    def settle(self) -> None:
        """Until nothing that the page has asked for is on its way."""
        expect(self.page.locator(".htmx-request")).to_have_count(0)

    def violations(self) -> list[str]:
        """What axe has against the page as it stands."""
        self.page.evaluate(AXE.read_text())
        found: dict[str, Any] = self.page.evaluate("axe.run(document)")
        return [
            f"{each['id']} ({each['impact']}): {node['html'][:160]} {node['failureSummary'][:200]}"
            for each in found["violations"]
            for node in each["nodes"]
        ]

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window, once it has settled."""
        for _ in range(10):
            width: int = self.page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            if width == 0:
                break
            self.page.wait_for_timeout(100)  # a chart follows the window a moment later
        return width

    def check(self) -> None:
        """Nothing that a page may not do has happened."""
        assert self.faults == []


@contextmanager
def visiting(
    browser: Browser, base_url: str, *, width: int = WIDE, scheme: Scheme = "light"
) -> Iterator[Visitor]:
    """A new browser session."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
        reduced_motion="reduce",
        timezone_id="Europe/Berlin",
    )
    visitor = Visitor(context, context.new_page(), base_url)
    _watch(visitor)
    yield visitor
    context.close()


def _watch(visitor: Visitor) -> None:
    page, faults = visitor.page, visitor.faults
    page.on("pageerror", lambda error: faults.append(f"error on the page: {error}"))
    page.on(
        "console",
        lambda message: (
            faults.append(f"console: {message.text}")
            if message.type == "error" and "Failed to load resource" not in message.text
            else None
        ),
    )
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((visitor.base_url, "data:", "blob:"))
            else faults.append(f"request to another place: {request.url}")
        ),
    )
    page.on(
        "response",
        lambda answer: (
            faults.append(f"{answer.status} of {answer.url}") if answer.status >= 500 else None
        ),
    )
