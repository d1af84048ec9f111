"""The schema as it is run: on one server, over a cluster, and by several processes at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest

from projections import migrate
from projections.migrate import (
    SchemaIsNewer,
    create,
    database_of,
    ddl,
    drop,
    generation_in_force,
    migrations,
    prepare,
    record,
    tidy,
)
from projections.store.port import ProjectionStore, Site

GOLDEN = Path(__file__).parent / "schema" / "cluster.sql"


def statements(*, cluster: str | None) -> list[str]:
    """Everything that `prepare` runs, in its order."""
    control = ["CREATE DATABASE IF NOT EXISTS $db", migrate._CONTROL_TABLE.strip()]
    tables = [migrate._MIGRATIONS_TABLE.strip()]
    for migration in migrations():
        tables += migration.statements()
    return [
        ddl(statement, cluster=cluster)
        for statement in (*control, *tables, "DROP DATABASE IF EXISTS $db SYNC")
    ]


def test_the_schema_of_a_cluster_is_pinned() -> None:
    text = ";\n\n".join(statements(cluster="billing")) + ";\n"
    if os.environ.get("KEYTOLL_GOLDEN") == "write":
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8"), "if it is right: KEYTOLL_GOLDEN=write"


def test_the_engine_understands_the_schema_of_a_cluster(engine: ProjectionStore) -> None:
    for statement in statements(cluster="billing"):
        (formatted,) = engine.query(
            "SELECT formatQuerySingleLine({sql:String})", {"sql": statement.replace("$db", "db")}
        )[0]
        assert "ON CLUSTER billing" in formatted
        assert "MergeTree" not in formatted or "ENGINE = Replicated" in formatted


def test_nothing_but_place_and_engine_differs_in_a_cluster() -> None:
    for alone, many in zip(statements(cluster=None), statements(cluster="billing"), strict=True):
        assert "non_replicated" not in many
        assert "Replicated" not in alone
        bare = many.replace(" ON CLUSTER 'billing'", "").replace("ENGINE = Replicated", "ENGINE = ")
        bare = bare.replace(f"({migrate._REPLICAS}, ", "(").replace(f"({migrate._REPLICAS})", "")
        bare = bare.replace(", replicated_deduplication_window_seconds = 604800", "")
        bare = bare.replace(" replicated_dedup", " non_replicated_dedup")
        assert bare == alone


class Elsewhere:
    """The same tables, as a store that several processes share."""

    def __init__(self, store: ProjectionStore, name: str = "keytoll") -> None:
        self._store = store
        self.site = Site(name, shared=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def at(self, database: str) -> ProjectionStore:
        return Elsewhere(self._store.at(database), self.site.name)


@pytest.fixture
def shared(bare: ProjectionStore) -> Callable[[], ProjectionStore]:
    """Stores of several processes."""
    return lambda: Elsewhere(bare.at("default"))


def databases(store: ProjectionStore) -> set[str]:
    rows = store.query("SELECT name FROM system.databases WHERE name LIKE 'keytoll_g%'")
    return {name for (name,) in rows}


def at_once(*work: Callable[[], None]) -> None:
    start, failures = Barrier(len(work)), []

    def run(each: Callable[[], None]) -> None:
        start.wait()
        try:
            each()
        except BaseException as error:
            failures.append(error)

    threads = [Thread(target=run, args=(each,)) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_processes_that_start_together_use_the_same_tables(
    shared: Callable[[], ProjectionStore],
) -> None:
    stores = [shared() for _ in range(4)]
    at_once(*(lambda store=each: prepare(store) for each in stores))
    assert {store.database for store in stores} == {"keytoll_g1"}
    assert databases(stores[0]) == {"keytoll_g1"}
    rows = stores[0].query("SELECT number FROM $db.migrations FINAL ORDER BY number")
    assert [number for (number,) in rows] == [each.number for each in migrations()]


def test_whoever_starts_joins_the_tables_that_another_is_making(
    shared: Callable[[], ProjectionStore],
) -> None:
    first = shared()
    control = first.at("keytoll")
    control.command("CREATE DATABASE $db")
    control.command(ddl(migrate._CONTROL_TABLE, cluster=None))
    record(first, 1, "building")
    second = shared()
    prepare(second)
    assert second.database == "keytoll_g1"
    # The first goes on, as if the second were not there.
    create(first, 1)
    record(first, 1, "in_force")
    assert generation_in_force(first) == 1


def test_a_start_does_not_drop_what_another_process_rebuilds(
    shared: Callable[[], ProjectionStore],
) -> None:
    store = shared()
    prepare(store)
    create(store, 2)
    prepare(shared())
    assert databases(store) == {"keytoll_g1", "keytoll_g2"}
    tidy(store)
    assert databases(store) == {"keytoll_g1"}


def test_an_older_program_leaves_shared_tables_alone(
    shared: Callable[[], ProjectionStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(shared())
    known = migrations()
    monkeypatch.setattr(migrate, "migrations", lambda: known[:-1])
    with pytest.raises(SchemaIsNewer):
        prepare(shared())


def test_tables_with_another_text_are_replaced_by_all_together(
    shared: Callable[[], ProjectionStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(shared())
    known = migrations()
    changed = [*known[:-1], replace(known[-1], text=known[-1].text + "\n-- another")]
    monkeypatch.setattr(migrate, "migrations", lambda: changed)
    stores = [shared() for _ in range(3)]
    at_once(*(lambda store=each: prepare(store) for each in stores))
    assert {store.database for store in stores} == {"keytoll_g2"}


def test_what_was_dropped_is_not_made_again_under_its_number(
    shared: Callable[[], ProjectionStore],
) -> None:
    store = shared()
    prepare(store)
    create(store, 2)
    drop(store, 2)
    drop(store, 1)
    prepare(store)
    assert store.database == database_of(store, 3)
