"""The real engine, started once: a process can have only one, over one folder."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

import pytest

from projections.migrate import database_of, migrate
from projections.store.clickhouse import open_embedded
from projections.store.port import ProjectionStore

_NUMBERS: Final = count(1)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProjectionStore]:
    """The store as it is before anything was made in it."""
    folder: Path = tmp_path_factory.mktemp("clickhouse")
    store = open_embedded(folder)
    yield store
    store.close()


@pytest.fixture
def tables(engine: ProjectionStore) -> Iterator[ProjectionStore]:
    """Empty tables of today's schema, in a database of their own."""
    made = engine.at(f"test_{next(_NUMBERS)}")
    made.command("CREATE DATABASE $db")
    migrate(made)
    yield made
    made.command("DROP DATABASE $db SYNC")


@pytest.fixture
def bare(engine: ProjectionStore) -> Iterator[ProjectionStore]:
    """The engine without generations, for tests that make and exchange them."""
    yield engine.at("default")
    for database in (engine.site.name, *(database_of(engine, number) for number in range(1, 6))):
        engine.command(f"DROP DATABASE IF EXISTS {database} SYNC")
