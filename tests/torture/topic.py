"""The topic, past the program: read whole, told again in another order, its readers set back."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import MemberToRemove
from kafka.structs import OffsetAndMetadata

from tests.torture.books import Entry, entry_of

TOPIC: Final = "keytoll.events"
GROUP: Final = f"{TOPIC}.project"
WAIT_MS: Final = 15_000
REPEATED_MAX: Final = 60


class Topic:
    """The topic and the group that reads it."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap

    def read(self) -> list[Entry]:
        """Every record from the beginning; each value must be what its hash says."""
        found = []
        for record in self._records():
            entry, _ = entry_of(record.value)
            said = {name: value.decode() for name, value in record.headers}
            assert said["ce_hash"] == entry.hash, f"{entry}: the header says another hash"
            assert said["ce_id"] == entry.event_id
            found.append(entry)
        return found

    def repeat(self, part: float) -> str | None:
        """Tell some old records again, in a random order."""
        records = self._records()
        if len(records) < 10:
            return None
        dice = Random(part)
        chosen = dice.sample(records, min(REPEATED_MAX, len(records)))
        producer = KafkaProducer(bootstrap_servers=self._bootstrap, acks="all")
        try:
            for record in chosen:
                producer.send(
                    TOPIC,
                    key=record.key,
                    value=record.value,
                    headers=list(record.headers),
                    partition=record.partition,
                )
            producer.flush(timeout=15)
        finally:
            producer.close(timeout=5)
        return f"{len(chosen)} records again, in another order"

    def set_offsets(self, part: float, *, members: Sequence[str]) -> str | None:
        """Set the group back to a part of where it is, for which its members must be gone."""
        admin = KafkaAdminClient(bootstrap_servers=self._bootstrap)
        try:
            committed = admin.list_group_offsets(GROUP)
            offsets = _offsets(committed)
            if not offsets:
                return None
            admin.remove_group_members(
                GROUP, [MemberToRemove(group_instance_id=m) for m in members]
            )
            wanted = {
                at: OffsetAndMetadata(int(offset * part), "", -1) for at, offset in offsets.items()
            }
            admin.alter_group_offsets(GROUP, wanted)
            return f"set to {sorted(each.offset for each in wanted.values())}"
        finally:
            admin.close()

    def committed(self) -> dict[int, int]:
        """Partition → the offset that the group has committed."""
        admin = KafkaAdminClient(bootstrap_servers=self._bootstrap)
        try:
            found = _offsets(admin.list_group_offsets(GROUP))
            return {at.partition: offset for at, offset in found.items()}
        finally:
            admin.close()

    def _records(self) -> list[Any]:
        consumer = KafkaConsumer(
            bootstrap_servers=self._bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        try:
            numbers = consumer.partitions_for_topic(TOPIC) or set()
            places = [TopicPartition(TOPIC, number) for number in sorted(numbers)]
            consumer.assign(places)
            ends = consumer.end_offsets(places)
            found: list[Any] = []
            while any(consumer.position(place) < ends[place] for place in places):
                for records in consumer.poll(timeout_ms=1000).values():
                    found += records
            return found
        finally:
            consumer.close()


def _offsets(found: Any) -> dict[TopicPartition, int]:
    """What the library gives: by partition, or by group and partition."""
    if GROUP in found:
        found = found[GROUP]
    return {at: said.offset for at, said in found.items() if at.topic == TOPIC and said.offset >= 0}
