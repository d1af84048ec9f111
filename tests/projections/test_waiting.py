"""What waits for a price, what could not be read, and where everything stands."""

from __future__ import annotations

import pytest

from domain.clock import instant_text
from domain.eventlog.port import Recorded
from domain.events.base import Event
from domain.events.codec import UnreadableEvent, decode
from domain.ids import public_id
from domain.invoice_register import InvoiceRegister
from domain.price_book import PriceBook as PublishedBook
from projections import batch as batch_module
from projections.projector import Projector
from projections.published_books import PublishedBooks
from projections.queries.dead_letters import open_dead_letters
from projections.queries.health import Health, health
from projections.queries.unrated import WaitingModel, unrated_count, waiting_calls, waiting_models
from projections.standing import standing
from projections.store.port import ProjectionStore
from tests.projections.world import START, World

HASHES = ("sha256:" + "a" * 64, "sha256:" + "b" * 64)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def projector(world: World, tables: ProjectionStore) -> Projector:
    return Projector(log=world.log, store=tables, books=world.books)


def test_what_waits_is_told_by_model_and_by_call(
    world: World, tables: ProjectionStore, projector: Projector
) -> None:
    account = world.open_account("a")
    world.call(account)
    world.tick()
    oldest = world.call(account, model="nobody-s")
    ended = instant_text(world.clock.now())
    world.tick()
    partly = world.call(account, usage={"input_tokens": 5, "web_search_calls": 2})
    world.tick()
    newest = world.call(account, model="nobody-s")
    world.rerated(world.call(account, model="new-x"), account)  # waited once, has a price now
    projector.catch_up()
    assert waiting_models(tables, limit=10) == [
        WaitingModel(provider="openai", model="nobody-s", calls=2, units=[], oldest_ended_at=ended),
        WaitingModel(
            provider="openai",
            model="gpt-x",
            calls=1,
            units=["web_search_calls"],
            oldest_ended_at=instant_text(START.replace(second=2)),
        ),
    ]
    names = [public_id("req", each) for each in (oldest, partly, newest)]
    calls = waiting_calls(tables, limit=10)
    assert [each.request_id for each in calls] == names
    assert [each.status for each in calls] == ["unrated", "unrated_units", "unrated"]
    assert {each.account_id for each in calls} == {account}
    assert unrated_count(tables) == len(calls)
    assert [c.request_id for c in waiting_calls(tables, limit=1, offset=1)] == [names[1]]
    only = waiting_calls(tables, provider="openai", model="nobody-s", limit=10)
    assert [each.request_id for each in only] == [names[0], names[2]]
    assert waiting_calls(tables, provider="anthropic", limit=10) == []


def test_only_what_has_no_price_any_more_is_named(
    world: World, tables: ProjectionStore, projector: Projector
) -> None:
    account = world.open_account("a")
    request = world.call(account, usage={"web_search_calls": 2, "input_tokens": 1})
    world.corrected(request, account, input_tokens=1, output_tokens=3, output_audio_tokens=3)
    projector.catch_up()
    (model,) = waiting_models(tables, limit=10)
    (call,) = waiting_calls(tables, limit=10)
    assert model.units == call.units == ["output_audio_tokens"]


def test_a_dead_letter_says_what_it_belongs_to_until_it_is_read(
    world: World, tables: ProjectionStore, projector: Projector, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = world.open_account("a")
    requests = [world.call(account), world.call(account)]
    bad = {
        row.seq
        for row in world.log.read(after=0, limit=100)
        if row.topic == "request.usage-reported"
    }

    def older_program(recorded: Recorded) -> Event:
        if recorded.seq in bad:
            raise UnreadableEvent("unknown ['<b>']")
        return decode(recorded)

    with monkeypatch.context() as patched:
        patched.setattr(batch_module, "decode", older_program)
        projector.catch_up()
    found = open_dead_letters(tables, limit=10)
    assert [each.seq for each in found] == sorted(bad, reverse=True)
    assert [each.originator_id for each in found] == requests[::-1]
    assert {each.account_id for each in found} == {account}
    assert {each.topic for each in found} == {"request.usage-reported"}
    assert found[0].error == "UnreadableEvent: unknown ['<b>']"
    assert found[0].recorded_at == instant_text(world.clock.now())
    assert len(open_dead_letters(tables, limit=1)) == 1
    projector.retry_dead_letters()
    assert open_dead_letters(tables, limit=10) == []


def test_where_everything_stands(
    world: World, tables: ProjectionStore, projector: Projector
) -> None:
    account = world.open_account("a")
    world.call(account)
    world.routed(account)
    register, book = InvoiceRegister(world.log), world.full_book
    before = standing(log=world.log, projected=None, health=None, register=register, book=book)
    assert (before.projected, before.lag, before.open_requests) == (None, 4, 1)
    assert before.as_json()["requests"] is None
    projector.catch_up()
    found = health(tables, since=START)
    world.call(account)
    after = standing(log=world.log, projected=projector, health=found, register=register, book=book)
    assert found == Health(1, 0, 0, 0, 0, 0)
    assert after.as_json() == {
        "store_id": "store-1",
        "events": 6,
        "projected": 4,
        "lag": 2,
        "open_requests": 1,
        "requests": 1,
        "estimated": 0,
        "unrated": 0,
        "lost": 0,
        "dead_letters": 0,
        "conflicts": 0,
        "newest_closed_period_end": None,
        "price_book": book.hash,
    }


def test_books_are_told_in_the_order_in_which_they_came(world: World) -> None:
    books = PublishedBooks(world.log)
    assert books.all() == ()
    row = {"n": 11, "row": {"provider": "openai", "model": "m"}}
    for place, entries in enumerate(([], [row])):
        book = PublishedBook.publish(
            book_hash=HASHES[place], rows=10 + place, shipped=10, entries=entries
        )
        world.append(*book.collect_events(), account=None)
        world.tick()
    first, second = books.all()
    assert (first.hash, first.rows, first.entries) == (HASHES[0], 10, [])
    assert (second.hash, second.rows, second.entries) == (HASHES[1], 11, [row])
    assert first.published_at == instant_text(START)
    assert len(books.all()) == 2
