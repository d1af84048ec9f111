"""Replaying: the log alone gives what tables and memory say, at any position."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from domain.account import Account
from domain.clock import instant_text
from domain.directory import Directory
from domain.errors import BadValue
from domain.eventlog.past import PastLog, places_at, seq_at
from domain.eventlog.port import stores_of
from domain.eventlog.sqlite import begin_new_store, open_sqlite_log
from domain.ids import public_id
from domain.invoice_register import InvoiceRegister
from projections.agreements import unagreed_rates
from projections.projector import Projector
from projections.replay import differences, live_state, replayed_state
from projections.store.port import ProjectionStore
from tests.projections.world import START, World


@pytest.fixture
def world() -> World:
    """Two accounts with every kind of ending, corrections and re-ratings."""
    world = World()
    ours, theirs = world.open_account("ours"), world.open_account("theirs")
    world.call(ours)
    world.call(
        theirs, usage={"input_tokens": 7, "output_tokens": 3}, provider="sandbox", model="echo"
    )
    world.tick(hours=1)
    world.failed(world.routed(ours), ours)
    world.failed(world.routed(ours), ours, "rate_limited")
    world.estimated(world.routed(ours), ours, input_tokens=50, output_tokens=9)
    unpriced = world.routed(ours, model="new-x")
    world.reported(unpriced, ours, input_tokens=10, output_tokens=1)
    world.tick(hours=1)
    lost = world.routed(theirs)
    world.failed(lost, theirs)
    world.corrected(lost, theirs, input_tokens=1000, output_tokens=100)
    world.rerated(unpriced, ours)
    world.routed(ours)  # still running
    return world


def live(world: World, tables: ProjectionStore) -> tuple[dict[str, int], dict[str, object]]:
    projector = Projector(log=world.log, store=tables, books=world.books)
    return live_state(world.log, projector, Directory(world.log), InvoiceRegister(world.log))


def test_replayed_equals_live(world: World, tables: ProjectionStore) -> None:
    reached, state = live(world, tables)
    assert reached == {world.log.store_id: world.log.head()}
    replayed = replayed_state(PastLog(world.log, until=reached), world.books)
    assert list(differences(replayed, state)) == []
    totals = replayed["totals"].values()
    assert sum(total["requests"] for total in totals) == 7
    assert sum(total["lost_requests"] for total in totals) == 1
    assert sum(total["unrated_requests"] for total in totals) == 0


def test_of_one_account(world: World, tables: ProjectionStore) -> None:
    ours = world.open_account("ours-only")
    world.call(ours)
    replayed = replayed_state(world.log, world.books, account_id=ours)
    assert list(replayed["accounts"]) == [ours]
    assert replayed["totals"][ours]["requests"] == 1


def test_the_past_is_as_it_was(world: World) -> None:
    """Every prefix replays, and a later event changes no earlier state."""
    states = [
        replayed_state(PastLog(world.log, until={"store-1": seq}), world.books)
        for seq in range(world.log.head() + 1)
    ]
    assert states[0]["accounts"] == {}
    world.call(next(iter(states[-1]["accounts"])))
    for seq, state in enumerate(states):
        assert replayed_state(PastLog(world.log, until={"store-1": seq}), world.books) == state


def test_a_difference_is_named(world: World) -> None:
    replayed = replayed_state(world.log, world.books)
    account = next(iter(replayed["totals"]))
    changed = {
        **replayed,
        "totals": {
            **replayed["totals"],
            account: {**replayed["totals"][account], "fee_usd": "9"},
        },
    }
    (found,) = differences(replayed, changed)
    assert found[0] == f"totals.{account}.fee_usd"
    assert found[2] == "9"


@pytest.mark.parametrize(
    ("after", "topic"),
    [
        (timedelta(microseconds=-1), None),
        (timedelta(0), "request.usage-reported"),
        (timedelta(hours=1, microseconds=-1), "request.usage-reported"),
        (timedelta(hours=1), "request.usage-reported"),
        (timedelta(days=1), "request.routed"),
    ],
)
def test_an_instant_names_the_last_event_at_or_before_it(
    world: World, after: timedelta, topic: str | None
) -> None:
    seq = seq_at(world.log, START + after)
    assert seq == sum(
        each.recorded_at <= (START + after).isoformat(timespec="microseconds")[:26] + "Z"
        for each in world.log.read(after=0, limit=1000)
    )
    if topic is None:
        assert seq == 0
    else:
        assert world.log.read(after=seq - 1, limit=1)[0].topic == topic


def test_the_past_takes_nothing(world: World) -> None:
    past = PastLog(world.log, until={"store-1": 3})
    (store,) = stores_of(past)
    assert store.head() == 3
    assert [each.seq for each in store.read(after=0, limit=10)] == [1, 2, 3]
    with pytest.raises(NotImplementedError):
        past.seal()


def test_any_place_of_a_restored_log_replays(tmp_path: Path) -> None:
    """Also one in the store that the log continues."""
    path, world = tmp_path / "events.sqlite", World()
    world.log = log = open_sqlite_log(path, store_id="store-1", clock=world.clock)
    account = world.open_account("a")
    for _ in range(3):
        world.tick(hours=1)
        world.call(account)
    calls = [
        replayed_state(PastLog(log, until={"store-1": seq}), world.books)
        for seq in range(log.head() + 1)
    ]
    log.close()
    begin_new_store(path, store_id="store-2")
    world.log = log = open_sqlite_log(path, clock=world.clock)
    try:
        world.tick(hours=1)
        world.call(account)
        for seq, state in enumerate(calls):
            past = PastLog(log, until={"store-1": seq})
            assert replayed_state(past, world.books) == state
        hours = [places_at(log, START + timedelta(hours=hours)) for hours in range(6)]
        assert hours == [
            {"store-1": 1},
            {"store-1": 3},
            {"store-1": 5},
            {"store-1": 7},
            {"store-2": 2},
            {"store-2": 2},
        ]
        assert places_at(log, START - timedelta(hours=1)) == {"store-1": 0}
        with pytest.raises(BadValue, match="no store"):
            PastLog(log, until={"store-3": 1})
    finally:
        log.close()


def test_a_rate_that_nobody_agreed_on_is_named(world: World) -> None:
    """Rates hold from their instants on, as of the account's version that the call has pinned."""
    account, start = Account(currency="USD"), START + timedelta(hours=1)
    public = public_id("acc", account.id)
    account.agree_markup(rate="0.04", effective_from=start, now=START)
    world.append(*account.collect_events(), account=public)
    assert list(unagreed_rates(world.log)) == []
    after, before = instant_text(start), instant_text(START)
    world.routed(public, account_version=2, markup_rate="0.04", price_at=after)
    world.routed(public, account_version=2, markup_rate="0.05", price_at=before)
    world.routed(public, account_version=1, markup_rate="0.05", price_at=after)
    assert list(unagreed_rates(world.log)) == []
    wrong = public_id("req", world.routed(public, account_version=2, price_at=after))
    assert list(unagreed_rates(world.log)) == [(f"requests.{wrong}.markup_rate", "0.04", "0.05")]
    assert list(unagreed_rates(world.log, account_id="acc_1")) == []
