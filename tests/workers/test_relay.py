"""The relay: in order, nothing passed over, whatever happens between two of its steps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

import pytest

from domain.clock import FixedClock
from domain.coordination.memory import MemoryLocks
from domain.coordination.port import relaying
from domain.eventlog.feed import FeedUnavailable
from domain.eventlog.log import StoredLog
from domain.eventlog.memory import MemoryStore, open_memory_log
from domain.eventlog.memory_feed import MemoryBroker, MemorySink
from domain.eventlog.port import Chain, CorruptLog, Recorded
from domain.relayed.memory import MemoryRelayPositions
from domain.relayed.port import Relayed
from tests.domain.eventlog.filling import failed, routed
from workers.relay import REST_S, TURN_S, Relay, WrongPosition

CLOCK = FixedClock(datetime(2026, 11, 1, tzinfo=UTC))
TOPIC = "topic-1"


class Interrupted(Exception):
    """The process dies here."""


class Installation:
    """A chain of logs, a broker, locks and positions; relays come and go."""

    def __init__(self, *logs: StoredLog) -> None:
        self.logs = logs or (open_memory_log(store_id="st_1", clock=CLOCK),)
        self.log = self.logs[-1]
        self.broker = MemoryBroker(partitions=3)
        self.locks = MemoryLocks()
        self.positions = MemoryRelayPositions()

    def append(self, count: int, *, account_id: str | None = None) -> None:
        for _ in range(count):
            self.log.submit(failed(version=1), account_id=account_id).result()

    def relay(self, *, batch: int = 10, sink: MemorySink | None = None) -> Relay:
        return Relay(
            Chain(self.logs),
            sink=sink or self.broker.sink(),
            positions=self.positions,
            topic_id=TOPIC,
            locks=self.locks,
            batch=batch,
        )

    def published(self) -> list[int]:
        """The seqs in the topic, in the order in which they came."""
        scan = self.broker.scan()
        return [one.seq for one in scan.poll(limit=10**6, timeout_s=0) if one.seq is not None]


class Hooked(MemorySink):
    """Does something before it publishes, or after."""

    def __init__(
        self,
        broker: MemoryBroker,
        *,
        before: Callable[[], None] = lambda: None,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(broker)
        self._before = before
        self._after = after

    def publish(self, records: Sequence[Recorded]) -> None:
        self._before()
        super().publish(records)
        self._after()


def die() -> None:
    raise Interrupted


@pytest.fixture
def here() -> Installation:
    return Installation()


def test_events_are_published_in_order_and_once(here: Installation) -> None:
    here.append(25)
    relay = here.relay(batch=10)
    assert [relay() for _ in range(4)] == [0, 0, REST_S, REST_S]
    assert here.published() == list(range(1, 26))
    here.append(1)
    relay()
    assert here.published() == list(range(1, 27))
    assert here.positions.get(TOPIC, "st_1").seq == 26


def test_what_is_published_are_the_stored_bytes(here: Installation) -> None:
    stored = here.log.submit(routed(), account_id="acc_1").result()[0]
    here.relay()()
    [delivery] = here.broker.scan().poll(limit=10, timeout_s=0)
    assert delivery.line == stored.line
    assert (delivery.store_id, delivery.seq, delivery.hash) == ("st_1", 1, stored.hash)


def test_an_account_s_events_are_in_one_partition(here: Installation) -> None:
    for number in range(20):
        here.append(3, account_id=f"acc_{number}")
    here.append(3)
    here.relay(batch=100)()
    partitions: dict[str, set[int]] = {}
    for one in here.broker.scan().poll(limit=1000, timeout_s=0):
        account = here.log.read(after=(one.seq or 0) - 1, limit=1)[0].account_id or "none"
        partitions.setdefault(account, set()).add(one.partition.number)
    assert len(partitions) == 21
    assert all(len(numbers) == 1 for numbers in partitions.values())
    assert len(set.union(*partitions.values())) == 3


@pytest.mark.parametrize(("point", "twice"), [("before", False), ("after", True)])
def test_a_death_leaves_no_hole(here: Installation, point: str, twice: bool) -> None:
    here.append(5)
    with pytest.raises(Interrupted):
        here.relay(sink=Hooked(here.broker, **{point: die}))()
    here.locks.close()  # with its process
    here.relay()()
    assert here.published() == [1, 2, 3, 4, 5] * (2 if twice else 1)


def test_one_process_relays_and_the_next_goes_on_where_it_ended(here: Installation) -> None:
    here.append(5)
    first, second = here.relay(), here.relay()
    first()
    assert second() == TURN_S
    assert (first.state().relays, second.state().relays) == (True, False)
    first.close()
    here.append(2)
    second()
    assert here.published() == [1, 2, 3, 4, 5, 6, 7]


def test_who_has_lost_the_lock_publishes_nothing_more(here: Installation) -> None:
    here.append(5)
    stopped = here.relay()
    stopped()
    here.locks.close()  # its session ended while it was stopped
    here.append(5)
    heir = here.relay(batch=2)
    heir()
    assert stopped() == 0
    assert stopped() == TURN_S
    assert here.published() == [1, 2, 3, 4, 5, 6, 7]
    assert here.positions.get(TOPIC, "st_1").seq == 7


def test_what_was_under_way_when_the_lock_was_lost_moves_no_position(here: Installation) -> None:
    here.append(5)
    stopped = here.relay(sink=Hooked(here.broker, after=here.locks.close))
    assert stopped() == 0
    assert here.positions.get(TOPIC, "st_1").seq == 0
    heir = here.relay()
    heir()
    assert here.published() == [1, 2, 3, 4, 5] * 2


def test_the_lock_is_taken_for_the_store_that_is_written(here: Installation) -> None:
    here.relay()()
    assert here.locks.take(relaying("st_1")) is None


def test_a_broker_that_is_away_is_waited_for(here: Installation) -> None:
    here.append(5)
    relay = here.relay()
    here.broker.away = True
    with pytest.raises(FeedUnavailable):
        relay()
    assert relay.state().backlog == 5
    here.broker.away = False
    relay()
    assert here.published() == [1, 2, 3, 4, 5]
    assert relay.state().backlog == 0


def test_a_position_set_back_gives_duplicates_only(here: Installation) -> None:
    here.append(5)
    here.relay()()
    here.locks.close()
    third = here.log.read(after=2, limit=1)[0]
    here.positions.set(TOPIC, "st_1", Relayed(3, third.hash))
    here.append(1)
    here.relay()()
    assert here.published() == [1, 2, 3, 4, 5, 4, 5, 6]


@pytest.mark.parametrize(
    ("position", "says"),
    [
        (Relayed(6, "a" * 64), "ends at 5"),
        (Relayed(3, "a" * 64), "another event"),
    ],
)
def test_a_position_of_another_log_is_refused(
    here: Installation, position: Relayed, says: str
) -> None:
    here.append(5)
    here.positions.set(TOPIC, "st_1", position)
    with pytest.raises(WrongPosition, match=says):
        here.relay()()
    assert here.published() == []


def test_a_chain_is_relayed_from_its_oldest_store_on() -> None:
    first = open_memory_log(store_id="st_1", clock=CLOCK)
    here = Installation(first, open_memory_log(store_id="st_2", clock=CLOCK))
    for _ in range(15):
        first.submit(failed(version=1), account_id="acc_1").result()
    here.append(3, account_id="acc_1")
    relay = here.relay(batch=10)
    assert relay.state().backlog == 18
    for _ in range(4):
        relay()
    stores = [one.store_id for one in here.broker.scan().poll(limit=100, timeout_s=0)]
    assert stores == ["st_1"] * 15 + ["st_2"] * 3
    assert (relay.state().seq, relay.state().backlog) == (3, 0)


class Torn(StoredLog):
    """A log that does not show its third event."""

    def read(
        self, *, after: int, limit: int, streams: Collection[str] | None = None
    ) -> Sequence[Recorded]:
        found = super().read(after=after, limit=limit, streams=streams)
        return [one for one in found if one.seq != 3]


def test_a_gap_in_what_is_read_stops_the_relay() -> None:
    here = Installation(Torn(MemoryStore("st_1"), store_id="st_1", clock=CLOCK))
    here.append(5)
    with pytest.raises(CorruptLog, match="after seq 0"):
        here.relay()()
    assert here.published() == []
