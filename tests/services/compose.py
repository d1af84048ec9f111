"""docker-compose.yml without containers: the same commands and settings, as processes on loopback.

What is put in a container's place: Postgres, Kafka and ClickHouse are the servers of this folder; a
service's name and port are an address of this machine; a volume is a folder; the image is this
checkout. What has no place here: limits of memory, read-only roots, users, restarts, and
Prometheus, which nothing waits for.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import psycopg

from tests.services import clickhouse, compose_file, dockerfile
from tests.services.clickhouse import ClickHouse
from tests.services.compose_file import Service
from tests.services.kafka import Kafka
from tests.services.postgres import Postgres
from tests.services.server import REPOSITORY, DidNotStart, Server, free_port

ELSEWHERE: Final = frozenset({"prometheus"})
"""Services that are not started here."""
COMMAND_S: Final = 120.0
PORTS_EACH: Final = 4
"""Neighbouring ports of one address: the workers of a proxy take the next ones."""
_ADDRESS: Final = re.compile(r"\b(0\.0\.0\.0|127\.0\.0\.1|[a-z]+):(\d+)\b")


class Process(Server):
    """One replica of a service of ours."""

    def __init__(
        self,
        name: str,
        service: Service,
        words: Sequence[str],
        environment: Mapping[str, str],
        healthcheck: Sequence[str],
    ) -> None:
        self.name = name
        self.start_s = service.patience_s
        self.stop_s = service.stop_s
        super().__init__()
        self._words = words
        self._environment = environment
        self._healthcheck = healthcheck

    def prepare(self) -> None:
        """Nothing: an image needs no preparation."""

    def command(self) -> Sequence[str]:
        return self._words

    def environment(self) -> Mapping[str, str]:
        return self._environment

    def is_ready(self) -> bool:
        checked = subprocess.run(self._healthcheck, capture_output=True, check=False)
        return checked.returncode == 0


class Compose:
    """One installation, as the file describes it."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        """Raises VariableMissing."""
        self.services = compose_file.services(variables)
        self._volumes = folder
        self._image = dockerfile.last_stage(dockerfile.instructions(REPOSITORY / "Dockerfile"))
        self.infrastructure = _infrastructure(variables)
        self._ports: dict[tuple[str, int], int] = {}
        self.processes: dict[str, list[Process]] = {}

    def up(self, *names: str) -> None:
        """Start the named services, or all, after those that they need. Raises DidNotStart."""
        wanted = names or [name for name in self.services if name not in ELSEWHERE]
        for level in levels(self.services, wanted):
            servers = [server for name in level for server in self._started_for(name)]
            with ThreadPoolExecutor(len(servers) or 1) as threads:
                list(threads.map(Server.start, servers))
            for name in level:
                self._after_start(name)

    def run(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """What `docker compose run --rm NAME WORDS…` does."""
        self.up(*self.services[name].needs)
        return self._command(name, f"{name}-run", words)

    def execute(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """What `docker compose exec NAME keytoll WORDS…` does."""
        return self._command(name, f"{name}-1", words)

    def _command(
        self, name: str, replica: str, words: Sequence[str]
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._entrypoint(), *words],
            cwd=self._volumes,
            env=dict(self._environment(self.services[name], replica)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )

    def url(self, name: str, port: int, *, replica: int = 1) -> str:
        """Where a container's port is reached."""
        return f"http://127.0.0.1:{self._port(f'{name}-{replica}', port)}"

    def down(self) -> Mapping[str, int | None]:
        """SIGTERM to all, ours first; the exit code of each process of ours."""
        ours = [process for replicas in self.processes.values() for process in replicas]
        with ThreadPoolExecutor(len(ours) or 1) as threads:
            list(threads.map(Server.stop, ours))
        for server in self.infrastructure.values():
            server.stop()
        return {process.name: process.exit_code for process in ours}

    def remove(self) -> None:
        """Kill what is left, and remove its folders."""
        for replicas in self.processes.values():
            for process in replicas:
                process.remove()
        for server in self.infrastructure.values():
            server.remove()

    def _started_for(self, name: str) -> Sequence[Server]:
        """What has to be started for a service: nothing if it runs."""
        service = self.services[name]
        if not service.built:
            server = self.infrastructure[name]
            return [] if server.running() else [server]
        if name not in self.processes:
            replicas = range(1, service.replicas + 1)
            self.processes[name] = [self._process(service, f"{name}-{n}") for n in replicas]
        return [process for process in self.processes[name] if not process.running()]

    def _after_start(self, name: str) -> None:
        """What the images do on a first start: the database that their environment names."""
        server = self.infrastructure.get(name)
        if isinstance(server, Postgres):
            _create_database(server, self.services[name].environment["POSTGRES_DB"])
        if isinstance(server, ClickHouse):
            database = self.services[name].environment["CLICKHOUSE_DB"]
            clickhouse.execute(server.dsn, f"CREATE DATABASE IF NOT EXISTS {database}")

    def _process(self, service: Service, replica: str) -> Process:
        program, *words = service.healthcheck
        script = REPOSITORY / "deploy" / program
        check = [self._here(word, service, replica) for word in words]
        return Process(
            replica,
            service,
            [*self._entrypoint(), *service.command],
            self._environment(service, replica),
            [sys.executable, "-I", str(script), *check],
        )

    def _entrypoint(self) -> Sequence[str]:
        program, *words = dockerfile.entrypoint(self._image)
        return [str(Path(sys.executable).with_name(program)), *words]

    def _environment(self, service: Service, replica: str) -> Mapping[str, str]:
        declared = {**dockerfile.environment(self._image), **service.environment}
        return {
            # Each container has a host name of its own, of which this is the default.
            "KEYTOLL_MEMBER": replica,
            **{name: self._here(value, service, replica) for name, value in declared.items()},
            "PATH": os.environ["PATH"],
            "HOME": str(self._volumes),
        }

    def _here(self, text: str, service: Service, replica: str) -> str:
        """A value of the file with addresses and paths of this machine."""
        for path, volume in service.volumes.items():
            folder = self._volumes / volume
            folder.mkdir(parents=True, exist_ok=True)
            text = text.replace(path, str(folder))

        def address(match: re.Match[str]) -> str:
            host, port = match[1], int(match[2])
            if host in self.infrastructure:
                return f"127.0.0.1:{self.infrastructure[host].port}"
            if host in self.services:
                return f"127.0.0.1:{self._port(f'{host}-1', port)}"
            if host in {"0.0.0.0", "127.0.0.1"}:
                return f"127.0.0.1:{self._port(replica, port)}"
            return match[0]

        return _ADDRESS.sub(address, text)

    def _port(self, replica: str, port: int) -> int:
        if (replica, port) not in self._ports:
            self._ports[replica, port] = free_port(also=PORTS_EACH - 1)
        return self._ports[replica, port]


def levels(services: Mapping[str, Service], wanted: Sequence[str]) -> Iterator[Sequence[str]]:
    """Which services can be started together, one group after the other."""
    left: set[str] = set()
    ahead = list(wanted)
    while ahead:
        name = ahead.pop()
        if name not in left:
            left.add(name)
            ahead.extend(services[name].needs)
    while left:
        level = [name for name in services if name in left and not left & {*services[name].needs}]
        if not level:
            raise DidNotStart(f"services that wait for each other: {', '.join(sorted(left))}")
        yield level
        left -= {*level}


def _infrastructure(variables: Mapping[str, str]) -> Mapping[str, Server]:
    return {
        "postgres": Postgres(password=variables["POSTGRES_PASSWORD"]),
        "kafka": Kafka(),
        "clickhouse": ClickHouse(password=variables["CLICKHOUSE_PASSWORD"]),
    }


def _create_database(server: Postgres, name: str) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
        if found.fetchone() is None:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
