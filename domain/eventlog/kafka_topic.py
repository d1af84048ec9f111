"""The topic: made, or found to be as it shall be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from domain.eventlog.feed import FeedMisconfigured
from domain.eventlog.kafka_connection import (
    RECORD_BYTES_MAX,
    KafkaServers,
    open_client,
    translated,
)

DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Topic:
    """The topic as it shall be. It distributes; the store is the truth and can fill it again."""

    name: str = "keytoll.events"
    partitions: int = 12
    """Never changed later: an account's events would be in two partitions, out of order."""
    replicas: int = 3
    """All but one must have a record before it counts, else the relay waits."""
    retention_days: int = 0
    """0 keeps everything: a new consumer can read from the beginning, and drift be checked."""

    def settings(self) -> dict[str, str]:
        """In Kafka's names. Compaction would keep one event of each account."""
        return {
            "cleanup.policy": "delete",
            "min.insync.replicas": str(max(1, self.replicas - 1)),
            "retention.ms": str(self.retention_days * DAY_MS or -1),
            "retention.bytes": "-1",
            "max.message.bytes": str(RECORD_BYTES_MAX),
        }


def prepare_topic(servers: KafkaServers, topic: Topic) -> str:
    """Create the topic, or check that it is as it shall be. Gives its id.

    The brokers give the id once: a topic that was made again, or by other brokers, has another.
    Raises FeedMisconfigured with every difference, FeedUnavailable.
    """
    with _administration(servers) as admin:
        found = _described(admin, topic.name)
        if found is None:
            found = _create(admin, topic)
        wrong = _differences(admin, topic, found["partitions"])
    if wrong:
        raise FeedMisconfigured(f"the topic {topic.name} has " + ", ".join(wrong))
    return str(found["topic_id"])


def partitions_of(servers: KafkaServers, topic: str) -> list[int]:
    """The numbers of a topic's partitions. Raises FeedMisconfigured if there is no such topic,
    FeedUnavailable."""
    with _administration(servers) as admin:
        found = _described(admin, topic)
    if found is None:
        raise FeedMisconfigured(f"there is no topic {topic}")
    return sorted(partition["partition_index"] for partition in found["partitions"])


@contextmanager
def _administration(servers: KafkaServers) -> Iterator[Any]:
    admin = open_client(servers, KafkaAdminClient)
    try:
        with translated():
            yield admin
    finally:
        admin.close()


def _described(admin: Any, name: str) -> Any:
    """What the brokers say of a topic, or None if there is none."""
    [found] = admin.describe_topics([name])
    if found["error_code"] == UnknownTopicOrPartitionError.errno:
        return None
    if found["error_code"]:
        raise for_code(found["error_code"])
    return found


def _create(admin: Any, topic: Topic) -> Any:
    wanted = {
        "num_partitions": topic.partitions,
        "replication_factor": topic.replicas,
        "configs": topic.settings(),
    }
    with suppress(TopicAlreadyExistsError):  # by another process, at the same moment
        admin.create_topics({topic.name: wanted})
    admin.wait_for_topics([topic.name])
    return _described(admin, topic.name)


def _differences(admin: Any, topic: Topic, partitions: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where the topic promises less than it shall. More replicas or longer retention do no harm."""
    replicas = min(len(partition["replica_nodes"]) for partition in partitions)
    wrong = []
    if len(partitions) != topic.partitions:
        wrong.append(f"{len(partitions)} partitions, not {topic.partitions}")
    if replicas < topic.replicas:
        wrong.append(f"{replicas} replicas, not {topic.replicas}")
    resource = ConfigResource(ConfigResourceType.TOPIC, topic.name)
    settings = admin.describe_configs([resource], config_filter="all")["topic"][topic.name]
    for name, wanted in topic.settings().items():
        value = settings[name]["value"]
        if not _as_much(value, wanted):
            wrong.append(f"{name}={value}, not {wanted}")
    return wrong


def _as_much(value: str, wanted: str) -> bool:
    """-1 is without limit."""
    if "-1" in (value, wanted) or not wanted.isdecimal():
        return value in (wanted, "-1")
    return int(value) >= int(wanted)
