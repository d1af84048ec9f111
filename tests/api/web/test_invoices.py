"""The pages about invoices: whose they are, what they say, what is saved."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from projections.store.port import ProjectionStore
from tests.api.routes.reports import Reports
from tests.api.web.papers import Papers


@pytest.fixture
def papers(tables: ProjectionStore) -> Papers:
    reports = Reports(tables)
    world = reports.world
    for _ in range(3):
        world.call(reports.account, usage={"input_tokens": 1_000_000, "output_tokens": 250_000})
    world.call(reports.account, provider="sandbox", model="echo")
    world.call(reports.other)
    reports.projector.catch_up()
    return Papers(reports)


async def invoices(papers: Papers) -> dict[str, dict[str, Any]]:
    """By whose they are, sandbox apart."""
    papers.reports.close_november()
    answer = await papers.reports.json("operator", "/api/v1/invoices")
    names = {papers.reports.account: "own", papers.reports.other: "other"}
    return {
        "sandbox" if each["sandbox"] else names[each["account_id"]]: each
        for each in answer["invoices"]
    }


async def test_each_role_sees_whose_invoices_it_may(papers: Papers) -> None:
    made = await invoices(papers)
    numbers = {name: each["number"] for name, each in made.items()}
    seen = {"owner": {"own", "sandbox"}, "other": {"other"}, "finance": {*numbers}}
    for role, wanted in seen.items():
        page = await papers.text(role, "/invoices")
        assert {name for name, number in numbers.items() if number in page} == wanted
    for role in ("caller", "auditor"):
        for path in ("/invoices", "/invoices/draft", f"/invoices/{made['own']['id']}"):
            assert (await papers.get(role, path)).status_code == 403
    assert (await papers.get(None, "/invoices")).status_code == 303


async def test_the_account_is_shown_by_its_name(papers: Papers) -> None:
    await invoices(papers)
    papers.labels.set(papers.reports.other, "label", "<i>Söhne & Co")
    page = await papers.get("finance", f"/invoices?account={papers.reports.other}")
    assert "&lt;i&gt;Söhne &amp; Co" in page.text
    assert "<i>" not in page.text


@pytest.mark.parametrize("form", ["json", "csv", "pdf"])
async def test_what_is_saved_are_the_bytes_of_the_api(papers: Papers, form: str) -> None:
    own = (await invoices(papers))["own"]
    saved = await papers.get("owner", f"/invoices/{own['id']}/file.{form}")
    given = await papers.reports.get("owner", f"/api/v1/invoices/{own['id']}?format={form}")
    assert saved.content == given.content
    assert saved.headers["content-type"] == given.headers["content-type"]
    name = f'attachment; filename="{own["number"]}.{form}"'
    assert saved.headers["content-disposition"] == given.headers["content-disposition"] == name
    assert saved.headers["x-content-type-options"] == "nosniff"


async def test_an_invoice_of_others_is_not_there(papers: Papers) -> None:
    made = await invoices(papers)
    for path in ("", "/file.pdf", "/file.json"):
        answer = await papers.get("other", f"/invoices/{made['own']['id']}{path}")
        assert answer.status_code == 404
    assert (await papers.get("owner", f"/invoices/{made['own']['id']}/file.exe")).status_code == 400
    for path in ("/invoices", "/invoices/draft", "/invoices/draft/waits"):
        answer = await papers.get("owner", f"{path}?account={papers.reports.other}")
        assert answer.status_code == 404


async def test_exact_stands_beside_rounded(papers: Papers) -> None:
    own = (await invoices(papers))["own"]
    page = await papers.text("owner", f"/invoices/{own['id']}")
    # 3 × (1 × 2 + 0.25 × 8) × 0.05
    for said in ("At cost, USD", "3,000,000", "750,000", "12 5 % 0.6 0.60", "Total, USD 0.60"):
        assert said in page, said
    assert own["merkle"]["store-1"]["root"] in page


async def test_an_adjustment_leads_to_what_it_adjusts(papers: Papers) -> None:
    world, account = papers.reports.world, papers.reports.account
    request = world.call(account, usage={"input_tokens": 10, "output_tokens": 10})
    papers.reports.projector.catch_up()
    own = (await invoices(papers))["own"]
    world.corrected(request, account, input_tokens=1_000_010, output_tokens=10)
    papers.reports.projector.catch_up()
    page = await papers.get("owner", "/invoices/draft")
    assert f'<a href="/invoices/{own["id"]}">{own["number"]}</a>' in page.text
    # A million input tokens more, at 2 USD, × 0.05.
    assert "0.1 0.10" in await papers.text("owner", "/invoices/draft")


async def test_the_draft_of_the_running_month_is_that_of_the_api(papers: Papers) -> None:
    answer = await papers.reports.json("owner", "/api/v1/invoices/draft?period=2026-11")
    page = await papers.text("owner", "/invoices/draft")
    for draft in answer["invoices"]:
        assert f"Fees, exact {draft['fee_usd_exact']} Carried in" in page
    assert "draft" in page
    assert papers.reports.other not in page


async def test_why_a_close_waits(papers: Papers) -> None:
    world, account = papers.reports.world, papers.reports.account
    path = "/invoices/draft/waits?period=2026-11"
    assert "it can be closed 60 seconds later" in await papers.text("owner", path, part=True)
    world.routed(account)
    papers.reports.projector.catch_up()
    world.clock.advance(timedelta(days=31))
    mine, everyone = await papers.text("owner", path), await papers.text("finance", path)
    assert f"{account} has 1 requests that have not ended" in mine
    assert f"{account} has 1 requests that have not ended" in everyone
    assert "Nothing stands in the way" in await papers.text("other", path)


async def test_a_wrong_period_comes_back_with_a_word_beside_it(papers: Papers) -> None:
    for path in ("/invoices", "/invoices/draft"):
        answer = await papers.get("owner", f"{path}?period=%3Cb%3E2026-13")
        assert answer.status_code == 400
        assert 'value="&lt;b&gt;2026-13"' in answer.text
        assert 'aria-invalid="true"' in answer.text
    assert (await papers.get("owner", "/invoices/draft/waits?period=x")).status_code == 400


async def test_while_the_projections_open_the_page_says_so(papers: Papers) -> None:
    papers.reports.open = False
    answer = await papers.get("owner", "/invoices")
    assert answer.status_code == 503
    assert "Not just now" in answer.text
