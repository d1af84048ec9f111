"""A copy of a log continues under a new store id; nothing is given out twice."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from domain import sqlite
from domain.clock import FixedClock
from domain.errors import UnsafeSetup
from domain.eventlog.port import Conflict
from domain.eventlog.sqlite import begin_new_store
from domain.eventlog.sqlite_file import verify_file
from domain.events.codec import decode
from domain.events.store import LogSealed, StoreOpened, store_stream
from domain.seal import root_of
from tests.domain.eventlog.filling import START, failed, fill, opened, reported, routed


@pytest.fixture
def original(tmp_path: Path) -> Path:
    path = tmp_path / "events.sqlite"
    log = opened(path, store_id="st_1")
    fill(log)
    log.submit(routed(), account_id=None).result()
    log.close()
    return path


@pytest.fixture
def copy(original: Path) -> Path:
    path = original.with_name("copy.sqlite")
    sqlite.copy(original, path)
    return path


def test_a_copy_is_one_file_with_the_same_log(original: Path, copy: Path) -> None:
    one, two = opened(original), opened(copy)
    assert one.read(after=0, limit=100) == two.read(after=0, limit=100)
    assert list(one.open_requests()) == list(two.open_requests())
    one.close()
    two.close()
    assert copy.stat().st_mode & 0o777 == 0o600


def test_a_copy_made_while_sixteen_threads_write_is_a_beginning(original: Path) -> None:
    log = opened(original)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            request = routed()
            log.submit(request, account_id=None).result()
            log.submit(reported(request.originator_id), account_id=None)

    threads = [threading.Thread(target=write) for _ in range(16)]
    for thread in threads:
        thread.start()
    copies = [original.with_name(f"copy{number}.sqlite") for number in range(3)]
    for path in copies:
        sqlite.copy(original, path)
    stop.set()
    for thread in threads:
        thread.join()
    for path in copies:
        report = verify_file(path)
        assert report.ok, report.findings
        held = opened(path)
        assert held.read(after=0, limit=10**6) == log.read(after=0, limit=held.head())
        held.close()
    log.close()


def test_copying_never_overwrites(original: Path, copy: Path) -> None:
    with pytest.raises(UnsafeSetup, match="exists already"):
        sqlite.copy(original, copy)
    with pytest.raises(UnsafeSetup, match="no file"):
        sqlite.copy(original.with_name("absent"), original.with_name("new"))
    text = original.with_name("text")
    text.write_text("not a database" * 100)
    with pytest.raises(UnsafeSetup, match="cannot be copied"):
        sqlite.copy(text, original.with_name("new"))
    assert not original.with_name("new").exists()


def test_a_restored_log_begins_at_one_and_keeps_its_past(copy: Path) -> None:
    name = begin_new_store(copy)
    assert name.startswith("st_")
    log = opened(copy, clock=FixedClock(START - timedelta(days=1)))
    assert (log.store_id, log.head()) == (name, 0)
    (before,) = log.earlier()
    assert (before.store_id, before.head()) == ("st_1", 13)
    past = before.read(after=0, limit=100)
    assert [row.seq for row in past] == list(range(1, 14))
    assert {row.store_id for row in past} == {"st_1"}
    assert [row.seq for row in before.read(after=11, limit=1)] == [12]
    assert [row.seq for row in before.read(after=0, limit=2, streams={"store"})] == [3, 6]
    assert log.read(after=0, limit=100) == []

    (opening,) = log.opened(epoch="ep", program="keytoll 0.1.0").result()
    assert (opening.seq, opening.originator_version) == (1, 1)
    assert opening.recorded_at == past[-1].recorded_at, "time goes on from the last store"
    assert opening.originator_id == store_stream(name)
    event = decode(opening)
    assert isinstance(event, StoreOpened)
    root = root_of(bytes.fromhex(row.hash) for row in past).hex()
    assert event.continues == {"store_id": "st_1", "size": 13, "root": root}

    (request,) = log.open_requests()
    log.submit(failed(request), account_id=None).result()
    assert [(row.store_id, row.seq) for row in log.stream(request)] == [("st_1", 13), (name, 2)]
    assert before.stream(request) == log.stream(request)
    with pytest.raises(Conflict):
        log.submit(decode(past[0]), account_id=None).result()
    seal = decode(log.seal().result()[0])
    assert isinstance(seal, LogSealed)
    own = log.read(after=0, limit=2)
    assert (seal.size, seal.root) == (2, root_of(bytes.fromhex(row.hash) for row in own).hex())
    log.close()
    assert verify_file(copy).ok


def test_only_the_first_opening_says_what_it_continues(copy: Path) -> None:
    begin_new_store(copy)
    for expected in (True, False):
        log = opened(copy)
        event = decode(log.opened(epoch="ep", program="keytoll 0.1.0").result()[0])
        assert isinstance(event, StoreOpened)
        assert (event.continues is not None) is expected
        log.close()


def test_what_came_before_the_first_opening_does_not_silence_it(copy: Path) -> None:
    """A command without a server may write and seal before any process has opened the store."""
    name = begin_new_store(copy)
    log = opened(copy)
    log.submit(routed(), account_id=None).result()
    log.close()
    log = opened(copy)
    log.seal().result()
    event = decode(log.opened(epoch="ep", program="keytoll 0.1.0").result()[0])
    assert isinstance(event, StoreOpened)
    assert event.continues is not None
    assert (log.store_id, event.continues["store_id"]) == (name, "st_1")
    log.close()
    assert verify_file(copy).ok


def test_restoring_twice_and_an_empty_store(tmp_path: Path) -> None:
    path = tmp_path / "empty.sqlite"
    opened(path, store_id="st_1").close()
    begin_new_store(path, store_id="st_2")
    begin_new_store(path, store_id="st_3")
    log = opened(path)
    fill(log, calls=1)
    log.close()
    begin_new_store(path, store_id="st_4")
    log = opened(path)
    assert [(store.store_id, store.head()) for store in log.earlier()] == [
        ("st_1", 0),
        ("st_2", 0),
        ("st_3", 3),
    ]
    assert [len(store.read(after=0, limit=9)) for store in log.earlier()] == [0, 0, 3]
    fill(log, calls=2)
    assert log.head() == 6
    log.close()
    report = verify_file(path)
    assert report.ok, report.findings


def test_what_cannot_be_continued_is_refused(original: Path) -> None:
    with pytest.raises(UnsafeSetup, match="no event log"):
        begin_new_store(original.with_name("absent"))
    with pytest.raises(UnsafeSetup, match="in the file already"):
        begin_new_store(original, store_id="st_1")
    log = opened(original)
    with pytest.raises(UnsafeSetup, match="already in use"):
        begin_new_store(original)
    log.close()
