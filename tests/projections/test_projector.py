"""What the tables hold does not depend on how the events came to them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.eventlog.port import Chain, CorruptLog, Recorded
from domain.events.base import Event
from domain.events.codec import UnreadableEvent, decode, line_hash
from domain.events.registry import EVENTS
from pricing.book import Books, UnknownBook, book_of
from projections import batch as batch_module
from projections.drift import drift
from projections.inserter import TooManyDeadLetters
from projections.projector import AnotherLog, Projector
from projections.queries.health import (
    conflicts,
    dead_letters,
    doubled_accounts,
    health,
)
from projections.rebuild import facts
from projections.rows import COLUMNS, IGNORED, ROWS
from projections.store.port import Columns, ProjectionStore, ProjectionUnavailable
from tests.projections.world import START, World


class Died(BaseException):
    """The process ends here."""


class FragileStore:
    """A store that dies (or fails) before the n-th insert, or right after it."""

    def __init__(self, inner: ProjectionStore, *, at: int, after: bool, how: BaseException) -> None:
        self._inner = inner
        self._left = at
        self._after = after
        self._how = how

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def insert(self, table: str, rows: Columns, *, token: str) -> None:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise self._how
        self._inner.insert(table, rows, token=token)
        if self._left == 0:
            raise self._how


class OtherLog:
    """A log that says something else than another one."""

    store_id = "store-1"

    def __init__(self, events: Sequence[Recorded]) -> None:
        self.events = list(events)

    def chains(self) -> Sequence[Chain]:
        return [Chain((self,))]

    def read(
        self, *, after: int, limit: int, streams: Collection[str] | None = None
    ) -> Sequence[Recorded]:
        assert streams is None
        return self.events[after : after + limit]

    def stream(self, originator_id: UUID) -> Sequence[Recorded]:
        return [each for each in self.events if each.originator_id == originator_id]

    def head(self) -> int:
        return len(self.events)


def end(world: World) -> dict[str, int]:
    return {world.log.store_id: world.event_count()}


def projector_of(world: World, store: Any, **given: Any) -> Projector:
    return Projector(log=world.log, store=store, books=world.books, **given)


def eventful() -> World:
    """Calls of every kind, interleaved, with corrections and re-ratings."""
    world = World()
    account, other = world.open_account("a"), world.open_account("b")
    open_ones = []
    for number in range(12):
        open_ones.append((account, world.routed(account)))
        world.call(other, tags={"team": "red"}, provider="anthropic", model="claude-x")
        late = world.routed(account)
        world.failed(late, account)
        world.corrected(late, account, input_tokens=number, output_tokens=1)
        unknown = world.call(account, model="new-x")
        world.rerated(unknown, account)
        world.corrected(unknown, account, version=4, input_tokens=11, output_tokens=number)
        world.tick(days=3)
    for account_id, request in open_ones[:-2]:
        world.estimated(request, account_id, input_tokens=9, output_tokens=9)
    world.log.seal().result()
    return world


def everything(world: World, store: ProjectionStore) -> Any:
    return facts(store, until=end(world))


def differences(world: World, store: ProjectionStore) -> list[str]:
    return drift(log=world.log, store=store, books=world.books, until=end(world))


@pytest.fixture
def world() -> World:
    return eventful()


@pytest.fixture
def whole(world: World, tables: ProjectionStore) -> Any:
    """The facts after an undisturbed run, whose tables are then emptied."""
    projector_of(world, tables).catch_up()
    assert differences(world, tables) == []
    result = everything(world, tables)
    for table in (*COLUMNS,):
        tables.command(f"TRUNCATE TABLE $db.{table}")
    return result


def test_every_topic_makes_rows_or_is_ignored_on_purpose() -> None:
    assert ROWS.keys() | IGNORED == EVENTS.keys()
    assert not ROWS.keys() & IGNORED


def test_columns_are_those_of_the_schema(tables: ProjectionStore) -> None:
    for table, names in COLUMNS.items():
        stored = tables.query(
            "SELECT name FROM system.columns WHERE database = {db:String} AND table = {t:String}",
            {"db": tables.database, "t": table},
        )
        assert {name for (name,) in stored} == set(names)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_size_of_batches_changes_nothing(
    world: World, tables: ProjectionStore, whole: Any, size: int
) -> None:
    projector_of(world, tables, batch_events_max=size).catch_up()
    assert everything(world, tables) == whole


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("after", [False, True])
def test_dying_at_any_insert_neither_loses_nor_doubles(
    world: World, tables: ProjectionStore, whole: Any, at: int, *, after: bool
) -> None:
    fragile = FragileStore(tables, at=at, after=after, how=Died())
    with pytest.raises(Died):
        projector_of(world, fragile, batch_events_max=20).catch_up()
    # The next life has batches of another size, so no token can recognise them.
    projector_of(world, tables, batch_events_max=33).catch_up()
    assert everything(world, tables) == whole
    assert differences(world, tables) == []


def test_a_store_that_is_away_is_tried_again(
    world: World, tables: ProjectionStore, whole: Any
) -> None:
    away = ProjectionUnavailable("away")
    projector = projector_of(world, FragileStore(tables, at=2, after=True, how=away))
    with pytest.raises(ProjectionUnavailable):
        projector.step()
    assert projector.reached() == {"store-1": 0}
    projector.catch_up()
    assert everything(world, tables) == whole
    assert dead_letters(tables) == 0


def test_reading_again_changes_nothing(world: World, tables: ProjectionStore, whole: Any) -> None:
    projector = projector_of(world, tables, batch_events_max=50)
    for back in (0, 30, 11):
        projector.catch_up()
        projector.seek({"store-1": back})
    projector.catch_up()
    assert everything(world, tables) == whole
    assert conflicts(tables) == 0


def test_a_gap_in_the_tables_is_read_again(
    world: World, tables: ProjectionStore, whole: Any
) -> None:
    projector_of(world, tables).catch_up()
    tables.command("DELETE FROM $db.log_lines WHERE seq BETWEEN 20 AND 25")
    tables.command("DELETE FROM $db.request_lines WHERE seq BETWEEN 20 AND 25")
    again = projector_of(world, tables)
    assert again.start() == {"store-1": 19}
    # The engine remembers tokens of whole batches; this batch is another one.
    again.catch_up()
    assert everything(world, tables) == whole


def test_memory_of_running_requests_is_only_a_shortcut(
    world: World, tables: ProjectionStore, whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_module, "OPEN_KEPT_MAX", 1)
    projector_of(world, tables).catch_up()
    assert everything(world, tables) == whole


def test_a_second_payload_never_replaces_the_first(world: World, tables: ProjectionStore) -> None:
    projector = projector_of(world, tables)
    projector.catch_up()
    before = facts(tables, until=end(world))["request_lines"]
    events = list(world.log.read(after=0, limit=10_000))
    position = next(
        index for index, each in enumerate(events) if each.topic == "request.usage-reported"
    )
    line = events[position].line.replace(b'"input_tokens":100', b'"input_tokens":999')
    events[position] = events[position]._replace(line=line, hash=line_hash(line))
    other = Projector(log=OtherLog(events), store=tables, books=world.books)
    other.start()
    other.seek({"store-1": 0})
    other.catch_up()
    assert facts(tables, until=end(world))["request_lines"] == before
    owner = events[position].account_id or ""
    assert conflicts(tables) == conflicts(tables, account_id=owner) == 1
    assert doubled_accounts(tables) == frozenset({owner})
    assert conflicts(tables, account_id="acc_" + "0" * 32) == 0
    assert any("two payloads" in each for each in differences(world, tables))


def test_tables_of_another_log_are_refused(world: World, tables: ProjectionStore) -> None:
    projector_of(world, tables).catch_up()
    events = list(world.log.read(after=0, limit=10_000))
    with pytest.raises(AnotherLog, match="further"):
        Projector(log=OtherLog(events[:-1]), store=tables, books=world.books).start()
    rewritten = eventful()
    with pytest.raises(AnotherLog, match="not what was projected"):
        projector_of(rewritten, tables).start()


def test_a_log_with_a_gap_is_refused(world: World, tables: ProjectionStore) -> None:
    events = list(world.log.read(after=0, limit=10_000))
    del events[10]
    with pytest.raises(CorruptLog):
        Projector(log=OtherLog(events), store=tables, books=world.books).catch_up()


def damaged(world: World, count: int) -> OtherLog:
    events, left = list(world.log.read(after=0, limit=10_000)), count
    for index, each in enumerate(events):
        if each.topic == "request.usage-reported" and left:
            line = each.line.replace(b'"input_tokens":100', b'"surprise_tokens":100')
            events[index] = each._replace(line=line, hash=line_hash(line))
            left -= 1
    return OtherLog(events)


def test_what_cannot_be_read_becomes_a_dead_letter_and_is_tried_again(
    world: World, tables: ProjectionStore, whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    bad = next(
        each
        for each in world.log.read(after=0, limit=1000)
        if each.topic == "request.usage-reported"
    )

    def older_program(recorded: Recorded) -> Event:
        if recorded.seq == bad.seq:
            raise UnreadableEvent("unknown ['surprise']")
        return decode(recorded)

    projector = projector_of(
        world, tables, on_dead_letter=lambda recorded, why: heard.append(f"{recorded.seq} {why}")
    )
    with monkeypatch.context() as patched:
        patched.setattr(batch_module, "decode", older_program)
        projector.catch_up()
        assert projector.retry_dead_letters() == 0
    assert projector.reached() == end(world)
    assert heard[0] == f"{bad.seq} UnreadableEvent: unknown ['surprise']"
    # Whom it may concern is blocked, others are not.
    assert dead_letters(tables) == dead_letters(tables, account_id=bad.account_id) == 1
    assert dead_letters(tables, account_id="acc_" + "0" * 32) == 0
    assert any("could not be read" in each for each in differences(world, tables))
    # A program that understands it: the row comes, the letter is resolved.
    assert projector.retry_dead_letters() == 1
    assert dead_letters(tables) == 0
    assert everything(world, tables) == whole


def test_many_dead_letters_stop_the_projector(tables: ProjectionStore) -> None:
    world = World()
    account = world.open_account("a")
    for _ in range(30):
        world.call(account)
    projector = Projector(log=damaged(world, 30), store=tables, books=world.books)
    with pytest.raises(TooManyDeadLetters):
        projector.step()
    assert (projector.reached(), dead_letters(tables)) == ({"store-1": 0}, 0)


def test_a_book_that_the_program_lacks_stops_it(world: World, tables: ProjectionStore) -> None:
    older = Books(book_of([]))
    with pytest.raises(UnknownBook):
        Projector(log=world.log, store=tables, books=older).catch_up()
    assert dead_letters(tables) == 0


def test_drift_names_what_was_changed(world: World, tables: ProjectionStore) -> None:
    projector_of(world, tables).catch_up()
    (seq,) = tables.query("SELECT max(seq) FROM $db.request_lines WHERE sign = 1")[0]
    tables.command(
        f"ALTER TABLE $db.request_lines UPDATE fee_usd = 1 WHERE seq = {seq}"
        " SETTINGS mutations_sync = 2"
    )
    assert differences(world, tables) == [
        f"seq {seq}: request_lines does not say what the log says"
    ]
    tables.command(f"DELETE FROM $db.request_lines WHERE seq = {seq}")
    assert differences(world, tables) == [f"seq {seq}: request_lines lacks a row"]
    # A log that has no such event.
    shorter = OtherLog(list(world.log.read(after=0, limit=10_000))[:-3])
    assert any(
        "ends at seq" in each
        for each in drift(log=shorter, store=tables, books=world.books, until=end(world))
    )


def test_health_counts_what_operators_watch(world: World, tables: ProjectionStore) -> None:
    projector_of(world, tables).catch_up()
    seen = health(tables, since=START)
    assert (seen.requests, seen.estimated, seen.unrated, seen.lost) == (46, 10, 0, 0)
    assert seen.estimate_share == 10 / 46
    later = health(tables, since=START + timedelta(days=365))
    assert (later.requests, later.estimate_share) == (0, 0.0)
