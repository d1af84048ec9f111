"""Books come into force once, durably, and are there again after a restart."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from domain.clock import FixedClock
from domain.coordination.memory import MemoryLocks
from domain.coordination.port import Busy
from domain.coordination.postgres import PostgresLocks
from domain.errors import UnsafeSetup
from domain.eventlog.memory import open_memory_log
from domain.eventlog.port import EventLog
from domain.eventlog.postgres import open_postgres_log
from domain.events.base import JsonObject
from domain.events.codec import read_line
from keytoll.price_list import PriceList
from pricing.book import PriceBook, UnknownBook
from pricing.installed import Edition
from tests.pricing.test_installed import row, shipped
from tests.projections.world import START

LOCKS = MemoryLocks()


@pytest.fixture
def log() -> EventLog:
    return open_memory_log(store_id="store-1", clock=FixedClock(START))


def publications(log: EventLog) -> list[dict[str, object]]:
    rows = log.chains()[0].written.read(after=0, limit=100, streams={"price-book"})
    return [read_line(each.line)["data"] for each in rows]


def test_what_is_shipped_is_published_once(log: EventLog) -> None:
    for _ in range(2):
        prices = PriceList.of(log, LOCKS, shipped(2))
        prices.publish()
        prices.publish()
    assert [(each["rows"], each["shipped"]) for each in publications(log)] == [(2, 2)]


def test_an_added_row_is_in_force_at_once_and_after_a_restart(log: EventLog) -> None:
    prices = PriceList.of(log, LOCKS, shipped(2))
    before = prices.books.current
    assert prices.add(lambda book: [row("own")] if book is before else []) == [row("own")]
    after = prices.books.current
    assert prices.books.current.rows_of("a", "own")
    assert prices.books.open(before.hash).rows_of("a", "own") == ()
    # What was in force before was published first, so the log tells the whole way.
    assert [each["rows"] for each in publications(log)] == [2, 3]
    again = PriceList.of(log, LOCKS, shipped(2))
    assert again.books.current.lines() == prices.books.current.lines()
    newer = PriceList.of(log, LOCKS, shipped(5))
    newer.publish()
    assert [each["rows"] for each in publications(log)] == [2, 3, 6]
    for book in (before, after):
        assert newer.books.open(book.hash).lines() == book.lines()


def test_nothing_to_add_changes_nothing(log: EventLog) -> None:
    prices = PriceList.of(log, LOCKS, shipped(2))
    before = prices.books.current
    assert prices.add(lambda _: []) == []
    assert prices.books.current is before
    assert [each["rows"] for each in publications(log)] == [2]


def test_a_program_that_ships_less_is_refused(log: EventLog) -> None:
    PriceList.of(log, LOCKS, shipped(3)).publish()
    with pytest.raises(UnsafeSetup, match="run the version that does"):
        PriceList.of(log, LOCKS, shipped(2))


# Several processes


def test_a_book_published_elsewhere_becomes_current(log: EventLog) -> None:
    one, other = (PriceList.of(log, LOCKS, shipped(2)) for _ in range(2))
    one.publish()
    one.add(lambda _: [row("own")])
    assert not other.books.current.rows_of("a", "own")
    other.catch_up()
    assert other.books.current.lines() == one.books.current.lines()
    current = other.books.current
    other.catch_up()
    assert other.books.current is current


def test_a_book_that_an_event_names_is_looked_for_in_the_log(log: EventLog) -> None:
    one, other = (PriceList.of(log, LOCKS, shipped(2)) for _ in range(2))
    one.add(lambda _: [row("own")])
    named = one.books.current.hash
    assert other.books.open(named).rows_of("a", "own")
    with pytest.raises(UnknownBook):
        other.books.open("sha256:" + "0" * 64)


def test_two_processes_add_behind_each_other(log: EventLog) -> None:
    one, other = (PriceList.of(log, LOCKS, shipped(2)) for _ in range(2))
    one.add(lambda _: [row("first")])
    # What it lacks is asked for after it has taken in what the other one did.
    other.add(lambda book: [] if book.rows_of("a", "first") else [row("first")])
    other.add(lambda _: [row("second")])
    one.add(lambda _: [row("third")])
    assert [each["rows"] for each in publications(log)] == [2, 3, 4, 5]
    again = PriceList.of(log, LOCKS, shipped(2))
    assert again.books.current.lines() == one.books.current.lines()


def test_what_a_newer_program_ships_comes_behind_what_an_older_one_added(log: EventLog) -> None:
    older = PriceList.of(log, LOCKS, shipped(2))
    newer = PriceList.of(log, LOCKS, shipped(5))
    preview = newer.books.current
    older.add(lambda _: [row("own")])
    newer.publish()
    assert [(each["rows"], each["shipped"]) for each in publications(log)] == [
        (2, 2),
        (3, 2),
        (6, 5),
    ]
    assert newer.books.current.rows == 6
    with pytest.raises(UnknownBook):
        newer.books.open(preview.hash)
    # The older program goes on with what it has, and says why.
    with pytest.raises(UnsafeSetup, match="run the version that does"):
        older.catch_up()
    assert older.books.current.rows == 3
    with pytest.raises(UnsafeSetup, match="run the version that does"):
        older.add(lambda _: [row("more")])
    with pytest.raises(UnknownBook):
        older.books.open(newer.books.current.hash)


def test_what_another_process_recorded_in_the_same_moment_is_taken_in(log: EventLog) -> None:
    class Racing(PriceList):
        def _record(self, edition: Edition) -> None:
            super()._record(edition)
            super()._record(edition)

    prices = Racing.of(log, LOCKS, shipped(2))
    prices.publish()
    assert [each["rows"] for each in publications(log)] == [2]


def test_nothing_is_published_once_the_lock_is_lost(log: EventLog) -> None:
    locks = MemoryLocks()
    prices = PriceList.of(log, locks, shipped(2))

    def lose_it(_: PriceBook) -> list[JsonObject]:
        locks.close()
        return [row("own")]

    with pytest.raises(Busy):
        prices.add(lose_it)
    assert [each["rows"] for each in publications(log)] == [2]


def given(entries: list[JsonObject], _: PriceBook) -> list[JsonObject]:
    return entries


@pytest.mark.services
def test_many_processes_make_one_list(postgres_dsn: str) -> None:
    def add(number: int) -> None:
        log = open_postgres_log(postgres_dsn, clock=FixedClock(START))
        locks = PostgresLocks(postgres_dsn)
        prices = PriceList.of(log, locks, shipped(2))
        prices.publish()
        for turn in range(3):
            prices.add(partial(given, [row(f"m{number}-{turn}")]))
        log.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(add, range(4)))
    log = open_postgres_log(postgres_dsn, clock=FixedClock(START))
    prices = PriceList.of(log, PostgresLocks(postgres_dsn), shipped(2))
    assert [each["rows"] for each in publications(log)] == list(range(2, 15))
    assert len(prices.books.current.lines()) == 14
    log.close()
