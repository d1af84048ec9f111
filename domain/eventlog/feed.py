"""The distribution: published once by the relay of a store, read by groups of consumers.

The event store is the truth. What travels here may be delivered twice, or again from any place,
and never in another order within a partition; every event of an account is in one partition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from domain.errors import DomainError
from domain.eventlog.port import Recorded


class FeedUnavailable(DomainError):
    """The broker did not answer in time, or refused for now. What was asked may have happened."""


class FeedMisconfigured(DomainError):
    """The topic or the connection is not what the settings say. Waiting does not help."""


class Displaced(DomainError):
    """Another process joined the group under this member's name. This one must stop."""


class Partition(NamedTuple):
    """A part of a topic. Within it records keep their order."""

    topic: str
    number: int


class Delivery(NamedTuple):
    """A record as it lies in the topic; anybody may have written it.

    `store_id`, `seq` and `hash` are what its headers say, None where they say nothing readable:
    enough to skip what is known already, never a reason to trust the line.
    """

    partition: Partition
    offset: int
    line: bytes | None
    store_id: str | None
    seq: int | None
    hash: str | None


class Sink(Protocol):
    """Where a relay publishes. One thread at a time."""

    def publish(self, records: Sequence[Recorded]) -> None:
        """Return once all are acknowledged by every replica in sync, in their order.

        Raises FeedUnavailable when one was not within a bounded time: then any of them may be in
        the topic, and all are to be published again, from the first.
        """

    def close(self) -> None:
        """End the connection and its threads, in bounded time. Never raises."""


OnPartitions = Callable[[frozenset[Partition]], None]


class Feed(Protocol):
    """A member of a group of consumers. One thread; the callbacks run inside `poll`, in it.

    What asks the broker (`poll`, `position`, `commit`, `committed`, `ends`) raises
    FeedUnavailable when it does not answer in time, which passes: call again. Any of them, but
    `commit` for certain, raises Displaced when another process has this member's name. `poll`
    may give nothing instead of raising FeedUnavailable.
    """

    def poll(self, *, limit: int, timeout_s: float) -> Sequence[Delivery]:
        """Up to `limit` records, each partition in order of offsets; nothing while paused.

        Must be called every few minutes, paused or not, or the group gives the partitions to
        others. Partitions come and go in here only: `on_revoked` first, then `on_assigned`.
        """

    def assigned(self) -> frozenset[Partition]:
        """What this member reads now."""

    def position(self, partition: Partition) -> int:
        """The offset that `poll` gives next. ValueError if the partition is not assigned."""

    def seek(self, partition: Partition, offset: int) -> None:
        """Let `poll` go on here. ValueError if the partition is not assigned."""

    def commit(self, next_offsets: Mapping[Partition, int]) -> None:
        """Remember, for the group, the offset to read *next* in each partition.

        What this member holds no longer is left out silently: its next holder reads it again.
        """

    def committed(self) -> Mapping[Partition, int]:
        """What the group has committed, of assigned partitions; none for one never committed."""

    def ends(self) -> Mapping[Partition, int]:
        """The offset that the next record published will have, of assigned partitions."""

    def pause(self) -> None:
        """Let `poll` give nothing, of present and future partitions, and keep the membership."""

    def resume(self) -> None:
        """Undo `pause`."""

    def close(self) -> None:
        """Leave quietly, in bounded time. Nothing is committed. Never raises."""


class OpenFeed(Protocol):
    """Joins a group, under a member's name that survives a restart."""

    def __call__(self, *, on_assigned: OnPartitions, on_revoked: OnPartitions) -> Feed:
        """Both callbacks may `seek` and `commit`; they hold up the whole group while they run.

        Neither is called for no partitions. `on_revoked` is also called for what was lost without
        warning: commits then do nothing. What a callback raises comes out of `poll`, and the next
        `poll` calls it again.
        """


class Scan(Protocol):
    """Reads a whole topic, in no group, and moves nobody's offsets. One thread."""

    def begins(self) -> Mapping[Partition, int]:
        """The first offset that the topic still has, of every partition."""

    def ends(self) -> Mapping[Partition, int]:
        """The offset that the next record published will have, of every partition."""

    def seek(self, partition: Partition, offset: int) -> None:
        """Let `poll` go on here. Begins at `begins()`."""

    def poll(self, *, limit: int, timeout_s: float) -> Sequence[Delivery]:
        """Up to `limit` records, each partition in order of offsets; all partitions."""

    def close(self) -> None:
        """End the connection and its threads, in bounded time. Never raises."""
