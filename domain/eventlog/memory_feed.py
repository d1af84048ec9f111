"""A broker in this process: partitions, offsets, groups, rebalances. For tests, nothing is kept."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from zlib import crc32

from domain.eventlog.feed import Delivery, Displaced, FeedUnavailable, OnPartitions, Partition
from domain.eventlog.port import Recorded

TOPIC: Final = "keytoll.events"


@dataclass
class _Group:
    """Members by name, and what they read: dealt anew (a generation) when one comes or goes."""

    members: dict[str, MemoryFeed] = field(default_factory=dict)
    committed: dict[Partition, int] = field(default_factory=dict)
    generation: int = 0

    def dealt(self, partitions: Sequence[Partition], name: str) -> frozenset[Partition]:
        place = sorted(self.members).index(name)
        return frozenset(partitions[place :: len(self.members)])

    def settled(self) -> bool:
        return all(member.generation == self.generation for member in self.members.values())


class MemoryBroker:
    """One topic. Any thread. `away` plays a broker that does not answer."""

    def __init__(self, *, partitions: int = 3, topic: str = TOPIC) -> None:
        self.away = False
        self.lock = threading.Condition()
        self.logs: dict[Partition, list[Delivery]] = {
            Partition(topic, number): [] for number in range(partitions)
        }
        self.groups: dict[str, _Group] = {}

    def put(
        self,
        key: str,
        line: bytes | None,
        *,
        store_id: str | None = None,
        seq: int | None = None,
        hash: str | None = None,  # noqa: A002 - the header's name
    ) -> Delivery:
        """Append any record, also one that no relay of ours would write."""
        with self.lock:
            numbers = list(self.logs)
            partition = numbers[crc32(key.encode()) % len(numbers)]
            log = self.logs[partition]
            delivery = Delivery(partition, len(log), line, store_id, seq, hash)
            log.append(delivery)
            self.lock.notify_all()
            return delivery

    def sink(self) -> MemorySink:
        return MemorySink(self)

    def scan(self) -> MemoryScan:
        return MemoryScan(self)

    def feed(
        self, group: str, member: str, *, on_assigned: OnPartitions, on_revoked: OnPartitions
    ) -> MemoryFeed:
        """Join a group; under a name that is taken, the member before is displaced."""
        with self.lock:
            state = self.groups.setdefault(group, _Group())
            feed = MemoryFeed(self, state, member, on_assigned, on_revoked)
            state.members[member] = feed
            state.generation += 1
            return feed

    def expire(self, group: str, member: str) -> None:
        """Take a member out that does not poll any more, as a session that timed out."""
        with self.lock:
            self.groups[group].members[member].expire()

    def reset(self, group: str, offsets: Mapping[Partition, int]) -> None:
        """Move a group's offsets, as an operator would. Members see it when they join again."""
        with self.lock:
            self.groups.setdefault(group, _Group()).committed.update(offsets)

    def answer(self) -> None:
        """Raise FeedUnavailable while the broker is away."""
        if self.away:
            raise FeedUnavailable("the broker does not answer")

    def after(self, places: Iterable[tuple[Partition, int]], limit: int) -> list[Delivery]:
        """Records from these offsets on, partition after partition."""
        found: list[Delivery] = []
        for partition, offset in places:
            found += self.logs[partition][offset : offset + limit - len(found)]
            if len(found) == limit:
                break
        return found


class MemorySink:
    """Publishes to the broker of this process."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def publish(self, records: Sequence[Recorded]) -> None:
        self._broker.answer()
        for one in records:
            self._broker.put(
                one.account_id or one.store_id,
                one.line,
                store_id=one.store_id,
                seq=one.seq,
                hash=one.hash,
            )

    def close(self) -> None:
        pass


class MemoryFeed:
    """A member of a group at the broker of this process."""

    def __init__(
        self,
        broker: MemoryBroker,
        group: _Group,
        name: str,
        on_assigned: OnPartitions,
        on_revoked: OnPartitions,
    ) -> None:
        self.name = name
        self.generation = -1
        self._broker = broker
        self._group = group
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._positions: dict[Partition, int] = {}
        self._dealt = False
        self._expired = False
        self._paused = False
        self._closed = False

    def poll(self, *, limit: int, timeout_s: float) -> Sequence[Delivery]:
        if self._broker.away:
            return []
        self._check()
        self._rebalance(timeout_s)
        with self._broker.lock:
            found = self._take(limit)
            if not found and timeout_s > 0:
                self._broker.lock.wait(timeout_s)
                found = self._take(limit)
            return found

    def assigned(self) -> frozenset[Partition]:
        return frozenset(self._positions)

    def position(self, partition: Partition) -> int:
        self._held(partition)
        return self._positions[partition]

    def seek(self, partition: Partition, offset: int) -> None:
        self._held(partition)
        self._positions[partition] = offset

    def commit(self, next_offsets: Mapping[Partition, int]) -> None:
        with self._broker.lock:
            self._check()
            if not self._expired:
                held = self._positions
                self._group.committed.update(
                    {at: offset for at, offset in next_offsets.items() if at in held}
                )

    def committed(self) -> Mapping[Partition, int]:
        with self._broker.lock:
            self._check()
            known = self._group.committed
            return {at: known[at] for at in self._positions if at in known}

    def ends(self) -> Mapping[Partition, int]:
        with self._broker.lock:
            self._check()
            return {at: len(self._broker.logs[at]) for at in self._positions}

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def close(self) -> None:
        with self._broker.lock:
            self._closed = True
            self._positions = {}
            self.expire()

    def expire(self) -> None:
        """Leave the group without a word to whoever reads here."""
        if self._group.members.get(self.name) is self:
            del self._group.members[self.name]
            self._group.generation += 1
            self._expired = True
            self._broker.lock.notify_all()

    def _check(self) -> None:
        self._broker.answer()
        present = self._group.members.get(self.name)
        if present is not None and present is not self:
            raise Displaced("another process joined as this member")
        if self._closed:
            raise FeedUnavailable("the feed is closed")

    def _held(self, partition: Partition) -> None:
        if partition not in self._positions:
            raise ValueError(f"{partition} is not assigned")

    def _rebalance(self, timeout_s: float) -> None:
        """Give up what was held, wait until all others have, take what was dealt."""
        group, lock = self._group, self._broker.lock
        if self.generation != group.generation:
            self._give_up()
            with lock:
                if group.members.setdefault(self.name, self) is self and self._expired:
                    self._expired = False
                    group.generation += 1
                self.generation = group.generation
                lock.notify_all()
        with lock:
            if self._dealt or not lock.wait_for(group.settled, timeout_s):
                return
            held = group.dealt(list(self._broker.logs), self.name)
            self._positions = {at: group.committed.get(at, 0) for at in held}
        if held:
            self._on_assigned(held)
        self._dealt = True

    def _give_up(self) -> None:
        if self._dealt and self._positions:
            self._on_revoked(self.assigned())
        self._positions = {}
        self._dealt = False

    def _take(self, limit: int) -> list[Delivery]:
        if self._paused:
            return []
        found = self._broker.after(self._positions.items(), limit)
        for delivery in found:
            self._positions[delivery.partition] = delivery.offset + 1
        return found


class MemoryScan:
    """Reads everything, in no group."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._positions = dict.fromkeys(broker.logs, 0)

    def begins(self) -> Mapping[Partition, int]:
        self._broker.answer()
        return dict.fromkeys(self._broker.logs, 0)

    def ends(self) -> Mapping[Partition, int]:
        self._broker.answer()
        with self._broker.lock:
            return {at: len(log) for at, log in self._broker.logs.items()}

    def seek(self, partition: Partition, offset: int) -> None:
        if partition not in self._positions:
            raise ValueError(f"{partition} is not of this topic")
        self._positions[partition] = offset

    def poll(self, *, limit: int, timeout_s: float) -> Sequence[Delivery]:
        self._broker.answer()
        with self._broker.lock:
            found = self._broker.after(self._positions.items(), limit)
            if not found and timeout_s > 0:
                self._broker.lock.wait(timeout_s)
                found = self._broker.after(self._positions.items(), limit)
        for delivery in found:
            self._positions[delivery.partition] = delivery.offset + 1
        return found

    def close(self) -> None:
        pass
