"""Every way of damaging a log in Postgres is found and named; an honest one passes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.clock import FixedClock
from domain.errors import UnsafeSetup
from domain.eventlog.checkpoint import Checkpoint, checkpoint_of
from domain.eventlog.port import stores_of
from domain.eventlog.postgres import begin_new_postgres_store, open_postgres_log
from domain.eventlog.raw import verify_stored
from domain.eventlog.verify import Report
from domain.postgres import Connection, connect
from domain.seal import Frontier, leaf_hash
from tests.domain.eventlog import filling
from tests.domain.eventlog.filling import START, fill, routed
from tests.domain.events.samples import ACCOUNT_ID

pytestmark = pytest.mark.services


@pytest.fixture
def dsn(postgres_dsn: str) -> str:
    """Thirteen events: four settled calls with a seal after each, and one call still open."""
    log = open_postgres_log(postgres_dsn, store_id="st_1", clock=FixedClock(START))
    fill(log)
    log.submit(routed(), account_id=ACCOUNT_ID).result()
    log.close()
    return postgres_dsn


@pytest.fixture
def by_hand(dsn: str) -> Iterator[Connection]:
    connection = connect(dsn, purpose="attack")
    yield connection
    connection.close()


def kinds(report: Report) -> list[tuple[str, int | None]]:
    return [(finding.kind, finding.seq) for finding in report.findings]


def line_at(connection: Connection, position: int) -> bytes:
    row = connection.execute(
        "SELECT state FROM stored_events WHERE notification_id = %s", (position,)
    ).fetchone()
    assert row is not None
    return bytes(row[0])


def put(connection: Connection, position: int, line: bytes, *, rehash: bool) -> None:
    connection.execute(
        "UPDATE stored_events SET state = %s WHERE notification_id = %s", (line, position)
    )
    if rehash:
        connection.execute(
            "UPDATE lines SET hash = %s WHERE position = %s", (leaf_hash(line), position)
        )


def test_an_honest_log_passes_also_while_it_is_written(dsn: str) -> None:
    log = open_postgres_log(dsn, clock=FixedClock(START))
    report = verify_stored(dsn)
    assert report.ok, report.findings
    assert (report.events, report.open_requests) == (13, 1)
    (state,) = report.stores
    assert (state.store_id, state.size, state.seals) == ("st_1", 13, 4)
    fill(log)
    assert verify_stored(dsn).events == log.head() == 25
    log.close()


@pytest.mark.parametrize("position", [1, 3, 13])
def test_any_changed_byte_is_named(dsn: str, by_hand: Connection, position: int) -> None:
    line = line_at(by_hand, position)
    for offset in (0, len(line) // 2, len(line) - 1):
        changed = line[:offset] + bytes([line[offset] ^ 1]) + line[offset + 1 :]
        put(by_hand, position, changed, rehash=False)
        assert kinds(verify_stored(dsn)) == [("changed-bytes", position)]
    put(by_hand, position, line, rehash=False)
    assert verify_stored(dsn).ok


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("DELETE FROM stored_events WHERE notification_id = 5", ("deleted-row", 5)),
        ("UPDATE stored_events SET state = NULL WHERE notification_id = 5", ("deleted-row", 5)),
        ("DELETE FROM lines WHERE position IN (4, 5)", ("gap", 4)),
        ("UPDATE lines SET position = 99 WHERE position = 13", ("gap", 13)),
        (
            "UPDATE stored_events SET notification_id = 99 WHERE notification_id = 4",
            ("deleted-row", 4),
        ),
        ("UPDATE stored_events SET topic = 'a.b' WHERE notification_id = 2", ("misfiled", 2)),
        ("UPDATE lines SET stream = 'request' WHERE position = 3", ("misfiled", 3)),
        ("UPDATE lines SET originator_version = 9 WHERE position = 3", ("misplaced", 3)),
        (
            "INSERT INTO lines SELECT 14, hash, stream, originator_id, 1 FROM lines LIMIT 1",
            ("stray-event", None),
        ),
        ("DELETE FROM open_requests", ("wrong-open-requests", None)),
        ("UPDATE stores SET size = 12", ("wrong-tail", None)),
        ("UPDATE stores SET size = 11", ("wrong-tail", 11)),
        ("UPDATE stores SET frontier = decode(repeat('00', 96), 'hex')", ("wrong-tail", 13)),
        (
            "INSERT INTO stored_events SELECT gen_random_uuid(), 1, 'request.routed', 'x', 99",
            ("stray-event", None),
        ),
    ],
)
def test_damage_is_named(
    dsn: str, by_hand: Connection, damage: str, found: tuple[str, int | None]
) -> None:
    by_hand.execute(damage.encode())
    names = kinds(verify_stored(dsn))
    assert found in names, names


def test_a_cut_tail_is_found_by_the_row_of_the_store_and_by_checkpoints(
    dsn: str, by_hand: Connection
) -> None:
    log = open_postgres_log(dsn, clock=FixedClock(START))
    (store,) = stores_of(log)
    seals: list[Checkpoint] = [
        checkpoint_of(row) for row in store.read(after=0, limit=99, streams={"store"})
    ]
    leaves = [bytes.fromhex(row.hash) for row in store.read(after=0, limit=11)]
    log.close()
    by_hand.execute("DELETE FROM lines WHERE position >= 12")
    by_hand.execute("DELETE FROM stored_events WHERE notification_id >= 12")
    by_hand.execute("DELETE FROM open_requests")
    assert kinds(verify_stored(dsn)) == [("cut-tail", 13)]
    tree = Frontier()
    for leaf in leaves:
        tree.add(leaf)
    by_hand.execute(
        "UPDATE stores SET size = 11, frontier = %s, version = 3", (b"".join(tree.subtrees),)
    )
    assert verify_stored(dsn).ok, "whoever owns the database can also cut its row"
    assert kinds(verify_stored(dsn, checkpoints=seals)) == [("cut-tail", 12)]


def test_a_log_that_continues_another_is_verified_with_it(dsn: str, by_hand: Connection) -> None:
    name = begin_new_postgres_store(dsn)
    log = open_postgres_log(dsn, clock=FixedClock(START))
    log.opened(epoch="ep", program="keytoll test").result()
    fill(log)
    log.close()
    report = verify_stored(dsn)
    assert report.ok, report.findings
    assert [(state.store_id, state.size) for state in report.stores] == [("st_1", 13), (name, 13)]
    put(by_hand, 13 + 5, b"{}", rehash=False)
    assert kinds(verify_stored(dsn)) == [("changed-bytes", 5)]


def test_a_file_and_a_database_are_verified_as_one(dsn: str, tmp_path: Path) -> None:
    log = filling.opened(tmp_path / "events.sqlite", store_id="st_0")
    fill(log, calls=1)
    log.close()
    elsewhere = Checkpoint("st_9", 2, 1, "0" * 64, "")
    report = verify_stored(tmp_path / "events.sqlite", dsn, checkpoints=[elsewhere])
    assert [state.store_id for state in report.stores] == ["st_0", "st_1"]
    assert (report.events, report.open_requests) == (16, 1)
    assert [finding.kind for finding in report.findings] == ["missing-store"]


def test_what_is_no_log_is_refused(postgres_dsn: str) -> None:
    with pytest.raises(UnsafeSetup, match="no event log in the database"):
        verify_stored(postgres_dsn)
