"""Every way of damaging a log file is found and named; an honest one passes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from domain import sqlite
from domain.errors import UnsafeSetup
from domain.eventlog.checkpoint import Checkpoint, append_checkpoint, read_checkpoints
from domain.eventlog.sqlite import begin_new_store
from domain.eventlog.sqlite_file import verify_file
from domain.eventlog.verify import FINDINGS_MAX, Report
from domain.events.codec import canonical
from domain.seal import Frontier, leaf_hash
from tests.domain.eventlog.filling import corrected, failed, fill, opened, routed
from tests.domain.events.samples import ACCOUNT_ID

Damage = Callable[[sqlite.Connection], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Twelve events: four settled calls with a seal after each, and one call still open."""
    path = tmp_path / "events.sqlite"
    log = opened(path, store_id="st_1")
    fill(log)
    log.submit(routed(), account_id=ACCOUNT_ID).result()
    log.close()
    return path


@pytest.fixture
def by_hand(path: Path) -> Iterator[sqlite.Connection]:
    connection = sqlite.connect(path)
    yield connection
    connection.close()


def kinds(report: Report) -> list[tuple[str, int | None]]:
    return [(finding.kind, finding.seq) for finding in report.findings]


def line_at(connection: sqlite.Connection, position: int) -> bytes:
    row = connection.execute("SELECT state FROM stored_events WHERE rowid=?", (position,))
    line: bytes = row.fetchone()[0]
    return line


def put(connection: sqlite.Connection, position: int, line: bytes, *, rehash: bool) -> None:
    connection.execute("UPDATE stored_events SET state=? WHERE rowid=?", (line, position))
    if rehash:
        connection.execute("UPDATE lines SET hash=? WHERE position=?", (leaf_hash(line), position))


def rewrite(connection: sqlite.Connection, position: int, **changes: object) -> None:
    """Change fields of a line, and its hash with it, as somebody with the file could."""
    fields = json.loads(line_at(connection, position))
    for name, value in changes.items():
        holder = fields if name in fields else fields["data"]
        holder[name] = value
    put(connection, position, canonical(fields), rehash=True)


def test_an_honest_log_passes(path: Path) -> None:
    report = verify_file(path)
    assert report.ok, report.findings
    assert (report.events, report.open_requests) == (13, 1)
    (state,) = report.stores
    assert (state.store_id, state.size, state.seals) == ("st_1", 13, 4)


def test_a_log_can_be_verified_while_it_is_written(path: Path) -> None:
    log = opened(path)
    fill(log)
    report = verify_file(path)
    assert report.ok, report.findings
    assert report.events == log.head() == 25
    log.close()


def test_an_empty_log_passes(tmp_path: Path) -> None:
    opened(tmp_path / "events.sqlite").close()
    assert verify_file(tmp_path / "events.sqlite").ok


@pytest.mark.parametrize("position", [1, 2, 3, 13])
def test_any_changed_byte_is_named(path: Path, by_hand: sqlite.Connection, position: int) -> None:
    line = bytearray(line_at(by_hand, position))
    for offset in (0, len(line) // 2, len(line) - 1):
        changed = bytes(line[:offset]) + bytes([line[offset] ^ 1]) + bytes(line[offset + 1 :])
        put(by_hand, position, changed, rehash=False)
        assert kinds(verify_file(path)) == [("changed-bytes", position)]
    put(by_hand, position, bytes(line), rehash=False)
    assert verify_file(path).ok


def test_a_deleted_event_is_named(path: Path, by_hand: sqlite.Connection) -> None:
    by_hand.execute("DELETE FROM stored_events WHERE rowid = 5")
    assert ("deleted-row", 5) in kinds(verify_file(path))


def test_a_gap_is_named(path: Path, by_hand: sqlite.Connection) -> None:
    by_hand.execute("DELETE FROM lines WHERE position IN (4, 5)")
    report = verify_file(path)
    assert report.findings[0].message.startswith("seq 4 to 5 are missing")
    assert [kind for kind, _ in kinds(report)] == ["gap", "stray-event", "stray-event"]
    by_hand.execute("DELETE FROM stored_events WHERE rowid IN (4, 5)")
    assert kinds(verify_file(path)) == [("gap", 4)]


def test_events_put_beside_the_log_are_named(path: Path, by_hand: sqlite.Connection) -> None:
    by_hand.execute("INSERT INTO stored_events VALUES ('ab', 1, 'request.routed', x'00')")
    assert kinds(verify_file(path)) == [("stray-event", None)]


def test_two_exchanged_events_are_named(path: Path, by_hand: sqlite.Connection) -> None:
    first, second = line_at(by_hand, 4), line_at(by_hand, 5)
    put(by_hand, 4, second, rehash=True)
    put(by_hand, 5, first, rehash=True)
    found = kinds(verify_file(path))
    assert ("misplaced", 4) in found
    assert ("misplaced", 5) in found
    assert ("wrong-root", 6) in found


def test_a_line_rewritten_with_its_hash_breaks_the_next_root(
    path: Path, by_hand: sqlite.Connection
) -> None:
    rewrite(by_hand, 5, total_ms=1)
    report = verify_file(path)
    assert kinds(report) == [("wrong-root", 6), ("wrong-root", 9), ("wrong-root", 12)]
    assert "since seq 3" in report.findings[0].message


def test_a_seal_with_another_root_or_size_is_named(path: Path, by_hand: sqlite.Connection) -> None:
    line = line_at(by_hand, 12)
    rewrite(by_hand, 12, root="0" * 64)
    assert kinds(verify_file(path)) == [("wrong-root", 12)]
    put(by_hand, 12, line, rehash=True)
    rewrite(by_hand, 12, size=10)
    assert kinds(verify_file(path)) == [("wrong-root", 12)]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"failure": "unheard of"}, "unreadable"),
        ({"topic": "request.unknown"}, "unreadable"),
        ({"event_id": "0" * 32}, "wrong-event-id"),
        ({"recorded_at": "2020-01-01T00:00:00.000000Z"}, "clock-back"),
        ({"store_id": "st_2"}, "misplaced"),
        ({"originator_version": 3}, "misplaced"),
    ],
)
def test_a_well_hashed_line_must_still_make_sense(
    tmp_path: Path, changes: dict[str, object], kind: str
) -> None:
    path = tmp_path / "one.sqlite"
    log = opened(path, store_id="st_1")
    request = routed()
    log.submit(request, failed(request.originator_id), account_id=ACCOUNT_ID).result()
    log.close()
    connection = sqlite.connect(path)
    rewrite(connection, 2, **changes)
    connection.close()
    assert (kind, 2) in kinds(verify_file(path))


def test_pairs_that_are_none_are_named(tmp_path: Path) -> None:
    path = tmp_path / "pairs.sqlite"
    log = opened(path)
    lone, twice, early, good = (routed().originator_id for _ in range(4))
    log.submit(failed(lone), account_id=None).result()
    log.submit(routed(twice), failed(twice), failed(twice, 3), account_id=None).result()
    log.submit(routed(early), corrected(early), account_id=None).result()
    log.submit(routed(good), failed(good), corrected(good), account_id=None).result()
    log.close()
    report = verify_file(path)
    named = [(f.seq, f.message.split()[1].rstrip(":")) for f in report.findings if f.seq]
    assert named == [(1, str(lone)), (4, str(twice)), (6, str(early))]
    streams = [f.message for f in report.findings if f.kind == "broken-stream"]
    assert sorted(text.split()[1] for text in streams) == sorted([lone.hex, early.hex])


@pytest.mark.parametrize("changed", ["DELETE FROM open_requests", "INSERT INTO {} VALUES ('ab')"])
def test_a_wrong_list_of_open_requests_is_named(
    path: Path, by_hand: sqlite.Connection, changed: str
) -> None:
    by_hand.execute(changed.format("open_requests"))
    assert kinds(verify_file(path)) == [("wrong-open-requests", None)]


def test_findings_are_counted_beyond_those_listed(path: Path, by_hand: sqlite.Connection) -> None:
    by_hand.executemany(
        "INSERT INTO open_requests VALUES (?)", [(str(number),) for number in range(500)]
    )
    report = verify_file(path)
    assert len(report.findings) == FINDINGS_MAX
    assert report.findings_total == 500


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeSetup, match="there is no event log"):
        verify_file(tmp_path / "absent")
    (tmp_path / "text").write_text("nothing of the kind" * 100)
    with pytest.raises(UnsafeSetup, match="cannot be read"):
        verify_file(tmp_path / "text")


class TestCheckpoints:
    @pytest.fixture
    def checkpoints(self, path: Path, tmp_path: Path) -> list[Checkpoint]:
        log = opened(path)
        for row in log.read(after=0, limit=100, streams={"store"}):
            append_checkpoint(tmp_path / "checkpoints", row)
        log.close()
        return read_checkpoints(tmp_path / "checkpoints")

    def test_an_honest_log_agrees(self, path: Path, checkpoints: list[Checkpoint]) -> None:
        report = verify_file(path, checkpoints=checkpoints)
        assert report.ok, report.findings
        assert report.checkpoints == 4

    def test_a_cut_tail_is_found_only_by_them(
        self, path: Path, by_hand: sqlite.Connection, checkpoints: list[Checkpoint]
    ) -> None:
        for table, column in (("lines", "position"), ("stored_events", "rowid")):
            by_hand.execute(f"DELETE FROM {table} WHERE {column} >= 12")
        by_hand.execute("DELETE FROM open_requests")
        assert kinds(verify_file(path)) == [("cut-tail", 12)], "the file keeps its sealed size"
        by_hand.execute("UPDATE stores SET frontier = NULL")
        assert verify_file(path).ok
        report = verify_file(path, checkpoints=checkpoints)
        assert kinds(report) == [("cut-tail", 12)]
        assert "ends at seq 11" in report.findings[0].message

    def test_a_past_rewritten_with_all_its_seals_is_found_only_by_them(
        self, path: Path, by_hand: sqlite.Connection, checkpoints: list[Checkpoint]
    ) -> None:
        rewrite(by_hand, 5, total_ms=1)
        tree = Frontier()
        for position in range(1, 14):
            if position in {6, 9, 12}:
                rewrite(by_hand, position, root=tree.root().hex())
            tree.add(leaf_hash(line_at(by_hand, position)))
        assert kinds(verify_file(path)) == [("wrong-tail", 12)], "the file keeps its sealed root"
        by_hand.execute("UPDATE stores SET frontier = NULL")
        assert verify_file(path).ok
        report = verify_file(path, checkpoints=checkpoints)
        assert kinds(report) == [
            ("rewritten-past", 5),
            ("rewritten-past", 8),
            ("rewritten-past", 11),
        ]

    def test_a_checkpoint_of_the_very_end_is_compared(
        self, path: Path, checkpoints: list[Checkpoint]
    ) -> None:
        (state,) = verify_file(path).stores
        good = Checkpoint("st_1", 13, 13, state.root, "")
        bad = Checkpoint("st_1", 13, 13, "0" * 64, "")
        assert verify_file(path, checkpoints=[good]).ok
        assert kinds(verify_file(path, checkpoints=[bad])) == [("rewritten-past", 13)]

    def test_a_store_that_is_gone_is_named(self, path: Path) -> None:
        report = verify_file(path, checkpoints=[Checkpoint("st_9", 2, 1, "0" * 64, "")])
        assert [(f.kind, f.store_id) for f in report.findings] == [("missing-store", "st_9")]


class TestSeveralStores:
    @pytest.fixture
    def restored(self, path: Path, tmp_path: Path) -> Path:
        copy = tmp_path / "copy.sqlite"
        sqlite.copy(path, copy)
        begin_new_store(copy, store_id="st_2")
        log = opened(copy)
        for request in log.open_requests():
            log.submit(failed(request), account_id=ACCOUNT_ID).result()
        fill(log)
        log.close()
        return copy

    def test_each_store_is_verified_and_pairs_reach_across(self, restored: Path) -> None:
        report = verify_file(restored)
        assert report.ok, report.findings
        assert [(state.store_id, state.size) for state in report.stores] == [
            ("st_1", 13),
            ("st_2", 13),
        ]
        assert report.open_requests == 0

    def test_damage_is_named_by_store(self, restored: Path) -> None:
        connection = sqlite.connect(restored)
        put(connection, 13 + 5, b"{}", rehash=False)
        put(connection, 5, b"{}", rehash=False)
        connection.close()
        found = [(f.store_id, f.seq, f.kind) for f in verify_file(restored).findings]
        assert found == [("st_1", 5, "changed-bytes"), ("st_2", 5, "changed-bytes")]

    @pytest.mark.parametrize(
        "change",
        [
            "DELETE FROM stores WHERE number = 1",
            "UPDATE lines SET hash = zeroblob(32) WHERE position = 13",
        ],
    )
    def test_a_past_that_is_another_or_gone_is_named(self, path: Path, change: str) -> None:
        begin_new_store(path)
        log = opened(path)
        log.opened(epoch="ep", program="keytoll 0.1.0").result()
        log.close()
        assert verify_file(path).ok
        connection = sqlite.connect(path)
        connection.execute(change)
        connection.close()
        assert ("wrong-past", 1) in kinds(verify_file(path))

    def test_what_was_lost_by_restoring_is_a_cut_tail(self, path: Path, restored: Path) -> None:
        log = opened(path)
        log.submit(failed(), account_id=None).result()
        (later,) = log.seal().result()
        log.close()
        checkpoints = [append_checkpoint(path.with_name("checkpoints"), later)]
        report = verify_file(restored, checkpoints=checkpoints)
        assert [(f.kind, f.store_id, f.seq) for f in report.findings] == [("cut-tail", "st_1", 15)]


@pytest.mark.parametrize("position", range(1, 14))
@pytest.mark.parametrize(
    ("column", "value"),
    [("hash", bytes(32)), ("originator_id", "0" * 32), ("originator_version", 9)],
)
def test_no_change_beside_a_line_goes_unnoticed(
    path: Path, by_hand: sqlite.Connection, position: int, column: str, value: object
) -> None:
    by_hand.execute(f"UPDATE lines SET {column} = ? WHERE position = ?", (value, position))
    assert not verify_file(path).ok


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE lines SET stream = 'x' WHERE position = 2",
        "UPDATE stored_events SET topic = 'request.failed' WHERE rowid = 2",
        "UPDATE stored_events SET originator_version = 3 WHERE rowid = 2",
        "UPDATE stored_events SET originator_id = 'x' WHERE rowid = 2",
    ],
)
def test_a_line_that_its_readers_would_not_find(
    path: Path, by_hand: sqlite.Connection, change: str
) -> None:
    """No byte of the line is touched; a revocation could be hidden like that."""
    by_hand.execute(change)
    assert ("misfiled", 2) in kinds(verify_file(path))


def test_two_ends_that_were_exchanged(path: Path, by_hand: sqlite.Connection) -> None:
    """Each stream still counts from 1 without a gap, and holds the other's end."""
    ends = by_hand.execute(
        "SELECT rowid, originator_id FROM stored_events WHERE originator_version = 2"
        " AND topic LIKE 'request.%' ORDER BY rowid LIMIT 2"
    ).fetchall()
    (first, one), (second, other) = ends
    for place, stream in ((first, "held"), (second, one), (first, other)):
        by_hand.execute(
            "UPDATE stored_events SET originator_id = ? WHERE rowid = ?", (stream, place)
        )
    assert kinds(verify_file(path)) == [("misfiled", first), ("misfiled", second)]
