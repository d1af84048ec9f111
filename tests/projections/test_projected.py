"""How far the tables reach, as a process sees it that does not fill them."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import cast
from uuid import UUID

import pytest

from domain.clock import FixedClock, SystemClock
from domain.coordination.memory import MemoryLocks
from domain.eventlog.log import StoredLog
from domain.eventlog.memory import open_memory_log
from domain.eventlog.port import Chain, Recorded
from domain.eventlog.several import SeveralLogs
from projections.migrate import prepare
from projections.projected import Reach, Watch, lag_of, reach_of
from projections.projector import Projector
from projections.rebuild import rebuild
from projections.rows import columns
from projections.store.port import ProjectionStore, ProjectionUnavailable
from tests.projections.test_projector import end, eventful
from tests.projections.world import START, World


def lines(store: ProjectionStore, *seqs: int, hash_: bytes = b"\1" * 32) -> None:
    """Lines of log_lines, of which only the seqs matter."""
    id_ = UUID(int=1)
    rows = [("s", seq, seq, hash_, id_, id_, 1, "t", "a", 0) for seq in seqs]
    store.insert("log_lines", columns("log_lines", rows), token=f"{seqs}{hash_!r}")


@pytest.mark.parametrize(
    ("seqs", "reach"),
    [
        ((), Reach(0, 0)),
        ((1,), Reach(1, 1)),
        ((2,), Reach(0, 2)),
        ((1, 2, 3), Reach(3, 3)),
        ((1, 2, 4), Reach(2, 4)),
        ((3, 1, 2, 9, 8), Reach(3, 9)),
    ],
)
def test_the_reach_ends_before_the_first_gap(
    tables: ProjectionStore, seqs: tuple[int, ...], reach: Reach
) -> None:
    if seqs:
        lines(tables, *seqs)
        lines(tables, *seqs, hash_=b"\2" * 32)  # a second payload is no second seq
        tables.command("SYSTEM STOP MERGES $db.log_lines")
        lines(tables, seqs[0])
    assert reach_of(tables, "s") == reach
    assert reach_of(tables, "another") == Reach(0, 0)
    for known in range(reach.dense + 1):
        assert reach_of(tables, "s", known=known) == reach


def test_any_order_of_arrival_gives_the_same_reach(tables: ProjectionStore) -> None:
    chance, there = random.Random(7), set[int]()
    for _ in range(12):
        some = chance.sample(range(1, 31), 4)
        lines(tables, *some)
        there.update(some)
        dense = next(seq for seq in range(31) if seq + 1 not in there)
        assert reach_of(tables, "s") == Reach(dense, max(there))


@pytest.fixture
def filled(bare: ProjectionStore) -> tuple[World, ProjectionStore, Projector]:
    world = eventful()
    prepare(bare)
    projector = Projector(log=world.log, store=bare.at(bare.database), books=world.books)
    projector.catch_up()
    return world, bare, projector


def test_an_answer_is_kept_for_a_second_and_no_longer(
    filled: tuple[World, ProjectionStore, Projector],
) -> None:
    world, store, projector = filled
    clock = FixedClock(START)
    watch = Watch(log=world.log, store=store, clock=clock)
    before = watch.reached()
    assert before == end(world)
    world.call(world.open_account("more"))
    projector.catch_up()
    assert watch.reached() == before
    assert lag_of(world.log, before) == {"store-1": 3}
    clock.advance(timedelta(seconds=1))
    assert watch.reached() == end(world)
    assert not any(lag_of(world.log, watch.reached()).values())


def test_catching_up_waits_for_who_projects_and_names_what_is_missing_when_nobody_does(
    filled: tuple[World, ProjectionStore, Projector],
) -> None:
    world, store, projector = filled
    watch = Watch(log=world.log, store=store, clock=SystemClock(), wait_s=0.2)
    world.call(world.open_account("more"))
    with pytest.raises(ProjectionUnavailable, match=r"lack 3 events of store-1 after 0\.2 s"):
        watch.catch_up()
    patient = Watch(log=world.log, store=store, clock=SystemClock(), wait_s=20)
    threading.Timer(0.2, projector.catch_up).start()
    assert patient.catch_up() == end(world)


def test_tables_that_a_rebuild_puts_in_force_are_followed(
    filled: tuple[World, ProjectionStore, Projector],
) -> None:
    world, store, projector = filled
    reader = store.at(store.database)
    watch = Watch(log=world.log, store=reader, clock=SystemClock(), fresh_s=0)
    assert watch.reached() == end(world)
    rebuild(projector, locks=MemoryLocks())
    assert watch.reached() == end(world)
    assert watch.store.database == "keytoll_g2"


def test_before_there_are_tables_it_says_so(bare: ProjectionStore) -> None:
    world = World()
    with pytest.raises(ProjectionUnavailable):
        Watch(log=world.log, store=bare, clock=world.clock).reached()


def test_every_store_that_is_written_has_a_reach_of_its_own(bare: ProjectionStore) -> None:
    world = World()
    world.call(world.open_account("early"))
    second = open_memory_log(store_id="store-2", clock=world.clock)
    log = SeveralLogs([world.log, second])
    world.log = cast("StoredLog", log)
    world.call(world.open_account("late"))
    prepare(bare)
    watch = Watch(log=log, store=bare, clock=SystemClock(), fresh_s=0, wait_s=0)
    assert watch.reached() == {"store-1": 0, "store-2": 0}
    projector = Projector(log=log, store=bare, books=world.books)
    projector.step()
    assert watch.reached() == projector.reached() == {"store-1": 3, "store-2": 0}
    with pytest.raises(ProjectionUnavailable, match="store-2"):
        watch.catch_up()
    projector.step()
    assert watch.catch_up() == {"store-1": 3, "store-2": 3}


def test_an_empty_store_is_not_caught_up_with_before_those_that_it_continues(
    bare: ProjectionStore,
) -> None:
    """Right after a migration or a restore nothing is written to the new store yet."""
    world = World()
    world.call(world.open_account("early"))
    begun = open_memory_log(store_id="store-2", clock=world.clock)

    class Continued:
        def chains(self) -> tuple[Chain, ...]:
            return (Chain((world.log, begun)),)

        def stream(self, originator_id: UUID) -> Sequence[Recorded]:
            return world.log.stream(originator_id)

    prepare(bare)
    watch = Watch(log=Continued(), store=bare, clock=SystemClock(), fresh_s=0, wait_s=0)
    with pytest.raises(ProjectionUnavailable, match="lack 3 events of store-1"):
        watch.catch_up()
    Projector(log=world.log, store=bare, books=world.books).catch_up()
    assert watch.catch_up() == {"store-2": 0}


def test_asking_again_reads_only_what_is_new(tables: ProjectionStore) -> None:
    """A million lines: the first look reads them all, the next ones a granule."""
    tables.command(
        "INSERT INTO $db.log_lines SELECT 's', number + 1, number + 1,"
        " toFixedString(toString(number), 32), generateUUIDv4(), generateUUIDv4(), 1, 't', 'a',"
        " toDateTime64(0, 6, 'UTC') FROM numbers(1000000)"
    )
    assert reach_of(tables, "s") == Reach(1_000_000, 1_000_000)
    assert reach_of(tables, "s", known=1_000_000) == Reach(1_000_000, 1_000_000)
    (rows,) = tables.query(
        "EXPLAIN ESTIMATE SELECT seq FROM $db.log_lines"
        " WHERE store_id = {store:String} AND seq > {known:UInt64}",
        {"store": "s", "known": 999_000},
    )
    assert rows[-2] <= 20_000
