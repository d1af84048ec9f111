"""A worker retries what passes by itself and stops, visibly, at what does not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from domain.clock import FixedClock
from domain.eventlog.log import StoredLog
from domain.eventlog.memory import open_memory_log
from domain.eventlog.port import Recorded
from domain.eventlog.several import SeveralLogs
from projections.store.port import ProjectionStore, ProjectionUnavailable
from tests.projections.test_projector import projector_of
from tests.projections.world import START, World
from workers import loop
from workers.loop import State, Worker
from workers.project import IDLE_S_FIRST, IDLE_S_MAX, LINGER_S, Project
from workers.seal import Sealer


class Heard:
    """The changes that a worker reported, and a wait for one of them."""

    def __init__(self) -> None:
        self.states: list[State] = []
        self._changed = threading.Condition()

    def __call__(self, state: State) -> None:
        with self._changed:
            self.states.append(state)
            self._changed.notify_all()

    def wait_for(self, status: str) -> State:
        def last() -> bool:
            return bool(self.states) and self.states[-1].status == status

        with self._changed:
            assert self._changed.wait_for(last, 10), self.states
            return self.states[-1]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "RETRY_S_FIRST", 0.001)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def started(heard: Heard) -> Iterator[Callable[[Callable[[], float]], Worker]]:
    made: list[Worker] = []

    def start(step: Callable[[], float]) -> Worker:
        worker = Worker("test", step, on_change=heard)
        made.append(worker)
        worker.start()
        return worker

    yield start
    for worker in made:
        assert worker.stop(10)


def test_infrastructure_is_retried_until_it_is_back(
    heard: Heard, started: Callable[[Callable[[], float]], Worker]
) -> None:
    left = [5]
    worked = threading.Event()

    def step() -> float:
        if left[0]:
            left[0] -= 1
            raise ProjectionUnavailable("away")
        worked.set()
        return 60.0

    worker = started(step)
    assert worked.wait(10)
    heard.wait_for("running")
    assert [state.status for state in heard.states] == ["running", "retrying", "running"]
    assert heard.states[1].error == "ProjectionUnavailable: away"
    assert worker.state.error is None


def test_any_other_error_stops_the_worker_and_is_seen(
    heard: Heard, started: Callable[[Callable[[], float]], Worker]
) -> None:
    def step() -> float:
        raise LookupError("a row too many")

    worker = started(step)
    state = heard.wait_for("failed")
    assert state.error == "LookupError: a row too many"
    assert worker.stop(10)
    assert worker.state.status == "failed"


def test_a_resting_worker_is_woken_and_stopped_at_once(heard: Heard) -> None:
    turns, wake = threading.Semaphore(0), threading.Event()

    def step() -> float:
        turns.release()
        return 3600.0

    worker = Worker("test", step, on_change=heard, wake=wake)
    worker.start()
    assert turns.acquire(timeout=10)
    for _ in range(3):
        wake.set()
        assert turns.acquire(timeout=10)
    assert worker.stop(10)
    assert worker.state.status == "stopped"
    assert worker.stop(10)


def test_a_worker_that_never_began_can_be_stopped() -> None:
    assert Worker("idle", lambda: 0.0).stop()


def test_projecting_rests_longer_the_longer_nothing_happens(tables: ProjectionStore) -> None:
    world = World()
    account = world.open_account("a")
    project = Project(projector_of(world, tables))
    assert project() == LINGER_S
    rests = [project() for _ in range(5)]
    assert rests == sorted(rests)
    assert (rests[0], rests[-1]) == (IDLE_S_FIRST, IDLE_S_MAX)
    world.call(account)
    assert project() == LINGER_S
    assert project() == IDLE_S_FIRST


class SealingDay:
    """A log, a sealer with a step every second, and what it wrote down outside."""

    def __init__(self) -> None:
        self.clock = FixedClock(START)
        self.world = World(clock=self.clock)
        self.written: list[Recorded] = []
        self.broken = False
        self.sealer = Sealer(
            self.world.log, clock=self.clock, checkpoint=self._write, interval_s=3600, quiet_s=30
        )

    def pass_seconds(self, seconds: int) -> None:
        for _ in range(seconds):
            self.world.tick()
            self.sealer()

    def seals(self) -> list[int]:
        events = self.world.log.read(after=0, limit=10_000)
        return [each.seq for each in events if each.topic == "store.log-sealed"]

    def _write(self, seal: Recorded) -> None:
        if self.broken:
            raise OSError("disk full")
        self.written.append(seal)


def test_the_log_is_sealed_when_quiet_after_news_and_hourly() -> None:
    day = SealingDay()
    day.pass_seconds(3000)
    assert day.seals() == []
    day.world.open_account("a")
    day.pass_seconds(29)
    assert day.seals() == []
    day.pass_seconds(5)
    assert day.seals() == [2]
    # Nothing new: only the heartbeat, an hour after the last seal.
    day.pass_seconds(3590)
    assert day.seals() == [2]
    day.pass_seconds(20)
    assert day.seals() == [2, 3]
    # Never quiet: hourly all the same.
    account = day.world.open_account("b")
    for _ in range(400):
        day.world.call(account)
        day.pass_seconds(10)
    assert len(day.seals()) == 3
    assert [seal.seq for seal in day.written] == day.seals()


def test_a_sealer_that_takes_over_goes_by_the_seals_in_the_log() -> None:
    day = SealingDay()
    account = day.world.open_account("a")
    day.pass_seconds(40)
    assert day.seals() == [2]
    # Another process goes on, and another one every ten minutes; it is never quiet.
    for _ in range(9):
        day.sealer = Sealer(day.world.log, clock=day.clock, checkpoint=day._write)
        for _ in range(60):
            day.world.call(account)
            day.pass_seconds(10)
    assert len(day.seals()) == 2
    # Where nothing is new since the last seal, taking over alone seals nothing.
    day.sealer.seal()
    day.sealer = Sealer(day.world.log, clock=day.clock, checkpoint=day._write)
    day.pass_seconds(100)
    assert len(day.seals()) == 3


def test_several_chains_are_sealed_together() -> None:
    day = SealingDay()
    second = open_memory_log(store_id="store-2", clock=day.clock)
    log = SeveralLogs([day.world.log, second])
    day.sealer = Sealer(log, clock=day.clock, checkpoint=day._write)
    day.world.log = cast("StoredLog", log)
    day.world.open_account("late")
    day.pass_seconds(40)
    assert [(seal.store_id, seal.seq) for seal in day.written] == [("store-1", 1), ("store-2", 2)]
    day.pass_seconds(100)
    assert len(day.written) == 2


def test_a_checkpoint_that_could_not_be_written_is_written_later() -> None:
    day = SealingDay()
    day.world.open_account("a")
    day.broken = True
    with pytest.raises(OSError, match="disk full"):
        day.sealer.seal()
    with pytest.raises(OSError, match="disk full"):
        day.sealer()
    assert (day.seals(), day.written) == ([2], [])
    day.broken = False
    day.sealer()
    day.sealer()
    assert [seal.seq for seal in day.written] == [2]
    assert day.seals() == [2]
