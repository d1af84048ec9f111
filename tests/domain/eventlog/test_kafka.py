"""Kafka when it is away, slow, set up otherwise or asked for the impossible."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from kafka import KafkaAdminClient

from domain.eventlog.feed import Delivery, FeedMisconfigured, FeedUnavailable
from domain.eventlog.kafka import KafkaFeed, KafkaScan, KafkaSink
from domain.eventlog.kafka_connection import RECORD_BYTES_MAX, KafkaServers
from domain.eventlog.kafka_topic import Topic, prepare_topic
from tests.domain.eventlog.lines import stored
from tests.services.fixtures import fresh_name, serving
from tests.services.kafka import Kafka

ANSWER_S = 2.0
PATIENCE_S = 3.0
NOBODY = KafkaServers(("127.0.0.1:1",), answer_s=1.0)


# Where a connection is refused, the library leaves its socket to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 10
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert set(threading.enumerate()) <= before
    gc.collect()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


@pytest.fixture(scope="module")
def broker() -> Iterator[Kafka]:
    """One of this module's own, to be mistreated."""
    with serving(Kafka()) as server:
        yield server


@pytest.fixture
def servers(broker: Kafka) -> KafkaServers:
    return KafkaServers((broker.bootstrap,), answer_s=ANSWER_S)


@pytest.fixture
def topic(servers: KafkaServers) -> str:
    name = f"keytoll.{fresh_name()}"
    prepare_topic(servers, Topic(name, partitions=2, replicas=1))
    return name


@pytest.fixture
def sink(servers: KafkaServers, topic: str) -> Iterator[KafkaSink]:
    made = KafkaSink(servers, topic, patience_s=PATIENCE_S)
    yield made
    made.close()


def join_group(servers: KafkaServers, topic: str) -> KafkaFeed:
    return KafkaFeed(
        servers,
        topic,
        group=topic,
        member="one",
        on_assigned=lambda _: None,
        on_revoked=lambda _: None,
        session_s=6,
    )


def seqs(servers: KafkaServers, topic: str) -> list[int]:
    """What lies in the topic, partition by partition."""
    scan = KafkaScan(servers, topic)
    count = sum(scan.ends().values())
    found: list[Delivery] = []
    while len(found) < count:
        found += scan.poll(limit=1000, timeout_s=1)
    scan.close()
    found.sort()
    return [one.seq or 0 for one in found]


@pytest.mark.parametrize(
    "join",
    [
        lambda: join_group(NOBODY, "t"),
        lambda: KafkaScan(NOBODY, "t"),
        lambda: KafkaSink(NOBODY, "t").publish(stored(1)),
        lambda: prepare_topic(NOBODY, Topic()),
    ],
)
def test_where_nobody_answers_nothing_hangs(join: Callable[[], object]) -> None:
    with within(5), pytest.raises(FeedUnavailable):
        join()


def test_only_options_of_tls_and_sasl_are_taken() -> None:
    options = {"security_protocol": "SASL_SSL", "ssl_cafile": "ca.pem", "sasl_mechanism": "PLAIN"}
    assert KafkaServers(("h:1",), options).options == options
    with pytest.raises(FeedMisconfigured, match="'acks'"):
        KafkaServers(("h:1",), {"acks": 0})


def test_a_password_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    options = {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "keytoll",
        "sasl_plain_password": "canary-7",
    }
    servers = KafkaServers(NOBODY.bootstrap, options, answer_s=1.0)
    with pytest.raises(FeedUnavailable) as raised:
        prepare_topic(servers, Topic())
    assert "canary-7" not in f"{servers!r}{raised.value}{raised.value.__cause__!r}{caplog.text}"
    assert not [record for record in caplog.records if record.name.startswith("kafka")]


@pytest.mark.services
def test_while_the_broker_is_dead_publishing_fails_in_bounded_time_and_goes_on_after(
    broker: Kafka, servers: KafkaServers, topic: str, sink: KafkaSink
) -> None:
    sink.publish(stored(10))
    broker.kill()
    for _ in range(2):
        with within(PATIENCE_S + 4), pytest.raises(FeedUnavailable):
            sink.publish(stored(10, after=10))
    broker.start()
    sink.publish(stored(10, after=10))
    assert seqs(servers, topic) == list(range(1, 21))


@pytest.mark.services
def test_what_was_given_up_is_not_published_behind_our_back(
    broker: Kafka, servers: KafkaServers, topic: str, sink: KafkaSink
) -> None:
    sink.publish(stored(10))
    broker.hold()
    with within(PATIENCE_S + 4), pytest.raises(FeedUnavailable):
        sink.publish(stored(100, after=10))
    broker.let_go()
    sink.publish(stored(100, after=10))
    found = seqs(servers, topic)
    assert list(dict.fromkeys(found)) == list(range(1, 111))
    assert found[-100:] == list(range(11, 111))  # and nothing comes after what was acknowledged


@pytest.mark.services
def test_a_sink_ends_its_threads_also_while_nobody_answers(broker: Kafka, sink: KafkaSink) -> None:
    sink.publish(stored(1))
    broker.hold()
    try:
        with within(3):
            sink.close()
    finally:
        broker.let_go()


@pytest.mark.services
def test_a_reader_outlives_the_broker(broker: Kafka, servers: KafkaServers, topic: str) -> None:
    sink = KafkaSink(servers, topic)
    sink.publish(stored(10))
    feed = join_group(servers, topic)
    found: list[Delivery] = []
    while len(found) < 10:
        found += feed.poll(limit=100, timeout_s=0.5)
    broker.kill()
    ends = {one.partition: one.offset + 1 for one in found}
    with within(ANSWER_S + 2), pytest.raises(FeedUnavailable):
        feed.commit(ends)
    with within(ANSWER_S + 2), pytest.raises(FeedUnavailable):
        feed.ends()
    with within(2):
        assert feed.poll(limit=100, timeout_s=0.5) == []
    broker.start()
    deadline = time.monotonic() + 30
    while True:
        try:
            feed.poll(limit=100, timeout_s=0.5)
            feed.commit(ends)
            if feed.committed() == ends:
                break
        except FeedUnavailable:
            assert time.monotonic() < deadline
    sink.publish(stored(10, after=10))
    while len({one.seq for one in found}) < 20:
        found += feed.poll(limit=100, timeout_s=0.5)
    broker.hold()
    with within(ANSWER_S + 3):
        feed.close()
    broker.let_go()
    sink.close()


@pytest.mark.services
def test_a_record_that_no_topic_takes_stops_the_relay(
    servers: KafkaServers, topic: str, sink: KafkaSink
) -> None:
    first, second, third = stored(3)
    huge = second._replace(line=b" " * RECORD_BYTES_MAX + second.line)
    with pytest.raises(FeedMisconfigured, match="MessageSizeTooLarge"):
        sink.publish([first, huge, third])
    assert 3 not in seqs(servers, topic)


@pytest.mark.services
def test_a_topic_is_made_once_and_known_by_its_id(servers: KafkaServers) -> None:
    topic = Topic(f"keytoll.{fresh_name()}", partitions=5, replicas=1)
    made = prepare_topic(servers, topic)
    assert prepare_topic(servers, topic) == made
    admin = KafkaAdminClient(bootstrap_servers=list(servers.bootstrap))
    [found] = admin.describe_topics([topic.name])
    assert len(found["partitions"]) == 5
    admin.delete_topics([topic.name])
    admin.close()
    again = made
    deadline = time.monotonic() + 10
    while again == made and time.monotonic() < deadline:
        again = prepare_topic(servers, topic)
    assert again != made


@pytest.mark.services
def test_a_topic_that_is_otherwise_is_refused_with_every_difference(servers: KafkaServers) -> None:
    name = f"keytoll.{fresh_name()}"
    admin = KafkaAdminClient(bootstrap_servers=list(servers.bootstrap))
    admin.create_topics(
        {
            name: {
                "num_partitions": 3,
                "replication_factor": 1,
                "configs": {"cleanup.policy": "compact", "retention.ms": "1000"},
            }
        }
    )
    admin.wait_for_topics([name])
    admin.close()
    with pytest.raises(FeedMisconfigured) as refused:
        prepare_topic(servers, Topic(name, partitions=2, replicas=3))
    told = str(refused.value)
    for part in (
        "3 partitions, not 2",
        "1 replicas, not 3",
        "cleanup.policy=compact, not delete",
        "min.insync.replicas=1, not 2",
        "retention.ms=1000, not -1",
        "max.message.bytes=1048588, not 8388608",
    ):
        assert part in told


@pytest.mark.services
def test_longer_retention_and_more_replicas_do_no_harm(servers: KafkaServers) -> None:
    name = f"keytoll.{fresh_name()}"
    prepare_topic(servers, Topic(name, partitions=2, replicas=1))
    assert prepare_topic(servers, Topic(name, partitions=2, replicas=1, retention_days=7))


@pytest.mark.services
def test_a_scan_of_no_topic_says_so(servers: KafkaServers) -> None:
    with pytest.raises(FeedMisconfigured, match="there is no topic"):
        KafkaScan(servers, "keytoll.nowhere")
