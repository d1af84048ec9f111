"""The distribution over Kafka: how brokers are reached, and the topic that the settings name."""

from __future__ import annotations

import json
import socket

from domain.eventlog.feed import Feed, OnPartitions, OpenFeed, Scan, Sink
from domain.eventlog.kafka import KafkaFeed, KafkaScan, KafkaSink
from domain.eventlog.kafka_connection import KafkaServers
from domain.eventlog.kafka_topic import Topic, prepare_topic
from keytoll.settings import Settings


def open_sink(settings: Settings) -> Sink:
    """Where a relay publishes."""
    return KafkaSink(_servers(settings), settings.kafka_topic)


def feed_opener(settings: Settings) -> OpenFeed:
    """What joins the group of projectors, under this member's name."""
    member = settings.member or socket.gethostname()

    def join(*, on_assigned: OnPartitions, on_revoked: OnPartitions) -> Feed:
        return KafkaFeed(
            _servers(settings),
            settings.kafka_topic,
            group=f"{settings.kafka_topic}.project",
            member=member,
            on_assigned=on_assigned,
            on_revoked=on_revoked,
        )

    return join


def open_scan(settings: Settings) -> Scan:
    """A walk through the whole topic. Raises FeedUnavailable, FeedMisconfigured."""
    return KafkaScan(_servers(settings), settings.kafka_topic)


def topic_id(settings: Settings) -> str:
    """The id of the topic, which is made if it is not there. Raises FeedUnavailable,
    FeedMisconfigured when the topic is not what the settings say."""
    topic = Topic(
        name=settings.kafka_topic,
        partitions=settings.kafka_partitions,
        replicas=settings.kafka_replicas,
        retention_days=settings.kafka_retention_days,
    )
    return prepare_topic(_servers(settings), topic)


def _servers(settings: Settings) -> KafkaServers:
    given = settings.kafka_options
    return KafkaServers(settings.kafka, {} if given is None else json.loads(given.reveal()))
