"""What is found when log and topic are compared."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from domain.clock import FixedClock
from domain.eventlog.feed import Delivery, FeedUnavailable
from domain.eventlog.log import StoredLog
from domain.eventlog.memory import open_memory_log
from domain.eventlog.memory_feed import MemoryBroker, MemoryScan
from domain.eventlog.port import Chain, Recorded
from domain.eventlog.topic_drift import NAMED, TopicDrift, topic_drift
from tests.domain.eventlog.brokers import KafkaBroker
from tests.domain.eventlog.filling import failed, routed

CLOCK = FixedClock(datetime(2026, 11, 1, tzinfo=UTC))


class World:
    """A log of 30 events and an empty topic."""

    def __init__(self) -> None:
        self.log = open_memory_log(store_id="st_1", clock=CLOCK)
        self.broker = MemoryBroker(partitions=3)
        for number in range(30):
            self.log.submit(routed(), account_id=f"acc_{number % 7}").result()

    def events(self, first: int, last: int) -> Sequence[Recorded]:
        return self.log.read(after=first - 1, limit=last - first + 1)

    def publish(self, first: int, last: int) -> None:
        self.broker.sink().publish(self.events(first, last))

    def put(self, event: Recorded, line: bytes | None) -> None:
        """A record with the headers of an event and another value."""
        self.broker.put("x", line, store_id=event.store_id, seq=event.seq, hash=event.hash)

    def drift(self) -> TopicDrift:
        return topic_drift(self.log, self.broker.scan())


@pytest.fixture
def world() -> World:
    return World()


def test_a_topic_with_every_event_once_has_no_drift(world: World) -> None:
    world.publish(1, 30)
    found = world.drift()
    [store] = found.stores
    assert found.differences == []
    assert (found.records, store.events, store.relayed) == (30, 30, 30)
    assert (store.duplicates, store.behind, store.gone) == (0, 0, 0)


def test_an_empty_topic_is_behind(world: World) -> None:
    found = world.drift()
    assert found.differences == []
    assert found.stores[0].behind == 30


def test_duplicates_and_what_is_not_relayed_yet_are_counted_only(world: World) -> None:
    world.publish(1, 20)
    world.publish(11, 25)
    found = world.drift()
    assert found.differences == []
    assert (found.stores[0].relayed, found.stores[0].duplicates) == (25, 10)
    assert found.stores[0].behind == 5


def test_a_hole_is_named(world: World) -> None:
    world.publish(1, 9)
    world.publish(12, 30)
    assert world.drift().differences == [
        "2 events of st_1 are missing in the topic: seq 10, seq 11"
    ]


def test_of_many_the_first_are_named(world: World) -> None:
    world.publish(30, 30)
    [told] = world.drift().differences
    assert told.startswith("29 events of st_1 are missing")
    assert told.endswith(f"seq {NAMED}, …")


def test_an_altered_record_is_named(world: World) -> None:
    world.publish(1, 30)
    event = world.events(5, 5)[0]
    assert b'"prompt_bytes":1024' in event.line
    world.put(event, event.line.replace(b'"prompt_bytes":1024', b'"prompt_bytes":1025'))
    [told] = world.drift().differences
    assert told.startswith("1 records of st_1 differ from the log: seq 5 at keytoll.events/")


def test_headers_that_say_something_else_are_named(world: World) -> None:
    world.publish(1, 30)
    five, six = world.events(5, 6)
    world.put(five, six.line)
    [told] = world.drift().differences
    assert told.startswith("1 records of st_1 differ from the log: headers of seq 6 at")


def test_unknown_records_are_named(world: World) -> None:
    world.publish(1, 30)
    other = open_memory_log(store_id="st_other", clock=CLOCK)
    for _ in range(40):
        other.submit(failed(version=1), account_id=None).result()
    world.broker.sink().publish(other.read(after=38, limit=1))
    ahead = open_memory_log(store_id="st_1", clock=CLOCK)
    for _ in range(40):
        ahead.submit(failed(version=1), account_id=None).result()
    world.broker.sink().publish(ahead.read(after=39, limit=1))
    world.broker.put("x", None)
    world.broker.put("x", b"hello")
    [told] = world.drift().differences
    assert told.startswith("4 records of the topic are not in the log: ")
    for name in ("seq 39 of st_other", "seq 40 of st_1", "no value at", "no event at"):
        assert name in told


def test_every_store_of_the_log_is_compared(world: World) -> None:
    earlier = world.log
    log = open_memory_log(store_id="st_2", clock=CLOCK)
    for _ in range(3):
        log.submit(failed(version=1), account_id=None).result()
    world.publish(1, 30)
    world.broker.sink().publish(log.read(after=0, limit=2))
    found = topic_drift(Continued(log, earlier), world.broker.scan())
    assert found.differences == []
    assert [(one.store_id, one.relayed, one.behind) for one in found.stores] == [
        ("st_1", 30, 0),
        ("st_2", 2, 1),
    ]


class Continued:
    """One chain of two stores."""

    def __init__(self, written: StoredLog, earlier: StoredLog) -> None:
        self._chain = Chain((earlier, written))
        self.stream = written.stream

    def chains(self) -> Sequence[Chain]:
        return [self._chain]


def test_a_scan_that_begins_later_finds_fewer_events_but_no_holes(world: World) -> None:
    world.publish(1, 30)
    scan = world.broker.scan()
    since = {partition: end // 2 for partition, end in scan.ends().items()}
    found = topic_drift(world.log, scan, since=since)
    [store] = found.stores
    assert found.differences == []
    assert store.relayed == found.records == 30 - sum(since.values())
    assert store.relayed + store.gone + store.behind == 30
    assert store.gone > 0


def test_what_is_relayed_while_the_check_runs_is_no_drift(world: World) -> None:
    world.publish(1, 30)

    class Busy(MemoryScan):
        def begins(self) -> dict:  # type: ignore[type-arg]
            world.log.submit(routed(), account_id="acc_1").result()
            world.publish(31, 31)
            return dict(super().begins())

    assert topic_drift(world.log, Busy(world.broker)).differences == []


def test_a_topic_that_does_not_give_what_it_has_is_no_answer(world: World) -> None:
    world.publish(1, 30)

    class Silent(MemoryScan):
        def poll(self, *, limit: int, timeout_s: float) -> Sequence[Delivery]:
            return []

    with pytest.raises(FeedUnavailable):
        topic_drift(world.log, Silent(world.broker))


@pytest.mark.services
def test_a_real_topic_is_compared(kafka_bootstrap: str, kafka_topic: str, world: World) -> None:
    broker = KafkaBroker(kafka_bootstrap, kafka_topic)
    sink = broker.sink()
    sink.publish(world.events(1, 20))
    sink.publish(world.events(15, 28))
    sink.close()
    scan = broker.scan()
    found = topic_drift(world.log, scan)
    scan.close()
    assert found.differences == []
    [store] = found.stores
    assert (found.records, store.relayed, store.duplicates, store.behind) == (34, 28, 6, 2)
