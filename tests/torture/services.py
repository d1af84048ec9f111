"""Broker, database and tables as processes of a run, each behind a line that can be cut."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from tests.services.clickhouse import ClickHouse
from tests.services.kafka import Kafka
from tests.services.postgres import Postgres
from tests.services.server import Server
from tests.torture.disk import Disk
from tests.torture.processes import Process
from tests.torture.wire import Wire, Wires

READY_S: Final = 60.0


class WiredKafka(Kafka):
    """A broker that tells its clients to come over the wire."""

    def __init__(self, wires: Wires) -> None:
        super().__init__()
        self.wire = Wire(wires, "line to kafka", self.port)

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.wire.port}"

    def settings(self) -> Mapping[str, str]:
        found = dict(super().settings())
        told = found["advertised.listeners"].replace(f":{self.port},", f":{self.wire.port},")
        return {**found, "advertised.listeners": told}


def over(wire: Wire, dsn: str, server: Server) -> str:
    """The DSN of a server, by way of the wire."""
    return dsn.replace(f"127.0.0.1:{server.port}", f"127.0.0.1:{wire.port}")


class Services:
    """The three of them."""

    def __init__(self, wires: Wires, *, disk: Disk | None = None) -> None:
        """`disk`: where Postgres has its data, in place of the usual one."""
        self.kafka = WiredKafka(wires)
        self.postgres = Postgres()
        if disk is not None:
            disk.mount(self.postgres.folder)
        self._disk = disk
        self.clickhouse = ClickHouse()
        self.postgres_wire = Wire(wires, "line to postgres", self.postgres.port)
        self.clickhouse_wire = Wire(wires, "line to clickhouse", self.clickhouse.port)
        self.servers: Mapping[str, Server] = {
            "kafka": self.kafka,
            "postgres": self.postgres,
            "clickhouse": self.clickhouse,
        }
        self.processes = [_process(name, server) for name, server in self.servers.items()]
        self.wires = [self.kafka.wire, self.postgres_wire, self.clickhouse_wire]

    @property
    def store_dsn(self) -> str:
        return over(self.postgres_wire, self.postgres.dsn, self.postgres)

    @property
    def tables_dsn(self) -> str:
        return over(self.clickhouse_wire, self.clickhouse.dsn, self.clickhouse)

    def start(self) -> None:
        """All, and wait until they work."""
        for process in self.processes:
            process.start()
        self.wait()

    def wait(self) -> None:
        """Until all work again."""
        deadline = time.monotonic() + READY_S
        for name, server in self.servers.items():
            while not server.is_ready():
                assert time.monotonic() < deadline, f"{name} does not start: {server.log_tail()}"
                time.sleep(0.1)

    def close(self) -> None:
        """End them, and remove what they wrote."""
        for process in self.processes:
            process.kill()
        if self._disk is not None:
            self._disk.unmount()
        for server in self.servers.values():
            server.remove()


def _process(name: str, server: Server) -> Process:
    server.prepare()
    return Process(
        name,
        server.command(),
        folder=server.folder,
        environment=server.environment(),
        user=server.user,
        foreign=True,
    )
