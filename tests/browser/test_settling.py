"""Paid, credited, void: the forms on the page of an invoice."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.test_invoices import close, issued
from tests.browser.visitor import NARROW, WIDE
from tests.e2e.gate import TollGate

__all__ = ["issued"]

pytestmark = pytest.mark.services

REASON = "two calls were <b>ours</b>"


@pytest.fixture
def invoice(gate: TollGate, issued: list[dict[str, Any]]) -> dict[str, Any]:
    """One that nothing has become of yet."""
    for _ in range(2):
        assert gate.post("plain", provider="anthropic").status_code == 200
    (real,) = [each for each in close(gate) if not each["sandbox"]]
    return real


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_money_is_given_back(visit: Visit, invoice: dict[str, Any], width: int) -> None:
    visitor = visit("finance", width=width)
    page = visitor.go(f"/invoices/{invoice['id']}")
    page.get_by_text("Give money back").click()
    page.get_by_label("Amount before tax").fill("1000000")
    page.get_by_label("Reason").first.fill(REASON)
    page.get_by_role("button", name="Issue a credit note").click()
    expect(page.get_by_role("alert").first).to_contain_text("left to credit")
    assert page.get_by_label("Reason").first.input_value() == REASON
    assert visitor.violations() == []
    assert visitor.overflow() == 0
    page.get_by_label("Amount before tax").fill("")
    page.get_by_role("button", name="Issue a credit note").click()
    if invoice["subtotal"] == "0":  # nothing is owed on a fee below half a cent
        expect(page.get_by_role("alert").first).to_contain_text("0 USD left to credit")
        return
    expect(page.locator("#credit-notes tbody tr")).to_have_count(1)
    expect(page.locator("#credit-notes")).to_contain_text(REASON)
    assert visitor.violations() == []
    with page.expect_download() as saved:
        page.get_by_role("link", name="as PDF").click()
    assert saved.value.suggested_filename.endswith(".pdf")


def test_it_is_paid_and_then_no_longer_to_void(visit: Visit, invoice: dict[str, Any]) -> None:
    visitor = visit("operator")
    page = visitor.go(f"/invoices/{invoice['id']}")
    page.get_by_text("Mark as paid").click()
    page.get_by_label("Reference").fill("transfer 17")
    page.get_by_role("button", name="It is paid").click()
    expect(page.get_by_text("The invoice is marked as paid.")).to_be_visible()
    expect(page.get_by_text("Void this invoice")).to_have_count(0)
    assert visitor.violations() == []


def test_voiding_asks_first(visit: Visit, invoice: dict[str, Any]) -> None:
    visitor = visit("finance")
    page = visitor.go(f"/invoices/{invoice['id']}")
    page.get_by_text("Void this invoice").click()
    page.get_by_label("Reason").last.fill("wrong account")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Void it").click()
    expect(page.get_by_text("was voided")).to_have_count(0)
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Void it").click()
    expect(page.get_by_text("This invoice was voided")).to_be_visible()
    assert visitor.violations() == []


def test_owners_see_no_forms(visit: Visit, invoice: dict[str, Any]) -> None:
    page = visit("owner").go(f"/invoices/{invoice['id']}")
    expect(page.get_by_text("Give money back")).to_have_count(0)
