"""Several processes on one store in Postgres: killed, stopped, and with clocks that disagree."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from domain.clock import SystemClock
from domain.eventlog.port import Recorded
from domain.eventlog.postgres import open_postgres_log
from domain.eventlog.raw import verify_stored
from tests.domain.eventlog.filling import routed

pytestmark = pytest.mark.services

ROOT = Path(__file__).parents[3]

WRITER = """
import asyncio, sys
from datetime import timedelta
from domain.clock import SystemClock
from domain.eventlog.postgres import open_postgres_log
from tests.domain.eventlog.filling import reported, routed

dsn, skew_s, calls = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

class Skewed(SystemClock):
    def now(self):
        return super().now() + timedelta(seconds=skew_s)

async def call(log):
    for _ in range(calls):
        request = routed()
        for event in (request, reported(request.originator_id)):
            (recorded,) = await log.append(event, account_id=None)
            sys.stdout.write(f"{recorded.seq} {recorded.hash}\\n")
            sys.stdout.flush()

async def main():
    log = open_postgres_log(dsn, clock=Skewed())
    await asyncio.gather(*(call(log) for _ in range(4)))
    log.close()

asyncio.run(main())
"""

STOPPED = """
import os, signal, sys, time
from domain.clock import SystemClock
from domain.eventlog import postgres
from domain.eventlog.port import StoreUnavailable
from tests.domain.eventlog.filling import routed

log = postgres.open_postgres_log(sys.argv[1], clock=SystemClock())
values_of = postgres.values_of

def stop_with_the_tail(*given, **named):
    postgres.values_of = values_of
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(0.5)  # the whole process stops a moment later
    return values_of(*given, **named)

postgres.values_of = stop_with_the_tail
first = log.submit(routed(), account_id=None).exception()
print(type(first).__name__, log.submit(routed(), account_id=None).result()[0].seq, flush=True)
log.close()
"""


@contextmanager
def running(program: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that is gone when the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def answers(process: subprocess.Popen[str], count: int | None = None) -> dict[int, str]:
    """What the process said was stored: seq → hash. All of it, or the next `count`."""
    assert process.stdout is not None
    lines = (
        process.stdout.readlines()
        if count is None
        else [process.stdout.readline() for _ in range(count)]
    )
    whole = [line.split() for line in lines if line.endswith("\n")]
    return {int(seq): hash_of_line for seq, hash_of_line in whole}


class Tail:
    """A reader that follows the log from a thread of its own, and keeps what it saw."""

    def __init__(self, dsn: str) -> None:
        self._log = open_postgres_log(dsn, clock=SystemClock())
        self.seen: list[Recorded] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def end(self) -> list[Recorded]:
        """All that it saw, up to the present end of the log."""
        self._ended.set()
        self._thread.join()
        self._log.close()
        return self.seen

    def _follow(self) -> None:
        while True:
            last = self._ended.is_set()
            head = self._log.head()
            page = self._log.read(after=len(self.seen), limit=50)
            assert len(self.seen) + len(page) >= min(head, len(self.seen) + 50)
            self.seen.extend(page)
            if last and not page:
                return


def test_a_reader_misses_nothing_while_four_processes_write_with_skewed_clocks(
    postgres_dsn: str,
) -> None:
    tail = Tail(postgres_dsn)
    calls, skews = 25, (0, 90, -90, 3600)
    acknowledged: dict[int, str] = {}
    with (
        running(WRITER, postgres_dsn, skews[0], calls) as one,
        running(WRITER, postgres_dsn, skews[1], calls) as two,
        running(WRITER, postgres_dsn, skews[2], calls) as three,
        running(WRITER, postgres_dsn, skews[3], calls) as four,
    ):
        for writer in (one, two, three, four):
            acknowledged |= answers(writer)
            assert writer.wait(60) == 0
    seen = tail.end()
    events = len(skews) * 4 * calls * 2
    assert [row.seq for row in seen] == list(range(1, events + 1))
    assert {row.seq: row.hash for row in seen} == acknowledged
    instants = [row.recorded_at for row in seen]
    assert instants == sorted(instants)
    report = verify_stored(postgres_dsn)
    assert report.ok, report.findings


def test_nothing_that_was_answered_is_lost_when_writers_are_killed(postgres_dsn: str) -> None:
    tail = Tail(postgres_dsn)
    acknowledged: dict[int, str] = {}
    with running(WRITER, postgres_dsn, 0, 10_000) as survivor:
        for count in (1, 40, 150, 7):
            with running(WRITER, postgres_dsn, -5, 10_000) as victim:
                acknowledged |= answers(victim, count)
                victim.send_signal(signal.SIGKILL)
                acknowledged |= answers(victim)
            acknowledged |= answers(survivor, 20)
        survivor.send_signal(signal.SIGKILL)
        acknowledged |= answers(survivor)
    log = open_postgres_log(postgres_dsn, clock=SystemClock())
    (last,) = log.submit(routed(), account_id=None).result()
    log.close()
    seen = tail.end()
    assert [row.seq for row in seen] == list(range(1, last.seq + 1))
    assert acknowledged.items() <= {row.seq: row.hash for row in seen}.items()
    report = verify_stored(postgres_dsn)
    assert report.ok, report.findings


def test_a_writer_that_is_stopped_with_the_tail_holds_up_the_others_for_seconds_only(
    postgres_dsn: str,
) -> None:
    log = open_postgres_log(postgres_dsn, clock=SystemClock())
    log.submit(routed(), account_id=None).result()
    with running(STOPPED, postgres_dsn) as stopped:
        _, status = os.waitpid(stopped.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert log.submit(routed(), account_id=None).result(12)[0].seq == 2
        stopped.send_signal(signal.SIGCONT)
        assert stopped.stdout is not None
        assert stopped.stdout.readline() == "StoreUnavailable 3\n", "it lost the tail, and says so"
    assert log.head() == 3
    log.close()
    assert verify_stored(postgres_dsn).ok


def test_processes_that_start_at_once_join_one_store(postgres_dsn: str) -> None:
    with (
        running(WRITER, postgres_dsn, 0, 1) as one,
        running(WRITER, postgres_dsn, 0, 1) as two,
        running(WRITER, postgres_dsn, 0, 1) as three,
    ):
        found = [seq for each in (one, two, three) for seq in answers(each)]
    assert sorted(found) == list(range(1, 25))
    (state,) = verify_stored(postgres_dsn).stores
    assert state.size == 24
