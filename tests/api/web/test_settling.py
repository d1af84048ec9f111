"""The forms of an issued invoice: who may use them, what comes of them, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from projections.store.port import ProjectionStore
from tests.api.routes.reports import Reports
from tests.api.web.papers import Papers


@pytest.fixture
def papers(tables: ProjectionStore) -> Papers:
    reports = Reports(tables)
    for _ in range(4):  # (2 × 2 + 12 × 8) × 0.05 = 5 dollars each
        reports.world.call(
            reports.account, usage={"input_tokens": 2_000_000, "output_tokens": 12_000_000}
        )
    return Papers(reports)


async def invoice(papers: Papers) -> dict[str, Any]:
    papers.reports.close_november()
    answer = await papers.reports.json("owner", "/api/v1/invoices")
    (made,) = (each for each in answer["invoices"] if not each["sandbox"])
    return dict(made)


async def test_some_is_given_back_and_the_page_says_so(papers: Papers) -> None:
    made = await invoice(papers)
    here = f"/invoices/{made['id']}"
    form = {"amount": "1.50", "reason": "two calls were ours"}
    answer = await papers.post("finance", f"{here}/credit", form=form)
    assert (answer.status_code, answer.headers["location"]) == (303, here)
    page = await papers.text("owner", here)
    assert "1.50" in page
    assert "two calls were ours" in page
    assert "Give money back" not in page
    assert "Give money back" in await papers.text("operator", here)
    notes = await papers.reports.json("owner", f"/api/v1{here}/credit-notes")
    (note,) = notes["credit_notes"]
    assert (note["subtotal"], note["reason"]) == ("1.5", "two calls were ours")
    for kind in ("pdf", "csv", "json"):
        name = f"credit-notes/{note['number']}"
        saved = await papers.get("owner", f"/invoices/{name}/file.{kind}")
        path = f"/api/v1/invoices/{name}?format={kind}"
        assert saved.content == (await papers.reports.get("finance", path)).content
    assert (await papers.get("other", f"/invoices/{name}/file.pdf")).status_code == 404


@pytest.mark.parametrize(
    ("form", "fields", "said"),
    [
        ("credit", {"amount": "1000000", "reason": "too much"}, "there is"),
        ("credit", {"amount": "0.001", "reason": "too fine"}, "in whole cents"),
        ("credit", {"amount": "a lot", "reason": "no number"}, "plain decimal text"),
        ("credit", {"amount": "1", "reason": ""}, "at least 1 character"),
        ("void", {"reason": ""}, "at least 1 character"),
        ("pay", {"reference": "x y" * 80}, "at most 200 characters"),
    ],
)
@pytest.mark.parametrize("part", [False, True])
async def test_wrong_input_comes_back_with_the_reason(
    papers: Papers, form: str, fields: dict[str, str], said: str, part: bool
) -> None:
    made = await invoice(papers)
    answer = await papers.post("finance", f"/invoices/{made['id']}/{form}", form=fields, part=part)
    assert answer.status_code in {400, 409}
    assert said in answer.text
    for typed in filter(None, fields.values()):
        assert f'value="{typed.strip()}"' in answer.text
    assert await papers.reports.json("owner", f"/api/v1/invoices/{made['id']}") == made


async def test_paid_and_void_exclude_each_other(papers: Papers) -> None:
    made = await invoice(papers)
    here = f"/invoices/{made['id']}"
    answer = await papers.post(
        "operator", f"{here}/pay", form={"reference": "transfer 17"}, part=True
    )
    assert answer.status_code == 200
    assert "The invoice is marked as paid." in answer.text
    page = await papers.text("finance", here)
    assert "Void this invoice" not in page
    assert (await papers.post("finance", f"{here}/void", form={"reason": "no"})).status_code == 409
    assert (await papers.reports.json("owner", f"/api/v1{here}"))["status"] == "paid"


async def test_owners_and_auditors_may_not(papers: Papers) -> None:
    made = await invoice(papers)
    for role in ("owner", "auditor", "caller", "other"):
        for form in ("pay", "void", "credit"):
            path = f"/invoices/{made['id']}/{form}"
            answer = await papers.post(role, path, form={"reason": "mine"})
            assert answer.status_code == 403, role
    unsigned = await papers.post("finance", f"/invoices/{made['id']}/pay", csrf="made up")
    assert unsigned.status_code == 400
    assert (await papers.post("finance", "/invoices/inv_0/pay")).status_code == 404
    assert (await papers.post("finance", f"/invoices/{made['id']}/burn")).status_code == 404
    assert await papers.reports.json("owner", f"/api/v1/invoices/{made['id']}") == made
