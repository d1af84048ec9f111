"""The pages in a real browser, against the running program."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.visitor import WIDE, Scheme, Visitor, chromium, visiting
from tests.e2e.conftest import gate, open_gate, upstream
from tests.e2e.gate import TollGate

__all__ = ["gate", "open_gate", "upstream"]

Visit = Callable[..., Visitor]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    # Not for the session: while it is open, its event loop counts as running in this thread, and
    # no other test of the session could run one.
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser, gate: TollGate) -> Iterator[Visit]:
    """Opens a session as a role (None: signed out); what the page may not do fails the test."""
    opened = []

    def visit(role: str | None, *, width: int = WIDE, scheme: Scheme = "light") -> Visitor:
        manager = visiting(browser, gate.program.base_url, width=width, scheme=scheme)
        visitor = manager.__enter__()
        opened.append((manager, visitor))
        if role is not None:
            visitor.sign_in(gate.program.api_keys[role])
        return visitor

    yield visit
    for manager, visitor in reversed(opened):
        manager.__exit__(None, None, None)
        visitor.check()
