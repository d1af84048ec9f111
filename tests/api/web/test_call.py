"""The pages of calls: who sees which, the list page by page, and one call with its arithmetic."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

from domain.ids import public_id
from tests.api.routes.reports import NOVEMBER, Reports, reports
from tests.api.web.reading import Reader, cells

__all__ = ["reports"]

DAYS = "period=days&first=2026-11-01&last=2026-11-30&whole=1"


@pytest.fixture
def reader(reports: Reports) -> Reader:
    return Reader(reports)


def listed(page: str) -> list[str]:
    return re.findall(r'href="/calls/(req_[0-9a-f]{32})"', page)


async def test_the_list_is_that_of_the_api(reader: Reader) -> None:
    answer = await reader.reports.json("owner", f"/api/v1/usage/requests?{NOVEMBER}")
    ids = [each["request_id"] for each in answer["requests"]]
    assert len(ids) == 6
    assert listed(await reader.text("owner", f"/calls?{DAYS}")) == ids
    assert listed(await reader.text("owner", f"/calls/rows?{DAYS}", part=True)) == ids


async def test_older_calls_are_a_link_away(reader: Reader) -> None:
    world = reader.reports.world
    for _ in range(50):
        world.call(reader.reports.account)
    reader.reports.projector.catch_up()
    first = await reader.text("owner", f"/calls?{DAYS}")
    older = re.search(r'rel="next" href="/calls\?([^"]*)"', first)
    assert older
    second = await reader.text("owner", f"/calls?{older[1].replace('&amp;', '&')}")
    assert len(listed(first)) == 50
    assert len(listed(second)) == 6
    assert not {*listed(first)} & {*listed(second)}
    assert 'rel="next"' not in second
    assert "hx-trigger" not in second, "an older page does not change by itself"
    assert (await reader.get("owner", f"/calls?{DAYS}&after=x")).status_code == 400


async def test_callers_see_their_own_calls_only(reader: Reader) -> None:
    world, account = reader.reports.world, reader.reports.account
    own = public_id("req", world.call(account, api_key_id=reader.reports.caller_key))
    running = public_id("req", world.routed(account, api_key_id=reader.reports.caller_key))
    other = public_id("req", world.call(account))
    world.routed(account)
    reader.reports.projector.catch_up()
    assert listed(await reader.text("caller", f"/calls?{DAYS}")) == [running, own]
    assert listed(await reader.text("caller", f"/calls?{DAYS}&api_key=key_{'0' * 32}")) == [own]
    assert (await reader.get("caller", f"/calls/{own}")).status_code == 200
    assert (await reader.get("caller", f"/calls/{other}")).status_code == 404


@pytest.mark.parametrize(
    ("who", "a_list", "one"),
    [
        ("owner", 200, 200),
        ("finance", 200, 200),
        ("operator", 200, 200),
        ("auditor", 403, 200),
        ("other", 200, 404),
    ],
)
async def test_who_sees_calls(reader: Reader, who: str, a_list: int, one: int) -> None:
    request = public_id("req", reader.reports.world.call(reader.reports.account))
    assert (await reader.get(who, "/calls")).status_code == a_list
    assert (await reader.get(who, f"/calls/{request}")).status_code == one
    assert (await reader.get(who, f"/calls/req_{'0' * 32}")).status_code == 404
    assert (await reader.get(who, "/calls/nonsense")).status_code == 404


async def test_running_calls_stand_first(reader: Reader) -> None:
    world, account = reader.reports.world, reader.reports.account
    running = public_id("req", world.routed(account))
    world.routed(reader.reports.other)
    reader.reports.projector.catch_up()
    page = await reader.text("owner", f"/calls?{DAYS}")
    assert listed(page)[0] == running
    assert page.count(">running<") == 1
    assert (await reader.text("operator", f"/calls?{DAYS}")).count(">running<") == 2
    assert ">running<" not in await reader.text("owner", f"/calls?{DAYS}&provider=openai")
    one = await reader.text("owner", f"/calls/{running}")
    assert "nothing has ended it yet" in one
    assert "The receipt is written when the call ends." in one


async def test_the_receipt_adds_up(reader: Reader) -> None:
    world, account = reader.reports.world, reader.reports.account
    usage = {"input_tokens": 1_000_001, "cached_input_tokens": 400_000, "output_tokens": 3}
    request = public_id("req", world.call(account, usage=usage))
    rows = cells(await reader.text("owner", f"/calls/{request}"), "receipt")
    assert sorted(row[:3] for row in rows[1:-2]) == [
        ["cached input tokens", "400,000", "× 0.5 per million"],
        ["input tokens", "600,001", "× 2 per million"],
        ["output tokens", "3", "× 8 per million"],
    ]
    # 600,001 × 2 + 400,000 × 0.5 + 3 × 8 millionths, by hand.
    assert sum(Decimal(row[4].removeprefix("= ")) for row in rows[1:-2]) == Decimal("1.400026")
    assert rows[-2] == ["At-cost", "1.400026"]
    assert rows[-1] == ["× markup rate 0.05 = fee", "0.0700013"]


async def test_every_event_stands_with_its_place_and_hash(reader: Reader) -> None:
    world, account = reader.reports.world, reader.reports.account
    request = world.call(account, model="new-x")
    world.corrected(request, account, input_tokens=5, output_tokens=6)
    world.rerated(request, account, version=4)
    page = await reader.text("owner", f"/calls/{public_id('req', request)}")
    recorded = world.log.stream(request)
    assert len(recorded) == 4
    for each in recorded:
        assert f"{each.store_id}:{each.seq}" in page
        assert each.hash in page
    titles = re.findall(r"<h3>([^<]*)</h3>", page)
    assert titles == ["Routed", "Answered; the provider told the usage", "Corrected", "Rated again"]


async def test_an_invoice_that_holds_the_call_is_named(reader: Reader) -> None:
    world, account = reader.reports.world, reader.reports.account
    request = public_id("req", world.call(account))
    reader.reports.projector.catch_up()
    assert "on no invoice yet" in await reader.text("owner", f"/calls/{request}")
    reader.reports.close_november()
    page = await reader.text("owner", f"/calls/{request}")
    answer: dict[str, Any] = await reader.reports.json("owner", "/api/v1/invoices")
    (invoice,) = answer["invoices"]
    assert f'<a href="/invoices/{invoice["id"]}">{invoice["number"]}</a>' in page
    assert re.findall(r"<h3>([^<]*)</h3>", page)[-1] == "Billed"


async def test_without_projections_a_call_is_still_there(reader: Reader) -> None:
    request = public_id("req", reader.reports.world.call(reader.reports.account))
    reader.reports.open = False
    page = await reader.text("owner", f"/calls/{request}")
    assert "not known now" in page
    assert "0.00036" in page


async def test_attempts_lead_to_each_other(reader: Reader) -> None:
    world, account = reader.reports.world, reader.reports.account
    first = world.routed(account)
    world.failed(first, account, "overloaded")
    second = world.call(account, attempt_of=public_id("req", first))
    reader.reports.projector.catch_up()
    for one, another in ((first, second), (second, first)):
        page = await reader.text("owner", f"/calls/{public_id('req', one)}")
        assert f'<a href="/calls/{public_id("req", another)}"' in page
        assert "this one" in page
