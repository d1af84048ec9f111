"""The operator's pages in a browser: how they look, and every form, right and wrong."""

from __future__ import annotations

import re
import time
from urllib.parse import quote

import pytest
from playwright.sync_api import Dialog, Page, expect

from tests.browser.conftest import Visit
from tests.browser.visitor import NARROW, WIDE, Scheme, Visitor
from tests.e2e.gate import TollGate

pytestmark = pytest.mark.services

OTHERS = ("owner", "caller", "finance", "auditor")
HOSTILE = "<img src=x onerror=alert(1)>"
WAIT_S = 20


@pytest.fixture(scope="module")
def waiting(gate: TollGate) -> str:
    """The name of a model whose call has no price; its row is in the tables."""
    model = f"unheard-of-{HOSTILE}"
    answer = gate.post("plain", provider="groq", model=model)
    assert answer.status_code == 200, answer.text
    deadline = time.monotonic() + WAIT_S
    with gate.program.client("operator") as client:
        while True:
            shown = client.get("/api/v1/usage/requests", params={"model": model}).json()
            if shown["requests"]:
                return model
            assert time.monotonic() < deadline, "the call was not projected"
            time.sleep(0.05)


def pages(gate: TollGate, model: str) -> dict[str, str]:
    asked = f"provider=openrouter&model={quote('deepseek/deepseek-r1:free')}"
    return {
        "Overview": "/operator",
        "Accounts": "/operator/accounts",
        "Account": f"/operator/accounts/{gate.program.account_id}",
        "API keys": "/operator/api-keys",
        "Prices": "/operator/prices?q=gemini-2.5-pro",
        "Model": f"/operator/prices/model?{asked}",
        "Compare": "/operator/prices/compare?old=current&new=current",
        "Unrated": f"/operator/unrated?model={quote(model)}",
        "Dead letters": "/operator/dead-letters",
    }


def accept(page: Page) -> list[str]:
    """Say yes to the next question; what was asked."""
    asked: list[str] = []

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.accept()

    page.once("dialog", answer)
    return asked


@pytest.mark.parametrize(("width", "scheme"), [(NARROW, "dark"), (WIDE, "light"), (WIDE, "dark")])
def test_the_pages(visit: Visit, gate: TollGate, waiting: str, width: int, scheme: Scheme) -> None:
    visitor = visit("operator", width=width, scheme=scheme)
    for name, path in pages(gate, waiting).items():
        page = visitor.go(path)
        expect(page.get_by_role("navigation", name="Operator")).to_be_visible()
        assert visitor.violations() == [], name
        assert visitor.overflow() == 0, name


@pytest.mark.parametrize("role", OTHERS)
def test_other_roles_are_told_so(visit: Visit, gate: TollGate, waiting: str, role: str) -> None:
    visitor = visit(role)
    expect(visitor.page.get_by_role("link", name="Operator")).to_have_count(0)
    for path in pages(gate, waiting).values():
        answer = visitor.page.goto(f"{visitor.base_url}{path}")
        assert answer is not None
        assert answer.status == 403
    assert visitor.violations() == []


def test_the_overview_compares_tables_and_log(visit: Visit, waiting: str) -> None:
    page = visit("operator").go("/operator")
    expect(page.get_by_text("without a price: nobody is charged")).to_be_visible()
    for worker in ("project", "rerate", "seal"):
        row = page.get_by_role("row").filter(has=page.get_by_text(worker, exact=True))
        expect(row.get_by_text("running")).to_be_visible()
    page.get_by_role("button", name=re.compile("Compare (now|again)")).click()
    expect(page.get_by_text("Equal, row by row")).to_be_visible(timeout=WAIT_S * 1000)


def test_an_account_from_its_opening_to_its_suspension(visit: Visit) -> None:
    visitor = visit("operator", width=NARROW)
    page = visitor.go("/operator/accounts")
    page.get_by_text("Open an account").click()
    page.get_by_role("textbox", name="Name").fill(HOSTILE)
    page.get_by_label("Default tags").fill("nonsense")
    page.get_by_role("button", name="Open the account").click()
    expect(page.get_by_label("Default tags")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("alert")).to_contain_text("line of its own")
    assert visitor.violations() == []
    page.get_by_label("Default tags").fill("team=a")
    page.get_by_role("button", name="Open the account").click()
    secret = page.locator("#secret-owner")
    expect(secret).to_contain_text("kt_")
    assert visitor.violations() == []
    assert visitor.overflow() == 0
    key = secret.inner_text()
    page.get_by_role("link", name="I have copied it").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(HOSTILE)
    assert key not in page.content()
    asked = accept(page)
    page.get_by_role("button", name="Suspend").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    assert "turned away" in asked[0]
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Suspend")).to_be_visible()
    assert visitor.overflow() == 0


def open_account(visitor: Visitor) -> Page:
    """The page of an account of the test's own."""
    page = visitor.go("/operator/accounts")
    page.get_by_text("Open an account").click()
    page.get_by_role("button", name="Open the account").click()
    page.get_by_role("link", name="I have copied it").click()
    expect(page.get_by_role("heading", name="Markup")).to_be_visible()
    return page


def test_what_is_agreed_with_an_account(visit: Visit) -> None:
    visitor = visit("operator")
    page = open_account(visitor)
    markup = page.locator("section", has=page.get_by_role("heading", name="Markup", exact=True))
    markup.get_by_label("Per cent").fill("a lot")
    markup.get_by_role("button", name="Agree").click()
    expect(markup.get_by_label("Per cent")).to_have_attribute("aria-invalid", "true")
    expect(markup.get_by_label("Per cent")).to_have_value("a lot")
    assert visitor.violations() == []
    markup.get_by_label("Per cent").fill("7.25")
    markup.get_by_role("button", name="Agree").click()
    expect(markup.get_by_role("status")).to_be_focused()
    markup.get_by_label("Per cent").fill("3")
    markup.get_by_label("From (UTC)").fill("2099-01-01T00:00")
    markup.get_by_role("button", name="Agree").click()
    expect(markup.get_by_role("row").nth(1)).to_contain_text("3 %")
    expect(markup.get_by_role("row").nth(1)).to_contain_text("to come")
    expect(markup.get_by_role("row").nth(2)).to_contain_text("7.25 %")
    expect(markup.get_by_role("row").nth(2)).to_contain_text("in force")
    tax = page.locator("section", has=page.get_by_role("heading", name="Tax", exact=True))
    tax.get_by_label("Per cent").fill("119")
    tax.get_by_role("button", name="Save").click()
    expect(tax.get_by_role("alert")).to_contain_text("0 to 100")
    tax.get_by_label("Per cent").fill("19")
    tax.get_by_role("button", name="Save").click()
    expect(tax.get_by_role("status")).to_contain_text("carry this tax")
    assert visitor.violations() == []


def test_a_provider_key_is_disabled_and_enabled(visit: Visit, gate: TollGate) -> None:
    visitor = visit("operator")
    page = visitor.go(f"/operator/accounts/{gate.program.account_id}")
    row = page.get_by_role("row").filter(has=page.get_by_text("hyperbolic", exact=True))
    asked = accept(page)
    row.get_by_role("button", name="Disable").click()
    expect(row.get_by_text("disabled", exact=True)).to_be_visible()
    assert "No call uses it" in asked[0]
    row.get_by_role("button", name="Enable").click()
    expect(row.get_by_role("button", name="Disable")).to_be_visible()


def test_an_api_key_is_issued_copied_and_revoked(visit: Visit, gate: TollGate) -> None:
    visitor = visit("operator")
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visitor.go(f"/operator/api-keys?account={gate.program.account_id}")
    page.get_by_label("Role", exact=True).first.select_option("finance")
    page.get_by_role("textbox", name="Name").fill("For the books")
    page.get_by_label("Calls a minute").fill("lots")
    page.get_by_role("button", name="Issue the key").click()
    expect(page.get_by_label("Calls a minute")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("textbox", name="Name")).to_have_value("For the books")
    expect(page.get_by_label("Role", exact=True).first).to_have_value("finance")
    assert visitor.violations() == []
    page.get_by_label("Calls a minute").fill("60")
    page.get_by_role("button", name="Issue the key").click()
    secret = page.locator("#secret")
    expect(secret).to_contain_text("kt_")
    assert visitor.violations() == []
    key = secret.inner_text()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == key
    page.get_by_role("link", name="I have copied it").click()
    assert key not in page.content()
    row = page.get_by_role("row").filter(has=page.get_by_text("For the books", exact=True))
    expect(row).to_contain_text("60 a minute")
    asked = accept(page)
    row.get_by_role("button", name="Revoke").click()
    expect(row).to_have_count(0)
    assert "for ever" in asked[0]


def test_a_model_without_a_price_gets_one(visit: Visit, waiting: str) -> None:
    visitor = visit("operator")
    page = visitor.go("/operator/unrated")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="Add a price"))
    row.filter(has_text=waiting).get_by_role("link", name="Add a price").click()
    expect(page.get_by_label("Model", exact=True).last).to_have_value(waiting)
    page.get_by_label("Input", exact=True).fill("cheap")
    page.get_by_role("button", name="Add the price").click()
    expect(page.get_by_label("Input", exact=True)).to_have_attribute("aria-invalid", "true")
    assert visitor.violations() == []
    page.get_by_label("Input", exact=True).fill("0.5")
    page.get_by_label("Output", exact=True).fill("1")
    page.get_by_role("button", name="Add the price").click()
    expect(page.get_by_role("status").first).to_contain_text("Added: 1 entry")
    link = page.get_by_role("link", name=f"groq {waiting}")
    link.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(waiting)
    expect(page.get_by_text("$0.0015")).to_be_visible()
    assert visitor.violations() == []
    page.go_back()
    page.get_by_role("link", name="compare").first.click()
    expect(page.get_by_role("row").filter(has_text=waiting)).to_contain_text("added")
    assert visitor.violations() == []


def test_wrong_lines_of_prices_stay_to_be_mended(visit: Visit) -> None:
    visitor = visit("operator", width=NARROW)
    page = visitor.go("/operator/prices")
    page.get_by_text("Add rows as JSON lines").click()
    page.get_by_label("Rows").fill('{"provider": "openai"')
    page.get_by_role("button", name="Add the rows").click()
    expect(page.get_by_label("Rows")).to_have_value('{"provider": "openai"')
    expect(page.get_by_role("alert")).to_contain_text("line 1")
    assert visitor.violations() == []
    assert visitor.overflow() == 0


def test_a_wrong_question_about_a_model(visit: Visit) -> None:
    visitor = visit("operator")
    page = visitor.go("/operator/prices/model?provider=openai&model=gpt-4o-mini&usage=%7B")
    expect(page.get_by_label("Usage")).to_have_attribute("aria-invalid", "true")
    assert visitor.violations() == []
    page.goto(f"{visitor.base_url}/operator/prices/compare?old=sha256:0&new=current")
    expect(page.get_by_label("Old book")).to_have_attribute("aria-invalid", "true")
    assert visitor.violations() == []
