"""One real Apache Kafka broker in KRaft mode: broker and controller in one JVM, nothing replicated.

The jars come from Maven (pom.xml), once, into build/kafka.
"""

from __future__ import annotations

import base64
import shutil
import signal
import socket
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.services.server import REPOSITORY, Server, ServiceMissing, free_port, run

JARS: Final = REPOSITORY / "build" / "kafka"
POM: Final = Path(__file__).with_name("pom.xml")
HEAP: Final = "-Xmx512m"
_METADATA_REQUEST: Final = bytes.fromhex("00000011 0012 0000 00000001 0007 6b657974 6f6c6c")
"""ApiVersions, version 0, by client `keytoll`: answered by a broker that serves."""


class Kafka(Server):
    """KAFKA_BOOTSTRAP is `bootstrap`."""

    name = "kafka"
    abandon_signal = signal.SIGKILL

    def __init__(self) -> None:
        super().__init__()
        self._controller_port = free_port()
        self._properties = self.folder / "server.properties"

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def settings(self) -> Mapping[str, str]:
        """server.properties: on loopback, without the pauses that large clusters need."""
        broker, controller = f"127.0.0.1:{self.port}", f"127.0.0.1:{self._controller_port}"
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": controller,
            "listeners": f"BROKER://{broker},CONTROLLER://{controller}",
            "advertised.listeners": f"BROKER://{broker},CONTROLLER://{controller}",
            "inter.broker.listener.name": "BROKER",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.folder / "data"),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            # A killed broker leaves its session; the next start takes it over at once.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
        }

    def prepare(self) -> None:
        require_jars()
        if self._properties.exists():
            return
        lines = [f"{name}={value}" for name, value in self.settings().items()]
        self._properties.write_text("\n".join(lines) + "\n")
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        format_storage = ["format", "--standalone", "-t", cluster, "-c", str(self._properties)]
        run([*_java("kafka.tools.StorageTool"), *format_storage], cwd=self.folder)

    def command(self) -> Sequence[str]:
        return [*_java("kafka.Kafka"), str(self._properties)]

    def is_ready(self) -> bool:
        # The port opens before the broker serves; an answer comes once it does.
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
                connection.sendall(_METADATA_REQUEST)
                return len(connection.recv(4)) == 4
        except OSError:
            return False


def require_jars() -> None:
    """Fetch the broker's jars if they are not there. Raises ServiceMissing."""
    done = JARS / ".done"
    if not done.exists() or done.read_text() != POM.read_text():
        mvn = shutil.which("mvn")
        if mvn is None:
            raise ServiceMissing("Kafka needs its jars, and Maven ('mvn') to fetch them")
        copy = ["dependency:copy-dependencies", f"-DoutputDirectory={JARS}"]
        run([mvn, "-q", "-B", "-f", str(POM), *copy], cwd=REPOSITORY)
        done.write_text(POM.read_text())


def _java(main: str) -> list[str]:
    java = shutil.which("java")
    if java is None:
        raise ServiceMissing("Kafka needs a Java runtime, 17 or newer, as 'java'")
    logging = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    return [java, HEAP, "-Djava.net.preferIPv4Stack=true", logging, "-cp", f"{JARS}/*", main]
