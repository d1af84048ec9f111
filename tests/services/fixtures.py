"""What tests marked `services` ask for: servers started on first use, ended with the session.

A server that cannot be started is a failure, never a skip.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from tests.services import clickhouse
from tests.services.clickhouse import ClickHouse
from tests.services.kafka import Kafka
from tests.services.postgres import Postgres
from tests.services.server import Server

S = TypeVar("S", bound=Server)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A service test that was skipped has failed: nothing else would notice its absence."""
    report = yield
    expected = hasattr(report, "wasxfail")
    if report.skipped and not expected and item.get_closest_marker("services"):
        report.outcome = "failed"
        report.longrepr = f"a service test may not be skipped: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The DSN of a role that may create databases."""
    if given := os.environ.get("POSTGRES_DSN"):
        yield given
        return
    with serving(Postgres()) as server:
        yield server.dsn


@pytest.fixture(scope="session")
def kafka_bootstrap() -> Iterator[str]:
    """The address of a broker that is shared by every test of the session."""
    if given := os.environ.get("KAFKA_BOOTSTRAP"):
        yield given
        return
    with serving(Kafka()) as server:
        yield server.bootstrap


@pytest.fixture(scope="session")
def clickhouse_server() -> Iterator[str]:
    """The DSN of a user who may create databases."""
    if given := os.environ.get("CLICKHOUSE_DSN"):
        yield given
        return
    with serving(ClickHouse()) as server:
        yield server.dsn


@pytest.fixture
def postgres_dsn(postgres_server: str) -> Iterator[str]:
    """An empty database of the test's own."""
    with fresh_database(postgres_server) as dsn:
        yield dsn


@pytest.fixture
def kafka_topic(kafka_bootstrap: str) -> str:
    """The name of a topic that no other test uses; nobody has created it."""
    return f"keytoll.{fresh_name()}"


@pytest.fixture
def clickhouse_dsn(clickhouse_server: str) -> Iterator[str]:
    """An empty database of the test's own; so are those named like it and `_` and more."""
    name = fresh_name()
    clickhouse.execute(clickhouse_server, f"CREATE DATABASE {name}")
    yield in_database(clickhouse_server, name)
    listed = "SELECT name FROM system.databases WHERE name = '{0}' OR startsWith(name, '{0}_')"
    for made in clickhouse.execute(clickhouse_server, listed.format(name)).split():
        clickhouse.execute(clickhouse_server, f"DROP DATABASE `{made}` SYNC")


@contextmanager
def serving(server: S) -> Iterator[S]:
    """The server, running until the block ends."""
    try:
        server.start()
        yield server
        server.stop()
    finally:
        server.remove()


@contextmanager
def fresh_database(postgres_server: str) -> Iterator[str]:
    """An empty database, gone when the block ends."""
    name = fresh_name()
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield in_database(postgres_server, name)
        finally:
            drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            connection.execute(drop.format(sql.Identifier(name)))


def fresh_name() -> str:
    """A name for a database, a topic, a consumer group."""
    return f"test_{uuid.uuid4().hex[:12]}"


def in_database(dsn: str, name: str) -> str:
    """The same server and login, with another database."""
    return urlsplit(dsn)._replace(path=f"/{name}").geturl()
