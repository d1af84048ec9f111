"""What every event log promises, whichever store is under it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest

from domain.clock import FixedClock
from domain.errors import BadValue
from domain.eventlog.memory import open_memory_log
from domain.eventlog.port import Conflict, EventLog, LogReader, Recorded, StoreUnavailable
from domain.eventlog.postgres import open_postgres_log
from domain.eventlog.several import SeveralLogs
from domain.eventlog.sqlite import open_sqlite_log
from domain.events.codec import NotAnEvent, decode, line_hash, read_line
from domain.events.requests import RequestFailed, RequestRouted
from domain.events.store import LogSealed, StoreOpened, store_stream
from domain.ids import new_id
from domain.seal import EMPTY_ROOT, root_of
from tests.domain.events.samples import ACCOUNT_ID, sample

Open = Callable[[], EventLog]

START: Final = datetime(2026, 11, 1, tzinfo=UTC)


def failed(request: UUID, version: int = 2) -> RequestFailed:
    return RequestFailed(originator_id=request, originator_version=version, failure="timeout")


def routed(request: UUID | None = None) -> RequestRouted:
    like = sample("request.routed")
    assert isinstance(like, RequestRouted)
    fields = {**vars(like), "originator_id": request or new_id()}
    return RequestRouted(**fields)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(START)


KINDS: Final = ("memory", "sqlite", "several", pytest.param("postgres", marks=pytest.mark.services))


@pytest.fixture(params=KINDS)
def log(request: pytest.FixtureRequest, tmp_path: Path, clock: FixedClock) -> Iterator[EventLog]:
    opened = _opened(request, tmp_path, clock)
    yield opened
    opened.close()


def _opened(request: pytest.FixtureRequest, folder: Path, clock: FixedClock) -> EventLog:
    match request.param:
        case "memory":
            return open_memory_log(clock=clock)
        case "sqlite":
            return open_sqlite_log(folder / "events.sqlite", clock=clock)
        case "several":
            names = ("first.sqlite", "last.sqlite")
            return SeveralLogs([open_sqlite_log(folder / n, clock=clock) for n in names])
        case _:
            return open_postgres_log(request.getfixturevalue("postgres_dsn"), clock=clock)


def written(log: EventLog) -> LogReader:
    """The store that takes what belongs to no account yet."""
    return log.chains()[-1].written


def everything(log: EventLog) -> list[Recorded]:
    return list(written(log).read(after=0, limit=100_000))


async def test_what_was_appended_is_there_as_it_was(log: EventLog) -> None:
    event = routed()
    (recorded,) = await log.append(event, account_id=ACCOUNT_ID)
    assert everything(log) == [recorded] == list(log.stream(event.originator_id))
    assert decode(recorded) == event
    fields = read_line(recorded.line)
    assert recorded == Recorded(
        store_id=written(log).store_id,
        seq=1,
        hash=line_hash(recorded.line),
        line=recorded.line,
        originator_id=event.originator_id,
        originator_version=1,
        topic="request.routed",
        account_id=ACCOUNT_ID,
        recorded_at="2026-11-01T00:00:00.000000Z",
    )
    assert (fields["seq"], fields["store_id"], fields["account_id"], fields["recorded_at"]) == (
        1,
        written(log).store_id,
        ACCOUNT_ID,
        recorded.recorded_at,
    )


async def test_seq_is_dense_and_follows_the_order_of_submission(log: EventLog) -> None:
    events = [routed() for _ in range(50)]
    for recorded in [log.submit(event, account_id=None) for event in events]:
        recorded.result()
    read = everything(log)
    assert [row.seq for row in read] == list(range(1, 51))
    assert [row.originator_id for row in read] == [event.originator_id for event in events]
    assert written(log).head() == 50


async def test_a_taken_version_is_refused(log: EventLog) -> None:
    request = new_id()
    await log.append(routed(request), account_id=None)
    with pytest.raises(Conflict, match=str(request)):
        await log.append(routed(request), account_id=None)
    assert written(log).head() == 1
    await log.append(failed(request), account_id=None)
    assert [row.seq for row in log.stream(request)] == [1, 2]


async def test_events_of_one_append_stand_or_fall_together(log: EventLog) -> None:
    taken, fresh = new_id(), new_id()
    await log.append(routed(taken), account_id=None)
    with pytest.raises(Conflict):
        await log.append(routed(fresh), routed(taken), account_id=None)
    with pytest.raises(Conflict):
        await log.append(routed(fresh), routed(fresh), account_id=None)
    assert not log.stream(fresh)
    group = await log.append(routed(fresh), failed(fresh), account_id=None)
    assert [row.seq for row in group] == [2, 3]


async def test_a_conflict_hurts_nobody_else_of_its_batch(log: EventLog) -> None:
    taken = [new_id() for _ in range(3)]
    await log.append(*map(routed, taken), account_id=None)
    fresh = [new_id() for _ in range(40)]
    requests = [*fresh[:20], *taken, *fresh[20:], fresh[0]]
    outcomes = await asyncio.gather(
        *(log.append(routed(request), account_id=None) for request in requests),
        return_exceptions=True,
    )
    refused = [
        request
        for request, outcome in zip(requests, outcomes, strict=True)
        if isinstance(outcome, Conflict)
    ]
    assert refused == [*taken, fresh[0]]
    stored = everything(log)
    assert [row.seq for row in stored] == list(range(1, 44))
    assert [row.originator_id for row in stored] == [*taken, *fresh]
    assert all(line_hash(row.line) == row.hash for row in stored)
    answered = [outcome[0] for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert answered == stored[3:]


async def test_of_many_that_want_the_same_version_one_gets_it(log: EventLog) -> None:
    request = new_id()
    outcomes = await asyncio.gather(
        *(log.append(routed(request), account_id=None) for _ in range(30)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 29
    assert len(log.stream(request)) == 1


async def test_recorded_at_never_runs_backwards(log: EventLog, clock: FixedClock) -> None:
    for step in (5, -60, 1, 120):
        clock.advance(timedelta(seconds=step))
        await log.append(routed(), account_id=None)
    assert [row.recorded_at[-16:] for row in everything(log)] == [
        "00:00:05.000000Z",
        "00:00:05.000000Z",
        "00:00:05.000000Z",
        "00:01:06.000000Z",
    ]


async def test_a_new_log_continues_no_other(log: EventLog) -> None:
    assert all(len(each.stores) == 1 for each in log.chains())


async def test_what_is_no_event_is_refused_before_it_is_queued(log: EventLog) -> None:
    event = routed()
    event.tags["share"] = 0.5  # type: ignore[assignment]
    with pytest.raises(NotAnEvent):
        log.submit(event, account_id=None)
    with pytest.raises(NotAnEvent):
        await log.append(event, account_id=None)
    assert written(log).head() == 0


async def test_nothing_is_not_an_append(log: EventLog) -> None:
    with pytest.raises(BadValue):
        log.submit(account_id=None)
    with pytest.raises(BadValue):
        await log.append(account_id=None)


async def test_a_cancelled_caller_does_not_undo_its_append(log: EventLog) -> None:
    events = [routed() for _ in range(20)]
    tasks = [asyncio.create_task(log.append(event, account_id=None)) for event in events]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await log.append(routed(), account_id=None)
    assert written(log).head() == 21


async def test_a_submitted_append_cannot_be_cancelled(log: EventLog) -> None:
    future = log.submit(routed(), account_id=None)
    assert not future.cancel()
    assert future.result()[0].seq == 1


async def test_requests_are_open_until_their_terminal_event(log: EventLog) -> None:
    first, second, third = new_id(), new_id(), new_id()
    await log.append(routed(first), account_id=None)
    await log.append(routed(second), failed(second), account_id=None)
    await log.append(routed(third), account_id=None)
    assert set(log.open_requests()) == {first, third}
    await log.append(failed(first), account_id=None)
    await log.append(failed(first, version=3), account_id=None)
    assert list(log.open_requests()) == [third]


async def test_streams_are_read_by_page_and_by_name(log: EventLog) -> None:
    account, credential = sample("account.suspended"), sample("credential.key-disabled")
    for number in range(10):
        await log.append(routed(), account_id=None)
        if number == 3:
            await log.append(account, account_id=ACCOUNT_ID)
        if number == 7:
            log.seal().result()
            await log.append(failed(credential.originator_id, 9), account_id=None)
    assert [row.seq for row in written(log).read(after=0, limit=4)] == [1, 2, 3, 4]
    assert [row.seq for row in written(log).read(after=4, limit=4)] == [5, 6, 7, 8]
    assert [row.seq for row in written(log).read(after=12, limit=4)] == [13]
    assert not written(log).read(after=13, limit=4)

    def seqs(*streams: str, after: int = 0, limit: int = 100) -> list[int]:
        return [row.seq for row in written(log).read(after=after, limit=limit, streams=streams)]

    assert seqs("account", "credential") == [5]
    assert seqs("store", "account") == [5, 10]
    assert seqs("store", "account", limit=1) == [5]
    assert seqs("store", "account", after=5) == [10]
    assert seqs("request", "account", limit=6) == [1, 2, 3, 4, 5, 6]
    assert seqs("invoice") == []
    assert seqs() == []


async def test_a_seal_is_the_root_of_all_before_it(log: EventLog) -> None:
    *_, first = log.seal().result()
    await log.append(routed(), routed(), account_id=None)
    pending: list[Future[tuple[Recorded, ...]]] = [log.seal() for _ in range(3)]
    await log.append(routed(), account_id=None)
    pending.append(log.seal())
    rows = everything(log)
    leaves = [bytes.fromhex(row.hash) for row in rows]
    assert decode(first) == LogSealed(
        originator_id=store_stream(written(log).store_id),
        originator_version=1,
        size=0,
        root=EMPTY_ROOT.hex(),
    )
    for version, future in enumerate(pending, start=2):
        *_, sealed = future.result()
        event = decode(sealed)
        assert isinstance(event, LogSealed)
        assert sealed.account_id is None
        assert (event.originator_version, event.size) == (version, sealed.seq - 1)
        assert event.root == root_of(leaves[: event.size]).hex()


async def test_a_seal_before_nothing_else_and_after_conflicts(log: EventLog) -> None:
    request = new_id()
    await log.append(routed(request), account_id=None)
    clash = log.submit(routed(request), account_id=None)
    sealed = log.seal()
    assert isinstance(clash.exception(), Conflict)
    event = decode(sealed.result()[-1])
    assert isinstance(event, LogSealed)
    assert (event.size, event.originator_version) == (1, 1)


async def test_opening_and_sealing_share_the_stream_of_the_store(log: EventLog) -> None:
    *_, opened = log.opened(epoch="ep_1", program="keytoll 0.1.0").result()
    log.seal().result()
    log.opened(epoch="ep_2", program="keytoll 0.1.0").result()
    stream = log.stream(store_stream(written(log).store_id))
    assert [row.originator_version for row in stream] == [1, 2, 3]
    event = decode(opened)
    assert isinstance(event, StoreOpened)
    assert (event.epoch, event.program) == ("ep_1", "keytoll 0.1.0")


@pytest.mark.parametrize("topic", ["store.opened", "store.log-sealed"])
async def test_events_of_the_store_are_not_for_callers(log: EventLog, topic: str) -> None:
    with pytest.raises(BadValue):
        await log.append(sample(topic), account_id=None)


async def test_a_closed_log_refuses_and_has_finished_what_came_before(log: EventLog) -> None:
    futures = [log.submit(routed(), account_id=None) for _ in range(200)]
    log.close()
    assert [future.result()[0].seq for future in futures] == list(range(1, 201))
    with pytest.raises(StoreUnavailable, match="closed"):
        await log.append(routed(), account_id=None)
    assert isinstance(log.submit(routed(), account_id=None).exception(), StoreUnavailable)
    assert isinstance(log.seal().exception(), StoreUnavailable)
    for read in (log.open_requests, lambda: written(log).read(after=0, limit=1)):
        with pytest.raises(StoreUnavailable, match="closed"):
            read()
    log.close()


def test_a_reader_misses_nothing_while_sixteen_threads_write(log: EventLog) -> None:
    each, writers = 50, 16
    seen: list[Recorded] = []
    finished = threading.Event()

    def write() -> None:
        for _ in range(each):
            request = new_id()
            log.submit(routed(request), account_id=None).result()
            log.submit(failed(request), account_id=None)

    def follow() -> None:
        while True:
            last = finished.is_set()
            page = written(log).read(after=len(seen), limit=100)
            seen.extend(page)
            if last and not page:
                return

    reader = threading.Thread(target=follow)
    threads = [threading.Thread(target=write) for _ in range(writers)]
    for thread in (reader, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    log.seal().result()
    finished.set()
    reader.join()
    assert [row.seq for row in seen] == list(range(1, 2 * each * writers + 2))
    assert len({(row.originator_id, row.originator_version) for row in seen}) == len(seen)
    assert not log.open_requests()
    assert written(log).head() == len(seen)


async def test_callers_of_several_event_loops_are_all_answered(log: EventLog) -> None:
    answers: list[tuple[Recorded, ...]] = []

    async def several() -> None:
        answers.extend(
            await asyncio.gather(*(log.append(routed(), account_id=None) for _ in range(25)))
        )

    threads = [threading.Thread(target=lambda: asyncio.run(several())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert sorted(group[0].seq for group in answers) == list(range(1, 101))


def test_submitting_threads_get_their_own_answers(log: EventLog) -> None:
    events = [routed() for _ in range(300)]
    futures = {log.submit(event, account_id=None): event for event in events}
    wait(futures)
    for future, event in futures.items():
        assert future.result()[0].originator_id == event.originator_id
