"""The store in Postgres: what it asks of a database, and what it does when the database fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import psycopg
import pytest
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

from domain.clock import FixedClock
from domain.errors import UnsafeSetup
from domain.eventlog.log import StoredLog
from domain.eventlog.port import Conflict, CorruptLog, Recorded, StoreUnavailable
from domain.eventlog.postgres import (
    PostgresStore,
    begin_new_postgres_store,
    open_postgres_log,
)
from domain.eventlog.postgres_rows import streams_query
from domain.eventlog.raw import verify_stored
from domain.events.codec import decode
from domain.events.store import StoreOpened
from domain.postgres import Connection, connect
from tests.domain.eventlog.filling import START, failed, fill, routed
from tests.domain.eventlog.wire import Wire, wire_to
from tests.services.fixtures import fresh_name, in_database, serving
from tests.services.postgres import Postgres

pytestmark = pytest.mark.services

COMMIT = b"COMMIT\x00"
"""As it goes over the wire; READ COMMITTED is another word."""


def opened(dsn: str, *, store_id: str | None = None, clock: FixedClock | None = None) -> StoredLog:
    return open_postgres_log(dsn, store_id=store_id, clock=clock or FixedClock(START))


@pytest.fixture
def by_hand(postgres_dsn: str) -> Iterator[Connection]:
    connection = connect(postgres_dsn, purpose="by hand")
    yield connection
    connection.close()


def test_the_id_of_a_store_is_given_once(postgres_dsn: str) -> None:
    first = opened(postgres_dsn)
    name = first.store_id
    first.close()
    assert name.startswith("st_")
    again = opened(postgres_dsn)
    assert again.store_id == name
    again.close()
    with pytest.raises(UnsafeSetup, match=f"the store {name}, not other"):
        opened(postgres_dsn, store_id="other")


def test_those_that_start_at_once_make_one_store(postgres_dsn: str) -> None:
    names: list[str] = []

    def start() -> None:
        log = opened(postgres_dsn)
        names.append(log.store_id)
        log.close()

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 8
    assert len(set(names)) == 1


def test_two_writers_number_on_and_time_never_runs_back(postgres_dsn: str) -> None:
    early, late = FixedClock(START), FixedClock(START + timedelta(hours=1))
    one, two = opened(postgres_dsn, clock=early), opened(postgres_dsn, clock=late)
    rows = [log.submit(routed(), account_id=None).result()[0] for log in (one, two, one, two)]
    assert [row.seq for row in rows] == [1, 2, 3, 4] == [r.seq for r in two.read(after=0, limit=9)]
    assert [row.recorded_at[11:19] for row in rows] == ["00:00:00", *["01:00:00"] * 3]
    with pytest.raises(Conflict):
        two.submit(decode(rows[0]), account_id=None).result()
    assert one.head() == two.head() == 4
    one.close()
    two.close()


def test_conflicts_cost_nobody_a_batch(postgres_dsn: str) -> None:
    """Prepared statements were once forgotten by the driver when a conflict was rolled back."""
    log = opened(postgres_dsn)
    (row,) = log.submit(routed(), account_id=None).result()
    for seq in range(2, 22):
        assert isinstance(log.submit(decode(row), account_id=None).exception(), Conflict)
        assert log.submit(routed(), account_id=None).result()[0].seq == seq
    log.close()


def test_a_restored_database_continues_and_the_old_writers_are_refused(postgres_dsn: str) -> None:
    old = opened(postgres_dsn, store_id="st_1")
    fill(old)
    name = begin_new_postgres_store(postgres_dsn, store_id="st_2")
    refused = old.submit(routed(), account_id=None).exception()
    assert isinstance(refused, StoreUnavailable)
    assert "st_1 is written no more" in str(refused)
    old.close()
    log = opened(postgres_dsn, clock=FixedClock(START - timedelta(days=1)))
    assert (name, log.head(), [store.head() for store in log.earlier()]) == ("st_2", 0, [12])
    (opening,) = log.opened(epoch="ep", program="keytoll test").result()
    event = decode(opening)
    assert isinstance(event, StoreOpened)
    assert event.continues is not None
    assert (event.continues["store_id"], event.continues["size"]) == ("st_1", 12)
    assert opening.recorded_at == "2026-11-01T00:00:00.000000Z", "time goes on"
    (before,) = log.earlier()
    assert [row.seq for row in before.read(after=10, limit=9)] == [11, 12]
    with pytest.raises(Conflict):
        log.submit(decode(before.read(after=0, limit=1)[0]), account_id=None).result()
    log.close()
    with pytest.raises(UnsafeSetup, match="in the database already"):
        begin_new_postgres_store(postgres_dsn, store_id="st_1")
    report = verify_stored(postgres_dsn)
    assert report.ok, report.findings


def test_the_library_reads_what_was_stored(postgres_dsn: str) -> None:
    log = opened(postgres_dsn)
    request = routed()
    (row,) = log.submit(request, account_id=None).result()
    log.close()
    parts = urlsplit(postgres_dsn)
    datastore = PostgresDatastore(
        parts.path[1:],
        parts.hostname or "",
        parts.port or 0,
        parts.username or "",
        parts.password or "",
    )
    recorder = PostgresApplicationRecorder(datastore)
    (stored,) = recorder.select_events(request.originator_id)
    assert (stored.state, stored.topic) == (row.line, row.topic)
    assert [each.id for each in recorder.select_notifications(1, 10)] == [1]
    datastore.close()


def test_functions_in_the_database_are_refused(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = PostgresDatastore.__init__

    def with_functions(self: PostgresDatastore, *given: object, **named: object) -> None:
        made(self, *given, **{**named, "enable_db_functions": True})  # type: ignore[arg-type]

    monkeypatch.setattr(PostgresDatastore, "__init__", with_functions)
    with pytest.raises(UnsafeSetup, match="functions in the database"):
        opened(postgres_dsn)


@pytest.mark.parametrize(
    "setting",
    [
        "synchronous_commit = off",
        "default_transaction_isolation = 'serializable'",
        "search_path = elsewhere",
        "timezone = 'Asia/Tokyo'",
    ],
)
def test_what_a_session_needs_it_sets_itself(
    postgres_dsn: str, by_hand: Connection, setting: str
) -> None:
    name = urlsplit(postgres_dsn).path[1:]
    by_hand.execute(f'ALTER DATABASE "{name}" SET {setting}'.encode())
    one, two = opened(postgres_dsn), opened(postgres_dsn)
    for log in (one, two, one):
        log.submit(routed(), account_id=None).result()
    assert one.head() == 3
    one.close()
    two.close()


def test_a_database_of_another_encoding_is_refused(postgres_server: str) -> None:
    name = fresh_name()
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        made = f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0"
        connection.execute(made.encode())
        with pytest.raises(UnsafeSetup, match="SQL_ASCII"):
            opened(in_database(postgres_server, name))
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_the_log_of_a_newer_program_is_left_alone(postgres_dsn: str, by_hand: Connection) -> None:
    opened(postgres_dsn).close()
    by_hand.execute("UPDATE log_format SET version = 2")
    with pytest.raises(UnsafeSetup, match="newer program"):
        opened(postgres_dsn)


def test_a_server_that_is_not_there_is_said_without_the_password() -> None:
    with pytest.raises(UnsafeSetup) as refused:
        opened("postgresql://someone:hidden-word@127.0.0.1:1/nowhere")
    assert "hidden-word" not in str(refused.value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("DELETE FROM lines WHERE position = 12", "does not end at seq 12"),
        ("UPDATE stores SET size = 11", "does not end at seq 11"),
        ("UPDATE stores SET version = 2", "of the store st_1 itself is missing"),
        ("UPDATE stored_events SET state = 'x' WHERE notification_id = 12", "bytes of seq 12"),
    ],
)
def test_an_end_that_cannot_be_continued_is_refused(
    postgres_dsn: str, by_hand: Connection, damage: str, message: str
) -> None:
    log = opened(postgres_dsn, store_id="st_1")
    fill(log)
    log.close()
    by_hand.execute(damage.encode())
    with pytest.raises(CorruptLog, match=message):
        opened(postgres_dsn)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("UPDATE stored_events SET state = 'x' WHERE notification_id = 5", "the bytes of seq 5"),
        ("DELETE FROM stored_events WHERE notification_id = 5", "the event of seq 5 is missing"),
        ("DELETE FROM lines WHERE position = 5", "seq 5 is missing"),
        ("UPDATE lines SET originator_version = 7 WHERE position = 5", "seq 5 is not where"),
    ],
)
def test_a_reader_never_passes_over_damage(
    postgres_dsn: str, by_hand: Connection, damage: str, message: str
) -> None:
    log = opened(postgres_dsn)
    fill(log)
    by_hand.execute(damage.encode())
    with pytest.raises(CorruptLog, match=message):
        log.read(after=0, limit=100)
    log.close()


def test_reading_accounts_does_not_scan_requests(postgres_dsn: str, by_hand: Connection) -> None:
    log = opened(postgres_dsn)
    for future in [log.submit(routed(), account_id=None) for _ in range(3000)]:
        future.result()
    log.seal().result()
    by_hand.execute("ANALYZE")
    wanted = ["store", "account"]
    plan = by_hand.execute(
        b"EXPLAIN " + streams_query(wanted).encode(), (0, 2**62, wanted, 1000)
    ).fetchall()
    assert any("lines_but_requests" in row[0] for row in plan), plan
    assert [row.seq for row in log.read(after=0, limit=10, streams=wanted)] == [3001]
    log.close()


@dataclass
class Cut:
    """A log over a wire, and one beside it that is not cut."""

    wire: Wire
    log: StoredLog
    other: StoredLog


@pytest.fixture
def cut(postgres_dsn: str) -> Iterator[Cut]:
    with wire_to(postgres_dsn) as wire:
        both = Cut(wire, opened(wire.dsn), opened(postgres_dsn))
        both.log.submit(routed(), account_id=None).result()
        yield both
        both.log.close()
        both.other.close()


def test_a_connection_lost_while_idle_is_replaced(cut: Cut, by_hand: Connection) -> None:
    cut.log.read(after=0, limit=1)
    ended = by_hand.execute(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    ).fetchone()
    assert ended is not None
    assert ended[0] >= 2
    assert cut.log.head() == 1
    assert cut.log.submit(routed(), account_id=None).result()[0].seq == 2


def test_a_commit_whose_answer_was_lost_is_answered_as_stored(cut: Cut) -> None:
    behind: list[Recorded] = []

    def meanwhile() -> None:
        behind.extend(cut.other.submit(routed(), account_id=None).result())

    cut.wire.cut_at(COMMIT, reaches=True, meanwhile=meanwhile)
    (row,) = cut.log.submit(routed(), account_id=None).result()
    assert (cut.wire.cuts, row.seq, behind[0].seq) == (1, 2, 3)
    assert cut.other.read(after=1, limit=9) == [row, *behind]
    assert cut.log.submit(routed(), account_id=None).result()[0].seq == 4


def test_a_batch_that_never_arrived_is_refused_and_leaves_no_gap(cut: Cut) -> None:
    cut.wire.cut_at(COMMIT, reaches=False)
    request = routed()
    refused = cut.log.submit(request, account_id=None).exception()
    assert isinstance(refused, StoreUnavailable)
    assert cut.wire.cuts == 1
    assert not cut.other.stream(request.originator_id)
    assert cut.log.submit(request, account_id=None).result()[0].seq == 2


def test_an_absent_database_is_said_at_once_and_one_that_came_back_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(Postgres(durable=False)) as server:
        log = opened(server.dsn)
        log.submit(routed(), account_id=None).result()
        log.read(after=0, limit=1)
        server.kill()
        assert isinstance(log.submit(routed(), account_id=None).exception(20), StoreUnavailable)
        with pytest.raises(StoreUnavailable):
            log.read(after=0, limit=1)
        server.start()
        assert log.submit(routed(), account_id=None).result(20)[0].seq == 2
        assert log.head() == 2
        monkeypatch.setattr("domain.eventlog.postgres.ANSWER_S", 1)
        server.hold()
        held = log.submit(failed(), account_id=None)
        with pytest.raises(StoreUnavailable):
            log.read(after=0, limit=1)
        assert isinstance(held.exception(30), StoreUnavailable)
        server.let_go()
        assert log.submit(routed(), account_id=None).result(20)[0].seq in {3, 4}
        log.close()
        assert verify_stored(server.dsn).findings_total <= 1  # a failure without its request


def test_a_closed_store_holds_no_connection(postgres_dsn: str, by_hand: Connection) -> None:
    log = opened(postgres_dsn)
    log.submit(routed(), account_id=None).result()
    log.read(after=0, limit=1)
    log.close()
    store = PostgresStore(postgres_dsn)
    store.prepare()
    store.close()
    left = by_hand.execute(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    ).fetchone()
    assert left == (0,)
