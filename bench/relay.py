"""What the way over Kafka costs: `python -m bench.relay [--records N] [--runs N] [--tuning]`.

Needs a broker: KAFKA_BOOTSTRAP, or the one that the service tests start. Every subject publishes
or reads the same stored lines of about 0.9 KB, of 200 accounts, in a topic of its own with 12
partitions on one broker without replicas. The bare client does the least that a program can do:
values without key and headers; it is in the same run, so that ratios hold on any machine. CPU is
user and system time of our process, the client's threads included. The best of the runs counts.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, KafkaProducer

from domain.clock import SystemClock
from domain.coordination.memory import MemoryLocks
from domain.eventlog.kafka import KafkaFeed, KafkaSink
from domain.eventlog.kafka_connection import KafkaServers
from domain.eventlog.kafka_topic import Topic, prepare_topic
from domain.eventlog.port import Chain, Recorded
from domain.eventlog.sqlite import open_sqlite_log
from domain.relayed.sqlite import SqliteRelayPositions
from tests.domain.eventlog.filling import routed
from tests.domain.eventlog.lines import stored
from tests.services.fixtures import serving
from tests.services.kafka import Kafka
from workers.relay import BATCH, REST_S, Relay

PARTITIONS = 12
ACCOUNTS = 200
TUNINGS: Sequence[Mapping[str, Any]] = (
    {"compression_type": None},
    {"compression_type": "lz4"},
    {"compression_type": "zstd"},
    {"linger_ms": 0},
    {"linger_ms": 5},
    {"batch_size": 16 * 1024},
    {"batch_size": 64 * 1024},
    {"batch_size": 1024 * 1024},
    {"max_in_flight_requests_per_connection": 1},
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--records", type=int, default=40_000)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--tuning", action="store_true", help="compare settings of the producer")
    given = options.parse_args()
    records = stored(given.records, accounts=ACCOUNTS)
    mean = sum(len(one.line) for one in records) // len(records)
    with broker() as bootstrap:
        servers = KafkaServers((bootstrap,))
        print(f"{given.records} lines of {mean} bytes, best of {given.runs} runs\n")
        print(f"{'subject':<44}{'records/s':>11}{'CPU µs/record':>15}")
        subjects = tuned(servers, records) if given.tuning else all_subjects(servers, records)
        for name, subject in subjects.items():
            figures = [subject() for _ in range(given.runs)]
            per_second = len(records) / min(wall for wall, _ in figures)
            cpu_us = min(cpu for _, cpu in figures) / len(records) * 1e6
            print(f"{name:<44}{per_second:>11,.0f}{cpu_us:>15.1f}", flush=True)


@contextmanager
def broker() -> Iterator[str]:
    """The address of one."""
    if given := os.environ.get("KAFKA_BOOTSTRAP"):
        yield given
        return
    with serving(Kafka()) as server:
        yield server.bootstrap


Subject = Callable[[], tuple[float, float]]


def all_subjects(servers: KafkaServers, records: Sequence[Recorded]) -> dict[str, Subject]:
    return {
        "bare producer": lambda: bare_producer(servers, records),
        f"sink, {BATCH} a batch": lambda: sink(servers, records),
        "relay from SQLite, positions stored": lambda: relay(servers, len(records)),
        "bare consumer": lambda: bare_consumer(servers, records),
        "feed, polled 2000 at a time and committed": lambda: feed(servers, records),
    }


def tuned(servers: KafkaServers, records: Sequence[Recorded]) -> dict[str, Subject]:
    return {
        " ".join(f"{name}={value}" for name, value in tuning.items()): (
            partial(sink, servers, records, **tuning)
        )
        for tuning in TUNINGS
    }


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def new_topic(servers: KafkaServers) -> str:
    name = f"bench.{uuid.uuid4().hex[:12]}"
    prepare_topic(servers, Topic(name, PARTITIONS, replicas=1))
    return name


def bare_producer(servers: KafkaServers, records: Sequence[Recorded]) -> tuple[float, float]:
    topic = new_topic(servers)
    producer = KafkaProducer(
        bootstrap_servers=list(servers.bootstrap), compression_type="lz4", linger_ms=5
    )
    producer.partitions_for(topic)

    def work() -> None:
        for one in records:
            producer.send(topic, one.line)
        producer.flush()

    found = timed(work)
    producer.close()
    return found


def sink(servers: KafkaServers, records: Sequence[Recorded], **tuning: Any) -> tuple[float, float]:
    publisher = KafkaSink(servers, new_topic(servers), **tuning)
    publisher.publish(records[:1])

    def work() -> None:
        for first in range(0, len(records), BATCH):
            publisher.publish(records[first : first + BATCH])

    found = timed(work)
    publisher.close()
    return found


def relay(servers: KafkaServers, count: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        log = open_sqlite_log(Path(folder) / "events.sqlite", clock=SystemClock())
        for first in range(0, count, BATCH):  # more than the log lets wait would be refused
            for future in [
                log.submit(routed(), account_id=f"acc_{number % ACCOUNTS}")
                for number in range(first, min(first + BATCH, count))
            ]:
                future.result()
        positions = SqliteRelayPositions(Path(folder) / "relayed.sqlite")
        step = Relay(
            Chain((log,)),
            sink=KafkaSink(servers, new_topic(servers)),
            positions=positions,
            topic_id="bench",
            locks=MemoryLocks(),
        )

        def work() -> None:
            while step() != REST_S:
                pass

        found = timed(work)
        step.close()
        positions.close()
        log.close()
    return found


def filled(servers: KafkaServers, records: Sequence[Recorded]) -> str:
    topic = new_topic(servers)
    publisher = KafkaSink(servers, topic)
    publisher.publish(records)
    publisher.close()
    return topic


def bare_consumer(servers: KafkaServers, records: Sequence[Recorded]) -> tuple[float, float]:
    consumer = KafkaConsumer(
        filled(servers, records),
        bootstrap_servers=list(servers.bootstrap),
        auto_offset_reset="earliest",
    )

    def work() -> None:
        left = len(records)
        while left:
            left -= sum(map(len, consumer.poll(1000, max_records=2000).values()))

    found = timed(work)
    consumer.close()
    return found


def feed(servers: KafkaServers, records: Sequence[Recorded]) -> tuple[float, float]:
    topic = filled(servers, records)
    reader = KafkaFeed(
        servers,
        topic,
        group=topic,
        member="bench",
        on_assigned=lambda _: None,
        on_revoked=lambda _: None,
    )
    while not reader.assigned():
        reader.pause()
        reader.poll(limit=1, timeout_s=0.1)
    reader.resume()

    def work() -> None:
        left = len(records)
        while left:
            found = reader.poll(limit=2000, timeout_s=1)
            reader.commit({one.partition: one.offset + 1 for one in found})
            left -= len(found)

    found = timed(work)
    reader.close()
    return found


if __name__ == "__main__":
    main()
