"""Generations: made, filled from the log, compared, exchanged."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from domain.coordination.memory import MemoryLocks
from domain.errors import UnsafeSetup
from projections import migrate
from projections.drift import drift
from projections.migrate import generation_in_force, migrations, prepare
from projections.projector import Projector
from projections.rebuild import facts, rebuild
from projections.store.port import ProjectionStore
from tests.projections.test_projector import end, eventful, projector_of
from tests.projections.world import World


def start(world: World, store: ProjectionStore) -> Projector:
    prepare(store)
    projector = projector_of(world, store)
    projector.catch_up()
    return projector


def databases(store: ProjectionStore) -> set[str]:
    rows = store.query("SELECT name FROM system.databases WHERE name LIKE 'keytoll_g%'")
    return {name for (name,) in rows}


def test_preparing_twice_changes_nothing(bare: ProjectionStore) -> None:
    prepare(bare)
    assert bare.database == "keytoll_g1"
    tables = bare.query("SELECT name FROM system.tables WHERE database = 'keytoll_g1'")
    prepare(bare)
    again = bare.query("SELECT name FROM system.tables WHERE database = 'keytoll_g1'")
    assert sorted(tables) == sorted(again)
    assert bare.query("SELECT count() FROM $db.migrations FINAL") == [(len(migrations()),)]


def test_a_rebuild_gives_the_same_and_is_put_in_force(bare: ProjectionStore) -> None:
    world = eventful()
    projector = start(world, bare)
    before = facts(bare, until=end(world))
    rebuilt = rebuild(projector, locks=MemoryLocks())
    assert rebuilt.differences == ()
    assert (rebuilt.database, bare.database) == ("keytoll_g2", "keytoll_g2")
    assert facts(bare, until=end(world)) == before
    # The projector goes on in the new tables, and so does the next start.
    world.call(world.open_account("c"))
    projector.catch_up()
    fresh = bare.at("default")
    prepare(fresh)
    assert fresh.database == "keytoll_g2"
    assert databases(bare) == {"keytoll_g2"}
    assert projector_of(world, fresh).start() == end(world)
    assert not drift(log=world.log, store=fresh, books=world.books, until=end(world))


def test_a_rebuild_says_what_was_wrong_and_mends_it(bare: ProjectionStore) -> None:
    world = eventful()
    projector = start(world, bare)
    whole = facts(bare, until=end(world))
    bare.command("DELETE FROM $db.request_lines WHERE seq % 7 = 0")
    rebuilt = rebuild(projector, locks=MemoryLocks())
    assert any("request_lines: count()" in each for each in rebuilt.differences)
    assert facts(bare, until=end(world)) == whole


def test_a_rebuild_that_dies_leaves_the_old_tables_in_force(
    bare: ProjectionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = eventful()
    projector = start(world, bare)

    class Died(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(Projector, "exchange", die)
        with pytest.raises(Died):
            rebuild(projector, locks=MemoryLocks())
    prepare(bare)
    assert bare.database == "keytoll_g1"
    assert generation_in_force(bare) == 1
    assert databases(bare) == {"keytoll_g1"}
    assert rebuild(projector, locks=MemoryLocks()).differences == ()


def test_a_rebuild_while_events_arrive_loses_none(bare: ProjectionStore) -> None:
    world = eventful()
    projector = start(world, bare)
    account = world.open_account("c")
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            world.call(account)
            projector.step()

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        rebuilt = rebuild(projector, locks=MemoryLocks())
    finally:
        stop.set()
        thread.join()
    assert rebuilt.differences == ()
    projector.catch_up()
    assert not drift(log=world.log, store=bare, books=world.books, until=end(world))


@pytest.mark.parametrize("how", ["newer", "changed"])
def test_tables_of_another_schema_are_replaced_and_filled_again(
    bare: ProjectionStore, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    world = eventful()
    start(world, bare)
    whole = facts(bare, until=end(world))
    known = list(migrations())
    one = migrate.Migration(len(known) + 1, "0009_more", "SELECT 1")
    if how == "changed":
        one = migrate.Migration(1, known[0].name, known[0].text + "\n-- another text")
    with monkeypatch.context() as patched:
        theirs = [*known, one] if how == "newer" else [one, *known[1:]]
        patched.setattr(migrate, "migrations", lambda: theirs)
        prepare(bare)
        made_by_them = bare.database
    prepare(bare)
    assert bare.database != made_by_them
    assert projector_of(world, bare).catch_up() == end(world)
    assert facts(bare, until=end(world)) == whole
    prepare(bare)
    assert databases(bare) == {bare.database}


def test_migrations_are_numbered_without_gap(tmp_path: Path) -> None:
    (tmp_path / "0002_x.sql").write_text("")
    with pytest.raises(UnsafeSetup, match="without gap"):
        migrations(tmp_path)
