"""A relay that was stopped while another took its place publishes nothing once it goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psycopg
import pytest

from domain.clock import SystemClock
from domain.coordination.port import Locks
from domain.coordination.postgres import PostgresLocks
from domain.eventlog.log import StoredLog
from domain.eventlog.postgres import open_postgres_log
from domain.eventlog.topic_drift import topic_drift
from domain.relayed.port import RelayPositions
from domain.relayed.postgres import PostgresRelayPositions
from tests.domain.eventlog.brokers import KafkaBroker
from tests.domain.eventlog.filling import failed
from workers.relay import TURN_S, Relay

pytestmark = pytest.mark.services

ROOT: Final = Path(__file__).parents[2]
RELAY: Final = """
import sys, time
from domain.clock import SystemClock
from domain.coordination.postgres import PostgresLocks
from domain.eventlog.postgres import open_postgres_log
from domain.relayed.postgres import PostgresRelayPositions
from tests.domain.eventlog.brokers import KafkaBroker
from tests.workers.test_relay_zombie import relay_of

dsn, bootstrap, topic = sys.argv[1:]
log = open_postgres_log(dsn, clock=SystemClock())
relay = relay_of(
    log, KafkaBroker(bootstrap, topic), PostgresRelayPositions(dsn), PostgresLocks(dsn)
)
while True:
    time.sleep(min(relay(), 0.05))
"""
END_LOCKS: Final = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'keytoll lock relay:%'
"""


def relay_of(log: StoredLog, broker: KafkaBroker, positions: RelayPositions, locks: Locks) -> Relay:
    """A relay of the log's only chain."""
    return Relay(
        log.chains()[0],
        sink=broker.sink(),
        positions=positions,
        topic_id=broker.topic_id,
        locks=locks,
    )


def append(log: StoredLog, count: int) -> None:
    for _ in range(count):
        log.submit(failed(version=1), account_id=None).result()


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_zombie_stops_before_it_publishes_more(
    postgres_dsn: str, kafka_bootstrap: str, kafka_topic: str
) -> None:
    broker = KafkaBroker(kafka_bootstrap, kafka_topic)
    log = open_postgres_log(postgres_dsn, clock=SystemClock())
    positions, locks = PostgresRelayPositions(postgres_dsn), PostgresLocks(postgres_dsn)
    heir = relay_of(log, broker, positions, locks)
    append(log, 20)
    arguments = [postgres_dsn, kafka_bootstrap, kafka_topic]
    zombie = subprocess.Popen([sys.executable, "-c", RELAY, *arguments], cwd=ROOT)
    try:
        wait_until(lambda: heir.state().seq == 20)
        assert heir() == TURN_S
        zombie.send_signal(signal.SIGSTOP)
        with psycopg.connect(postgres_dsn) as connection:
            connection.execute(END_LOCKS)
        append(log, 20)
        wait_until(lambda: heir() != TURN_S)
        assert heir.state().seq == 40
        append(log, 10)
        zombie.send_signal(signal.SIGCONT)
        time.sleep(1)
        assert zombie.poll() is None
        assert heir.state().seq == 40
        heir()
    finally:
        zombie.kill()
        zombie.wait()
    scan = broker.scan()
    found = topic_drift(log, scan)
    for each in (scan, heir, locks, positions, log):
        each.close()
    assert found.differences == []
    assert (found.stores[0].relayed, found.stores[0].duplicates) == (50, 0)
