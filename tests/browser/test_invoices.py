"""The pages about invoices."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from tests.browser.conftest import Visit
from tests.browser.visitor import NARROW, WIDE, Scheme
from tests.e2e.gate import TollGate

pytestmark = pytest.mark.services

HOSTILE: Final = "gpt-<img src=x onerror=alert(1)>{{7*7}}"


@pytest.fixture(scope="session")
def issued(gate: TollGate) -> list[dict[str, Any]]:
    """Two closed periods with an invoice for real calls and one for those of the sandbox."""
    for provider in ("openai", "anthropic", "google", "openai"):
        assert gate.post("plain", provider=provider).status_code == 200
    assert gate.post("plain", provider="sandbox").status_code == 200
    assert gate.post("plain", provider="openai", model=HOSTILE).status_code == 200
    return close(gate)


def close(gate: TollGate) -> list[dict[str, Any]]:
    """Close from where it was last closed to now."""
    done = gate.program.command("close", "--period", "/now", "--grace", "0", "--json")
    assert done.returncode == 0, done.stderr
    invoices: list[dict[str, Any]] = json.loads(done.stdout)["invoices"]
    return invoices


@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_in_every_form(
    visit: Visit, issued: list[dict[str, Any]], width: int, scheme: Scheme
) -> None:
    visitor = visit("owner", width=width, scheme=scheme)
    real, _ = sorted(issued, key=lambda each: each["sandbox"])
    for path in (
        "/invoices",
        "/invoices/draft",
        "/invoices/draft/waits",
        f"/invoices/{real['id']}",
    ):
        page = visitor.go(path)
        page.wait_for_load_state("networkidle")
        assert visitor.violations() == [], path
        assert visitor.overflow() == 0, path


@pytest.mark.parametrize("role", ["owner", "finance", "operator"])
def test_the_list_leads_to_the_document(
    visit: Visit, issued: list[dict[str, Any]], role: str
) -> None:
    page = visit(role).go("/invoices")
    rows = page.locator("#invoices tbody tr")
    texts = rows.all_inner_texts()
    for each in issued:
        (row,) = [text for text in texts if each["number"] in text]
        assert ("sandbox" in row) is each["sandbox"]
        assert (each["account_id"] in row) is (role != "owner")
    page.get_by_role("link", name=issued[0]["number"]).click()
    page.wait_for_url(f"**/invoices/{issued[0]['id']}")


@pytest.mark.parametrize("role", ["caller", "auditor"])
def test_who_reads_no_invoices_is_told_so(
    visit: Visit, issued: list[dict[str, Any]], role: str
) -> None:
    visitor = visit(role)
    for path in ("/invoices", "/invoices/draft", f"/invoices/{issued[0]['id']}"):
        page = visitor.go(path)
        assert "this page is for" in page.get_by_role("main").inner_text()
        assert issued[0]["number"] not in page.content()
    assert visitor.violations() == []


def test_the_document_says_every_digit(visit: Visit, issued: list[dict[str, Any]]) -> None:
    for invoice in issued:
        page = visit("owner").go(f"/invoices/{invoice['id']}")
        text = page.get_by_role("main").inner_text()
        for line in invoice["lines"]:
            assert line["model"] in text
            for name in ("at_cost_usd", "fee_usd"):
                assert line[name] is None or line[name] in text
        for name in ("fee_usd_exact", "carried_in", "carried_out", "account_id"):
            assert invoice[name] in text
        assert all(book in text for book in invoice["price_books"])
        assert all(seal["root"] in text for seal in invoice["merkle"].values())
        assert ("Nothing is owed" in text) is invoice["sandbox"]


def test_a_hostile_name_is_only_text(visit: Visit, issued: list[dict[str, Any]]) -> None:
    real, _ = sorted(issued, key=lambda each: each["sandbox"])
    page = visit("owner").go(f"/invoices/{real['id']}")
    assert HOSTILE in page.get_by_role("main").inner_text()
    assert page.locator("img[onerror]").count() == 0


def test_what_is_saved_is_what_the_api_gives(
    visit: Visit, gate: TollGate, issued: list[dict[str, Any]]
) -> None:
    visitor = visit("owner")
    invoice = issued[0]
    page = visitor.go(f"/invoices/{invoice['id']}")
    for form in ("PDF", "CSV", "JSON"):
        with page.expect_download() as saving:
            page.get_by_role("group", name="Download").get_by_role("link", name=form).click()
        saved = saving.value
        assert saved.suggested_filename == f"{invoice['number']}.{form.lower()}"
        with gate.program.client() as client:
            path = f"/api/v1/invoices/{invoice['id']}?format={form.lower()}"
            assert saved.path().read_bytes() == client.get(path).content


def test_the_draft_is_what_the_next_close_gives(
    visit: Visit, gate: TollGate, issued: list[dict[str, Any]]
) -> None:
    for _ in range(3):
        gate.post("plain", provider="openai")
    time.sleep(0.1)
    with gate.program.client() as client:
        month = f"{datetime.now(UTC):%Y-%m}"
        assert client.get("/api/v1/invoices/draft", params={"period": month}).status_code == 409
    page = visit("owner").go("/invoices/draft")
    shown = page.get_by_role("article").filter(has_text="Your calls").inner_text()
    waits = page.locator("#waits .state").first
    waits.wait_for()
    assert waits.inner_text() == "waits"
    assert "it can be closed" in page.locator("#waits").inner_text()
    (invoice,) = [each for each in close(gate) if not each["sandbox"]]
    for name in ("fee_usd_exact", "carried_in", "carried_out"):
        assert invoice[name] in shown
    assert page.reload() is not None
    assert page.get_by_role("article").filter(has_text="Your calls").count() == 0


def test_a_period_that_is_over_is_free(visit: Visit, issued: list[dict[str, Any]]) -> None:
    page = visit("owner").go("/invoices/draft/waits?period=2020-01")
    assert "Nothing stands in the way" in page.get_by_role("main").inner_text()


def test_a_period_that_overlaps_says_which_invoice_closed_it(
    visit: Visit, issued: list[dict[str, Any]]
) -> None:
    day = datetime.now(UTC)
    period = f"{day - timedelta(days=2):%Y-%m-%d}/{day + timedelta(days=2):%Y-%m-%d}"
    visitor = visit("owner")
    page = visitor.go(f"/invoices/draft?period={period}")
    assert "overlaps" in page.get_by_role("alert").inner_text()
    assert visitor.violations() == []


@pytest.mark.parametrize("path", ["/invoices", "/invoices/draft"])
def test_a_wrong_period_is_said_beside_the_field(
    visit: Visit, issued: list[dict[str, Any]], path: str
) -> None:
    visitor = visit("owner")
    page = visitor.go(path)
    page.get_by_label("Period").fill("next <b>month")
    page.get_by_role("button", name="Show").click()
    field = page.get_by_label("Period")
    assert field.input_value() == "next <b>month"
    assert field.get_attribute("aria-invalid") == "true"
    assert "Enter a month" in page.get_by_role("alert").inner_text()
    assert visitor.violations() == []


def test_an_empty_month_says_so(visit: Visit, issued: list[dict[str, Any]]) -> None:
    visitor = visit("owner")
    assert "No invoice for that" in visitor.go("/invoices?period=2020-01").content()
    assert visitor.violations() == []
    assert "Nothing to bill" in visitor.go("/invoices/draft?period=2020-01").content()
    assert visitor.violations() == []


@pytest.mark.parametrize(
    "path", ["/invoices/inv_" + "0" * 32, "/invoices/nonsense", "/invoices?account=acc_" + "0" * 32]
)
def test_what_is_not_theirs_is_not_there(
    visit: Visit, issued: list[dict[str, Any]], path: str
) -> None:
    visitor = visit("owner")
    answer = visitor.page.goto(f"{visitor.base_url}{path}")
    assert answer is not None
    assert answer.status == 404
    assert visitor.violations() == []
