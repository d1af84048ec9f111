"""The scaled topology: proxies, relays, projectors, sweepers and closers over three services."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Final

import psycopg

from tests.torture.books import Books, ServerQuery, read_lines, read_tables
from tests.torture.callers import Door
from tests.torture.disk import Disk
from tests.torture.killable import ROLES, arming
from tests.torture.processes import Death, Process
from tests.torture.provider import TorturedProvider
from tests.torture.services import Services
from tests.torture.site import environment, free_port, run_command, wait_ready
from tests.torture.topic import Topic
from tests.torture.wire import Wire, Wires

LEASE_S: Final = 3
PROCESSES: Final[Mapping[str, int]] = {
    "proxy": 2,
    "relay": 2,
    "project": 2,
    "sweep": 2,
}
"""How many of each. Closers are commands of the harness."""
SKEWS_S: Final[Mapping[str, float]] = {"proxy-2": 2.5, "sweep-2": -2.5, "relay-2": 40.0}
"""Whose clocks are wrong."""
_LINES: Final = (
    "SELECT l.hash, e.state FROM lines l JOIN stored_events e"
    " USING (originator_id, originator_version) ORDER BY l.position"
)
_POSITION: Final = (
    "UPDATE relayed r SET seq = l.position, hash = encode(l.hash, 'hex') FROM lines l"
    " WHERE l.position = greatest(1, floor(r.seq * %s)::bigint) RETURNING r.seq"
)


class Scaled:
    """Everything that `keytoll serve` and `keytoll work` do, each as a process of its own."""

    def __init__(
        self,
        folder: Path,
        upstream: TorturedProvider,
        *,
        seed: int,
        faults: Mapping[str, str] | None = None,
        disk: Disk | None = None,
    ) -> None:
        """`faults`: role → a fault of tests/torture/planted.py."""
        self.folder = folder
        self._dice = Random(f"points of {seed}")
        self._wires = Wires()
        self._services = Services(self._wires, disk=disk)
        self._faults = faults or {}
        self.wires: Sequence[Wire] = self._services.wires
        self._environment = environment(
            KEYTOLL_STORE=self._services.store_dsn,
            KEYTOLL_KAFKA=self._services.kafka.bootstrap,
            KEYTOLL_CLICKHOUSE=self._services.tables_dsn,
            KEYTOLL_KAFKA_REPLICAS="1",
            KEYTOLL_MASTER_KEY=secrets.token_hex(32),
            KEYTOLL_LEASE_S=str(LEASE_S),
            KEYTOLL_LOG_FORMAT="json",
            KEYTOLL_SANDBOX="off",
            KEYTOLL_SHUTDOWN_TIMEOUT_S="1",
            KEYTOLL_SEAL_INTERVAL_S="5",
            KEYTOLL_UPSTREAMS=json.dumps(upstream.base_urls()),
        )
        self._doors: list[Door] = []
        self.deaths: list[Death] = []
        self.tormented = False
        self._ours = [
            self._process(role, number + 1)
            for role, count in PROCESSES.items()
            for number in range(count)
        ]
        self.processes: Sequence[Process] = [*self._ours, *self._services.processes]
        self._topic = Topic(f"127.0.0.1:{self._services.kafka.wire.port}")

    @property
    def doors(self) -> Sequence[Door]:
        return self._doors

    @property
    def injuries(self) -> Sequence[str]:
        return ("offsets to 0", "offsets at random", "relay position set back", "records again")

    def injure(self, kind: str, amount: float) -> str | None:
        """Needs the services; where one is away just now, nothing is done."""
        done = {
            "offsets to 0": lambda: self._set_offsets(0.0),
            "offsets at random": lambda: self._set_offsets(amount),
            "relay position set back": lambda: self._set_position(amount),
            "records again": lambda: self._topic.repeat(amount),
        }
        if any(wire.state != "whole" for wire in self.wires):
            return None
        if not all(process.running for process in self._services.processes):
            return None
        try:
            return done[kind]()
        except Exception as error:
            return f"failed: {type(error).__name__} {error}"[:200]

    def open(self) -> None:
        for process in self._ours:
            process.start()
        for door in self._doors:
            wait_ready(door)

    def prepare(self) -> None:
        """The services; `keytoll init` needs them."""
        self._services.start()

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        settings = {**self._environment, "KEYTOLL_DATA": str(self._data("command"))}
        if words[0] != "close" or not self.tormented:
            return run_command(words, folder=self.folder, environment=settings)
        # Closers die at named points too; the next one goes on where they were.
        armed = arming(ROLES["close"], self._dice, chance=0.4)
        done = run_command(
            words,
            folder=self.folder,
            environment={**settings, **armed},
            module="tests.torture.killable",
        )
        if done.returncode == -signal.SIGKILL and armed:
            self.deaths.append(Death("close", time.time(), "point", armed["TORTURE_POINT"]))
        return done

    def level(self) -> str | None:
        self._services.wait()
        for door in self._doors:
            wait_ready(door)
        head, opened = self._store()
        [[projected]] = ServerQuery(self._services.clickhouse.dsn)(_PROJECTED)
        if opened:
            return f"{opened} open requests"
        return None if int(str(projected)) >= head else f"{projected} of {head} are projected"

    def process(self, name: str) -> Process:
        """One of the processes."""
        [found] = [process for process in self.processes if process.name == name]
        return found

    def committed(self) -> dict[int, int]:
        """What the group of projectors has committed."""
        return self._topic.committed()

    def backlog(self) -> tuple[int, int, int]:
        """(events stored, relayed, projected); -1 where nobody answers."""
        return self._store()[0], self._relayed(), self._projected()

    def hush(self) -> None:
        for process in self._role("sweep"):
            process.stop()

    def books(self) -> Books:
        for process in self._ours:
            process.stop()
        with psycopg.connect(self._services.postgres.dsn) as connection:
            rows = connection.execute(_LINES).fetchall()
        entries, events = read_lines(rows)
        tables, fees, dead, conflicts = read_tables(ServerQuery(self._services.clickhouse.dsn))
        return Books(entries, events, tables, self._topic.read(), fees, dead, conflicts)

    def close(self) -> None:
        for process in self._ours:
            process.kill()
        self._services.close()
        self._wires.close()

    def _process(self, role: str, number: int) -> Process:
        name = f"{role}-{number}"
        settings = {
            **self._environment,
            "KEYTOLL_DATA": str(self._data(name)),
            "KEYTOLL_METRICS_LISTEN": f"127.0.0.1:{free_port()}",
            "KEYTOLL_MEMBER": name,
        }
        words: tuple[str, ...] = ("work", role)
        if role == "proxy":
            door = Door(name, f"http://127.0.0.1:{free_port()}")
            self._doors.append(door)
            settings["KEYTOLL_LISTEN"] = door.url.removeprefix("http://")
            words = ("serve",)
        if name in SKEWS_S:
            settings["TORTURE_SKEW_S"] = str(SKEWS_S[name])
        if role in self._faults:
            settings["TORTURE_FAULT"] = self._faults[role]
        return Process(
            name,
            [sys.executable, "-m", "tests.torture.killable", *words],
            folder=self.folder,
            environment=settings,
            yields="is not available|cannot be (opened|read)|database failed|terminated abnormally",
            arm=lambda: arming(ROLES.get(role, {}), self._dice, chance=0.6),
            role=role,
        )

    def _data(self, name: str) -> Path:
        return self.folder / f"data-{name}"

    def _role(self, role: str) -> list[Process]:
        return [process for process in self._ours if process.role == role]

    def _set_offsets(self, part: float) -> str | None:
        """Kafka changes the offsets of nobody who is there: all members die first."""
        for process in self._role("project"):
            process.kill(down_s=3.0)
        return self._topic.set_offsets(part, members=[each.name for each in self._role("project")])

    def _set_position(self, part: float) -> str | None:
        for process in self._role("relay"):
            process.kill(down_s=2.0)
        time.sleep(0.2)
        with psycopg.connect(self._services.postgres.dsn, connect_timeout=3) as connection:
            rows = connection.execute(_POSITION, (part,)).fetchall()
        return f"set to {[row[0] for row in rows]}" if rows else None

    def _store(self) -> tuple[int, int]:
        with psycopg.connect(self._services.postgres.dsn, connect_timeout=3) as connection:
            found = connection.execute(
                "SELECT (SELECT sum(size) FROM stores), (SELECT count(*) FROM open_requests)"
            ).fetchone()
        assert found is not None
        return int(found[0] or 0), int(found[1])

    def _relayed(self) -> int:
        with psycopg.connect(self._services.postgres.dsn, connect_timeout=3) as connection:
            found = connection.execute("SELECT sum(seq) FROM relayed").fetchone()
        return int(found[0]) if found and found[0] is not None else -1

    def _projected(self) -> int:
        try:
            [[count]] = ServerQuery(self._services.clickhouse.dsn)(_PROJECTED)
        except Exception:
            return -1
        return int(str(count))


_PROJECTED: Final = "SELECT uniqExact(store_id, seq) FROM keytoll_g1.log_lines"
