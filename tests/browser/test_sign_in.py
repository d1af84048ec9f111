"""The way in, and out."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Visit
from tests.browser.visitor import NARROW, WIDE, Scheme

pytestmark = pytest.mark.services


@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_form(visit: Visit, width: int, scheme: Scheme) -> None:
    visitor = visit(None, width=width, scheme=scheme)
    page = visitor.go("/")
    assert page.url.endswith("/sign-in")
    assert visitor.violations() == []
    assert visitor.overflow() == 0


def test_a_wrong_key_says_so(visit: Visit) -> None:
    visitor = visit(None)
    visitor.sign_in("kt_" + "x" * 43)
    alert = visitor.page.get_by_role("alert")
    assert "unknown, expired or revoked" in alert.inner_text()
    assert "x" * 20 not in visitor.page.content()
    assert visitor.violations() == []


def test_the_session_is_not_for_scripts(visit: Visit) -> None:
    visitor = visit("owner")
    (cookie,) = visitor.context.cookies()
    assert cookie["name"] == "kt-session"
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Lax"


def test_signing_out_closes_the_pages(visit: Visit) -> None:
    visitor = visit("owner")
    visitor.page.get_by_role("button", name="Sign out").click()
    visitor.page.wait_for_url("**/sign-in")
    assert visitor.go("/keys").url.endswith("/sign-in?next=%2Fkeys")


@pytest.mark.parametrize(
    "wanted",
    ["//evil.example/x", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"],
)
def test_the_way_on_leads_nowhere_else(visit: Visit, wanted: str) -> None:
    visitor = visit(None)
    visitor.page.goto(f"{visitor.base_url}/sign-in")
    visitor.page.locator("input[name=next]").evaluate(
        "(field, value) => { field.value = value; }", wanted
    )
    visitor.page.get_by_label("API key").fill("kt_wrong")
    visitor.page.get_by_role("button", name="Sign in").click()
    assert visitor.page.url.startswith(visitor.base_url)
