"""The usage page says what `GET /api/v1/usage` says, to whom that would say it."""

from __future__ import annotations

import csv
import html
import io
import json
import re

import pytest

from tests.api.routes.reports import NOVEMBER, Reports, reports
from tests.api.web.reading import Reader, cells

__all__ = ["reports"]

DAYS = "period=days&first=2026-11-01&last=2026-11-30"


@pytest.fixture
def reader(reports: Reports) -> Reader:
    return Reader(reports)


@pytest.mark.parametrize("by", ["provider", "model", "credential", "usage_source", "none"])
async def test_the_tables_are_the_report(reader: Reader, by: str) -> None:
    page = await reader.text("owner", f"/usage?{DAYS}&by={by}&whole=1")
    groups = "day" if by == "none" else f"day,{by}"
    report = await reader.reports.json("owner", f"/api/v1/usage?{NOVEMBER}&group_by={groups}")
    shown = cells(page, "over-time")[1:]
    names = 1 if by == "none" else 2
    numbers = [
        [
            *(f"{row[name]:,}" for name in ("requests", "input_tokens", "output_tokens")),
            *(row["at_cost_usd"], row["fee_usd"]),
            *(f"{row[name]:,}" for name in ("estimated_requests", "failed_requests")),
            f"{row['unrated_requests'] + row['partly_rated_requests']:,}",
            f"{row['lost_requests']:,}",
        ]
        for row in [
            *sorted(report["rows"], key=lambda row: str(row["day"]), reverse=True),
            report["totals"],
        ]
    ]
    assert [row[names:] for row in shown[:-1]] + [shown[-1][1:]] == numbers
    spans = [row[0] for row in shown]
    assert spans == [*sorted(spans[:-1], reverse=True), "All"]


async def test_the_chart_has_the_numbers_of_the_table(reader: Reader) -> None:
    page = await reader.text("owner", f"/usage?{DAYS}&whole=1")
    found = re.search(r'data-chart="([^"]*)"', page)
    assert found
    chart = json.loads(html.unescape(found[1]))
    report = await reader.reports.json("owner", f"/api/v1/usage?{NOVEMBER}&group_by=day,provider")
    assert chart["spans"] == [f"2026-11-{day:02}" for day in range(1, 31)]
    for series in chart["series"]:
        fees = {
            row["day"]: row["fee_usd"]
            for row in report["rows"]
            if row["provider"] == series["name"]
        }
        assert series["fee_usd"] == [fees.get(day, 0) for day in chart["spans"]]
        assert any(isinstance(fee, str) for fee in series["fee_usd"])
    assert [each["values"][:4] for each in chart["latency"]] == [[120, 120, 120, None]] * 2


async def test_exports_are_what_the_api_gives(reader: Reader) -> None:
    exported = await reader.get("owner", f"/usage/export/csv?{DAYS}")
    assert exported.headers["content-disposition"] == (
        'attachment; filename="usage-2026-11-01-2026-11-30.csv"'
    )
    path = f"/api/v1/usage?{NOVEMBER}&group_by=day,provider"
    assert exported.text == (await reader.reports.get("owner", f"{path}&format=csv")).text
    assert len(list(csv.DictReader(io.StringIO(exported.text)))) == 6
    exported = await reader.get("owner", f"/usage/export/json?{DAYS}")
    assert exported.json() == await reader.reports.json("owner", path)


async def test_an_owner_sees_no_other_account(reader: Reader) -> None:
    other = reader.reports.other
    for path in (f"/usage?account={other}", f"/calls?account={other}"):
        assert (await reader.get("owner", path)).status_code == 404
    assert other not in await reader.text("owner", f"/usage?{DAYS}&whole=1")
    assert other in await reader.text("finance", f"/usage?{DAYS}&whole=1&by=account")


@pytest.mark.parametrize(
    ("who", "status"),
    [("owner", 200), ("finance", 200), ("operator", 200), ("caller", 403), ("auditor", 403)],
)
async def test_usage_is_for_those_who_may_read_reports(
    reader: Reader, who: str, status: int
) -> None:
    for path in ("/usage", f"/usage?{DAYS}&whole=1", "/usage/export/csv"):
        assert (await reader.get(who, path)).status_code == status
    assert (await reader.get(who, "/usage/figures", part=True)).status_code == status


async def test_nobody_sees_anything_without_a_session(reader: Reader) -> None:
    for path in ("/usage", "/usage/figures", "/usage/export/csv", "/calls", "/calls/req_1"):
        response = await reader.get(None, path)
        assert (response.status_code, response.headers["location"][:9]) == (303, "/sign-in?")


async def test_a_part_comes_again_only_when_the_tables_have_moved(reader: Reader) -> None:
    page = await reader.text("owner", f"/usage/figures?{DAYS}", part=True)
    known = re.search(r'name="known" value="([^"]*)"', page)
    assert known
    for path in (f"/usage/figures?{DAYS}", f"/calls/rows?{DAYS}"):
        response = await reader.get("owner", f"{path}&known={known[1]}", part=True)
        assert (response.status_code, response.content) == (204, b"")
    reader.reports.world.call(reader.reports.account)
    reader.reports.projector.catch_up()
    for path in (f"/usage/figures?{DAYS}", f"/calls/rows?{DAYS}"):
        response = await reader.get("owner", f"{path}&known={known[1]}", part=True)
        assert response.status_code == 200
        assert known[1] not in response.text


@pytest.mark.parametrize(
    ("asked", "field", "words"),
    [
        ("period=days&first=x&last=2026-11-02", "first", "Enter a day"),
        ("period=days&first=2026-11-01", "last", "Enter a day"),
        ("period=days&first=2026-11-02&last=2026-11-01", "last", "before the first"),
        ("period=days&first=0001-01-01&last=9999-12-30", "last", "ten years"),
        ("period=days&first=2026-11-01&last=9999-12-31", "last", "Enter a day"),
        ("period=week", "period", "no such period"),
        ("by=colour", "by", "no such choice"),
        ("by=tag", "tag_name", "name of a tag"),
        ("tag=team", "tag", "name=value"),
        ("status=none", "status", "no such choice"),
    ],
)
async def test_wrong_input_is_said_beside_the_field(
    reader: Reader, asked: str, field: str, words: str
) -> None:
    for path in ("/usage", "/calls"):
        response = await reader.get("owner", f"{path}?{asked}")
        assert response.status_code == 400
        if path == "/calls" and field in {"by", "tag_name"}:
            continue
        said = re.search(rf'id="{field}-problem">([^<]*)<', response.text)
        assert said
        assert words in said[1]
        assert f'aria-describedby="{field}-problem"' in response.text


async def test_without_projections_the_page_says_so(reader: Reader) -> None:
    reader.reports.open = False
    for path in ("/usage", "/calls"):
        assert (await reader.get("owner", path)).status_code == 200
    for path in ("/usage?whole=1", "/calls?whole=1"):
        assert (await reader.get("owner", path)).status_code == 503
    part = await reader.get("owner", "/usage/figures", part=True)
    assert part.status_code == 503
    assert "<html" not in part.text


async def test_a_period_without_calls_says_so(reader: Reader) -> None:
    page = await reader.text("owner", "/usage?period=days&first=2020-01-01&last=2020-01-31&whole=1")
    assert "No calls here" in page
    assert "No calls in this period" in await reader.text(
        "owner", "/calls?period=days&first=2020-01-01&last=2020-01-31&whole=1"
    )


async def test_what_cannot_be_billed_is_seen(reader: Reader) -> None:
    world, account = reader.reports.world, reader.reports.account
    world.failed(world.routed(account), account, "process_lost")
    world.call(account, model="new-x")
    reader.reports.projector.catch_up()
    page = await reader.text("owner", f"/usage?{DAYS}&whole=1")
    assert re.search(r'data-figure="lost_requests">\s*<dt>Lost</dt>\s*<dd class="number">1<', page)
    assert re.search(r'data-figure="unrated_requests">.*?<dd class="number">1<', page, re.DOTALL)


async def test_hostile_strings_stay_text(reader: Reader) -> None:
    world, account = reader.reports.world, reader.reports.account
    evil = "</td><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    request = world.call(account, model=evil, tags={"team": evil})
    reader.reports.projector.catch_up()
    for path in (
        f"/usage?{DAYS}&by=model&whole=1",
        f"/usage?{DAYS}&by=tag&tag_name=team&whole=1",
        f"/calls?{DAYS}&whole=1",
        f"/calls/req_{request.hex}",
    ):
        page = await reader.text("owner", path)
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "&lt;script&gt;alert(1)" in page or "\\u003cscript" in page
