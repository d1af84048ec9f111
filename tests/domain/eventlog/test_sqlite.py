"""What only the file can show: reopening, ownership, damage, a full disk."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from domain import sqlite
from domain.clock import FixedClock
from domain.errors import UnsafeSetup
from domain.eventlog.port import Conflict, CorruptLog, StoreUnavailable
from domain.eventlog.sqlite import SQLiteLog, open_sqlite_log
from domain.eventlog.sqlite_rows import streams_query
from domain.events.codec import decode
from domain.events.requests import RequestFailed, RequestRouted
from domain.events.store import LogSealed
from domain.ids import new_id
from domain.seal import root_of
from tests.domain.events.samples import sample

START = datetime(2026, 11, 1, tzinfo=UTC)


def event() -> RequestFailed:
    return RequestFailed(originator_id=new_id(), originator_version=2, failure="timeout")


def routed() -> RequestRouted:
    like = sample("request.routed")
    assert isinstance(like, RequestRouted)
    return RequestRouted(**{**vars(like), "originator_id": new_id()})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.sqlite"


def opened(path: Path, *, store_id: str | None = None, at: datetime = START) -> SQLiteLog:
    return open_sqlite_log(path, store_id=store_id, clock=FixedClock(at))


@pytest.fixture
def filled(path: Path) -> Path:
    """A closed log of ten events: two open requests, one seal."""
    log = opened(path)
    log.submit(routed(), routed(), account_id=None).result()
    for _ in range(4):
        log.submit(event(), account_id=None).result()
    log.seal().result()
    for _ in range(3):
        log.submit(event(), account_id=None).result()
    log.close()
    return path


@pytest.fixture
def by_hand(filled: Path) -> Iterator[sqlite.Connection]:
    connection = sqlite.connect(filled)
    yield connection
    connection.close()


def test_reopening_continues(filled: Path) -> None:
    log = opened(filled, at=START - timedelta(days=1))
    assert log.head() == 10
    assert len(log.open_requests()) == 2
    (row,) = log.submit(event(), account_id=None).result()
    assert (row.seq, row.recorded_at) == (11, "2026-11-01T00:00:00.000000Z")
    (sealed,) = log.seal().result()
    assert sealed.originator_version == 2
    seal = decode(sealed)
    assert isinstance(seal, LogSealed)
    rows = log.read(after=0, limit=11)
    assert seal.root == root_of(bytes.fromhex(row.hash) for row in rows).hex()
    with pytest.raises(Conflict):
        log.submit(decode(rows[0]), account_id=None).result()
    log.close()


def test_the_id_of_a_store_is_given_once(path: Path) -> None:
    first = opened(path)
    name = first.store_id
    first.close()
    again = opened(path)
    assert again.store_id == name
    assert name.startswith("st_")
    again.close()
    with pytest.raises(UnsafeSetup, match=f"the store {name}, not other"):
        opened(path, store_id="other")
    other = opened(path.with_name("other.sqlite"), store_id="other")
    assert other.store_id == "other"
    other.close()


def test_a_second_writer_is_refused_until_the_first_is_done(path: Path) -> None:
    log = opened(path)
    with pytest.raises(UnsafeSetup, match=r"events\.sqlite is already in use by process \d+"):
        opened(path)
    program = (
        "import sys; from pathlib import Path; from domain.clock import SystemClock\n"
        "from domain.eventlog.sqlite import open_sqlite_log\n"
        "open_sqlite_log(Path(sys.argv[1]), clock=SystemClock())"
    )
    other = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        check=False,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert "is already in use by process" in other.stderr
    log.close()
    opened(path).close()


def test_a_failed_start_gives_the_file_back(path: Path) -> None:
    opened(path, store_id="one").close()
    with pytest.raises(UnsafeSetup):
        opened(path, store_id="two")
    opened(path, store_id="one").close()


def test_a_log_is_for_its_owner_only(path: Path) -> None:
    log = opened(path)
    log.submit(event(), account_id=None).result()
    for name in ("", "-wal", "-shm", ".lock"):
        assert path.with_name(path.name + name).stat().st_mode & 0o777 == 0o600
    log.close()


def test_the_log_beside_the_file_stays_small(path: Path) -> None:
    log = opened(path)
    for _ in range(8):
        for future in [log.submit(routed(), account_id=None) for _ in range(1000)]:
            future.result()
    assert path.with_name("events.sqlite-wal").stat().st_size < 30 * 2**20
    log.close()


def test_every_commit_is_on_disk_before_it_returns(path: Path) -> None:
    connection = sqlite.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert connection.execute("PRAGMA busy_timeout").fetchone()[0] == 5000
    connection.close()


@pytest.mark.parametrize("name", ["with space", "per%cent", "question?mark", "hash#", "ünïcode"])
def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    log = opened(folder / "events.sqlite")
    log.submit(event(), account_id=None).result()
    log.close()
    assert {found.name for found in folder.iterdir()} == {"events.sqlite", "events.sqlite.lock"}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            "UPDATE stored_events SET state = CAST(upper(state) AS BLOB) WHERE rowid = 5",
            "the bytes of seq 5",
        ),
        ("UPDATE stored_events SET state = 'text' WHERE rowid = 5", "the bytes of seq 5"),
        ("DELETE FROM stored_events WHERE rowid = 5", "the event of seq 5 is missing"),
        ("DELETE FROM lines WHERE position = 5", "seq 5 is missing"),
        ("UPDATE lines SET hash = zeroblob(32) WHERE position = 5", "the bytes of seq 5"),
        ("UPDATE lines SET originator_version = 7 WHERE position = 5", "seq 5 is not where"),
    ],
)
def test_a_reader_never_passes_over_damage(
    filled: Path, by_hand: sqlite.Connection, damage: str, message: str
) -> None:
    log = opened(filled)
    by_hand.execute(damage)
    with pytest.raises(CorruptLog, match=message):
        log.read(after=0, limit=100)
    log.close()


def test_two_exchanged_lines_are_noticed(filled: Path, by_hand: sqlite.Connection) -> None:
    log = opened(filled)
    one, two = (
        by_hand.execute("SELECT * FROM lines WHERE position = ?", (seq,)).fetchone()
        for seq in (4, 5)
    )
    for seq, row in ((4, two), (5, one)):
        by_hand.execute(
            "UPDATE lines SET hash = ?, originator_id = ? WHERE position = ?",
            (row["hash"], row["originator_id"], seq),
        )
    with pytest.raises(CorruptLog, match="seq 4"):
        log.read(after=0, limit=100)
    log.close()


def test_a_gap_prevents_opening(filled: Path, by_hand: sqlite.Connection) -> None:
    by_hand.execute("DELETE FROM lines WHERE position = 9")
    by_hand.close()
    with pytest.raises(CorruptLog, match="seq 9"):
        opened(filled)


def test_a_full_disk_refuses_and_recovers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connections: list[sqlite.Connection] = []
    connect = sqlite.connect

    def limited(path: Path) -> sqlite.Connection:
        connection = connect(path)
        connection.execute("PRAGMA max_page_count=40")
        connections.append(connection)
        return connection

    monkeypatch.setattr(sqlite, "connect", limited)
    log = opened(path)
    refused = None
    while refused is None:
        refused = log.submit(routed(), account_id=None).exception()
    assert isinstance(refused, StoreUnavailable)
    assert "full" in str(refused)
    stored = log.head()
    assert len(log.read(after=0, limit=1000)) == stored
    for connection in connections:
        connection.execute("PRAGMA max_page_count=4000")
    assert log.submit(routed(), account_id=None).result()[0].seq == stored + 1
    log.close()


def test_reading_accounts_does_not_scan_requests(filled: Path, by_hand: sqlite.Connection) -> None:
    log = opened(filled)
    found = log.read(after=0, limit=10, streams={"store", "account"})
    assert [row.topic for row in found] == ["store.log-sealed"]
    log.close()
    plan = [
        row["detail"]
        for row in by_hand.execute(
            "EXPLAIN QUERY PLAN " + streams_query(["store", "account"]),
            (0, 100, "store", "account", 10),
        )
    ]
    used = "INDEX lines_but_requests (position>? AND position<?)"
    assert any(used in step for step in plan), plan
    assert not any("TEMP B-TREE" in step for step in plan), plan
