"""Late rating: what had no price is rated once when it has one, and written off when it is late."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.directory import Directory
from domain.eventlog.port import EventLog
from domain.events.codec import decode, read_line
from domain.events.requests import PRICE_ADDED, WRITTEN_OFF, UsageRerated
from domain.invoice_register import InvoiceRegister
from pricing.book import Books, PriceBook, book_of
from projections.documents import json_bytes
from projections.drift import drift
from projections.migrate import migrate
from projections.queries.health import health
from projections.queries.unrated import unrated_count
from projections.rebuild import facts
from projections.recompute import recompute
from projections.replay import differences, live_state, replayed_state
from projections.store.port import ProjectionStore
from projections.trail import request_state, request_trail
from tests.projections.world import START, World
from tests.recompute.recompute import Trail
from tests.recompute.recompute import recompute as recomputed_outside
from tests.workers.office import DECEMBER, NOVEMBER, Office, assert_adds_up
from workers.rerate import RESCAN_S, Rerated, Rerater

DAY = timedelta(days=1)
# (100 × 10 + 20 × 20) × 1e-6 × 0.05
FEE = "0.00007"
SEARCH_ROW = {
    "id": "openai/gpt-x#2",
    "provider": "openai",
    "model": "gpt-x",
    "canonical": "gpt-x",
    "recorded_at": "2026-11-21T00:00:00Z",
    "prices": {"input": "2", "cached_input": "0.5", "output": "8", "web_search_per_call": "0.01"},
}


def world_before() -> World:
    """The book in force has no row for new-x yet."""
    world = World()
    world.books = Books(world.first_book)
    return world


@pytest.fixture
def office(tables: ProjectionStore) -> Office:
    return Office(tables, world_before())


def rerater(office: Office, **given: Any) -> Rerater:
    world = office.world
    return Rerater(
        log=world.log,
        projected=lambda: office.projector,
        books=world.books,
        clock=world.clock,
        **given,
    )


def adopt(office: Office, book: PriceBook | None = None) -> None:
    office.world.books.adopt(book or office.world.full_book)


def reratings(office: Office, request: UUID) -> list[tuple[str, str]]:
    events = [decode(each) for each in office.world.log.stream(request)]
    return [(e.price_book, e.reason) for e in events if isinstance(e, UsageRerated)]


def with_rows(world: World, *rows: dict[str, Any]) -> PriceBook:
    """The full book and more rows after it."""
    entries = [json.loads(line) for line in world.full_book.lines()]
    return book_of([*entries, *({"row": row} for row in rows)])


def test_a_new_row_rates_what_waited_for_it_once(office: Office) -> None:
    world = office.world
    account = world.open_account("a")
    waiting, priced = world.call(account, model="new-x"), world.call(account)
    assert rerater(office).run() == Rerated(left=0)
    assert unrated_count(office.tables) == 1
    adopt(office)
    assert rerater(office).run() == Rerated(rated=1)
    assert rerater(office).run() == Rerated()
    assert reratings(office, waiting) == [(world.full_book.hash, PRICE_ADDED)]
    assert reratings(office, priced) == []
    assert unrated_count(office.tables) == 0
    assert health(office.tables, since=START).unrated == 0

    totals = office.report(NOVEMBER, account)["totals"]
    # and (100 × 2 + 20 × 8) × 1e-6 × 0.05 of the other one
    assert (totals["requests"], totals["unrated_requests"]) == (2, 0)
    assert totals["fee_usd"] == "0.000088"
    office.go_to(NOVEMBER.end)
    (invoice,) = office.close(NOVEMBER)
    by_model = {line["model"]: line for line in invoice["lines"]}
    assert by_model["new-x"]["fee_usd"] == FEE
    assert by_model["new-x"]["requests"] == 1
    assert by_model["new-x"]["price_rows"] == ["openai/new-x#1"]
    assert invoice["price_books"] == sorted([world.first_book.hash, world.full_book.hash])


def test_the_receipt_shows_what_was_found_and_how(office: Office) -> None:
    world = office.world
    account = world.open_account("a")
    request = world.call(account, model="new-x")
    adopt(office)
    rerater(office).run()
    recorded = world.log.stream(request)
    state = request_state(recorded)
    assert state is not None
    shown = request_trail(recorded, state, world.books, Directory(world.log))
    assert (shown["status"], shown["fee_usd"], shown["at_cost_usd"]) == ("priced", FEE, "0.0014")
    assert shown["price_book"] == world.full_book.hash
    assert shown["written_off"] is False
    assert [each["topic"] for each in shown["events"]][2:] == ["request.usage-rerated"]


def test_in_a_closed_period_it_becomes_an_adjustment(office: Office) -> None:
    world = office.world
    account = world.open_account("a")
    world.call(account, model="new-x")
    office.go_to(NOVEMBER.end)
    (november,) = office.close(NOVEMBER)
    assert november["fee_usd_exact"] == "0"
    adopt(office)
    assert rerater(office).run() == Rerated(rated=1)
    office.go_to(DECEMBER.end)
    (december,) = office.close(DECEMBER)
    assert_adds_up(december)
    (line,) = december["lines"]
    assert (line["kind"], line["adjusts"]) == ("adjustment", november["id"])
    assert line["service_period"] == str(NOVEMBER)
    assert (line["fee_usd"], line["requests"], line["input_tokens"]) == (FEE, 0, 0)
    assert json_bytes(office.invoices.show(november["id"])) == json_bytes(november)


def test_everybody_who_reads_the_log_says_the_same(office: Office) -> None:
    """Tables, rebuilt tables, replay, and both recomputations, one of which is not our program."""
    world = office.world
    account = world.open_account("a")
    for model in ("new-x", "gpt-x", "nobody-knows"):
        world.call(account, model=model)
    open_yet = world.call(account, model="new-x")
    office.live_to(NOVEMBER.end)
    office.close(NOVEMBER)
    world.call(account, model="new-x")
    adopt(office)
    assert rerater(office).run() == Rerated(rated=3, left=1)
    office.live_to(NOVEMBER.end + 20 * DAY)
    assert rerater(office).run() == Rerated(left=1)
    office.live_to(NOVEMBER.end + 65 * DAY)
    assert rerater(office).run() == Rerated(written_off=1)
    (december,) = office.close(DECEMBER)
    assert len(reratings(office, open_yet)) == 1

    until = office.projector.catch_up()
    assert drift(log=world.log, store=office.tables, books=world.books, until=until) == []
    directory, register = Directory(world.log), InvoiceRegister(world.log)
    _, live = live_state(world.log, office.projector, directory, register)
    assert list(differences(replayed_state(world.log, world.books), live)) == []
    assert recompute(world.log, world.books, register, DECEMBER).differences == []
    trail = Trail(
        [each.line for each in world.log.read(after=0, limit=1000)], world.full_book.lines()
    )
    assert recomputed_outside(trail, december) == []
    figures = facts(office.tables, until=office.projector.reached())
    fresh = office.tables.at(f"{office.tables.database}_again")
    fresh.command("CREATE DATABASE $db")
    try:
        migrate(fresh)
        office.projector.sibling(fresh).catch_up()
        assert facts(fresh, until=office.projector.reached()) == figures
    finally:
        fresh.command("DROP DATABASE $db SYNC")


def test_a_unit_without_a_price_is_found_too(office: Office) -> None:
    world = office.world
    account = world.open_account("a")
    used = {"input_tokens": 100, "output_tokens": 20, "web_search_calls": 2}
    request = world.call(account, usage=used)
    assert office.report(NOVEMBER, account)["totals"]["partly_rated_requests"] == 1
    adopt(office)
    assert rerater(office).run() == Rerated(left=1)
    adopt(office, with_rows(world, SEARCH_ROW))
    assert rerater(office).run() == Rerated(rated=1)
    assert len(reratings(office, request)) == 1
    totals = office.report(NOVEMBER, account)["totals"]
    assert totals["partly_rated_requests"] == 0
    # (360 × 1e-6 + 2 × 0.01) × 0.05
    assert totals["fee_usd"] == "0.001018"


def test_a_part_without_a_price_is_found_too(office: Office) -> None:
    world = office.world
    account = world.open_account("a")
    request = world.routed(account, model="a-router")
    usage = {"input_tokens": 100, "output_tokens": 20}
    report = world.report(request, **{unit: 2 * count for unit, count in usage.items()})
    parts = [{"model": model, "usage": usage} for model in ("gpt-x", "new-x")]
    world.append(replace(report, parts=parts), account=account)
    adopt(office)
    assert rerater(office).run() == Rerated(rated=1)
    assert office.report(NOVEMBER, account)["totals"]["fee_usd"] == "0.000088"


def test_what_has_a_price_keeps_it(office: Office) -> None:
    """A later book changes no past line, and neither does a walk."""
    world = office.world
    account = world.open_account("a")
    request = world.call(account)
    dearer = {**SEARCH_ROW, "prices": {"input": "200", "output": "800"}}
    adopt(office, with_rows(world, dearer))
    assert rerater(office).run() == Rerated()
    assert reratings(office, request) == []
    assert office.report(NOVEMBER, account)["totals"]["fee_usd"] == "0.000018"


@pytest.mark.parametrize(("past", "reason"), [(0, PRICE_ADDED), (1, WRITTEN_OFF)])
def test_after_the_limit_it_is_written_off_by_name(office: Office, past: int, reason: str) -> None:
    world = office.world
    account = world.open_account("a")
    request = world.call(account, model="new-x")
    office.live_to(START + 60 * DAY + timedelta(microseconds=past))
    adopt(office)
    rerater(office).run()
    assert [each for _, each in reratings(office, request)] == [reason]
    totals = office.report(NOVEMBER, account)["totals"]
    assert totals["requests"] == 1
    if reason == WRITTEN_OFF:
        assert (totals["fee_usd"], totals["written_off_requests"]) == ("0", 1)
        assert unrated_count(office.tables) == 0
        # For good: neither time nor another book brings it back.
        world.tick(days=1)
        adopt(office, with_rows(world, SEARCH_ROW))
        assert rerater(office).run() == Rerated()
    else:
        assert (totals["fee_usd"], totals["written_off_requests"]) == (FEE, 0)


def test_a_clock_that_jumps_writes_nothing_off(office: Office) -> None:
    request = office.world.call(office.world.open_account("a"), model="new-x")
    office.live_to(START + 58 * DAY)
    office.go_to(START + 900 * DAY)
    office.seal()
    assert rerater(office).run() == Rerated()
    office.live_to(START + 901 * DAY + timedelta(seconds=2))
    assert rerater(office).run() == Rerated(written_off=1)
    assert [each for _, each in reratings(office, request)] == [WRITTEN_OFF]


def test_a_write_off_moves_no_amount(office: Office) -> None:
    """What was billed of a call stays billed at the prices it had, in a closed period too."""
    world = office.world
    account = world.open_account("a")
    used = {"input_tokens": 100, "output_tokens": 20, "web_search_calls": 2}
    request = world.call(account, usage=used)
    office.live_to(NOVEMBER.end)
    (november,) = office.close(NOVEMBER)
    dearer = {**SEARCH_ROW, "prices": {"input": "200", "output": "800"}}
    adopt(office, with_rows(world, dearer))
    office.live_to(START + 61 * DAY)
    assert rerater(office).run() == Rerated(written_off=1)
    assert reratings(office, request) == [(world.first_book.hash, WRITTEN_OFF)]
    (december,) = office.close(DECEMBER)
    assert december["lines"] == []
    assert november["fee_usd_exact"] == "0.000018"


def test_better_counts_are_another_chance(office: Office) -> None:
    world = office.world
    account = world.open_account("a")
    request = world.call(account, model="nobody-knows")
    office.live_to(START + 61 * DAY)
    assert rerater(office).run() == Rerated(written_off=1)
    corrected = replace(
        world.report(request, input_tokens=1, output_tokens=1), originator_version=4
    )
    state = request_state(world.log.stream(request))
    assert state is not None
    assert state.written_off
    assert not state.after(corrected, "2027-01-02T00:00:00.000000Z").written_off


def test_tables_that_lag_behind_rate_nothing_twice(office: Office) -> None:
    world = office.world
    account = world.open_account("a")
    request = world.call(account, model="new-x")
    adopt(office)
    office.projector.catch_up()
    for _ in range(3):  # as after a crash: the tables still say that it waits
        rerater(office)()
    assert unrated_count(office.tables) == 1
    assert len(reratings(office, request)) == 1


def test_a_call_of_an_earlier_book_that_ends_later_is_found(office: Office) -> None:
    world = office.world
    account = world.open_account("a")
    running = world.routed(account, model="new-x")
    adopt(office)
    office.projector.catch_up()
    worker = rerater(office)
    worker()
    world.reported(running, account, input_tokens=100, output_tokens=20)
    office.projector.catch_up()
    worker()
    assert reratings(office, running) == []
    world.tick(seconds=RESCAN_S)
    worker()
    assert len(reratings(office, running)) == 1


def test_a_change_that_comes_first_wins_and_the_rest_follows(office: Office) -> None:
    """A correction takes the version that the re-rating wanted: nothing is lost or doubled."""
    world = office.world
    account = world.open_account("a")
    request = world.call(account, model="new-x")
    adopt(office)

    class Overtaken:
        """The log, in which a correction arrives just before the first append."""

        def __init__(self, log: EventLog) -> None:
            self._log = log
            self._overtaken = False

        def __getattr__(self, name: str) -> Any:
            return getattr(self._log, name)

        def submit(self, *events: Any, account_id: str | None) -> Any:
            if not self._overtaken:
                self._overtaken = True
                world.corrected(request, account, input_tokens=200, output_tokens=40)
            return self._log.submit(*events, account_id=account_id)

    worker = Rerater(
        log=Overtaken(world.log),
        projected=lambda: office.projector,
        books=world.books,
        clock=world.clock,
    )
    assert worker.run() == Rerated(left=1)
    assert worker.run() == Rerated(rated=1)
    topics = [read_line(each.line)["topic"] for each in world.log.stream(request)]
    assert topics[2:] == ["request.usage-corrected", "request.usage-rerated"]
    assert office.report(NOVEMBER, account)["totals"]["fee_usd"] == "0.00014"


def test_many_are_walked_through_page_by_page(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.rerate.PAGE", 3)
    world = office.world
    account = world.open_account("a")
    requests = [world.call(account, model=m) for m in ("new-x", "nobody-knows") for _ in range(5)]
    adopt(office)
    assert rerater(office).run() == Rerated(rated=5, left=5)
    assert [len(reratings(office, each)) for each in requests] == [1] * 5 + [0] * 5


def test_the_worker_rests_while_nothing_is_due(office: Office) -> None:
    world = office.world
    account = world.open_account("a")
    world.call(account, model="new-x")
    worker = rerater(office)
    assert worker() > 0, "the tables have not begun"
    assert not office.projector.started
    office.projector.catch_up()
    head = world.log.head()
    assert worker() > 0
    assert worker() > 0
    assert world.log.head() == head
    adopt(office)
    worker()
    assert world.log.head() == head + 1


def test_bounds_are_instants(office: Office) -> None:
    """The limit is counted from the end of the call, not from its beginning."""
    world = office.world
    account = world.open_account("a")
    request = world.routed(account, model="new-x")
    world.tick(days=1)
    world.reported(request, account, input_tokens=100, output_tokens=20)
    adopt(office)
    office.go_to(datetime(2026, 11, 2, tzinfo=START.tzinfo) + 2 * DAY)
    assert rerater(office, limit=2 * DAY).run() == Rerated(rated=1)
