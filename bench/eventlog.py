"""What a stored event costs: `python -m bench.eventlog [--events N] [--folder FOLDER]`.

CPU is that of the whole process, callers included: making the line, queueing, writing, waking.
The folder should lie on the disk that will hold the data: every commit waits for it.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from domain.clock import SystemClock
from domain.eventlog.export import export_events
from domain.eventlog.log import StoredLog
from domain.eventlog.memory import open_memory_log
from domain.eventlog.sqlite import open_sqlite_log
from domain.eventlog.sqlite_file import verify_file
from domain.events.codec import decode
from domain.events.requests import RequestRouted, UsageReported
from domain.ids import new_id
from tests.domain.eventlog.filling import reported, routed

CALLERS = (1, 4, 16, 64, 256)


def main() -> None:
    """Run everything and print one table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=20_000)
    options.add_argument("--folder", type=Path, default=None)
    given = options.parse_args()
    print(f"{'what':<34}{'events/s':>10}{'CPU µs/event':>14}{'p50 ms':>9}{'p99 ms':>9}")
    memory = open_memory_log(clock=SystemClock())
    measure("memory, 16 callers", memory, given.events, 16)
    memory.close()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path = Path(folder) / "events.sqlite"
        log = open_sqlite_log(path, clock=SystemClock())
        for callers in CALLERS:
            count = given.events if callers >= 16 else max(200, given.events // 10)
            measure(f"SQLite, {callers} callers", log, count, callers)
            log.seal().result()
        read(log)
        log.close()
        timed("verify", lambda: verify_file(path).events)
        started = time.perf_counter()
        log = open_sqlite_log(path, clock=SystemClock())
        size = path.stat().st_size
        print(
            f"\n{log.head()} events, {size / log.head():.0f} bytes each on disk;"
            f" reopened in {(time.perf_counter() - started) * 1000:.0f} ms;"
            f" peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB"
        )
        log.close()


def measure(what: str, log: StoredLog, events: int, callers: int) -> None:
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
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    waits.sort()
    done = len(waits)
    print(
        f"{what:<34}{done / wall:>10.0f}{cpu / done * 1e6:>14.1f}"
        f"{waits[done // 2] * 1e3:>9.2f}{waits[done * 99 // 100] * 1e3:>9.2f}"
    )


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
    request = new_id()
    return replace(like, originator_id=request), reported(request)


if __name__ == "__main__":
    main()
