"""What every store of relay positions promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from domain.relayed.memory import MemoryRelayPositions
from domain.relayed.port import NOTHING_RELAYED, Relayed, RelayPositions
from domain.relayed.postgres import PostgresRelayPositions
from domain.relayed.sqlite import SqliteRelayPositions

DURABLE = ["sqlite", pytest.param("postgres", marks=pytest.mark.services)]
Open = Callable[[], RelayPositions]


@pytest.fixture
def open_positions(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    if request.param == "memory":
        return MemoryRelayPositions
    if request.param == "sqlite":
        return lambda: SqliteRelayPositions(tmp_path / "relayed.sqlite")
    dsn = request.getfixturevalue("postgres_dsn")
    return lambda: PostgresRelayPositions(dsn)


@pytest.fixture
def positions(open_positions: Open) -> Iterator[RelayPositions]:
    made = open_positions()
    yield made
    made.close()


@pytest.mark.parametrize("open_positions", ["memory", *DURABLE], indirect=True)
def test_each_topic_and_store_has_a_position_of_its_own(positions: RelayPositions) -> None:
    assert positions.get("topic-1", "st_1") == NOTHING_RELAYED
    positions.set("topic-1", "st_1", Relayed(7, "aa"))
    positions.set("topic-1", "st_2", Relayed(2**40, "bb"))
    assert positions.get("topic-1", "st_1") == (7, "aa")
    assert positions.get("topic-1", "st_2") == (2**40, "bb")
    assert positions.get("topic-2", "st_1") == NOTHING_RELAYED


@pytest.mark.parametrize("open_positions", ["memory", *DURABLE], indirect=True)
def test_a_position_moves_either_way(positions: RelayPositions) -> None:
    for seq in (7, 9, 3):
        positions.set("topic-1", "st_1", Relayed(seq, f"{seq:064x}"))
        assert positions.get("topic-1", "st_1").seq == seq


@pytest.mark.parametrize("open_positions", DURABLE, indirect=True)
def test_a_position_outlives_its_process(open_positions: Open) -> None:
    first = open_positions()
    first.set("topic-1", "st_1", Relayed(7, "aa"))
    first.close()
    second = open_positions()
    assert second.get("topic-1", "st_1") == (7, "aa")
    second.close()
