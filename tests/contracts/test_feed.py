"""What every distribution promises to its relay and to its readers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from domain.eventlog.feed import Delivery, Displaced, Feed, Partition
from domain.eventlog.memory_feed import MemoryBroker
from tests.domain.eventlog.brokers import Broker, Callback, KafkaBroker, Member, until
from tests.domain.eventlog.lines import stored

BROKERS = ["memory", pytest.param("kafka", marks=pytest.mark.services)]
Join = Callable[..., Member]


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest) -> Broker:
    if request.param == "memory":
        return MemoryBroker(partitions=3)
    bootstrap = request.getfixturevalue("kafka_bootstrap")
    return KafkaBroker(bootstrap, request.getfixturevalue("kafka_topic"))


@pytest.fixture
def join(broker: Broker) -> Iterator[Join]:
    members: list[Member] = []

    def open_member(name: str = "one", **callbacks: Callback) -> Member:
        members.append(Member(broker, name, **callbacks))
        return members[-1]

    yield open_member
    for member in members:
        member.feed.close()


def publish(broker: Broker, count: int, *, after: int = 0, accounts: int = 20) -> None:
    sink = broker.sink()
    sink.publish(stored(count, after=after, accounts=accounts))
    sink.close()


def all_of(broker: Broker) -> list[Delivery]:
    scan = broker.scan()
    found: list[Delivery] = []
    while len(found) < sum(scan.ends().values()):
        found += scan.poll(limit=1000, timeout_s=1.0)
    scan.close()
    return found


def test_what_is_published_is_in_the_topic_when_publish_returns(broker: Broker) -> None:
    records = stored(10, accounts=4)
    sink = broker.sink()
    sink.publish(records)
    assert sum(broker.scan().ends().values()) == 10
    sink.close()
    found = sorted(all_of(broker), key=lambda one: one.seq or 0)
    assert [one.line for one in found] == [one.line for one in records]
    assert [one.hash for one in found] == [one.hash for one in records]
    assert {one.store_id for one in found} == {"st_1"}


def test_nothing_is_a_batch_too(broker: Broker) -> None:
    sink = broker.sink()
    sink.publish([])
    sink.close()
    assert all_of(broker) == []


def test_an_account_has_one_partition_and_its_order(broker: Broker) -> None:
    publish(broker, 300, accounts=20)
    publish(broker, 300, after=300, accounts=20)
    partitions = defaultdict(set)
    seqs = defaultdict(list)
    for one in all_of(broker):
        assert one.seq is not None
        partitions[one.seq % 20].add(one.partition)
        seqs[one.seq % 20].append(one.seq)
    assert all(len(found) == 1 for found in partitions.values())
    assert len(set.union(*partitions.values())) == 3
    assert all(found == sorted(found) and len(found) == 30 for found in seqs.values())


def test_a_scan_begins_where_it_is_told(broker: Broker) -> None:
    publish(broker, 30)
    scan = broker.scan()
    assert set(scan.begins().values()) == {0}
    ends = scan.ends()
    at = max(ends, key=lambda partition: ends[partition])
    for partition, end in ends.items():
        scan.seek(partition, end)
    scan.seek(at, ends[at] - 2)
    found = scan.poll(limit=1000, timeout_s=2.0)
    assert [(one.partition, one.offset) for one in found] == [
        (at, ends[at] - 2),
        (at, ends[at] - 1),
    ]
    with pytest.raises(ValueError):
        scan.seek(Partition("other", 0), 0)
    scan.close()


def test_a_lone_member_reads_everything_from_the_beginning(broker: Broker, join: Join) -> None:
    publish(broker, 50)
    member = join()
    until(lambda: len(member.read) == 50, member)
    assert member.seqs() == list(range(1, 51))
    assert [what for what, _ in member.told] == ["assigned"]
    assert member.told[0][1] == member.feed.assigned() == frozenset(member.feed.ends())
    assert {at: member.feed.position(at) for at in member.feed.assigned()} == member.feed.ends()


def test_a_poll_gives_no_more_than_its_limit(broker: Broker, join: Join) -> None:
    publish(broker, 50)
    member = join()
    until(lambda: bool(member.read), member)
    assert all(len(member.poll(limit=7)) <= 7 for _ in range(5))


def test_the_next_one_goes_on_after_what_was_committed(broker: Broker, join: Join) -> None:
    publish(broker, 30)
    first = join()
    until(lambda: len(first.read) == 30, first)
    assert first.feed.committed() == {}
    first.commit()
    assert first.feed.committed() == first.feed.ends()
    publish(broker, 5, after=30)
    until(lambda: len(first.read) == 35, first)  # read, not committed
    first.feed.close()
    second = join()
    until(lambda: len(second.read) == 5, second)
    assert second.seqs() == [31, 32, 33, 34, 35]


def test_a_committed_offset_may_go_back(broker: Broker, join: Join) -> None:
    publish(broker, 30)
    first = join()
    until(lambda: len(first.read) == 30, first)
    first.commit()
    first.feed.commit(dict.fromkeys(first.feed.assigned(), 0))
    first.feed.close()
    second = join()
    until(lambda: len(second.read) == 30, second)


def test_a_member_decides_where_to_begin(broker: Broker, join: Join) -> None:
    publish(broker, 30)
    ends: dict[Partition, int] = {}

    def go_to_the_last(feed: Feed, partitions: frozenset[Partition]) -> None:
        assert feed.committed() == {}
        ends.update(feed.ends())
        for partition in partitions:
            feed.seek(partition, max(0, ends[partition] - 1))

    member = join(at_assignment=go_to_the_last)
    until(lambda: len(member.read) == 3, member)
    assert {one.partition: one.offset for one in member.read} == {
        partition: end - 1 for partition, end in ends.items()
    }
    for partition in member.feed.assigned():
        member.feed.seek(partition, 0)
    until(lambda: len(member.read) == 33, member)


def test_a_callback_that_fails_is_called_again(broker: Broker, join: Join) -> None:
    publish(broker, 30)
    failures = {"assigned": 2, "revoked": 2}

    def fail(what: str) -> Callback:
        def callback(feed: Feed, partitions: frozenset[Partition]) -> None:
            failures[what] -= 1
            if failures[what] >= 0:
                raise LookupError(what)

        return callback

    def poll(member: Member) -> None:
        with suppress(LookupError):
            member.poll()

    member = join("one", at_assignment=fail("assigned"), at_revocation=fail("revoked"))
    for _ in range(100):
        poll(member)
    assert [what for what, _ in member.told] == ["assigned"] * 3
    assert len(member.read) == 30
    other = join("two")
    for _ in range(100):
        poll(member)
        poll(other)
        if other.feed.assigned():
            break
    poll(member)
    assert [what for what, _ in member.told][3:] == ["revoked"] * 3 + ["assigned"]


def test_while_paused_nothing_comes_and_the_place_is_kept(broker: Broker, join: Join) -> None:
    member = join()
    member.feed.pause()
    until(lambda: bool(member.told), member)
    publish(broker, 30)
    assert [member.poll() for _ in range(5)] == [[]] * 5
    assert sum(member.feed.ends().values()) == 30
    member.feed.resume()
    until(lambda: len(member.read) == 30, member)
    assert len(member.told) == 1


def test_partitions_are_shared_out_when_another_joins(broker: Broker, join: Join) -> None:
    publish(broker, 60)

    def commit(feed: Feed, _: frozenset[Partition]) -> None:
        first.commit()

    first = join("one", at_revocation=commit)
    until(lambda: len(first.read) == 60, first)
    second = join("two")
    until(lambda: bool(second.told), first, second)
    until(lambda: len(first.told) == 3, first, second)
    everything = first.told[0][1]
    assert [what for what, _ in first.told] == ["assigned", "revoked", "assigned"]
    assert first.told[1][1] == everything
    assert first.feed.assigned() | second.feed.assigned() == everything
    assert not first.feed.assigned() & second.feed.assigned()
    assert first.feed.assigned()
    assert second.feed.assigned()
    # What was committed while the partitions were given up holds for their next reader.
    publish(broker, 60, after=60)
    until(lambda: len(first.read) + len(second.read) >= 120, first, second)
    assert sorted(first.seqs() + second.seqs()) == list(range(1, 121))


def test_what_is_held_no_longer_is_not_committed(broker: Broker, join: Join) -> None:
    publish(broker, 60)
    first, second = join("one"), join("two")
    until(lambda: bool(first.feed.assigned() and second.feed.assigned()), first, second)
    until(lambda: len({one.seq for one in first.read + second.read}) == 60, first, second)
    first.feed.commit(dict.fromkeys(second.feed.assigned(), 1))
    first.commit()
    assert second.feed.committed() == {}
    assert first.feed.committed() == first.feed.ends()
    with pytest.raises(ValueError):
        first.feed.seek(next(iter(second.feed.assigned())), 0)
    with pytest.raises(ValueError):
        first.feed.position(next(iter(second.feed.assigned())))


def test_a_member_that_comes_back_has_its_place(broker: Broker, join: Join) -> None:
    publish(broker, 60)
    first, second = join("one"), join("two")
    until(lambda: bool(first.feed.assigned() and second.feed.assigned()), first, second)
    held = second.feed.assigned()
    told = list(first.told)
    again = join("two")
    until(lambda: bool(again.told), first, again)
    assert again.feed.assigned() == held
    if isinstance(broker, KafkaBroker):
        assert first.told == told  # static membership: the others notice nothing
    with pytest.raises(Displaced):
        second.feed.commit(dict.fromkeys(held, 1))
