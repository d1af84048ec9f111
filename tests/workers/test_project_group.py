"""Projecting from the feed: who holds what, and what happens when anything is away or dies."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from domain.coordination.memory import MemoryLocks
from domain.eventlog.feed import Displaced, Partition
from domain.events.codec import line_hash
from pricing.book import Books, book_of
from projections.drift import drift
from projections.group import highest_offsets
from projections.inserter import TooManyDeadLetters
from projections.migrate import migrate
from projections.queries.dead_letters import open_dead_letters
from projections.queries.health import conflicts, dead_letters, doubled_accounts
from projections.rebuild import facts, rebuild
from projections.store.port import Columns, ProjectionStore, ProjectionUnavailable
from tests.projections.test_projector import end, eventful, projector_of
from tests.workers.members import GROUP, Members

Some = dict[str, tuple[object, ...]]


@pytest.fixture
def members(bare: ProjectionStore) -> Iterator[Members]:
    made = Members(eventful(), bare)
    yield made
    made.close()


@pytest.fixture
def whole(members: Members) -> Some:
    """What the projector that reads the log itself makes of it."""
    other = members.store.at("keytoll_reference")
    other.command("CREATE DATABASE $db")
    try:
        migrate(other)
        projector_of(members.world, other).catch_up()
        return facts(other, until=end(members.world))
    finally:
        other.command("DROP DATABASE $db SYNC")


def found(members: Members) -> Some:
    return facts(members.store, until=end(members.world))


class Guarded:
    """A store that is away, slow or held up when told so."""

    def __init__(self, inner: ProjectionStore, gate: Callable[[str], None]) -> None:
        self._inner = inner
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def at(self, database: str) -> Guarded:
        return Guarded(self._inner.at(database), self._gate)

    def insert(self, table: str, rows: Columns, *, token: str) -> None:
        self._gate(table)
        self._inner.insert(table, rows, token=token)


def test_members_fill_the_tables_as_the_projector_does(members: Members, whole: Some) -> None:
    one, two = members.join("one", batch_max=17), members.join("two", batch_max=40)
    members.until(lambda: members.holds("one") and members.holds("two"))
    members.publish()
    members.settle()
    assert found(members) == whole
    assert not drift(
        log=members.world.log,
        store=members.store,
        books=members.world.books,
        until=end(members.world),
    )
    # What the tables say of the feed is what the group has committed.
    highest = {at: 1 + offset for at, (_, offset) in highest_offsets(members.store).items()}
    assert highest == {at: n for at, n in members.broker.groups[GROUP].committed.items() if n}
    assert {one.membership.partitions, two.membership.partitions} <= {0, 1, 2, 3}


def test_a_store_that_is_away_costs_neither_records_nor_the_membership(
    members: Members, whole: Some
) -> None:
    away = threading.Event()

    def gate(table: str) -> None:
        if away.is_set():
            raise ProjectionUnavailable("away")

    one = members.join("one", store=Guarded(members.store, gate))
    members.until(lambda: members.holds("one"))
    away.set()
    members.publish()
    failures = 0
    while failures < 20:
        try:
            one()
        except ProjectionUnavailable:
            failures += 1
    assert members.committed() == 0
    assert members.broker.groups[GROUP].members["one"] is members.feeds["one"]
    away.clear()
    members.settle()
    assert found(members) == whole
    assert dead_letters(members.store) == 0


def test_a_broker_that_is_away_is_waited_for(members: Members, whole: Some) -> None:
    members.join("one", batch_max=30)
    members.publish()
    members.until(lambda: members.committed() > 0)
    members.broker.away = True
    for _ in range(10):
        with pytest.raises(Exception, match="broker"):
            members.steps(members.all[0])
    members.broker.away = False
    members.settle()
    assert found(members) == whole


def test_what_is_being_inserted_when_a_partition_goes_is_finished_and_committed(
    members: Members, whole: Some
) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def gate(table: str) -> None:
        if table == "log_lines":
            entered.set()
            go_on.wait(10)

    one = members.join("one", store=Guarded(members.store, gate), join_s=10.0)
    members.publish()
    members.until(entered.is_set, one)
    members.join("two")
    threading.Timer(0.1, go_on.set).start()
    members.until(lambda: members.committed() > 0, one)
    assert members.committed() == members.world.event_count()
    members.settle()
    assert found(members) == whole


def test_what_takes_too_long_is_abandoned_and_never_committed(
    members: Members, whole: Some, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def gate(table: str) -> None:
        if table == "log_lines":
            entered.set()
            go_on.wait(10)
        if table == "feed_offsets":
            done.set()

    one = members.join("one", store=Guarded(members.store, gate), join_s=0.05)
    members.publish()
    members.until(entered.is_set, one)
    two = members.join("two")
    members.until(lambda: len(members.feeds) == 2, one, two)
    commits: list[Mapping[Partition, int]] = []
    feed = members.feeds["one"]
    with monkeypatch.context() as watched:
        watched.setattr(feed, "commit", commits.append)
        members.until(lambda: members.holds("two"), one, two)
    assert commits == []
    # The other one does its part, then the first comes to its end, as a zombie would.
    members.until(lambda: members.committed() > 0, two)
    go_on.set()
    assert done.wait(10)
    members.settle()
    assert found(members) == whole
    assert conflicts(members.store) == 0


@pytest.mark.parametrize("to", ["the beginning", "the end", "somewhere"])
def test_moved_offsets_change_nothing(members: Members, whole: Some, to: str) -> None:
    one = members.join("one", batch_max=29)
    members.publish()
    members.until(lambda: members.committed() > 60)
    one.close()
    ends = members.broker.scan().ends()
    moved = {"the beginning": 0.0, "the end": 1.0, "somewhere": 0.9}[to]
    members.broker.reset(GROUP, {at: int(offset * moved) for at, offset in ends.items()})
    two = members.join("two", batch_max=31)
    # Whatever the group was made to believe, the member begins at what the tables lack.
    members.until(lambda: members.holds("two"), two)
    members.world.call(members.world.open_account("late"))
    members.publish()
    members.until(
        lambda: projected(members) == members.world.event_count() and not members.behind(), two
    )
    assert found(members)["request_lines"][0] != whole["request_lines"][0]
    assert not drift(
        log=members.world.log,
        store=members.store,
        books=members.world.books,
        until=end(members.world),
    )


def projected(members: Members) -> int:
    return int(members.store.query("SELECT count(DISTINCT seq) FROM $db.log_lines")[0][0])


def test_a_topic_that_was_made_anew_is_read_from_its_beginning(bare: ProjectionStore) -> None:
    members = Members(eventful(), bare, partitions=1)
    members.publish()
    members.join("one")
    members.settle()
    members.close()
    # The same name, another topic: fewer records than the tables know of.
    again = Members(members.world, bare, partitions=1)
    late = members.world.open_account("late")
    again.published = members.world.event_count() - 1
    again.publish()
    again.join("one")
    again.settle()
    assert projected(members) == members.world.event_count()
    assert list(highest_offsets(bare).values()) == [(2, 0)]
    # And it grows beyond the old one: what the tables say is of the new life.
    for _ in range(150):
        members.world.call(late)
    again.publish()
    again.settle()
    again.close()
    third = again.join("three")
    again.broker.reset(GROUP, again.broker.scan().ends())
    again.until(lambda: again.holds("three"), third)
    assert projected(members) == members.world.event_count()
    again.close()


def test_a_rebuild_is_noticed_and_nothing_goes_on_into_the_old_tables(members: Members) -> None:
    world = members.world
    members.join("one", batch_max=23)
    members.publish()
    members.until(lambda: members.committed() > 50)
    rebuilt = rebuild(
        projector_of(world, members.store.at(members.store.database)), locks=MemoryLocks()
    )
    assert rebuilt.database == "keytoll_g2"
    account = world.open_account("after")
    for _ in range(20):
        world.call(account)
    members.publish()
    members.store.use("keytoll_g2")
    members.until(lambda: projected(members) == world.event_count())
    members.settle()
    assert not drift(log=world.log, store=members.store, books=world.books, until=end(world))


def test_tables_that_are_dropped_under_a_batch_are_left(members: Members) -> None:
    world = members.world
    stopped = threading.Event()

    def gate(table: str) -> None:
        if members.store.database == "keytoll_g1" and not stopped.is_set():
            stopped.set()
            rebuild(projector_of(world, members.store.at("keytoll_g1")), locks=MemoryLocks())
            members.store.at("keytoll_g1").command("DROP DATABASE $db SYNC")
            members.store.use("keytoll_g2")

    members.join("one", store=Guarded(members.store, gate))
    members.publish()
    members.settle()
    assert stopped.is_set()
    assert not drift(log=world.log, store=members.store, books=world.books, until=end(world))


def test_a_damaged_record_is_a_dead_letter_until_the_log_has_given_the_event(
    members: Members, whole: Some
) -> None:
    events = list(members.world.log.read(after=0, limit=10_000))
    for each in events:
        line = each.line if each.seq != 40 else each.line[:-3] + b"!!!"
        members.broker.put(
            each.account_id or "", line, store_id=each.store_id, seq=each.seq, hash=each.hash
        )
    one = members.join("one")
    members.settle()
    (letter,) = open_dead_letters(members.store, limit=9)
    assert (letter.store_id, letter.seq, letter.account_id) == ("store-1", 40, "")
    assert "hash" in letter.error
    assert projected(members) == len(events) - 1
    one.close()
    two = members.join("two")
    members.until(lambda: dead_letters(members.store) == 0, two)
    assert found(members) == whole


def test_a_stranger_in_the_topic_is_told_of_and_keeps_nobody_waiting(
    members: Members, whole: Some
) -> None:
    members.publish()
    for number in range(30):
        members.broker.put(f"key {number}", b"hello" if number % 2 else None)
    members.join("one", batch_max=50)
    members.settle()
    letters = open_dead_letters(members.store, limit=99)
    assert {letter.account_id for letter in letters} == {"-"}
    assert len(letters) == 30
    assert letters[0].store_id.startswith("keytoll.events/")
    assert dead_letters(members.store, account_id="acc_" + "0" * 32) == 0
    counted = found(members)
    assert counted.pop("dead_letters") == (30,)
    assert counted == {name: whole[name] for name in counted}


def test_many_unreadable_records_stop_the_member_and_nothing_is_skipped(members: Members) -> None:
    for number in range(1, 60):
        members.broker.put("a", b"{}", store_id="store-1", seq=number, hash=line_hash(b"{}"))
    one = members.join("one")
    with pytest.raises(TooManyDeadLetters, match="59 of 59"):
        members.steps(one)
    assert members.committed() == 0
    assert GROUP in members.broker.groups
    assert not members.broker.groups[GROUP].members, "its partitions are free for others"
    assert dead_letters(members.store) == 0


def test_two_payloads_of_one_event_the_first_counts(members: Members, whole: Some) -> None:
    members.publish()
    other = next(
        each
        for each in members.world.log.read(after=0, limit=1000)
        if each.topic == "request.usage-reported"
    )
    line = other.line.replace(b'"input_tokens":100', b'"input_tokens":999')
    members.broker.put(
        other.account_id or "",
        line,
        store_id=other.store_id,
        seq=other.seq,
        hash=line_hash(line),
    )
    members.join("one")
    members.settle()
    assert found(members)["request_lines"] == whole["request_lines"]
    assert conflicts(members.store) == conflicts(members.store, account_id=other.account_id) == 1
    assert doubled_accounts(members.store) == {other.account_id}


def test_a_price_book_that_is_not_there_yet_is_waited_for(members: Members, whole: Some) -> None:
    books, followed = Books(book_of([])), threading.Event()

    def follow() -> None:
        if followed.is_set():
            books.adopt(members.world.full_book)

    members.join("one", tables={"books": books, "follow_books": follow})
    members.publish()
    with pytest.raises(ProjectionUnavailable, match="price book"):
        members.steps(members.all[0])
    assert members.committed() == 0
    followed.set()
    members.settle()
    assert found(members) == whole
    assert members.letters == []


def test_a_member_whose_name_was_taken_stops(members: Members) -> None:
    one, two = members.join("one"), members.join("one")
    members.until(lambda: bool(members.feeds), one)
    first = members.feeds["one"]
    members.until(lambda: members.feeds["one"] is not first, two)
    with pytest.raises(Displaced):
        members.steps(one)
