"""The pages of the trail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.conftest import Visit
from tests.browser.visitor import NARROW, WIDE, Scheme
from tests.e2e.gate import TollGate

pytestmark = pytest.mark.services

HOSTILE = "gpt-</pre><img src=x onerror=alert(1)>{{7*7}}"


@pytest.fixture(scope="session")
def called(gate: TollGate) -> str:
    """The id of a call whose model has a hostile name."""
    answer = gate.post("plain", provider="openai", model=HOSTILE)
    assert answer.status_code == 200
    return answer.headers["x-request-id"]


@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_in_every_form(
    visit: Visit, gate: TollGate, called: str, width: int, scheme: Scheme
) -> None:
    visitor = visit("auditor", width=width, scheme=scheme)
    event = gate.program.events_of(called)[0]
    for path in (
        "/audit",
        f"/audit?stream={called}",
        f"/audit/events/{event['store_id']}/{event['seq']}",
        f"/audit/credentials/{gate.credentials['openai']}",
        "/audit/proof",
    ):
        visitor.go(path)
        assert visitor.violations() == [], path
        assert visitor.overflow() == 0, path


@pytest.mark.parametrize("role", ["owner", "auditor", "operator"])
@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_an_event_opens_to_its_data_and_hash(
    visit: Visit, gate: TollGate, called: str, role: str, width: int
) -> None:
    visitor = visit(role, width=width)
    page = visitor.go(f"/audit?stream={called}")
    routed, _ = gate.program.events_of(called)
    row = page.locator(".event").filter(has_text="request.routed")
    row.locator("summary").click()
    row.get_by_text("Hash", exact=True).wait_for()
    text = row.inner_text()
    assert routed["event_id"] in text
    assert HOSTILE in text
    assert page.locator("img[onerror]").count() == 0
    assert visitor.violations() == []
    assert visitor.overflow() == 0


def test_events_can_be_reached_by_keyboard(visit: Visit, called: str) -> None:
    page = visit("auditor").go(f"/audit?stream={called}")
    page.locator(".event summary").first.focus()
    page.keyboard.press("Enter")
    page.locator(".event .body dl").first.wait_for()


def test_filters_are_in_the_address(visit: Visit, gate: TollGate, called: str) -> None:
    page = visit("operator").go("/audit")
    page.get_by_label("Kind of event").select_option("credential.key-added")
    page.get_by_label("Account", exact=True).select_option(gate.program.account_id)
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/audit?topic=credential.key-added&**")
    texts = page.locator(".event").all_inner_texts()
    assert texts
    assert all("credential.key-added" in text for text in texts)


def test_a_wrong_id_is_said_beside_the_field(visit: Visit, called: str) -> None:
    visitor = visit("owner")
    page = visitor.go("/audit")
    page.get_by_label("Request, key").fill("<script>alert(1)</script>")
    page.get_by_role("button", name="Show").click()
    field = page.get_by_label("Request, key")
    assert field.get_attribute("aria-invalid") == "true"
    assert field.input_value() == "<script>alert(1)</script>"
    assert "Enter a whole id" in page.get_by_role("alert").inner_text()
    assert visitor.violations() == []


@pytest.mark.parametrize("role", ["caller", "finance"])
def test_who_sees_no_trail_is_told_so(visit: Visit, role: str) -> None:
    visitor = visit(role)
    assert "this page is for" in visitor.go("/audit").get_by_role("main").inner_text()
    assert visitor.violations() == []


def test_an_owner_does_not_see_the_log_as_a_whole(visit: Visit, called: str) -> None:
    visitor = visit("owner")
    page = visitor.go("/audit")
    assert page.get_by_role("link", name="Check the log").count() == 0
    topics = " ".join(page.locator(".event").all_inner_texts())
    assert "store." not in topics
    assert "this page is for" in visitor.go("/audit/proof").get_by_role("main").inner_text()


@pytest.mark.parametrize("role", ["auditor", "operator"])
def test_the_button_verifies_the_log(
    visit: Visit, gate: TollGate, called: str, tmp_path: Path, role: str
) -> None:
    gate.program.command("close", "--period", "/now", "--grace", "0")
    visitor = visit(role)
    page = visitor.go("/audit")
    page.get_by_role("link", name="Check the log").click()
    page.get_by_role("button", name="Verify").click()
    good = page.locator("#verification .notice.good")
    good.wait_for()
    assert "Everything is what it was" in good.inner_text()
    assert visitor.violations() == []
    with page.expect_download() as saving:
        page.get_by_role("link", name="Download all").click()
    kept = tmp_path / "kept"
    saving.value.save_as(kept)
    assert gate.program.command("verify", "--checkpoint", str(kept)).returncode == 0
    assert len(kept.read_text().splitlines()) >= 1


def test_the_button_works_without_scripts(visit: Visit, gate: TollGate, called: str) -> None:
    page = visit("auditor").go("/audit/proof")
    form = page.locator("form[action='/audit/verification']")
    form.evaluate("form => HTMLFormElement.prototype.submit.call(form)")
    page.wait_for_url("**/audit/proof")
    page.locator("#verification .notice.good").wait_for()
