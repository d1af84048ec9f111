"""A topic of a test's own, at either kind of broker, and a member of a group that takes notes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from domain.eventlog.feed import Delivery, Feed, OnPartitions, Partition, Scan, Sink
from domain.eventlog.kafka import KafkaFeed, KafkaScan, KafkaSink
from domain.eventlog.kafka_connection import KafkaServers
from domain.eventlog.kafka_topic import Topic, prepare_topic

GROUP = "readers"
Callback = Callable[[Feed, frozenset[Partition]], None]


class Broker(Protocol):
    """One topic."""

    def sink(self) -> Sink: ...

    def scan(self) -> Scan: ...

    def feed(
        self, group: str, member: str, *, on_assigned: OnPartitions, on_revoked: OnPartitions
    ) -> Feed: ...


class KafkaBroker:
    """The same on a real one."""

    def __init__(self, bootstrap: str, topic: str, *, partitions: int = 3) -> None:
        self.servers = KafkaServers((bootstrap,))
        self.topic = Topic(topic, partitions, replicas=1)
        self.topic_id = prepare_topic(self.servers, self.topic)

    def sink(self) -> KafkaSink:
        return KafkaSink(self.servers, self.topic.name)

    def scan(self) -> KafkaScan:
        return KafkaScan(self.servers, self.topic.name)

    def feed(
        self, group: str, member: str, *, on_assigned: OnPartitions, on_revoked: OnPartitions
    ) -> KafkaFeed:
        return KafkaFeed(
            self.servers,
            self.topic.name,
            group=f"{group} of {self.topic.name}",
            member=member,
            on_assigned=on_assigned,
            on_revoked=on_revoked,
            session_s=6,
        )


def _nothing(feed: Feed, partitions: frozenset[Partition]) -> None:
    """What most members do when partitions come and go."""


class Member:
    """A reader: what it was told, and what it read."""

    def __init__(
        self,
        broker: Broker,
        name: str = "one",
        *,
        at_assignment: Callback = _nothing,
        at_revocation: Callback = _nothing,
    ) -> None:
        self.at_assignment = at_assignment
        self.at_revocation = at_revocation
        self.told: list[tuple[str, frozenset[Partition]]] = []
        self.read: list[Delivery] = []
        self.feed = broker.feed(GROUP, name, on_assigned=self._assigned, on_revoked=self._revoked)

    def poll(self, timeout_s: float = 0.2, limit: int = 1000) -> Sequence[Delivery]:
        found = self.feed.poll(limit=limit, timeout_s=timeout_s)
        self.read += found
        return found

    def commit(self) -> None:
        """Everything that was read, of what is held."""
        self.feed.commit({one.partition: one.offset + 1 for one in self.read})

    def seqs(self) -> list[int]:
        return sorted(one.seq for one in self.read if one.seq is not None)

    def _assigned(self, partitions: frozenset[Partition]) -> None:
        self.told.append(("assigned", partitions))
        self.at_assignment(self.feed, partitions)

    def _revoked(self, partitions: frozenset[Partition]) -> None:
        self.told.append(("revoked", partitions))
        self.at_revocation(self.feed, partitions)


def until(done: Callable[[], bool], *members: Member, rounds: int = 200) -> None:
    """Let the members poll in turn until it is so."""
    for _ in range(rounds):
        for member in members:
            member.poll()
        if done():
            return
    raise AssertionError("it never came to be")
