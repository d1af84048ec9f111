"""What projecting an event costs, stage by stage: `python -m bench.projector [events]`.

CPU time per event, half of them routed and half reported, priced by the shipped book, in this
process's engine and, with CLICKHOUSE_DSN, over HTTP (where the server's own work is not counted).
Garbage collection is set as `keytoll serve` sets it.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Final

from bench.generated import STORE, GeneratedLog, batches
from domain.eventlog.port import Recorded
from domain.events.codec import decode, read_line
from domain.ids import new_id
from keytoll.server import COLLECT_EVERY
from pricing.book import Books
from pricing.load import shipped_book
from projections.batch import Batch, Batcher
from projections.migrate import migrate
from projections.rows import columns
from projections.store.arrow import arrow_file
from projections.store.clickhouse import open_embedded, open_server
from projections.store.port import Columns, ProjectionStore

EVENTS: Final = 40_000
SIZES: Final = (10_000, 2_000, 500, 100)
BEST_OF: Final = 3
TABLES: Final = ("request_lines", "log_lines")


def main(events: int) -> None:
    """Print a line for each size of batch and place of the tables."""
    books = Books(shipped_book())
    log = GeneratedLog(events=events, accounts=20, book=books.current.hash)
    stages = ("parse", "decode", "rate, rows", "columns", "arrow", "insert", "all", "events/s")
    sys.stdout.write(f"{'CPU µs per event':<28}" + "".join(f"{s:>12}" for s in stages) + "\n")
    with TemporaryDirectory() as folder:
        stores = {"in-process engine": open_embedded(Path(folder))}
        if dsn := os.environ.get("CLICKHOUSE_DSN"):
            stores["over HTTP"] = open_server(dsn)
        for name, opened in stores.items():
            store = opened.at(f"bench_{new_id().hex[:12]}")
            store.command("CREATE DATABASE $db")
            migrate(store)
            for size in SIZES:
                given = list(batches(log, size))[: max(4, events // size)]
                gc.collect()
                gc.freeze()
                gc.set_threshold(COLLECT_EVERY)
                best = min((measured(given, books, store) for _ in range(BEST_OF)), key=sum)
                figures = [*best, sum(best)]
                line = "".join(f"{figure:>12.1f}" for figure in figures)
                speed = f"{1e6 / sum(best):>12,.0f}"
                sys.stdout.write(f"{name + f', by {size:,}':<28}{line}{speed}\n")
            store.command("DROP DATABASE $db SYNC")
            opened.close()


def measured(
    given: Sequence[Sequence[Recorded]], books: Books, store: ProjectionStore
) -> list[float]:
    """CPU µs per event of each stage; what is part of another stage is timed apart, and taken off
    that one."""
    times = dict.fromkeys(("parse", "decode", "batch", "columns", "arrow", "insert"), 0.0)

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        start = process_time()
        yield
        times[name] += process_time() - start

    types = {table: store_types(store, table) for table in TABLES}
    batcher = Batcher(history=lambda _: [], books=books, bases={STORE: 0})
    for each in given:
        with stage("parse"):
            _ = [read_line(recorded.line) for recorded in each]
        with stage("decode"):
            _ = [decode(recorded) for recorded in each]
        with stage("batch"):
            batch = batcher.batch(each)
        assert not batch.dead
        with stage("columns"):
            turned = _columns(batch)
        with stage("arrow"):
            _ = [arrow_file(table, rows, types[table]) for table, rows in turned]
        token = new_id().hex
        with stage("insert"):
            for table, rows in turned:
                store.insert(table, rows, token=token)
    events = sum(map(len, given))
    per = {name: spent / events * 1e6 for name, spent in times.items()}
    return [
        per["parse"],
        per["decode"] - per["parse"],
        per["batch"] - per["decode"],
        per["columns"],
        per["arrow"],
        per["insert"] - per["arrow"],
    ]


def _columns(batch: Batch) -> list[tuple[str, Columns]]:
    lines = ("log_lines", columns("log_lines", batch.lines))
    return [("request_lines", columns("request_lines", batch.rows["request_lines"])), lines]


def store_types(store: ProjectionStore, table: str) -> dict[str, str]:
    """Column → type."""
    sql = (
        "SELECT name, type FROM system.columns"
        " WHERE database = {database:String} AND table = {table:String}"
    )
    return dict(store.query(sql, {"database": store.database, "table": table}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else EVENTS)
