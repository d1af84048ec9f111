"""The distribution over Apache Kafka.

Never transactions: a relay that publishes twice does no harm, because every event has an id.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import CommitFailedError, KafkaError, RebalanceInProgressError
from kafka.structs import OffsetAndMetadata

from domain.eventlog.cloudevents import attributes_of, headers_of, key_of
from domain.eventlog.feed import (
    Delivery,
    FeedUnavailable,
    OnPartitions,
    Partition,
)
from domain.eventlog.kafka_connection import (
    RECORD_BYTES_MAX,
    KafkaServers,
    open_client,
    translated,
)
from domain.eventlog.kafka_topic import partitions_of
from domain.eventlog.port import Recorded

SESSION_S: Final = 30.0
"""How long a member may be silent before the group gives its partitions to others."""
POLL_GAP_S: Final = 600.0
"""How long a member may go without `poll`: longer than any insert is waited for."""
METADATA_MS: Final = 5000
"""How long a member may not know a topic that has just been made."""
BATCH_BYTES: Final = 256 * 1024
LINGER_MS: Final = 1000
"""Never waited for: `publish` flushes. It keeps the first records from leaving in tiny batches."""


class KafkaSink:
    """Publishes with acknowledgement by all replicas in sync, idempotently, in order.

    The library keeps one batch of a partition under way at a time and tries it again until it is
    taken, so nothing overtakes it. What was not acknowledged in time is given up by dropping the
    whole producer with everything that it still held, so that nothing later goes out behind our
    back; the next `publish` begins a new one. Retries are therefore bounded by our patience only:
    the library's own limit would drop one batch and send the ones after it.
    """

    def __init__(
        self, servers: KafkaServers, topic: str, *, patience_s: float = 30.0, **tuning: Any
    ) -> None:
        self._servers = servers
        self._topic = topic
        self._patience_s = patience_s
        self._tuning = tuning
        self._producer: Any = None

    def publish(self, records: Sequence[Recorded]) -> None:
        if not records:
            return
        with translated():
            try:
                self._publish(records)
            except BaseException:
                self.close()
                raise

    def _publish(self, records: Sequence[Recorded]) -> None:
        if self._producer is None:
            self._producer = self._new_producer()
        producer, topic = self._producer, self._topic
        futures = [
            producer.send(topic, key=key_of(one), value=one.line, headers=headers_of(one))
            for one in records
        ]
        producer.flush(self._patience_s)
        for future in futures:
            if not future.succeeded():
                future.get(timeout=0)

    def _new_producer(self) -> Any:
        answer_ms = int(self._servers.answer_s * 1000)
        settings: dict[str, Any] = {
            "acks": "all",
            "enable_idempotence": True,
            "max_in_flight_requests_per_connection": 5,
            "delivery_timeout_ms": 24 * 3600 * 1000,
            "max_block_ms": answer_ms,
            "compression_type": "lz4",
            "batch_size": BATCH_BYTES,
            "linger_ms": LINGER_MS,
            "max_request_size": RECORD_BYTES_MAX,
            "allow_auto_create_topics": False,
            "metrics_enabled": False,
        }
        return open_client(self._servers, KafkaProducer, **(settings | self._tuning))

    def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is None:
            return
        # Nothing is to go out any more. The library's own close waits for what it still holds, and
        # when that takes too long it raises and lets its thread go on for ever.
        sender = producer._sender
        sender.force_close()
        sender.join(self._servers.answer_s)
        with suppress(Exception):
            producer.close(timeout=0)


class _NotYet(Exception):
    """Raised through the library so that `poll` comes back before partitions are given up."""


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    """Takes the library's calls, which come in its own thread, to where `poll` was called.

    A thread of the library must not wait for a database. So partitions that are to go are refused
    while they are held: `poll` returns with the error, their holder is told, and the next attempt
    succeeds. Partitions that come are paused at once, and resumed when their holder was told.
    """

    def __init__(self) -> None:
        self.consumer: Any = None
        self.held: frozenset[Partition] = frozenset()
        """What the holder was told is its."""
        self.come: frozenset[Partition] = frozenset()
        """What it was not told yet."""

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self.come = frozenset()
        if self.held:
            raise _NotYet

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self.consumer.pause(*assigned)
        self.come = frozenset(Partition(*at) for at in assigned)


class KafkaFeed:
    """A static member of a consumer group: a restart within the session keeps its partitions."""

    def __init__(
        self,
        servers: KafkaServers,
        topic: str,
        *,
        group: str,
        member: str,
        on_assigned: OnPartitions,
        on_revoked: OnPartitions,
        session_s: float = SESSION_S,
    ) -> None:
        self._answer_ms = int(servers.answer_s * 1000)
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._paused = False
        self._rebalances = _Rebalances()
        self._consumer = open_client(
            servers,
            KafkaConsumer,
            group_id=group,
            group_instance_id=member,
            session_timeout_ms=int(session_s * 1000),
            heartbeat_interval_ms=int(session_s * 1000 / 10),
            max_poll_interval_ms=int(POLL_GAP_S * 1000),
            partition_assignment_strategy=[RangePartitionAssignor],
            **_READING,
        )
        self._rebalances.consumer = self._consumer
        self._consumer.subscribe([topic], listener=self._rebalances)

    def poll(self, *, limit: int, timeout_s: float) -> Sequence[Delivery]:
        rebalances = self._rebalances
        with translated():
            try:
                found = self._consumer.poll(timeout_ms=timeout_s * 1000, max_records=limit)
            except KafkaError as error:
                if not isinstance(error.__cause__, _NotYet):
                    raise
                found = None
        if found is None:
            self._on_revoked(rebalances.held)
            rebalances.held = frozenset()
            return []
        if rebalances.come:
            self._on_assigned(rebalances.come)
            rebalances.held, rebalances.come = rebalances.come, frozenset()
            if not self._paused:
                self.resume()
        return _deliveries(found)

    def assigned(self) -> frozenset[Partition]:
        return frozenset(Partition(*at) for at in self._consumer.assignment())

    def position(self, partition: Partition) -> int:
        at = self._held(partition)
        with translated():
            offset = self._consumer.position(at, timeout_ms=self._answer_ms)
        if offset is None:
            raise FeedUnavailable(f"Kafka: the position in {partition} is not known yet")
        return int(offset)

    def seek(self, partition: Partition, offset: int) -> None:
        self._consumer.seek(self._held(partition), offset)

    def commit(self, next_offsets: Mapping[Partition, int]) -> None:
        held = self.assigned()
        offsets = {
            TopicPartition(*at): OffsetAndMetadata(offset, "", -1)
            for at, offset in next_offsets.items()
            if at in held
        }
        # The group has moved on: the next holder reads it again.
        with translated(), suppress(CommitFailedError, RebalanceInProgressError):
            self._consumer.commit(offsets, timeout_ms=self._answer_ms)

    def committed(self) -> Mapping[Partition, int]:
        found = {}
        with translated():
            for at in self._consumer.assignment():
                offset = self._consumer.committed(at, timeout_ms=self._answer_ms)
                if offset is not None:
                    found[Partition(*at)] = int(offset)
        return found

    def ends(self) -> Mapping[Partition, int]:
        return _ends(self._consumer, self._consumer.assignment(), self._answer_ms)

    def pause(self) -> None:
        self._paused = True
        self._consumer.pause(*self._consumer.assignment())

    def resume(self) -> None:
        self._paused = False
        self._consumer.resume(*self._consumer.assignment())

    def close(self) -> None:
        self._rebalances.held = frozenset()
        _close(self._consumer, self._answer_ms)

    def _held(self, partition: Partition) -> TopicPartition:
        at = TopicPartition(*partition)
        if at not in self._consumer.assignment():
            raise ValueError(f"{partition} is not assigned")
        return at


class KafkaScan:
    """Reads the whole topic without a group."""

    def __init__(self, servers: KafkaServers, topic: str) -> None:
        self._answer_ms = int(servers.answer_s * 1000)
        self._all = [TopicPartition(topic, number) for number in partitions_of(servers, topic)]
        self._consumer = open_client(servers, KafkaConsumer, **_READING)
        self._consumer.assign(self._all)

    def begins(self) -> Mapping[Partition, int]:
        with translated():
            found = self._consumer.beginning_offsets(self._all, timeout_ms=self._answer_ms)
        return {Partition(*at): int(offset) for at, offset in found.items()}

    def ends(self) -> Mapping[Partition, int]:
        return _ends(self._consumer, self._all, self._answer_ms)

    def seek(self, partition: Partition, offset: int) -> None:
        self._consumer.seek(TopicPartition(*partition), offset)

    def poll(self, *, limit: int, timeout_s: float) -> Sequence[Delivery]:
        with translated():
            found = self._consumer.poll(timeout_ms=timeout_s * 1000, max_records=limit)
        return _deliveries(found)

    def close(self) -> None:
        _close(self._consumer, self._answer_ms)


_READING: Final[Mapping[str, Any]] = {
    "auto_offset_reset": "earliest",
    "enable_auto_commit": False,
    "allow_auto_create_topics": False,
    "isolation_level": "read_uncommitted",
    "check_crcs": True,
    "max_partition_fetch_bytes": RECORD_BYTES_MAX,
    "metadata_max_age_ms": METADATA_MS,
    "metrics_enabled": False,
}


def _deliveries(found: Mapping[TopicPartition, Sequence[Any]]) -> list[Delivery]:
    deliveries = []
    for at, records in found.items():
        partition = Partition(*at)
        for record in records:
            said = attributes_of(record.headers)
            deliveries.append(Delivery(partition, record.offset, record.value, *said))
    return deliveries


def _ends(
    consumer: Any, partitions: Collection[TopicPartition], answer_ms: int
) -> dict[Partition, int]:
    with translated():
        found = consumer.end_offsets(list(partitions), timeout_ms=answer_ms)
    return {Partition(*at): int(offset) for at, offset in found.items()}


def _close(consumer: Any, answer_ms: int) -> None:
    with suppress(Exception):
        consumer.close(autocommit=False, timeout_ms=answer_ms)
