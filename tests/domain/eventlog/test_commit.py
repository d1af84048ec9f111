"""What the writer does when the store fails it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import UTC, datetime

import pytest

from domain.clock import FixedClock
from domain.eventlog import commit
from domain.eventlog.lines import StoreFailure, Taken
from domain.eventlog.log import StoredLog
from domain.eventlog.port import Conflict, CorruptLog, Recorded, StoreUnavailable
from domain.events.codec import decode
from domain.events.requests import RequestFailed
from domain.events.store import LogSealed
from domain.ids import new_id
from domain.seal import root_of
from tests.domain.eventlog.faulty import FaultyStore

CLOCK = FixedClock(datetime(2026, 11, 1, tzinfo=UTC))


def event() -> RequestFailed:
    return RequestFailed(originator_id=new_id(), originator_version=2, failure="timeout")


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore()


@pytest.fixture
def log(store: FaultyStore) -> Iterator[StoredLog]:
    opened = StoredLog(store, store_id="st_1", clock=CLOCK)
    yield opened
    store.gate.set()
    opened.close()


def hold(store: FaultyStore, log: StoredLog) -> Future[tuple[Recorded, ...]]:
    """Submit one event and return once the writer stands before the closed gate with it."""
    store.hold()
    future = log.submit(event(), account_id=None)
    assert store.entered.wait(60)
    return future


def seal_is_right(log: StoredLog) -> bool:
    sealed = decode(log.seal().result()[0])
    assert isinstance(sealed, LogSealed)
    rows = log.read(after=0, limit=sealed.size)
    return sealed.root == root_of(bytes.fromhex(row.hash) for row in rows).hex()


@pytest.mark.parametrize("error", [Taken(), StoreFailure("no answer")])
def test_a_batch_that_was_stored_after_all_is_answered_as_stored(
    store: FaultyStore, log: StoredLog, error: Exception
) -> None:
    store.after = error
    (first,) = log.submit(event(), account_id=None).result()
    (second,) = log.submit(event(), account_id=None).result()
    assert [row.seq for row in log.read(after=0, limit=9)] == [1, 2] == [first.seq, second.seq]
    assert seal_is_right(log)


def test_a_batch_that_was_not_stored_is_refused_and_leaves_no_gap(
    store: FaultyStore, log: StoredLog
) -> None:
    log.submit(event(), account_id=None).result()
    store.before = StoreFailure("database or disk is full")
    refused = log.submit(event(), account_id=None)
    assert isinstance(refused.exception(), StoreUnavailable)
    assert "disk is full" in str(refused.exception())
    assert log.submit(event(), account_id=None).result()[0].seq == 2
    assert seal_is_right(log)


def test_a_seal_that_was_refused_takes_no_version(store: FaultyStore, log: StoredLog) -> None:
    store.before = StoreFailure("database or disk is full")
    assert isinstance(log.seal().exception(), StoreUnavailable)
    assert log.seal().result()[0].originator_version == 1


def test_after_doubt_the_state_is_read_again(store: FaultyStore, log: StoredLog) -> None:
    # The write is reported as failed, cannot be checked, and turns out to have been stored.
    store.after = StoreFailure("no answer")
    store.unreadable = StoreFailure("still no answer")
    assert isinstance(log.submit(event(), account_id=None).exception(), StoreUnavailable)
    refused = log.submit(event(), account_id=None).exception()
    assert isinstance(refused, StoreUnavailable)
    assert "cannot be read" in str(refused)
    with pytest.raises(StoreUnavailable):
        log.read(after=0, limit=1)
    store.unreadable = None
    assert log.submit(event(), account_id=None).result()[0].seq == 2
    assert seal_is_right(log)


def test_rows_of_a_foreign_writer_are_never_numbered_over(
    store: FaultyStore, log: StoredLog
) -> None:
    log.submit(event(), account_id=None).result()
    intruder = StoredLog(store, store_id="st_1", clock=CLOCK)

    def intrude() -> None:
        intruder.submit(event(), account_id=None).result()
        raise Taken

    store.instead = intrude
    refused = log.submit(event(), account_id=None).exception()
    assert isinstance(refused, StoreUnavailable)
    assert "another writer" in str(refused)
    assert log.submit(event(), account_id=None).result()[0].seq == 3
    assert seal_is_right(log)
    intruder.close()


def test_a_conflict_that_cannot_be_looked_up_is_refused(store: FaultyStore, log: StoredLog) -> None:
    store.before = Taken()
    store.blind = StoreFailure("no answer")
    refused = log.submit(event(), account_id=None).exception()
    assert isinstance(refused, StoreUnavailable)
    assert "cannot be read: no answer" in str(refused)
    store.blind = None
    assert log.submit(event(), account_id=None).result()[0].seq == 1


def test_a_conflict_of_a_batch_that_failed_whole_is_told_apart(
    store: FaultyStore, log: StoredLog
) -> None:
    first = event()
    log.submit(first, account_id=None).result()
    hold(store, log)
    futures = [log.submit(each, account_id=None) for each in (event(), first, event())]
    store.gate.set()
    outcomes = [future.exception() for future in futures]
    assert outcomes[0] is None
    assert isinstance(outcomes[1], Conflict)
    assert outcomes[2] is None
    assert log.head() == 4
    assert store.batches[-1] == 2, "the rest is committed as one batch again"


def test_what_queues_up_is_committed_together(store: FaultyStore, log: StoredLog) -> None:
    hold(store, log)
    futures = [log.submit(event(), account_id=None) for _ in range(500)]
    store.gate.set()
    for future in futures:
        future.result()
    assert store.batches == [1, 500]


def test_a_batch_has_a_limit(
    store: FaultyStore, log: StoredLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "BATCH_EVENTS_MAX", 10)
    hold(store, log)
    futures = [log.submit(event(), account_id=None) for _ in range(60)]
    store.gate.set()
    for future in futures:
        future.result()
    assert store.batches == [1, 10, 10, 10, 10, 10, 10]


def test_more_than_may_wait_is_refused_at_once(
    store: FaultyStore, log: StoredLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "WAITING_MAX", 5)
    hold(store, log)
    futures = [log.submit(event(), account_id=None) for _ in range(20)]
    refused = [future for future in futures if future.done()]
    assert refused == futures[5:]
    assert all(isinstance(future.exception(), StoreUnavailable) for future in refused)
    store.gate.set()
    assert [future.result()[0].seq for future in futures[:5]] == [2, 3, 4, 5, 6]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_writer_that_meets_a_bug_stops_and_says_so(store: FaultyStore, log: StoredLog) -> None:
    first = hold(store, log)
    others = [log.submit(event(), account_id=None) for _ in range(3)]
    store.before = RuntimeError("a bug")
    store.gate.set()
    for future in (first, *others):
        assert isinstance(future.exception(timeout=60), StoreUnavailable)
    late = log.submit(event(), account_id=None)
    assert isinstance(late.exception(timeout=60), StoreUnavailable)
    assert log.head() == 0


def test_a_store_with_a_gap_is_not_opened(store: FaultyStore) -> None:
    log = StoredLog(store, store_id="st_1", clock=CLOCK)
    log.submit(event(), event(), event(), account_id=None).result()
    log.close()
    del store._rows[1]
    with pytest.raises(CorruptLog, match="seq 2 of st_1 is missing"):
        StoredLog(store, store_id="st_1", clock=CLOCK)


def test_the_writer_is_one_thread_and_ends_with_the_log(store: FaultyStore) -> None:
    before = threading.active_count()
    log = StoredLog(store, store_id="st_9", clock=CLOCK)
    assert threading.active_count() == before + 1
    log.close()
    assert threading.active_count() == before
