"""Requests of dead processes end; those of the living never do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest

from domain.clock import FixedClock, SystemClock
from domain.coordination.memory import MemoryLeases
from domain.coordination.port import Leases
from domain.coordination.postgres import PostgresLeases
from domain.eventlog.memory import open_memory_log
from domain.eventlog.port import EventLog, StoreUnavailable
from domain.eventlog.postgres import open_postgres_log
from domain.events.codec import decode
from domain.events.requests import RequestFailed, RequestRouted
from tests.domain.events.samples import sample
from tests.projections.world import START
from workers.lease import Lease
from workers.sweep import Sweeper, sweep

ACCOUNT = "acc_" + "a" * 32
LEASE_S = 15.0


def route(log: EventLog, number: int, owner: str) -> UUID:
    like = sample("request.routed")
    assert isinstance(like, RequestRouted)
    fields = {**vars(like), "originator_id": UUID(int=number), "owner": owner}
    routed = RequestRouted(**{**fields, "account_id": ACCOUNT})
    log.submit(routed, account_id=ACCOUNT).result()
    return routed.originator_id


def ending(log: EventLog, request: UUID) -> str | None:
    stream = log.stream(request)
    if len(stream) < 2:
        return None
    event = decode(stream[1])
    assert isinstance(event, RequestFailed)
    return event.failure


class Office:
    """A log, leases and a sweeper on a clock that stands still."""

    def __init__(self) -> None:
        self.clock = FixedClock(START)
        self.log: EventLog = open_memory_log(clock=self.clock)
        self.leases: Leases = MemoryLeases(self.clock)
        self.lost: list[int] = []
        self.sweeper = self.another()

    def another(self) -> Sweeper:
        return Sweeper(self.log, self.leases, self.clock, lease_s=LEASE_S, on_lost=self.lost.append)

    def pass_s(self, seconds: float, *, alive: str | None = None) -> None:
        """Let time pass in steps of a third of a lease, each with a look of the sweeper."""
        steps = round(seconds / (LEASE_S / 3))
        for _ in range(steps):
            if alive is not None:
                self.leases.renew(alive, for_s=LEASE_S)
            self.sweeper()
            self.clock.advance(timedelta(seconds=LEASE_S / 3))


@pytest.fixture
def office() -> Iterator[Office]:
    office = Office()
    yield office
    office.log.close()


def test_the_requests_of_a_lapsed_lease_end_and_no_others(office: Office) -> None:
    office.leases.renew("dead", for_s=LEASE_S)
    dead = [route(office.log, number, "dead") for number in (1, 2)]
    living = route(office.log, 3, "living")
    office.pass_s(10, alive="living")
    assert [ending(office.log, each) for each in dead] == [None, None]
    office.pass_s(30, alive="living")
    assert [ending(office.log, each) for each in dead] == ["process_lost"] * 2
    assert ending(office.log, living) is None
    assert office.lost == [2]


def test_the_living_are_given_a_lease_s_time_after_the_store_was_away(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could renew meanwhile: every lease has lapsed when the store is back."""
    office.pass_s(60, alive="living")
    request = route(office.log, 1, "living")
    with monkeypatch.context() as away:

        def unavailable() -> frozenset[str]:
            raise StoreUnavailable("away")

        away.setattr(office.leases, "alive", unavailable)
        for _ in range(9):
            with pytest.raises(StoreUnavailable):
                office.sweeper()
            office.clock.advance(timedelta(seconds=5))
    assert office.leases.alive() == frozenset()
    office.pass_s(10)
    assert ending(office.log, request) is None
    office.pass_s(60, alive="living")
    assert ending(office.log, request) is None
    office.pass_s(60)
    assert ending(office.log, request) == "process_lost"


def test_a_fresh_sweeper_looks_on_for_a_lease_first(office: Office) -> None:
    request = route(office.log, 1, "unknown")
    office.pass_s(15)
    assert ending(office.log, request) is None
    office.pass_s(5)
    assert ending(office.log, request) == "process_lost"


def test_a_process_that_begins_during_a_look_is_not_taken_for_dead(office: Office) -> None:
    office.pass_s(60, alive="living")
    begun: list[UUID] = []

    class Beginning:
        """A process takes its lease and routes a request right after the requests were read."""

        def __getattr__(self, name: str) -> object:
            return getattr(office.log, name)

        def open_requests(self) -> list[UUID]:
            found = list(office.log.open_requests())
            office.leases.renew("newcomer", for_s=LEASE_S)
            begun.append(route(office.log, 10 + len(begun), "newcomer"))
            return found

    log: EventLog = Beginning()  # type: ignore[assignment]
    sweeper = Sweeper(log, office.leases, office.clock, lease_s=LEASE_S, on_lost=office.lost.append)
    for _ in range(9):
        sweeper()
        office.clock.advance(timedelta(seconds=5))
    assert len(begun) > 3
    assert {ending(office.log, each) for each in begun} == {None}


def test_several_sweepers_end_each_request_once(office: Office) -> None:
    others = [office.another() for _ in range(3)]
    requests = [route(office.log, number, "dead") for number in range(1, 6)]
    for _ in range(5):
        for each in others:
            each()
        office.clock.advance(timedelta(seconds=5))
    assert [len(office.log.stream(each)) for each in requests] == [2] * 5
    assert sum(office.lost) == 5


def test_embedded_every_other_epoch_is_dead(office: Office) -> None:
    mine, other = route(office.log, 1, "mine"), route(office.log, 2, "other")
    assert sweep(office.log, epoch="mine") == 1
    assert (ending(office.log, mine), ending(office.log, other)) == (None, "process_lost")
    assert sweep(office.log, epoch="mine") == 0


def test_a_lease_is_renewed_every_third_of_it_and_given_up_at_the_end(office: Office) -> None:
    lapsed: list[None] = []
    lease = Lease(office.leases, "mine", lease_s=LEASE_S, on_lapsed=lambda: lapsed.append(None))
    assert lease() == 5.0
    for _ in range(4):
        office.clock.advance(timedelta(seconds=5))
        assert office.leases.alive() == {"mine"}
        lease()
    assert lapsed == []
    office.clock.advance(timedelta(seconds=15))
    lease()
    assert lapsed == [None]
    lease.release()
    assert office.leases.alive() == frozenset()


@pytest.mark.services
def test_over_postgres_the_database_s_clock_decides(postgres_dsn: str) -> None:
    log = open_postgres_log(postgres_dsn, clock=SystemClock())
    leases = PostgresLeases(postgres_dsn)
    clock, lost = FixedClock(START), list[int]()
    leases.renew("living", for_s=60)
    leases.renew("dead", for_s=0.001)
    living, dead = route(log, 1, "living"), route(log, 2, "dead")
    sweeper = Sweeper(log, leases, clock, lease_s=LEASE_S, on_lost=lost.append)
    for _ in range(5):
        sweeper()
        clock.advance(timedelta(seconds=5))
    assert (ending(log, living), ending(log, dead)) == (None, "process_lost")
    assert lost == [1]
    leases.close()
    log.close()
