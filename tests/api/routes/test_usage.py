"""Usage, receipts and invoices over HTTP, with the real projections behind them."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from api.routes.report_schemas import Invoice, InvoiceList, Receipt, RequestList, UsageReport
from domain.ids import parse_id, public_id
from tests.api.routes.reports import NOVEMBER, Reports, reports

__all__ = ["reports"]


async def test_rows_add_up_to_totals(reports: Reports) -> None:
    for groups in ("", "day", "provider,model", "tag:team,day", "credential,api_key,status"):
        answer = await reports.json("owner", f"/api/v1/usage?{NOVEMBER}&group_by={groups}")
        assert answer["totals"]["requests"] == sum(row["requests"] for row in answer["rows"]) == 6
        fees = [Decimal(row["fee_usd"]) for row in answer["rows"]]
        assert sum(fees, Decimal(0)) == Decimal(answer["totals"]["fee_usd"]) > 0
        assert answer["as_of"] == reports.projector.reached()


async def test_what_a_failed_call_cost_is_unknown_unless_it_was_refused(reports: Reports) -> None:
    world = reports.world
    for failure in ("process_lost", "rate_limited"):
        world.failed(world.routed(reports.account, model=failure), reports.account, failure)
    reports.projector.catch_up()
    report = await reports.json("owner", f"/api/v1/usage?{NOVEMBER}&group_by=model&status=failed")
    found = {row["model"]: (row["at_cost_usd"], row["fee_usd"]) for row in report["rows"]}
    assert found == {"process_lost": (None, "0"), "rate_limited": ("0", "0")}
    listed = await reports.json("owner", f"/api/v1/usage/requests?{NOVEMBER}&status=failed")
    for request in listed["requests"]:
        receipt = await reports.json("owner", f"/api/v1/usage/requests/{request['request_id']}")
        assert receipt["at_cost_usd"] == request["at_cost_usd"]


async def test_groups_are_named_as_asked(reports: Reports) -> None:
    answer = await reports.json("owner", f"/api/v1/usage?{NOVEMBER}&group_by=tag:team,provider")
    found = {(row["tag:team"], row["provider"]): row["requests"] for row in answer["rows"]}
    assert found == {
        ("red", "openai"): 2,
        (None, "openai"): 1,
        (None, "anthropic"): 3,
    }
    days = await reports.json("owner", f"/api/v1/usage?{NOVEMBER}&group_by=day&provider=openai")
    assert [(row["day"], row["requests"]) for row in days["rows"]] == [
        (f"2026-11-0{day}", 1) for day in (1, 2, 3)
    ]


async def test_csv_has_the_rows_of_json(reports: Reports) -> None:
    path = f"/api/v1/usage?{NOVEMBER}&group_by=day,model"
    rows = (await reports.json("owner", path))["rows"]
    response = await reports.get("owner", f"{path}&format=csv")
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    read = list(csv.DictReader(io.StringIO(response.text)))
    assert read == [{name: str(value) for name, value in row.items()} for row in rows]


async def test_who_sees_what(reports: Reports) -> None:
    path = f"/api/v1/usage?{NOVEMBER}"
    seen = {
        who: (await reports.json(who, path))["totals"]["requests"]
        for who in ("owner", "other", "finance", "operator")
    }
    assert seen == {"owner": 6, "other": 3, "finance": 9, "operator": 9}
    one = await reports.json("finance", f"{path}&account={reports.other}")
    assert one["totals"]["requests"] == 3
    assert await reports.refusal("other", f"{path}&account={reports.account}") == (
        404,
        "not_found",
        "account",
    )
    for who in ("caller", "auditor"):
        assert (await reports.refusal(who, path))[:2] == (403, "role_not_allowed")


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("from=yesterday", "from"),
        ("to=2026-13-01", "to"),
        ("from=2026-12-01&to=2026-11-01", "to"),
        ("group_by=colour", "group_by"),
        ("group_by=tag:", "group_by"),
        ("format=xml", "format"),
        ("sandbox=perhaps", "sandbox"),
    ],
)
async def test_what_is_wrong_is_named(reports: Reports, query: str, param: str) -> None:
    answer = await reports.refusal("owner", f"/api/v1/usage?{query}")
    assert answer == (400, "invalid_parameter_value", param)


async def test_the_widest_period_is_answered(reports: Reports) -> None:
    path = "/api/v1/usage?from=0001-01-01&to=9999-12-31"
    assert (await reports.json("owner", path))["totals"]["requests"] == 6


async def test_requests_come_newest_first_page_by_page(reports: Reports) -> None:
    path = f"/api/v1/usage/requests?{NOVEMBER}&limit=4"
    first = await reports.json("owner", path)
    second = await reports.json("owner", f"{path}&after={first['next']}")
    assert second["next"] is None
    found = [*first["requests"], *second["requests"]]
    assert len({each["request_id"] for each in found}) == len(found) == 6
    assert [each["ended_at"] for each in found] == sorted(
        (each["ended_at"] for each in found), reverse=True
    )
    totals = (await reports.json("owner", f"/api/v1/usage?{NOVEMBER}"))["totals"]
    assert sum((Decimal(each["fee_usd"]) for each in found), Decimal(0)) == Decimal(
        totals["fee_usd"]
    )
    assert await reports.refusal("owner", f"{path}&after=x") == (
        400,
        "invalid_parameter_value",
        "after",
    )


async def test_a_receipt_is_read_from_the_log(reports: Reports) -> None:
    reports.open = False
    world = reports.world
    request = world.routed(reports.account, api_key_id=reports.caller_key)
    path = f"/api/v1/usage/requests/{public_id('req', request)}"
    running = await reports.json("owner", path)
    assert (running["state"], running["status"]) == ("open", "pending")
    world.reported(request, reports.account, input_tokens=1000, output_tokens=10)
    settled = await reports.json("caller", path)
    assert (settled["state"], settled["fee_usd"]) == ("settled", "0.000104")
    assert [event["topic"] for event in settled["events"]] == [
        "request.routed",
        "request.usage-reported",
    ]
    assert parse_id("req", settled["request_id"]) == request
    world.corrected(request, reports.account, input_tokens=500, output_tokens=10)
    assert (await reports.json("auditor", path))["fee_usd"] == "0.000054"


async def test_a_receipt_of_somebody_else_is_not_there(reports: Reports) -> None:
    request = reports.world.call(reports.account)
    path = f"/api/v1/usage/requests/{public_id('req', request)}"
    assert (await reports.get("owner", path)).status_code == 200
    # Of the same account, but another key's call.
    assert (await reports.refusal("caller", path))[:2] == (404, "not_found")
    assert (await reports.refusal("other", path))[:2] == (404, "not_found")
    for unknown in ("req_" + "0" * 32, "nonsense", public_id("acc", request)):
        answer = await reports.refusal("owner", f"/api/v1/usage/requests/{unknown}")
        assert answer[:2] == (404, "not_found")


async def test_before_the_projections_are_open_their_routes_say_so(reports: Reports) -> None:
    reports.open = False
    for path in (
        f"/api/v1/usage?{NOVEMBER}",
        "/api/v1/usage/requests",
        "/api/v1/invoices",
        "/api/v1/invoices/draft?period=2026-11",
    ):
        assert (await reports.refusal("owner", path))[:2] == (503, "projection_unavailable")


async def test_an_invoice_equals_its_draft_and_the_usage_of_its_period(reports: Reports) -> None:
    (draft,) = (await reports.json("owner", "/api/v1/invoices/draft?period=2026-11"))["invoices"]
    assert (draft["status"], draft["number"], draft["id"]) == ("draft", None, None)
    reports.close_november()
    (listed,) = (await reports.json("owner", "/api/v1/invoices?period=2026-11"))["invoices"]
    assert listed["lines"] == draft["lines"]
    assert listed["status"] == "open"
    totals = (await reports.json("owner", f"/api/v1/usage?{NOVEMBER}"))["totals"]
    assert totals["fee_usd"] == listed["fee_usd_exact"]
    everyone = (await reports.json("finance", "/api/v1/invoices"))["invoices"]
    assert {each["account_id"] for each in everyone} == {reports.account, reports.other}
    page = await reports.json("owner", f"/api/v1/usage/requests?{NOVEMBER}&limit=1")
    assert page["requests"][0]["billed_in"]["invoice_id"] == listed["id"]


async def test_an_invoice_is_the_same_bytes_every_time(reports: Reports) -> None:
    reports.close_november()
    (listed,) = (await reports.json("owner", "/api/v1/invoices"))["invoices"]
    path = f"/api/v1/invoices/{listed['id']}"

    async def both() -> tuple[bytes, bytes]:
        shown = await reports.get("owner", path)
        table = await reports.get("owner", f"{path}?format=csv")
        assert (shown.json(), table.status_code) == (listed, 200)
        return shown.content, table.content

    before = await both()
    reports.world.tick(days=5)
    reports.world.call(reports.account)
    reports.projector.catch_up()
    assert await both() == before
    rows = list(csv.DictReader(io.StringIO(before[1].decode())))
    amounts = [Decimal(row["amount"]) for row in rows if row["record"] == "line"]
    (subtotal,) = [row["amount"] for row in rows if row["record"] == "subtotal"]
    assert sum(amounts, Decimal(0)) == Decimal(subtotal)


async def test_an_invoice_of_somebody_else_is_not_there(reports: Reports) -> None:
    reports.close_november()
    (listed,) = (await reports.json("owner", "/api/v1/invoices"))["invoices"]
    path = f"/api/v1/invoices/{listed['id']}"
    assert (await reports.refusal("other", path))[:2] == (404, "not_found")
    assert (await reports.get("finance", path)).status_code == 200
    assert (await reports.refusal("owner", "/api/v1/invoices/inv_x"))[:2] == (404, "not_found")
    refused = await reports.refusal("owner", f"{path}?format=xml")
    assert refused == (400, "invalid_parameter_value", "format")
    assert await reports.refusal("owner", "/api/v1/invoices/draft?period=2026-13") == (
        400,
        "invalid_parameter_value",
        "period",
    )
    overlapping = "/api/v1/invoices/draft?period=2026-11-01/2026-11-15"
    assert (await reports.refusal("owner", overlapping))[:2] == (409, "conflict")


async def test_answers_are_what_openapi_says(reports: Reports) -> None:
    """Each field of an answer is described, and each described field is there."""
    world = reports.world
    world.call(reports.account, model="new-x")
    request = world.call(reports.account)
    world.failed(world.routed(reports.account), reports.account)
    reports.projector.catch_up()
    draft = await reports.json("owner", "/api/v1/invoices/draft?period=2026-11")
    reports.close_november()
    usage_path = f"/api/v1/usage?{NOVEMBER}&group_by=status"
    receipt_path = f"/api/v1/usage/requests/{public_id('req', request)}"
    listed = await reports.json("owner", "/api/v1/invoices")
    answers: list[tuple[type[BaseModel], Any]] = [
        (UsageReport, await reports.json("owner", usage_path)),
        (RequestList, await reports.json("owner", f"/api/v1/usage/requests?{NOVEMBER}")),
        (Receipt, await reports.json("owner", receipt_path)),
        (InvoiceList, draft),
        (InvoiceList, listed),
        (Invoice, await reports.json("owner", f"/api/v1/invoices/{listed['invoices'][0]['id']}")),
    ]
    described = reports.app.openapi()["components"]["schemas"]
    for model, answer in answers:
        assert model.__name__ in described
        read = model.model_validate(answer, strict=True)
        assert read.model_dump(by_alias=True, exclude_unset=True) == answer


@pytest.mark.parametrize(
    "text", ["%00", "a%09b", "a%0Ab", "%5C", "'", "%FF%FE", "{x:String}", "🙂", "%24db", "a" * 257]
)
async def test_odd_text_is_only_text(reports: Reports, text: str) -> None:
    for name in ("provider", "model", "credential", "api_key", "status", "usage_source"):
        for path in ("/api/v1/usage", "/api/v1/usage/requests"):
            response = await reports.get("owner", f"{path}?{NOVEMBER}&{name}={text}")
            assert response.status_code == (400 if len(text) > 256 else 200), (name, response.text)
            if response.status_code == 200:
                assert not [*response.json().get("rows", []), *response.json().get("requests", [])]


@pytest.mark.parametrize(
    "query",
    [
        "from=9999-12-31T23:59:59-14:00",
        "from=0001-01-01T00:00:00%2B14:00",
        "to=0001-01-01",
        "limit=0",
        "limit=99999999999999999999",
        "after=" + "9" * 19 + "-" + "0" * 32,
        "after=" + "9" * 18 + "-" + "z" * 32,
    ],
)
async def test_odd_bounds_are_refused(reports: Reports, query: str) -> None:
    status, code, param = await reports.refusal("owner", f"/api/v1/usage/requests?{query}")
    assert (status, code) == (400, "invalid_parameter_value")
    assert param in {"from", "to", "limit", "after"}


async def test_a_cursor_past_everything_gives_an_empty_page(reports: Reports) -> None:
    for cursor in ("0-" + "0" * 32, "9" * 18 + "-" + "f" * 32):
        page = await reports.json("owner", f"/api/v1/usage/requests?{NOVEMBER}&after={cursor}")
        assert page["next"] is None
        assert len(page["requests"]) == (6 if cursor.startswith("9") else 0)
