"""Books come into force once, durably, and are there again after a restart."""

from __future__ import annotations

import pytest

from domain.clock import FixedClock
from domain.errors import UnsafeSetup
from domain.eventlog.memory import open_memory_log
from domain.eventlog.port import EventLog
from domain.events.codec import read_line
from keytoll.price_list import PriceList
from tests.pricing.test_installed import row, shipped
from tests.projections.world import START


@pytest.fixture
def log() -> EventLog:
    return open_memory_log(store_id="store-1", clock=FixedClock(START))


def publications(log: EventLog) -> list[dict[str, object]]:
    rows = log.read(after=0, limit=100, streams={"price-book"})
    return [read_line(each.line)["data"] for each in rows]


def test_what_is_shipped_is_published_once(log: EventLog) -> None:
    for _ in range(2):
        prices = PriceList.of(log, shipped(2))
        prices.publish()
        prices.publish()
    assert [(each["rows"], each["shipped"]) for each in publications(log)] == [(2, 2)]


def test_an_added_row_is_in_force_at_once_and_after_a_restart(log: EventLog) -> None:
    prices = PriceList.of(log, shipped(2))
    before = prices.books.current
    assert prices.add(lambda book: [row("own")] if book is before else []) == [row("own")]
    after = prices.books.current
    assert prices.books.current.rows_of("a", "own")
    assert prices.books.open(before.hash).rows_of("a", "own") == ()
    # What was in force before was published first, so the log tells the whole way.
    assert [each["rows"] for each in publications(log)] == [2, 3]
    again = PriceList.of(log, shipped(2))
    assert again.books.current.lines() == prices.books.current.lines()
    newer = PriceList.of(log, shipped(5))
    newer.publish()
    assert [each["rows"] for each in publications(log)] == [2, 3, 6]
    for book in (before, after):
        assert newer.books.open(book.hash).lines() == book.lines()


def test_nothing_to_add_changes_nothing(log: EventLog) -> None:
    prices = PriceList.of(log, shipped(2))
    before = prices.books.current
    assert prices.add(lambda _: []) == []
    assert prices.books.current is before
    assert [each["rows"] for each in publications(log)] == [2]


def test_a_program_that_ships_less_is_refused(log: EventLog) -> None:
    PriceList.of(log, shipped(3)).publish()
    with pytest.raises(UnsafeSetup, match="run the version that does"):
        PriceList.of(log, shipped(2))
