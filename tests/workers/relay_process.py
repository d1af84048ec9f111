"""`python -m tests.workers.relay_process STORE POSITIONS TOPIC POINT`: a relay that may die.

STORE and POSITIONS are SQLite files. TOPIC is `host:port/name` of a real one, or a file to which
each published line is appended, durably. POINT is `none`, or where the process kills itself the
second time it comes there. `none` ends when nothing is left to relay.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from domain.coordination.memory import MemoryLocks
from domain.eventlog.feed import Sink
from domain.eventlog.port import Chain, Recorded
from domain.relayed.port import Relayed
from domain.relayed.sqlite import SqliteRelayPositions
from tests.domain.eventlog.brokers import KafkaBroker
from tests.domain.eventlog.filling import opened
from workers.relay import REST_S, Relay

POINTS = ("before publish", "within publish", "after publish", "after position")
BATCH = 10


class Deadly:
    """Kills the process the second time that its point is reached."""

    def __init__(self, point: str) -> None:
        self._point = point
        self._times = 0

    def at(self, point: str) -> None:
        if point == self._point:
            self._times += 1
            if self._times == 2:
                os.kill(os.getpid(), signal.SIGKILL)


class FileSink:
    """A topic that is a file."""

    def __init__(self, path: Path, deadly: Deadly) -> None:
        self._file = path.open("ab")
        self._deadly = deadly

    def publish(self, records: Sequence[Recorded]) -> None:
        self._deadly.at("before publish")
        for number, one in enumerate(records):
            if number == BATCH // 2:
                self._deadly.at("within publish")
            self._file.write(one.line + b"\n")
            self._file.flush()
        os.fsync(self._file.fileno())
        self._deadly.at("after publish")

    def close(self) -> None:
        self._file.close()


class KafkaTopic:
    """A real one."""

    def __init__(self, bootstrap: str, topic: str, deadly: Deadly) -> None:
        self._sink = KafkaBroker(bootstrap, topic).sink()
        self._deadly = deadly

    def publish(self, records: Sequence[Recorded]) -> None:
        self._deadly.at("before publish")
        self._sink.publish(records[: BATCH // 2])
        self._deadly.at("within publish")
        self._sink.publish(records[BATCH // 2 :])
        self._deadly.at("after publish")

    def close(self) -> None:
        self._sink.close()


class Positions(SqliteRelayPositions):
    """Dies after it has stored one."""

    def __init__(self, path: Path, deadly: Deadly) -> None:
        super().__init__(path)
        self._deadly = deadly

    def set(self, topic_id: str, store_id: str, relayed: Relayed) -> None:
        super().set(topic_id, store_id, relayed)
        self._deadly.at("after position")


def main() -> None:
    store, positions, topic, point = sys.argv[1:]
    deadly = Deadly(point)
    bootstrap, _, name = topic.partition("/")
    make: Callable[[], Sink] = (
        (lambda: KafkaTopic(bootstrap, name, deadly))
        if ":" in bootstrap
        else (lambda: FileSink(Path(topic), deadly))
    )
    log = opened(Path(store))
    relay = Relay(
        Chain((log,)),
        sink=make(),
        positions=Positions(Path(positions), deadly),
        topic_id="topic-1",
        locks=MemoryLocks(),
        batch=BATCH,
    )
    while relay() != REST_S or relay.state().backlog:
        pass
    relay.close()
    log.close()


if __name__ == "__main__":
    main()
