"""A topic that was made again is filled from the beginning, whenever that is noticed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from domain.clock import FixedClock
from domain.coordination.memory import MemoryLocks
from domain.eventlog.feed import FeedUnavailable
from domain.eventlog.memory import open_memory_log
from domain.eventlog.memory_feed import MemoryBroker
from domain.eventlog.port import Chain
from domain.relayed.memory import MemoryRelayPositions
from tests.domain.eventlog.filling import failed
from workers.relay import Relay
from workers.relaying import LOOK_S, Relaying


class Brokers:
    """A broker that can be away, and replaced by an empty one."""

    def __init__(self) -> None:
        self.clock = FixedClock(datetime(2026, 11, 1, tzinfo=UTC))
        self.log = open_memory_log(store_id="st_1", clock=self.clock)
        self.locks = MemoryLocks()
        self.positions = MemoryRelayPositions()
        self.away = False
        self.looks = 0
        self.replace()

    def replace(self) -> None:
        self.broker = MemoryBroker(partitions=1)
        self.topic = f"topic-{id(self.broker)}"

    def append(self) -> None:
        self.log.submit(failed(version=1), account_id=None).result()

    def topic_id(self) -> str:
        self.looks += 1
        if self.away:
            raise FeedUnavailable("away")
        return self.topic

    def make(self, topic_id: str) -> Relay:
        brokers = self

        class Sink:
            def publish(self, records: object) -> None:
                if brokers.away:
                    raise FeedUnavailable("away")
                brokers.broker.sink().publish(records)  # type: ignore[arg-type]

            def close(self) -> None:
                """Nothing is held."""

        return Relay(
            Chain((self.log,)),
            sink=Sink(),
            positions=self.positions,
            topic_id=topic_id,
            locks=self.locks,
        )

    def seqs(self) -> list[int | None]:
        return [one.seq for one in self.broker.scan().poll(limit=100, timeout_s=0)]


@pytest.fixture
def brokers() -> Brokers:
    return Brokers()


@pytest.fixture
def relaying(brokers: Brokers) -> Relaying:
    return Relaying(topic_id=brokers.topic_id, make=brokers.make, clock=brokers.clock)


def test_the_same_topic_is_asked_for_now_and_then(brokers: Brokers, relaying: Relaying) -> None:
    assert relaying.state() is None
    for _ in range(3):
        brokers.append()
        relaying()
    assert brokers.seqs() == [1, 2, 3]
    assert brokers.looks == 1
    brokers.clock.advance(timedelta(seconds=LOOK_S))
    relaying()
    assert (brokers.looks, brokers.seqs()) == (2, [1, 2, 3])
    state = relaying.state()
    assert state is not None
    assert (state.seq, state.backlog) == (3, 0)


def test_brokers_that_were_replaced_while_nothing_happened(
    brokers: Brokers, relaying: Relaying
) -> None:
    brokers.append()
    relaying()
    brokers.replace()
    brokers.append()
    relaying()
    assert brokers.seqs() == [2]  # not noticed yet
    brokers.clock.advance(timedelta(seconds=LOOK_S))
    relaying()
    assert brokers.seqs() == [2, 1, 2]


def test_brokers_that_were_away_are_looked_at_at_once(brokers: Brokers, relaying: Relaying) -> None:
    brokers.append()
    relaying()
    brokers.away = True
    brokers.append()
    for _ in range(2):
        with pytest.raises(FeedUnavailable):
            relaying()
    brokers.away = False
    brokers.replace()
    relaying()
    assert brokers.seqs() == [1, 2]


def test_another_process_may_relay_when_this_one_is_closed(
    brokers: Brokers, relaying: Relaying
) -> None:
    relaying()
    relaying.close()
    other = Relaying(topic_id=brokers.topic_id, make=brokers.make, clock=brokers.clock)
    brokers.append()
    other()
    assert brokers.seqs() == [1]
