"""Two projectors in processes of their own, over a real broker, killed and stopped at random."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from domain.clock import SystemClock
from domain.eventlog.port import heads_of
from domain.eventlog.postgres import open_postgres_log
from projections.drift import drift
from projections.migrate import prepare
from projections.projected import Watch
from projections.projector import Projector
from projections.queries.health import conflicts, dead_letters
from projections.rebuild import facts
from projections.store.clickhouse import open_server
from projections.store.port import ProjectionStore
from tests.domain.eventlog.brokers import KafkaBroker
from tests.projections.world import World
from tests.workers.group_process import GROUP, PARTITIONS

pytestmark = pytest.mark.services
ROOT = Path(__file__).parents[2]
ROUNDS = 8

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start(
    postgres_dsn: str, clickhouse_dsn: str, kafka_bootstrap: str, kafka_topic: str, tmp_path: Path
) -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def one(member: str) -> subprocess.Popen[str]:
        words = (postgres_dsn, clickhouse_dsn, kafka_bootstrap, kafka_topic, member)
        with (tmp_path / f"{member}.txt").open("a") as said:
            running.append(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.workers.group_process", *words],
                    cwd=ROOT,
                    text=True,
                    stdout=said,
                    stderr=said,
                )
            )
        return running[-1]

    yield one
    for process in running:
        process.kill()
        process.wait()


def test_kills_pauses_and_moved_offsets_change_nothing(
    start: Start,
    postgres_dsn: str,
    clickhouse_dsn: str,
    kafka_bootstrap: str,
    kafka_topic: str,
    tables: ProjectionStore,
) -> None:
    chance = random.Random(20261123)
    world = World()
    world.log = open_postgres_log(postgres_dsn, store_id="store-1", clock=world.clock)
    store = open_server(clickhouse_dsn)
    try:
        prepare(store)
        broker = KafkaBroker(kafka_bootstrap, kafka_topic, partitions=PARTITIONS)
        sink, accounts, relayed = broker.sink(), [world.open_account(n) for n in "abcdefgh"], 0
        members = {name: start(name) for name in ("one", "two")}
        for number in range(ROUNDS):
            for _ in range(60):
                request = world.call(chance.choice(accounts))
                if chance.random() < 0.2:
                    world.corrected(request, request_account(world, request), input_tokens=7)
            # Set back now and then, as after a crash of the relay: the same events, new offsets.
            relayed = max(0, relayed - chance.choice((0, 0, 50)))
            events = world.log.read(after=relayed, limit=10_000)
            sink.publish(events)
            relayed = events[-1].seq
            name = chance.choice(list(members))
            if number == ROUNDS // 2:
                members[name].send_signal(signal.SIGSTOP)
                time.sleep(9)  # longer than its session: the other one takes over
                members[name].send_signal(signal.SIGCONT)
                continue
            time.sleep(chance.random() * 1.5)
            members[name].kill()
            members[name].wait()
            if number == ROUNDS - 2:
                move_offsets(broker, chance, members)
                members = {each: start(each) for each in members}
            members[name] = start(name) if members[name].poll() is not None else members[name]
        sink.close()
        reached = Watch(log=world.log, store=store, clock=SystemClock(), wait_s=90).catch_up()
        assert reached == heads_of(world.log)
        Projector(log=world.log, store=tables, books=world.books).catch_up()
        assert facts(store, until=reached) == facts(tables, until=reached)
        assert not drift(log=world.log, store=store, books=world.books, until=reached)
        assert (dead_letters(store), conflicts(store)) == (0, 0)
    finally:
        store.close()
        world.log.close()


def request_account(world: World, request: object) -> str:
    account = world.log.stream(request)[0].account_id  # type: ignore[arg-type]
    assert account is not None
    return account


def move_offsets(
    broker: KafkaBroker, chance: random.Random, members: dict[str, subprocess.Popen[str]]
) -> None:
    """Nobody is there, and the group is made to believe that it is anywhere."""
    for process in members.values():
        process.kill()
        process.wait()
    feed = broker.feed(GROUP, "one", on_assigned=lambda _: None, on_revoked=lambda _: None)
    end_s = time.monotonic() + 30
    while len(feed.assigned()) < PARTITIONS and time.monotonic() < end_s:
        feed.poll(limit=1, timeout_s=0.2)
    assert len(feed.assigned()) == PARTITIONS
    feed.commit({at: chance.choice((0, end // 2, end)) for at, end in feed.ends().items()})
    feed.close()
