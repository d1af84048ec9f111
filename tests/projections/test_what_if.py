"""A period by another book: the very amounts that re-rating would give, and nothing is changed."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain.invoice import Period
from pricing.book import PriceBook, book_of
from projections.store.port import ProjectionStore
from projections.what_if import Compared, as_rated, by_book, compared, settled_within
from tests.projections.world import START, World
from tests.workers.office import DECEMBER, NOVEMBER, Office

DEARER = {
    "id": "openai/gpt-x#2",
    "provider": "openai",
    "model": "gpt-x",
    "canonical": "gpt-x",
    "recorded_at": "2026-11-20T00:00:00Z",
    "prices": {"input": "20", "output": "80"},
}


@pytest.fixture
def office(tables: ProjectionStore) -> Office:
    return Office(tables)


def dearer(world: World) -> PriceBook:
    """The full book, and gpt-x at ten times its price."""
    return book_of([*(json.loads(line) for line in world.full_book.lines()), {"row": DEARER}])


def what_if(
    office: Office, book: PriceBook, period: Period = NOVEMBER, **given: Any
) -> dict[tuple[str, str], Compared]:
    world = office.world
    office.projector.catch_up()
    states = settled_within(world.log, office.tables, period, **given)
    return dict(compared(states, as_rated(world.books), by_book(book)))


def test_both_totals_stand_side_by_side_and_nothing_is_written(office: Office) -> None:
    world = office.world
    account = world.open_account("a")
    for _ in range(3):
        world.call(account)
    world.call(account, model="new-x")
    world.failed(world.routed(account), account)
    head = world.log.head()
    found = what_if(office, dearer(world))
    assert world.log.head() == head
    # 3 × (100 × 2 + 20 × 8) × 1e-6 × 0.05, and ten times that
    assert found["openai", "gpt-x"].as_json("billed", "what_if") == {
        "requests": 3,
        "changed_requests": 3,
        "billed": {"at_cost_usd": "0.00108", "fee_usd": "0.000054", "unrated_requests": 0},
        "what_if": {"at_cost_usd": "0.0108", "fee_usd": "0.00054", "unrated_requests": 0},
        "fee_difference_usd": "0.000486",
    }
    # Unknown to the book that the call was routed under, known to the other one.
    assert found["openai", "new-x"].as_json("billed", "what_if") == {
        "requests": 1,
        "changed_requests": 1,
        "billed": {"at_cost_usd": "0", "fee_usd": "0", "unrated_requests": 1},
        "what_if": {"at_cost_usd": "0.0014", "fee_usd": "0.00007", "unrated_requests": 0},
        "fee_difference_usd": "0.00007",
    }


def test_the_billed_side_is_what_reports_say(office: Office) -> None:
    world = office.world
    account = world.open_account("a")
    rerated, corrected = world.call(account, model="new-x"), world.call(account)
    world.call(account, provider="anthropic", model="claude-x")
    world.estimated(world.routed(account), account, input_tokens=9, output_tokens=2)
    world.rerated(rerated, account)
    world.corrected(corrected, account, input_tokens=30, output_tokens=3)
    found = what_if(office, dearer(world))
    report = office.report(NOVEMBER, account, group_by="provider,model")
    assert {(row["provider"], row["model"]): row["fee_usd"] for row in report["rows"]} == {
        name: str(group.first.fee) for name, group in found.items()
    }
    # 9 × 20 + 2 × 80, and 30 × 20 + 3 × 80, × 1e-6 × 0.05
    assert str(found["openai", "gpt-x"].second.fee) == "0.000059"


def test_calls_count_where_they_ended(office: Office) -> None:
    world = office.world
    account = world.open_account("a")
    world.clock.advance(timedelta(days=-1))
    over_the_start = world.routed(account)
    office.go_to(START)
    world.reported(over_the_start, account, input_tokens=1, output_tokens=0)
    office.go_to(NOVEMBER.end - timedelta(microseconds=1))
    world.call(account)
    over_the_end = world.routed(account)
    office.go_to(NOVEMBER.end)
    world.reported(over_the_end, account, input_tokens=1, output_tokens=0)
    book = dearer(world)
    assert what_if(office, book)["openai", "gpt-x"].requests == 2
    assert what_if(office, book, DECEMBER)["openai", "gpt-x"].requests == 1
    # What is corrected later still counts there, as corrected.
    world.corrected(over_the_start, account, input_tokens=1000, output_tokens=0)
    found = what_if(office, book)["openai", "gpt-x"]
    assert found.requests == 2
    # (1000 × 2 + 100 × 2 + 20 × 8) × 1e-6
    assert found.first.at_cost.usd == Decimal("0.00236")


def test_one_account_alone(office: Office) -> None:
    world = office.world
    ours, theirs = world.open_account("ours"), world.open_account("theirs")
    world.call(ours)
    for _ in range(2):
        world.corrected(world.call(theirs), theirs, input_tokens=1, output_tokens=1)
    book = dearer(world)
    assert what_if(office, book, account_id=ours)["openai", "gpt-x"].requests == 1
    assert what_if(office, book, account_id=theirs)["openai", "gpt-x"].requests == 2
    assert what_if(office, book)["openai", "gpt-x"].requests == 3
