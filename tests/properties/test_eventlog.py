"""The log against a model that a page of code can hold."""

from __future__ import annotations

from datetime import timedelta
from itertools import cycle
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.clock import FixedClock
from domain.eventlog.log import StoredLog
from domain.eventlog.memory import open_memory_log
from domain.eventlog.port import Conflict
from domain.eventlog.postgres import open_postgres_log
from domain.eventlog.raw import verify_stored
from domain.eventlog.sqlite import open_sqlite_log
from domain.events.codec import decode
from domain.events.requests import RequestFailed
from domain.events.store import LogSealed
from domain.seal import root_of
from tests.domain.eventlog.filling import START
from tests.services.fixtures import fresh_database

keys = st.tuples(st.integers(1, 3), st.integers(2, 4))
appends = st.lists(keys, min_size=1, max_size=3)
steps = st.lists(st.one_of(appends, st.just("seal"), st.integers(-5, 5)), max_size=25)


def event(key: tuple[int, int]) -> RequestFailed:
    return RequestFailed(
        originator_id=UUID(int=key[0]), originator_version=key[1], failure="timeout"
    )


def run(*logs: StoredLog, clock: FixedClock, todo: list[object], wait: bool) -> None:
    """Do all steps at once or one by one, and compare with what a list would hold.

    Several logs are writers of one store, which take turns: then the steps must wait.
    """
    expected: list[tuple[int, int]] = []
    outcomes = []
    for step, log in zip(todo, cycle(logs), strict=False):
        if isinstance(step, int):
            clock.advance(timedelta(seconds=step))
        elif isinstance(step, list):
            fits = len(set(step)) == len(step) and not set(step) & set(expected)
            expected += step if fits else []
            future = log.submit(*map(event, step), account_id=None)
            outcomes.append((future, fits))
            if wait:
                future.exception()
        else:
            pending = log.seal()
            if wait:
                pending.result()
            expected.append((0, 0))
    for future, fits in outcomes:
        assert (future.exception() is None) is fits
        assert fits or isinstance(future.exception(), Conflict)
    logs[0].seal().result()
    rows = logs[-1].read(after=0, limit=1000)
    own = [row for row in rows if row.topic != "store.log-sealed"]
    assert [(row.originator_id.int, row.originator_version) for row in own] == [
        key for key in expected if key != (0, 0)
    ]
    assert [row.topic == "store.log-sealed" for row in rows] == [
        *(key == (0, 0) for key in expected),
        True,
    ]
    instants = [row.recorded_at for row in rows]
    assert instants == sorted(instants)
    leaves = [bytes.fromhex(row.hash) for row in rows]
    for position, row in enumerate(rows):
        sealed = decode(row)
        if isinstance(sealed, LogSealed):
            assert (sealed.size, sealed.root) == (position, root_of(leaves[:position]).hex())


@given(todo=steps, wait=st.booleans())
def test_the_log_is_the_model(todo: list[object], wait: bool) -> None:
    clock = FixedClock(START)
    log = open_memory_log(clock=clock)
    run(log, clock=clock, todo=todo, wait=wait)
    log.close()


@settings(max_examples=25, deadline=None)
@given(todo=steps, wait=st.booleans())
def test_the_file_is_the_model(
    tmp_path_factory: pytest.TempPathFactory, todo: list[object], wait: bool
) -> None:
    path = Path(tmp_path_factory.mktemp("model")) / "events.sqlite"
    clock = FixedClock(START)
    log = open_sqlite_log(path, clock=clock)
    run(log, clock=clock, todo=todo, wait=wait)
    log.close()
    kinds = {finding.kind for finding in verify_stored(path).findings}
    assert kinds <= {"wrong-pair", "broken-stream"}, "the model's streams are no real requests"


@pytest.mark.services
@settings(max_examples=15, deadline=None)
@given(todo=steps, writers=st.integers(1, 3), wait=st.booleans())
def test_the_database_is_the_model(
    postgres_server: str, todo: list[object], writers: int, wait: bool
) -> None:
    clock = FixedClock(START)
    with fresh_database(postgres_server) as dsn:
        logs = [open_postgres_log(dsn, clock=clock) for _ in range(writers)]
        run(*logs, clock=clock, todo=todo, wait=wait or writers > 1)
        for log in logs:
            log.close()
        kinds = {finding.kind for finding in verify_stored(dsn).findings}
    assert kinds <= {"wrong-pair", "broken-stream"}, "the model's streams are no real requests"
