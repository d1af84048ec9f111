"""Laws of projecting from the feed: deliveries may come anyhow, the tables say the same."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.eventlog.feed import Delivery, Partition
from projections.group import GroupTables
from projections.migrate import migrate
from projections.projected import reach_of
from projections.projector import Projector
from projections.queries.health import conflicts, dead_letters
from projections.rebuild import facts
from projections.store.port import ProjectionStore
from tests.projections.world import World

PARTITIONS: Final = 3
_NUMBERS: Final = count(1)

steps = st.lists(
    st.tuples(
        st.integers(0, PARTITIONS - 1),  # of which partition
        st.floats(0, 1),  # from where
        st.integers(1, 40),  # how many
        st.sampled_from(["one", "two", "zombie"]),  # to whom
        st.booleans(),  # backwards
    ),
    max_size=25,
)


@pytest.fixture(scope="module")
def world() -> World:
    """Calls, corrections and re-ratings of three accounts."""
    made = World()
    accounts = [made.open_account(name) for name in "abc"]
    for number in range(40):
        made.tick()
        account = accounts[number % 3]
        request = made.call(account, model="new-x" if number % 7 == 0 else "gpt-x")
        if number % 5 == 0:
            made.corrected(request, account, input_tokens=number)
        elif number % 7 == 0:
            made.rerated(request, account)
        elif number % 11 == 0:
            made.failed(made.routed(account), account)
    return made


def partitions(world: World) -> Sequence[Sequence[Delivery]]:
    """The log as it lies in the topic, each account in a partition."""
    found: list[list[Delivery]] = [[] for _ in range(PARTITIONS)]
    numbers: dict[str, int] = {}
    for each in world.log.read(after=0, limit=10_000):
        key = each.account_id or each.store_id
        log = found[numbers.setdefault(key, len(numbers) % PARTITIONS)]
        at = Partition("keytoll.events", found.index(log))
        log.append(Delivery(at, len(log), each.line, each.store_id, each.seq, each.hash))
    return found


@settings(max_examples=8)
@given(steps=steps)
def test_order_repetition_and_company_change_nothing(
    engine: ProjectionStore, world: World, steps: list[tuple[int, float, int, str, bool]]
) -> None:
    name = f"law_{next(_NUMBERS)}"
    tables, whole = engine.at(f"{name}_g1"), engine.at(f"{name}_whole")
    for each in (tables, whole):
        each.command("CREATE DATABASE $db")
        migrate(each)
    try:
        members = {
            who: GroupTables(
                log=world.log,
                store=tables,
                books=world.books,
                follow_books=lambda: None,
                clock=world.clock,
            )
            for who in ("one", "two", "zombie")
        }
        logs = partitions(world)
        for number, where, size, who, backwards in steps:
            log = logs[number]
            start = int(where * len(log))
            some = log[start : start + size]
            if some:
                members[who].insert(some[::-1] if backwards else some)
        # In the end everything has been delivered to somebody.
        for number, log in enumerate(logs):
            members["one" if number else "two"].insert(log)
        Projector(log=world.log, store=whole, books=world.books).catch_up()
        until = {world.log.store_id: world.event_count()}
        assert facts(tables, until=until) == facts(whole, until=until)
        assert reach_of(tables, world.log.store_id).dense == world.event_count()
        assert (conflicts(tables), dead_letters(tables)) == (0, 0)
    finally:
        for each in (tables, whole):
            each.command("DROP DATABASE $db SYNC")


@settings(max_examples=25)
@given(
    committed=st.dictionaries(st.integers(0, 2), st.integers(0, 400)),
    inserted=st.dictionaries(st.integers(0, 2), st.integers(0, 120), min_size=1),
)
def test_a_member_never_begins_past_what_the_tables_hold(
    engine: ProjectionStore, world: World, committed: dict[int, int], inserted: dict[int, int]
) -> None:
    at = [Partition("t", number) for number in range(3)]
    tables = engine.at(f"law_{next(_NUMBERS)}_g1")
    tables.command("CREATE DATABASE $db")
    migrate(tables)
    try:
        member = GroupTables(
            log=world.log,
            store=tables,
            books=world.books,
            follow_books=lambda: None,
            clock=world.clock,
        )
        for number, highest in inserted.items():
            member._remember(tables, {at[number]: highest})
        ends = dict.fromkeys(at, 121)
        said = {at[number]: offset for number, offset in committed.items()}
        for partition, place in member.begin(at, said, ends).items():
            assert place <= inserted.get(partition.number, -1) + 1
            assert place <= committed.get(partition.number, 0)
    finally:
        tables.command("DROP DATABASE $db SYNC")
