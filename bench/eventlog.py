"""What a stored event costs: `python -m bench.eventlog [--events N] [--postgres DSN]`.

CPU is that of the process, callers included: making the line, queueing, writing, waking. Beside it
stands that of the Postgres server, if it runs on this machine. `--folder` should lie on the disk
that will hold the data: every commit waits for it. The DSN names a server on which databases may
be made and dropped.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import psutil
import psycopg

from domain.clock import SystemClock
from domain.eventlog.export import export_events
from domain.eventlog.log import StoredLog
from domain.eventlog.memory import open_memory_log
from domain.eventlog.postgres import open_postgres_log
from domain.eventlog.raw import verify_stored
from domain.eventlog.sqlite import open_sqlite_log
from domain.events.codec import decode
from domain.events.requests import RequestRouted, UsageReported
from domain.ids import ordered_id
from tests.domain.eventlog.filling import reported, routed
from tests.services.fixtures import fresh_database

CALLERS = (1, 16, 64)
PROCESSES = (2, 4)


class Measured(NamedTuple):
    """What appending took: seconds of the clock, of the CPU, and of each append."""

    wall_s: float
    cpu_s: float
    waits_s: list[float]


def main() -> None:
    """Run everything and print one table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=20_000)
    options.add_argument("--folder", type=Path, default=None)
    options.add_argument("--postgres", metavar="DSN", help="a server to measure as well")
    options.add_argument("--join", metavar="DSN", help=argparse.SUPPRESS)
    options.add_argument("--callers", type=int, default=16, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.join:
        join(given.join, given.events, given.callers)
        return
    print(
        f"{'what':<34}{'events/s':>10}{'commits/s':>11}{'CPU µs/event':>14}"
        f"{'+ server':>10}{'p50 ms':>9}{'p99 ms':>9}"
    )
    memory = open_memory_log(clock=SystemClock())
    measure("memory, 16 callers", memory, given.events, 16)
    memory.close()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        sqlite(Path(folder) / "events.sqlite", given.events)
    if given.postgres:
        postgres(given.postgres, given.events)


def sqlite(path: Path, events: int) -> None:
    """One file, one process."""
    log = open_sqlite_log(path, clock=SystemClock())
    each_number_of_callers("SQLite", log, events)
    read(log)
    log.close()
    timed("verify", lambda: verify_stored(path).events)
    started = time.perf_counter()
    log = open_sqlite_log(path, clock=SystemClock())
    size = path.stat().st_size
    print(
        f"{log.head()} events, {size / log.head():.0f} bytes each on disk;"
        f" reopened in {(time.perf_counter() - started) * 1000:.0f} ms;"
        f" peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB\n"
    )
    log.close()


def postgres(server: str, events: int) -> None:
    """One database: from one process, then from several at once."""
    with fresh_database(server) as dsn:
        log = open_postgres_log(dsn, clock=SystemClock())
        each_number_of_callers("Postgres", log, events, dsn)
        read(log)
        timed("verify", lambda: verify_stored(dsn).events)
        for processes in PROCESSES:
            together(dsn, log, processes, events)
        with psycopg.connect(dsn) as connection:
            size = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        assert size is not None
        print(f"{log.head()} events, {size[0] / log.head():.0f} bytes each on disk")
        log.close()


def each_number_of_callers(what: str, log: StoredLog, events: int, dsn: str | None = None) -> None:
    """A line of the table for each."""
    for callers in CALLERS:
        count = events if callers > 1 else max(200, events // 10)
        measure(f"{what}, {callers} callers", log, count, callers, dsn)
        log.seal().result()


def measure(what: str, log: StoredLog, events: int, callers: int, dsn: str | None = None) -> None:
    """One line of the table."""
    before, server = log.head(), server_cpu_s(dsn)
    show(what, log, before, appended(log, events, callers), server_cpu_s(dsn) - server)


def show(what: str, log: StoredLog, before: int, found: Measured, server_s: float) -> None:
    """Events of one commit share their instant, so the instants count the commits."""
    waits = sorted(found.waits_s)
    done = len(waits)
    instants: set[str] = set()
    while page := log.read(after=before, limit=5_000):
        instants.update(row.recorded_at for row in page)
        before = page[-1].seq
    print(
        f"{what:<34}{done / found.wall_s:>10.0f}{len(instants) / found.wall_s:>11.0f}"
        f"{found.cpu_s / done * 1e6:>14.1f}{server_s / done * 1e6:>10.1f}"
        f"{waits[done // 2] * 1e3:>9.2f}{waits[done * 99 // 100] * 1e3:>9.2f}"
    )


def appended(log: StoredLog, events: int, callers: int) -> Measured:
    """Calls of two events each, appended one after the other by each caller."""
    like = routed()
    calls = iter([_call(like) for _ in range(events // 2)])
    waits: list[float] = []

    async def caller(calls: Iterator[tuple[RequestRouted, UsageReported]]) -> None:
        for pair in calls:
            for event in pair:
                started = time.perf_counter()
                await log.append(event, account_id=like.account_id)
                waits.append(time.perf_counter() - started)

    async def run() -> None:
        await asyncio.gather(*(caller(calls) for _ in range(callers)))

    wall, cpu = time.perf_counter(), time.process_time()
    asyncio.run(run())
    return Measured(time.perf_counter() - wall, time.process_time() - cpu, waits)


def together(dsn: str, log: StoredLog, processes: int, events: int) -> None:
    """Several processes with 16 callers each, at once."""
    before, server = log.head(), server_cpu_s(dsn)
    each = str(events // processes)
    words = [sys.executable, "-m", "bench.eventlog", "--join", dsn, "--events", each]
    started = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()  # it is ready
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found = [Measured(*json.loads(process.communicate()[0])) for process in started]
    whole = Measured(
        max(part.wall_s for part in found),
        sum(part.cpu_s for part in found),
        [wait for part in found for wait in part.waits_s],
    )
    what = f"Postgres, {processes} processes, 16 callers"
    show(what, log, before, whole, server_cpu_s(dsn) - server)


def join(dsn: str, events: int, callers: int) -> None:
    """What each of several processes does."""
    log = open_postgres_log(dsn, clock=SystemClock())
    log.head()
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(appended(log, events, callers)))
    log.close()


def server_cpu_s(dsn: str | None) -> float:
    """What all processes of the Postgres server have used so far; 0 if it runs elsewhere."""
    if dsn is None:
        return 0.0
    with psycopg.connect(dsn) as connection:
        backend = connection.info.backend_pid
        try:
            server = psutil.Process(backend).parent()
            assert server is not None
            times = [server.cpu_times(), *(each.cpu_times() for each in server.children())]
        except psutil.NoSuchProcess:
            return 0.0
    ended = times[0].children_user + times[0].children_system
    return float(sum(each.user + each.system for each in times) + ended)


def read(log: StoredLog) -> None:
    """What followers of the log do."""

    def pages(size: int) -> int:
        after = 0
        while page := log.read(after=after, limit=size):
            after = page[-1].seq
        return after

    def decoded() -> int:
        rows = log.read(after=0, limit=20_000)
        for row in rows:
            decode(row)
        return len(rows)

    timed("read, pages of 1,000", lambda: pages(1_000))
    timed("read and decode", decoded)
    timed("export", lambda: sum(1 for _ in export_events(log)))


def timed(what: str, work: Callable[[], int]) -> None:
    """One line of the table for something that returns its number of events."""
    wall, cpu = time.perf_counter(), time.process_time()
    count = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{what:<34}{count / wall:>10.0f}{cpu / count * 1e6:>14.1f}")


def _call(like: RequestRouted) -> tuple[RequestRouted, UsageReported]:
    request = ordered_id(SystemClock().now())
    return replace(like, originator_id=request), reported(request)


if __name__ == "__main__":
    main()
