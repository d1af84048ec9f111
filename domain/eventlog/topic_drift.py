"""The log against the topic: whether everything that was relayed is there, and nothing else."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from domain.eventlog.feed import Delivery, FeedUnavailable, Partition, Scan
from domain.eventlog.port import CorruptLog, HasChains, LogReader, Recorded, stores_of
from domain.events.codec import UnreadableEvent, line_hash, read_line

NAMED: Final = 20
"""How many of a kind are named; all are counted."""
_READ: Final = 5000
_POLL_S: Final = 1
_SILENT_POLLS: Final = 20


@dataclass
class Findings:
    """Things of one kind: how many, and the first of them."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, what: str) -> None:
        self.count += 1
        if len(self.first) < NAMED:
            self.first.append(what)

    def told(self, what: str) -> list[str]:
        """One sentence, or none."""
        if not self.count:
            return []
        more = ", …" if self.count > len(self.first) else ""
        return [f"{self.count} {what}: {', '.join(self.first)}{more}"]


@dataclass
class StoreDrift:
    """One store and what the topic has of it."""

    store_id: str
    events: int
    """In the store, up to its head as the check began."""
    relayed: int = 0
    """Different events of it in the topic."""
    duplicates: int = 0
    """Records of an event that was there already: harmless."""
    behind: int = 0
    """Events after the last one in the topic: not relayed yet."""
    gone: int = 0
    """Events that the topic no longer holds, or that were not looked at: before its beginning."""
    missing: Findings = field(default_factory=Findings)
    """Events that should be there: a later one is."""
    altered: Findings = field(default_factory=Findings)
    """Records that are not the bytes of the store, or whose headers say something else."""


@dataclass
class TopicDrift:
    """What a check found. Drift is what no waiting mends."""

    stores: tuple[StoreDrift, ...]
    records: int = 0
    unknown: Findings = field(default_factory=Findings)
    """Records that are no event of any store of this log."""

    @property
    def differences(self) -> list[str]:
        """One sentence for each kind; empty when every relayed event is there, and nothing else."""
        found = []
        for store in self.stores:
            found += store.missing.told(f"events of {store.store_id} are missing in the topic")
            found += store.altered.told(f"records of {store.store_id} differ from the log")
        return found + self.unknown.told("records of the topic are not in the log")


def topic_drift(
    log: HasChains, scan: Scan, *, since: Mapping[Partition, int] | None = None
) -> TopicDrift:
    """Compare what the topic has with what the log has, both as of now.

    Where the topic ends is asked before the log is read: what is relayed is in the log by then.
    Needs nine bytes of memory for each event: 64 bits of its hash, and how often it was met.
    `since` begins later than the topic does. Raises FeedUnavailable, StoreUnavailable,
    CorruptLog.
    """
    ends = scan.ends()
    expected = {store.store_id: _Expected(store) for store in stores_of(log)}
    drift = TopicDrift(stores=tuple(each.drift for each in expected.values()))
    begins = scan.begins()
    starts = {at: max(offset, (since or {}).get(at, 0)) for at, offset in begins.items()}
    for partition, offset in starts.items():
        scan.seek(partition, offset)
    for delivery in _deliveries(scan, starts, ends):
        drift.records += 1
        _take(delivery, expected, drift.unknown)
    for each in expected.values():
        each.conclude(cut=any(starts.values()))
    return drift


class _Expected:
    """The events of one store, and which of them were met."""

    def __init__(self, store: LogReader) -> None:
        self._marks = array("Q")
        head = store.head()
        for rows in _pages(store, head):
            self._marks.extend(_mark(row.hash) for row in rows)
        self._met = bytearray(len(self._marks))
        self.drift = StoreDrift(store.store_id, events=len(self._marks))

    def take(self, delivery: Delivery, seq: int, hash_of_line: str) -> bool:
        """Whether the store has such an event, be it with other bytes."""
        if not 0 < seq <= len(self._marks):
            return False
        drift, said = self.drift, (delivery.store_id, delivery.seq, delivery.hash)
        if self._marks[seq - 1] != _mark(hash_of_line):
            drift.altered.add(f"seq {seq} at {_place(delivery)}")
            return True
        if said != (drift.store_id, seq, hash_of_line):
            drift.altered.add(f"headers of seq {seq} at {_place(delivery)}")
        if self._met[seq - 1]:
            drift.duplicates += 1
        else:
            self._met[seq - 1] = 1
            drift.relayed += 1
        return True

    def conclude(self, *, cut: bool) -> None:
        """What was not met: not relayed yet, gone with the beginning of the topic, or missing."""
        last = self._met.rfind(1)
        self.drift.behind = len(self._met) - 1 - last
        at = self._met.find(0)
        while 0 <= at < last:
            if cut:
                self.drift.gone += 1
            else:
                self.drift.missing.add(f"seq {at + 1}")
            at = self._met.find(0, at + 1)


def _pages(store: LogReader, head: int) -> Iterator[Sequence[Recorded]]:
    after = 0
    while after < head:
        rows = store.read(after=after, limit=min(_READ, head - after))
        if not rows or rows[-1].seq != after + len(rows):
            raise CorruptLog(f"events are missing after seq {after} of {store.store_id}")
        yield rows
        after = rows[-1].seq


def _mark(hash_of_line: str) -> int:
    return int(hash_of_line[:16], 16)


def _deliveries(
    scan: Scan, starts: Mapping[Partition, int], ends: Mapping[Partition, int]
) -> Iterator[Delivery]:
    """Everything between."""
    left = {at: end for at, end in ends.items() if end > starts.get(at, 0)}
    silent = 0
    while left:
        found = scan.poll(limit=_READ, timeout_s=_POLL_S)
        silent = 0 if found else silent + 1
        if silent == _SILENT_POLLS:
            raise FeedUnavailable(f"the topic ends at {dict(left)} and gives no more")
        for delivery in found:
            end = left.get(delivery.partition)
            if end is None:
                continue
            yield delivery
            if delivery.offset + 1 >= end:
                del left[delivery.partition]


def _take(delivery: Delivery, expected: Mapping[str, _Expected], unknown: Findings) -> None:
    if delivery.line is None:
        unknown.add(f"no value at {_place(delivery)}")
        return
    try:
        fields = read_line(delivery.line)
    except UnreadableEvent:
        unknown.add(f"no event at {_place(delivery)}")
        return
    store_id, seq = fields["store_id"], fields["seq"]
    store = expected.get(store_id)
    if store is None or not store.take(delivery, seq, line_hash(delivery.line)):
        unknown.add(f"seq {seq} of {store_id} at {_place(delivery)}")


def _place(delivery: Delivery) -> str:
    return f"{delivery.partition.topic}/{delivery.partition.number}@{delivery.offset}"
