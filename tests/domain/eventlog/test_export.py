"""What an export holds: whole streams, stored bytes, the same order every time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from domain.clock import FixedClock
from domain.eventlog.export import export_events
from domain.eventlog.port import Recorded
from domain.eventlog.sqlite import SQLiteLog, begin_new_store
from domain.events.base import Event
from domain.ids import new_id, public_id
from domain.invoice import Period
from tests.domain.eventlog.filling import START, corrected, opened, reported, routed
from tests.domain.events.samples import sample

DAY = timedelta(days=1)


def account_event(account: UUID, version: int) -> Event:
    like = sample("account.markup-agreed")
    fields = {**vars(like), "originator_id": account, "originator_version": version}
    return type(like)(**fields)


class World:
    """Two accounts with one request a day each, the first day's corrected on the fifth."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "events.sqlite"
        self.clock = FixedClock(START)
        self.log: SQLiteLog = opened(self.path, clock=self.clock)
        self.accounts = [new_id(), new_id()]
        self.names = [public_id("acc", account) for account in self.accounts]
        self.requests = [[new_id() for _ in range(4)] for _ in range(2)]
        for number in range(2):
            self.put(number, account_event(self.accounts[number], 2))
        for day in range(4):
            for number in range(2):
                self.put(number, routed(self.requests[number][day], account_id=self.names[number]))
            self.clock.advance(timedelta(hours=1))
            for number in range(2):
                self.put(number, reported(self.requests[number][day]))
            self.log.seal().result()
            self.clock.advance(DAY - timedelta(hours=1))
        self.put(0, corrected(self.requests[0][0]))
        self.put(1, account_event(self.accounts[1], 3))

    def put(self, number: int, event: Event) -> Recorded:
        return self.log.submit(event, account_id=self.names[number]).result()[0]

    def lines(self) -> list[Recorded]:
        stores = (*self.log.earlier(), self.log)
        return [row for store in stores for row in store.read(after=0, limit=1000)]

    def of(self, *streams: UUID) -> list[bytes]:
        return [row.line + b"\n" for row in self.lines() if row.originator_id in streams]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.log.close()


def day(number: int) -> Period:
    return Period(START + number * DAY, START + (number + 1) * DAY)


def test_everything_is_every_stored_line(world: World) -> None:
    exported = list(export_events(world.log))
    assert exported == [row.line + b"\n" for row in world.lines()]
    assert exported == list(export_events(world.log))


def test_an_account_is_all_of_its_lines(world: World) -> None:
    own = world.of(world.accounts[1], *world.requests[1])
    assert list(export_events(world.log, account_id=world.names[1])) == own


def test_a_period_is_whole_streams_and_their_accounts(world: World) -> None:
    second = [requests[1] for requests in world.requests]
    assert list(export_events(world.log, period=day(1))) == world.of(*world.accounts, *second)
    fifth = world.of(world.accounts[0], world.requests[0][0])
    assert list(export_events(world.log, period=day(4))) == fifth
    assert list(export_events(world.log, period=day(5))) == []


def test_a_period_of_an_account(world: World) -> None:
    exported = export_events(world.log, account_id=world.names[1], period=day(2))
    assert list(exported) == world.of(world.accounts[1], world.requests[1][2])
    assert list(export_events(world.log, account_id=world.names[1], period=day(4))) == []


def test_the_bounds_of_a_period_are_half_open(world: World) -> None:
    hour = timedelta(hours=1)
    terminal = START + hour
    first = [requests[0] for requests in world.requests]
    with_it = Period(terminal, terminal + hour)
    before_it = Period(START, terminal)
    assert list(export_events(world.log, period=with_it)) == world.of(*world.accounts, *first)
    assert list(export_events(world.log, period=before_it)) == []


def test_an_export_ends_where_it_is_told(world: World) -> None:
    until = {world.log.store_id: 7}
    assert list(export_events(world.log, until=until)) == [
        row.line + b"\n" for row in world.lines()[:7]
    ]
    assert list(export_events(world.log, until={})) == []


def test_an_export_does_not_grow_while_it_is_read(world: World) -> None:
    exported = export_events(world.log)
    head, lines = world.log.head(), [next(exported)]
    world.put(0, routed(account_id=world.names[0]))
    assert len([*lines, *exported]) == head


def test_streams_reach_across_a_restore(world: World) -> None:
    open_request = new_id()
    world.put(1, routed(open_request, account_id=world.names[1]))
    world.log.close()
    begin_new_store(world.path)
    world.log = opened(world.path, clock=world.clock)
    world.clock.advance(5 * DAY)
    world.put(1, reported(open_request))
    last = day(9)
    exported = list(export_events(world.log, period=last))
    assert exported == world.of(world.accounts[1], open_request)
    assert len(exported) == 4
    assert len(list(export_events(world.log))) == len(world.lines())
