"""Usage and calls in a browser: the numbers, the chart, the filters, and what comes by itself."""

from __future__ import annotations

import json
import time

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.browser.visitor import NARROW, WIDE, Scheme
from tests.e2e.gate import TollGate

pytestmark = pytest.mark.services
SHOWN_S = 15_000


@pytest.fixture(autouse=True)
def calls(gate: TollGate) -> str:
    """Some calls, and the id of the last."""
    for provider in ("openai", "anthropic", "sandbox"):
        response = gate.post("plain", provider=provider)
        assert response.status_code == 200
    request = response.headers["x-request-id"]
    with gate.program.client() as client:
        until = time.monotonic() + 20
        while request not in client.get("/api/v1/usage/requests?limit=1").text:
            assert time.monotonic() < until
            time.sleep(0.1)
    return str(request)


def figures(page: Page) -> None:
    page.locator("#over-time").wait_for(state="attached", timeout=SHOWN_S)
    page.locator("#calls table").wait_for(timeout=SHOWN_S)


@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_are_sound(visit: Visit, calls: str, width: int, scheme: Scheme) -> None:
    visitor = visit("owner", width=width, scheme=scheme)
    for path in (
        "/usage",
        "/usage?by=model&period=today&show=latency",
        "/calls",
        f"/calls/{calls}",
    ):
        page = visitor.go(path)
        if path.startswith("/usage"):
            figures(page)
        if path == "/calls":
            page.locator("#calls table").wait_for(timeout=SHOWN_S)
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        assert visitor.violations() == []
        assert visitor.overflow() == 0


@pytest.mark.parametrize(
    ("role", "usage", "calls_list", "call"),
    [
        ("finance", "Usage", "Calls", "Call"),
        ("operator", "Usage", "Calls", "Call"),
        ("caller", "Not with this key", "Calls", "Nothing here"),
        ("auditor", "Not with this key", "Not with this key", "Call"),
    ],
)
def test_each_role(
    visit: Visit, calls: str, role: str, usage: str, calls_list: str, call: str
) -> None:
    visitor = visit(role)
    for path, title in (("/usage", usage), ("/calls", calls_list), (f"/calls/{calls}", call)):
        page = visitor.go(path)
        expect(page.locator("h1")).to_contain_text(title)
        if path == "/usage" and title == "Usage":
            figures(page)
        assert visitor.violations() == []
        assert visitor.overflow() == 0


def test_the_page_shows_what_the_api_says(visit: Visit, gate: TollGate) -> None:
    page = visit("owner").go("/usage?period=today&by=provider&sandbox=false")
    figures(page)
    day = (page.locator("#over-time tbody th").first.text_content() or "")[:10]
    with gate.program.client() as client:
        report = client.get(f"/api/v1/usage?from={day}&group_by=provider&sandbox=false").json()
    totals = page.locator("#grouped tfoot td")
    assert totals.nth(0).inner_text().replace(",", "") == str(report["totals"]["requests"])
    for column, name in ((3, "at_cost_usd"), (4, "fee_usd")):
        title = totals.nth(column).locator("[title]").get_attribute("title")
        assert title == f"{report['totals'][name]} USD"
    chart = json.loads(page.locator("#chart").get_attribute("data-chart") or "")
    assert {each["name"] for each in chart["series"]} == {row["provider"] for row in report["rows"]}


def test_the_chart_is_drawn_and_changes(visit: Visit) -> None:
    page = visit("owner").go("/usage")
    figures(page)
    drawn = "document.getElementById('chart').toDataURL()"
    before = page.evaluate(drawn)
    assert page.evaluate("Chart.getChart('chart').data.datasets.length") > 1
    page.get_by_label("Show").select_option("requests")
    page.wait_for_function(f"(before) => {drawn} !== before", arg=before)
    assert "show=requests" in page.url
    page.reload()
    figures(page)
    assert page.get_by_label("Show").input_value() == "requests"


def test_filters_stand_in_the_address(visit: Visit) -> None:
    page = visit("owner").go("/usage")
    figures(page)
    page.get_by_label("Provider", exact=True).select_option("anthropic")
    page.wait_for_url("**/usage?*provider=anthropic*")
    figures(page)
    assert page.locator("#grouped tbody th").all_inner_texts() == ["anthropic"]
    assert "model=" not in page.url, "only what was chosen is in the address"
    page.get_by_role("link", name="All calls of this period").click()
    page.locator("#calls tbody tr").first.wait_for()
    assert set(page.locator("#calls td.name .soft").all_inner_texts()) == {"anthropic"}
    page.go_back()
    figures(page)
    assert page.locator("#provider").input_value() == "anthropic"


def test_wrong_input(visit: Visit) -> None:
    visitor = visit("owner", width=NARROW)
    page = visitor.go("/usage")
    figures(page)
    page.get_by_text("More filters").click()
    page.get_by_label("Tag", exact=True).fill("<b>no tag</b>")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_label("Tag", exact=True)).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Tag", exact=True)).to_have_value("<b>no tag</b>")
    assert visitor.violations() == []
    assert visitor.overflow() == 0


def test_new_calls_come_by_themselves(visit: Visit, gate: TollGate) -> None:
    page = visit("owner").go("/usage")
    figures(page)
    request = gate.post("plain", provider="openai").headers["x-request-id"]
    page.locator(f"#at-{request}").wait_for(timeout=SHOWN_S)
    assert page.locator("#calls tbody tr").count() == 10


def test_nothing_is_asked_while_nobody_looks(visit: Visit) -> None:
    page = visit("owner").go("/calls")
    page.locator("#calls table").wait_for()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.wait_for_timeout(6_000)
    assert asked == []
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {value: false});"
        " document.dispatchEvent(new Event('visibilitychange'))"
    )
    page.wait_for_timeout(500)
    assert len(asked) == 1


def test_downloads(visit: Visit, gate: TollGate) -> None:
    page = visit("owner").go("/usage")
    figures(page)
    with page.expect_download() as waiting:
        page.get_by_role("link", name="CSV").click()
    lines = waiting.value.path().read_text().splitlines()
    assert lines[0].startswith("day,provider,requests,")
    assert len(lines) == page.locator("#over-time tbody tr").count() + 1


def test_hostile_model_names_are_text(visit: Visit, gate: TollGate) -> None:
    evil = "<img src=x onerror=alert(1)>\"'{{7*7}}"
    gate.post("plain", provider="openai", model=evil)
    visitor = visit("owner")
    visitor.page.on("dialog", lambda dialog: visitor.faults.append(dialog.message))
    for path in ("/usage?by=model", "/calls"):
        page = visitor.go(path)
        page.locator("#calls").get_by_text("onerror=alert(1)").first.wait_for(timeout=SHOWN_S)
        assert page.locator("main img").count() == 0
        assert visitor.violations() == []
