"""The servers of these tests themselves: they serve, survive, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.services.clickhouse import ClickHouse, execute
from tests.services.kafka import Kafka
from tests.services.postgres import Postgres
from tests.services.server import REPOSITORY, DidNotStart, Server

pytestmark = pytest.mark.services


def test_postgres_keeps_what_was_committed_when_it_is_killed() -> None:
    server = Postgres()
    server.start()
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (7)")
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
    server.kill()
    server.start()
    with psycopg.connect(server.dsn) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)
    server.remove()
    assert not server.folder.exists()


def test_postgres_wants_its_password() -> None:
    server = Postgres(durable=False)
    server.start()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.dsn.replace("@", "x@"))
    server.remove()


def test_a_server_that_is_held_answers_when_it_is_let_go() -> None:
    server = ClickHouse()
    server.start()
    server.hold()
    with pytest.raises(OSError, match="timed out"):
        execute(server.dsn, "SELECT 1", timeout_s=0.3)
    server.let_go()
    assert execute(server.dsn, "SELECT 1") == "1\n"
    server.remove()


def test_a_server_that_does_not_start_shows_its_log() -> None:
    class Broken(ClickHouse):
        def command(self) -> list[str]:
            return [sys.executable, "-c", "import sys; sys.exit('the reason')"]

    server = Broken()
    with pytest.raises(DidNotStart, match="the reason"):
        server.start()
    server.remove()


def test_the_broker_comes_back_with_what_it_had() -> None:
    server = Kafka()
    server.start()
    formatted = server.folder / "data" / "meta.properties"
    before = formatted.read_text()
    server.kill()
    server.start()
    assert formatted.read_text() == before
    server.stop()
    server.remove()


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("kind", [Kafka, Postgres, ClickHouse])
def test_nothing_outlives_the_process_that_started_it(
    kind: type[Server], death: signal.Signals
) -> None:
    program = f"""
        import time
        from {kind.__module__} import {kind.__name__} as Kind
        server = Kind()
        server.start()
        print(server.pid, server.folder, flush=True)
        time.sleep(600)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        pid, folder = process.stdout.readline().split()
        family = [psutil.Process(int(pid)), *psutil.Process(int(pid)).children(recursive=True)]
        os.kill(process.pid, death)
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive
    deadline = time.monotonic() + 10
    while Path(folder).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
