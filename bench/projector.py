"""What projecting an event costs, by size of batch; and what reports over the rows take.

.venv/bin/python -m bench.projector
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

from projections.migrate import prepare
from projections.projector import Projector
from projections.queries.filters import Filters
from projections.queries.requests import RequestsQuestion, request_list
from projections.queries.usage import UsageQuestion, usage_report
from projections.store.clickhouse import open_embedded
from tests.projections.world import START, World

SIZES = (10_000, 2_000, 500, 100, 10)
USAGE = {"input_tokens": 1200, "cached_input_tokens": 200, "output_tokens": 340}
END = START + timedelta(days=365)


def say(what: str, *figures: str) -> None:
    sys.stdout.write(f"{what:<34}" + "".join(f"{figure:>16}" for figure in figures) + "\n")


def project(world: World, projector_of: Projector, account: str, size: int) -> None:
    """Some calls, projected in batches of one size."""
    for _ in range(max(1_000, size // 2)):
        world.call(account, usage=USAGE, tags={"team": "red"})
    count = world.event_count() - sum(projector_of.reached().values())
    wall_s, cpu_s = perf_counter(), process_time()
    projector_of.catch_up()
    wall_s, cpu_s = perf_counter() - wall_s, process_time() - cpu_s
    per_event = (f"{wall_s / count * 1e6:.1f} µs", f"{cpu_s / count * 1e6:.1f} µs CPU")
    say(f"an event, in batches of {size}", *per_event)


def main() -> None:
    with TemporaryDirectory() as folder:
        start = perf_counter()
        store = open_embedded(Path(folder))
        prepare(store)
        say("open the engine, make the tables", f"{perf_counter() - start:.2f} s")
        world = World()
        account = world.open_account("a")
        world.call(account)
        # The first insert loads more of the driver.
        Projector(log=world.log, store=store, books=world.books).catch_up()
        for size in SIZES:
            projector = Projector(
                log=world.log, store=store, books=world.books, batch_events_max=size
            )
            projector.start()
            project(world, projector, account, size)
        question = UsageQuestion(start=START, end=END, group_by=("day", "model", "tag:team"))
        start = perf_counter()
        report = usage_report(store, question, as_of=projector.reached())
        calls = f"{report['totals']['requests']} calls"
        say("a usage report", calls, f"{(perf_counter() - start) * 1e3:.0f} ms")
        start = perf_counter()
        page = RequestsQuestion(start=START, end=END, filters=Filters(account=account))
        request_list(store, page, as_of=projector.reached())
        say("a page of requests", calls, f"{(perf_counter() - start) * 1e3:.0f} ms")
        start = perf_counter()
        Projector(log=world.log, store=store, books=world.books).start()
        say("find the position again", f"{(perf_counter() - start) * 1e3:.0f} ms")
        store.close()


if __name__ == "__main__":
    main()
