"""Closing a period: what an invoice says, and that nothing is billed twice or lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain.account import AccountNotFound
from domain.invoice import Period, parse_period
from domain.invoice_register import InvoiceRegister, PeriodOverlaps
from domain.repository import Repository
from projections.documents import csv_text, json_bytes
from projections.invoicing import CannotClose, Invoices, load_account
from projections.rows import Place, columns, conflict, dead_letter
from projections.store.port import ProjectionStore
from tests.projections.world import START
from tests.workers.office import DECEMBER, NOVEMBER, Office, assert_adds_up, total
from workers.close import Closer


@pytest.fixture
def office(tables: ProjectionStore) -> Office:
    return Office(tables)


def test_a_month_becomes_an_invoice(office: Office) -> None:
    world = office.world
    account = world.open_account("a", tax="0.19")
    for _ in range(3):
        world.call(account, usage={"input_tokens": 1_000_000, "output_tokens": 250_000})
    request = world.routed(account, provider="anthropic", model="claude-x")
    world.estimated(request, account, input_tokens=7, output_tokens=1)
    world.call(account, model="new-x")
    world.failed(world.routed(account), account, "rate_limited")
    office.go_to(NOVEMBER.end)
    (invoice,) = office.close(NOVEMBER)

    assert invoice["number"] == "KT-2026-000001"
    assert invoice["period"] == {
        "start": "2026-11-01T00:00:00.000000Z",
        "end": "2026-12-01T00:00:00.000000Z",
    }
    # 3 × (1 × 2 + 0.25 × 8) × 0.05, and (7 × 3.000000001 + 15.1) × 1e-6 × 0.05
    assert invoice["fee_usd_exact"] == "0.60000180500000035"
    assert (invoice["subtotal"], invoice["tax"], invoice["total"]) == ("0.6", "0.11", "0.71")
    assert invoice["carried_out"] == "0.00000180500000035"
    assert_adds_up(invoice)
    by_model = {line["model"]: line for line in invoice["lines"]}
    assert by_model.keys() == {"gpt-x", "claude-x", "new-x"}
    assert by_model["gpt-x"]["requests"] == 3
    assert by_model["gpt-x"]["price_rows"] == ["openai/gpt-x#1"]
    assert by_model["claude-x"]["usage_source"] == "estimate"
    unrated = by_model["new-x"]
    assert (unrated["fee_usd"], unrated["at_cost_usd"], unrated["amount"]) == (None, None, None)
    seal = world.log.read(after=invoice["cutoff"]["store-1"] - 1, limit=1)[0]
    assert seal.topic == "store.log-sealed"
    assert invoice["merkle"]["store-1"]["size"] == seal.seq - 1
    assert invoice["price_books"] == [world.first_book.hash]


def test_a_draft_says_what_closing_then_gives(office: Office) -> None:
    world = office.world
    account = world.open_account("a")
    for number in range(1, 20):
        world.call(account, usage={"input_tokens": number * 997, "output_tokens": number * 31})
        world.tick(hours=1)
    office.go_to(NOVEMBER.end)
    (draft,) = office.invoices.drafts(NOVEMBER, account_id=account)
    assert office.register.all() == []
    (invoice,) = office.close(NOVEMBER)
    own = {"id", "number", "status", "cutoff", "merkle", "issued_at"}
    assert {k: v for k, v in draft.items() if k not in own} == {
        k: v for k, v in invoice.items() if k not in own
    }
    assert list(office.invoices.drafts(NOVEMBER)) == [invoice]


def test_closing_twice_gives_the_same_bytes(office: Office) -> None:
    world = office.world
    world.call(world.open_account("a"))
    office.go_to(NOVEMBER.end)
    (first,) = office.close(NOVEMBER)
    world.tick(days=3)
    (again,) = office.close(NOVEMBER)
    fresh = InvoiceRegister(world.log)
    fresh.catch_up()
    read = Invoices(log=world.log, register=fresh, projected=office.projector)
    assert json_bytes(first) == json_bytes(again) == json_bytes(read.show(first["id"]))
    assert csv_text(first) == csv_text(read.show(first["id"]))
    assert len(fresh.all()) == 1


def test_bounds_are_half_open(office: Office) -> None:
    world = office.world
    account = world.open_account("a")
    office.go_to(NOVEMBER.end - timedelta(microseconds=1))
    world.call(account)
    office.go_to(NOVEMBER.end)
    world.call(account)
    world.call(account)
    office.go_to(DECEMBER.end)
    (november,) = office.close(NOVEMBER)
    (december,) = office.close(DECEMBER)
    assert [line["requests"] for line in november["lines"]] == [1]
    assert [line["requests"] for line in december["lines"]] == [2]


def test_a_call_counts_where_it_ended(office: Office) -> None:
    world = office.world
    account = world.open_account("a")
    office.go_to(NOVEMBER.end - timedelta(seconds=1))
    request = world.routed(account)
    office.go_to(NOVEMBER.end)
    world.reported(request, account, input_tokens=10, output_tokens=1)
    office.go_to(DECEMBER.end)
    assert office.close(NOVEMBER) == []
    (december,) = office.close(DECEMBER)
    assert december["lines"][0]["requests"] == 1


def test_remainders_are_carried_and_never_lost(office: Office) -> None:
    world = office.world
    account = world.open_account("a")
    exact, billed, carried = Decimal(0), Decimal(0), "0"
    start = START
    for number in range(1, 8):
        world.call(account, usage={"input_tokens": 40_000 + 1_111 * number, "output_tokens": 3})
        world.tick(hours=12)
        end = world.clock.now()
        (invoice,) = office.close(Period(start, end))
        start = end
        assert_adds_up(invoice)
        assert invoice["number"] == f"KT-2026-{number:06d}"
        assert invoice["carried_in"] == carried
        carried = invoice["carried_out"]
        exact += Decimal(invoice["fee_usd_exact"])
        billed += Decimal(invoice["subtotal"])
        assert abs(exact - billed) < Decimal("0.01")
        assert load_account(Repository(world.log), account).remainder(sandbox=False) == carried


def test_sandbox_calls_have_their_own_document(office: Office) -> None:
    world = office.world
    account = world.open_account("a")
    world.call(account)
    world.call(account, provider="sandbox", model="echo")
    office.go_to(NOVEMBER.end)
    invoices = office.close(NOVEMBER)
    assert {(i["number"], i["sandbox"]) for i in invoices} == {
        ("KT-2026-000001", False),
        ("SANDBOX-2026-000001", True),
    }
    for invoice in invoices:
        assert {line["provider"] == "sandbox" for line in invoice["lines"]} == {invoice["sandbox"]}


@pytest.mark.parametrize("name", ["corrected", "rerated", "late"])
def test_what_changes_after_closing_is_billed_once_on_the_next_invoice(
    office: Office, name: str
) -> None:
    world = office.world
    account = world.open_account("a")
    world.call(account)
    if name == "corrected":
        request = world.call(account)
    elif name == "rerated":
        request = world.call(account, model="new-x")
    else:
        request = world.routed(account)
        world.failed(request, account)
    office.go_to(NOVEMBER.end)
    (november,) = office.close(NOVEMBER)
    if name == "rerated":
        world.rerated(request, account)
    else:
        world.corrected(request, account, input_tokens=300_000, output_tokens=20)
    world.tick(days=1)
    world.call(account)
    before = office.report(NOVEMBER, account)["totals"]
    assert before["fee_usd"] == november["fee_usd_exact"]

    office.go_to(DECEMBER.end)
    (december,) = office.close(DECEMBER)
    assert_adds_up(december)
    adjustments = [line for line in december["lines"] if line["kind"] == "adjustment"]
    (line,) = adjustments
    assert line["adjusts"] == november["id"]
    assert line["service_period"] == str(NOVEMBER)
    expected = {
        # (300,000 × 2 + 20 × 8) − (100 × 2 + 20 × 8), × 1e-6 × 0.05
        "corrected": ("0.02999", 0),
        # (100 × 10 + 20 × 20) × 1e-6 × 0.05
        "rerated": ("0.00007", 0),
        "late": ("0.030008", 1),
    }
    assert (line["fee_usd"], line["requests"]) == expected[name]
    # Reports of both periods equal their invoices, also now.
    for period, invoice in ((NOVEMBER, november), (DECEMBER, december)):
        report = office.report(period, account, group_by="day,model,status")
        assert report["totals"]["fee_usd"] == invoice["fee_usd_exact"]
        assert total(report["rows"], "fee_usd") == Decimal(invoice["fee_usd_exact"])
        requests = report["totals"]["requests"] - report["totals"]["failed_requests"]
        assert requests == sum(each["requests"] for each in invoice["lines"])
    assert json_bytes(office.invoices.show(november["id"])) == json_bytes(november)
    # And it is billed once: the next invoice has none of it.
    world.call(account)
    world.tick(days=1)
    (january,) = office.close(Period(DECEMBER.end, world.clock.now()))
    assert [line["kind"] for line in january["lines"]] == ["usage"]


def test_a_correction_within_the_period_replaces_what_it_corrects(office: Office) -> None:
    world = office.world
    account = world.open_account("a")
    request = world.routed(account)
    world.estimated(request, account, input_tokens=500, output_tokens=50)
    world.corrected(request, account, input_tokens=400, output_tokens=40)
    office.go_to(NOVEMBER.end)
    (invoice,) = office.close(NOVEMBER)
    (line,) = invoice["lines"]
    assert (line["requests"], line["usage_source"], line["input_tokens"]) == (1, "provider", 400)
    assert line["fee_usd"] == "0.000056"


def test_a_large_credit_is_carried_and_no_invoice_is_negative(office: Office) -> None:
    world = office.world
    account = world.open_account("a")
    request = world.call(account, usage={"input_tokens": 10_000_000, "output_tokens": 0})
    office.go_to(NOVEMBER.end)
    (november,) = office.close(NOVEMBER)
    assert november["total"] == "1"
    world.corrected(request, account, input_tokens=1_000_000, output_tokens=0)
    office.go_to(DECEMBER.end)
    (december,) = office.close(DECEMBER)
    assert_adds_up(december)
    assert (december["fee_usd_exact"], december["subtotal"]) == ("-0.9", "0")
    assert december["carried_out"] == "-0.9"


def test_an_unfinished_call_keeps_the_period_open(office: Office) -> None:
    world = office.world
    account, other = world.open_account("a"), world.open_account("b")
    world.call(account)
    world.call(other)
    request = world.routed(account)
    office.go_to(NOVEMBER.end)
    with pytest.raises(CannotClose, match="1 requests that have not ended"):
        office.close(NOVEMBER, account_id=account)
    closed = office.closer.close(NOVEMBER, grace_s=0)
    assert [invoice.account_id for invoice in closed.invoices] == [other]
    assert closed.refused.keys() == {account}
    world.failed(request, account)
    (invoice,) = office.close(NOVEMBER, account_id=account)
    # The number that the refused account did not get was not lost.
    assert invoice["number"] == "KT-2026-000002"


@pytest.mark.parametrize("table", ["dead_letters", "conflicts"])
def test_an_event_in_doubt_keeps_its_account_open(office: Office, table: str) -> None:
    world = office.world
    account, other = world.open_account("a"), world.open_account("b")
    place = Place.of(world.log.stream(world.call(account))[1])
    world.call(other)
    row = dead_letter(place, error="x") if table == "dead_letters" else conflict(place)
    office.tables.insert(table, columns(table, [row]), token="x")
    office.go_to(NOVEMBER.end)
    closed = office.closer.close(NOVEMBER, grace_s=0)
    assert [invoice.account_id for invoice in closed.invoices] == [other]
    assert closed.refused.keys() == {account}
    with pytest.raises(CannotClose, match="1 events"):
        office.close(NOVEMBER, account_id=account)


def test_an_event_id_with_two_payloads_keeps_its_account_open(office: Office) -> None:
    world = office.world
    account, other = world.open_account("a"), world.open_account("b")
    place = Place.of(world.log.stream(world.call(account))[1])
    world.call(other)
    office.go_to(NOVEMBER.end)
    elsewhere = place._replace(seq=place.seq - 1, hash=bytes(32))
    office.projector.catch_up()
    office.tables.insert("log_lines", columns("log_lines", [elsewhere]), token="x")
    closed = office.closer.close(NOVEMBER, grace_s=0)
    assert [invoice.account_id for invoice in closed.invoices] == [other]
    assert closed.refused.keys() == {account}


def test_a_period_is_closed_only_after_its_end_and_grace(office: Office) -> None:
    account = office.world.open_account("a")
    office.world.call(account)
    office.go_to(NOVEMBER.end + timedelta(seconds=59))
    with pytest.raises(CannotClose, match="60 seconds later"):
        office.closer.close(NOVEMBER, grace_s=60)
    office.world.tick()
    assert office.closer.close(NOVEMBER, grace_s=60).invoices


def test_closed_periods_never_overlap(office: Office) -> None:
    world = office.world
    account = world.open_account("a")
    world.call(account)
    office.go_to(DECEMBER.end)
    office.close(NOVEMBER)
    with pytest.raises(PeriodOverlaps):
        office.close(Period(START, DECEMBER.end), account_id=account)
    assert office.closer.close(Period(START, DECEMBER.end), grace_s=0).refused.keys() == {account}
    with pytest.raises(AccountNotFound):
        office.close(DECEMBER, account_id="acc_" + "0" * 32)


def test_dying_before_the_invoice_is_durable_leaves_nothing(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = office.world
    account = world.open_account("a")
    world.call(account)
    office.go_to(NOVEMBER.end)

    class Died(BaseException):
        pass

    def die(*_args: object, **_given: object) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(office.closer, "_append", die)
        with pytest.raises(Died):
            office.close(NOVEMBER)
    assert load_account(Repository(world.log), account).remainder(sandbox=False) == "0"
    (invoice,) = office.close(NOVEMBER)
    assert invoice["number"] == "KT-2026-000001"
    assert (
        load_account(Repository(world.log), account).remainder(sandbox=False)
        == (invoice["carried_out"])
    )


def test_a_closer_that_was_overtaken_decides_anew(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = office.world
    accounts = [world.open_account("a"), world.open_account("b")]
    for account in accounts:
        world.call(account)
    office.go_to(NOVEMBER.end)
    slow, append = office.another_closer(), Closer._append
    overtaken: list[str] = []

    def after_somebody_else(self: Closer, *args: Any) -> None:
        if self is slow and not overtaken:
            overtaken.append("yes")
            office.closer.close(NOVEMBER, grace_s=0)
        append(self, *args)

    monkeypatch.setattr(Closer, "_append", after_somebody_else)
    closed = slow.close(NOVEMBER, grace_s=0)
    assert overtaken
    assert sorted(invoice.number for invoice in closed.invoices) == [
        "KT-2026-000001",
        "KT-2026-000002",
    ]
    issued = [r for r in world.log.read(after=0, limit=1000) if r.topic == "invoice.issued"]
    assert len(issued) == 2


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026-11", "2026-11-01", "2026-12-01"),
        ("2026-12", "2026-12-01", "2027-01-01"),
        ("2026-11-03/2026-11-04", "2026-11-03", "2026-11-04"),
    ],
)
def test_periods_are_read(text: str, start: str, end: str) -> None:
    assert parse_period(text) == Period(
        datetime.fromisoformat(start).replace(tzinfo=UTC),
        datetime.fromisoformat(end).replace(tzinfo=UTC),
    )


def test_every_book_that_a_price_came_from_is_named(office: Office) -> None:
    """Also one that gave as many prices as an adjustment took back."""
    world = office.world
    account = world.open_account("a")
    request = world.call(account, model="new-x")
    office.go_to(NOVEMBER.end)
    office.close(NOVEMBER)
    world.rerated(request, account)
    world.call(account)
    office.go_to(DECEMBER.end)
    (december,) = office.close(DECEMBER)
    assert set(december["price_books"]) == {world.first_book.hash, world.full_book.hash}
