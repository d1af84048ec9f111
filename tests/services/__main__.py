"""`python -m tests.services`: Kafka, Postgres and ClickHouse on loopback, until interrupted.

Prints the lines that name them, for a shell in which tests run or keytoll is started. Names given
as arguments (`postgres`, `kafka`, `clickhouse`) start only those.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tests.services.clickhouse import ClickHouse
from tests.services.kafka import Kafka
from tests.services.postgres import Postgres
from tests.services.server import DidNotStart, Server, ServiceMissing


def _postgres() -> tuple[Server, Sequence[str]]:
    server = Postgres()
    server.start()
    return server, [f"POSTGRES_DSN={server.dsn}", f"KEYTOLL_STORE={server.dsn}"]


def _kafka() -> tuple[Server, Sequence[str]]:
    server = Kafka()
    server.start()
    return server, [f"KAFKA_BOOTSTRAP={server.bootstrap}", f"KEYTOLL_KAFKA={server.bootstrap}"]


def _clickhouse() -> tuple[Server, Sequence[str]]:
    server = ClickHouse()
    server.start()
    return server, [f"CLICKHOUSE_DSN={server.dsn}", f"KEYTOLL_CLICKHOUSE={server.dsn}"]


START: Final[Mapping[str, Callable[[], tuple[Server, Sequence[str]]]]] = {
    "postgres": _postgres,
    "kafka": _kafka,
    "clickhouse": _clickhouse,
}


def main() -> int:
    """0 after an interruption, 2 if something is missing or did not start."""
    names = sys.argv[1:] or list(START)
    if unknown := set(names) - set(START):
        print(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(START)}")
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    servers: list[Server] = []
    try:
        for name in names:
            server, lines = START[name]()
            servers.append(server)
            print(*(f"export {line}" for line in lines), sep="\n", flush=True)
        print("# ready; interrupt to end", flush=True)
        signal.pause()
    except KeyboardInterrupt:
        return 0
    except (ServiceMissing, DidNotStart) as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        for server in reversed(servers):
            server.stop()
            server.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
