"""Large data in the embedded engine: `python -m bench.large --lines N --events N --accounts N`.

Rebuild from a log of N events (made up while it is read; making it up is not counted), the invoice
of one account, a usage report and the first paint of its pages over N lines (copies of a thousand
real ones, made by the engine), and the close of N accounts with three calls each. The memory is
that of the whole process: Python, the engine and its caches.
"""

from __future__ import annotations

import argparse
import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Final, cast

import psutil

from bench.generated import STORE, GeneratedLog
from domain.account import Account
from domain.clock import FixedClock
from domain.coordination.memory import MemoryLocks
from domain.eventlog.port import EventLog
from domain.eventlog.sqlite import open_sqlite_log
from domain.events.base import Event
from domain.events.codec import decode
from domain.events.requests import RequestRouted, UsageReported
from domain.ids import public_id
from domain.invoice import Period
from domain.invoice_register import InvoiceRegister
from domain.money import ZERO
from pricing.book import Books
from pricing.invoice import bill
from pricing.load import shipped_book
from projections.migrate import generation_in_force, prepare
from projections.projector import Projector
from projections.queries.filters import Filters
from projections.queries.health import doubled_accounts
from projections.queries.invoice_lines import (
    InvoiceQuestion,
    billables,
    draw,
)
from projections.queries.requests import RequestsQuestion, request_list
from projections.queries.usage import UsageQuestion, usage_report
from projections.rebuild import rebuild
from projections.store.clickhouse import open_embedded
from projections.store.port import ProjectionStore
from workers.close import Closer

START: Final = datetime(2026, 11, 1, tzinfo=UTC)
MONTH: Final = Period(START, datetime(2026, 12, 1, tzinfo=UTC))
SEED: Final = 1000
CALLS_EACH: Final = 3
MIB: Final = 2**20

_COPY: Final = """
    INSERT INTO $db.request_lines
    SELECT l.* REPLACE(
        generateUUIDv4(n) AS event_id, generateUUIDv4(n + 1) AS request_id,
        (n + 1) * {seed:UInt64} + seq AS seq, (n + 1) * {seed:UInt64} + position AS position,
        recorded_at + toIntervalMillisecond(n * 200) AS recorded_at,
        terminal_at + toIntervalMillisecond(n * 200) AS terminal_at)
    FROM $db.seed AS l
    CROSS JOIN (SELECT number AS n FROM numbers({first:UInt64}, {count:UInt64})) AS copies
"""


def main() -> None:
    """Print a line per figure."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--lines", type=int, default=200_000)
    asked.add_argument("--events", type=int, default=100_000)
    asked.add_argument("--accounts", type=int, default=100)
    given = asked.parse_args()
    gc.freeze()
    gc.set_threshold(20_000)
    for part, size in (
        (over_lines, given.lines),
        (over_accounts, given.accounts),
        (over_events, given.events),
    ):
        with TemporaryDirectory() as folder:
            if size:
                part(Path(folder), size)


def over_lines(folder: Path, lines: int) -> None:
    """One account with so many calls: its invoice, its usage report, its first page."""
    store = open_embedded(folder / "projections")
    prepare(store)
    books = Books(shipped_book())
    log = GeneratedLog(
        events=2 * SEED, accounts=1, book=books.current.hash, every=timedelta(milliseconds=100)
    )
    Projector(log=log, store=store, books=books).catch_up()
    account = store.query("SELECT any(account_id) FROM $db.request_lines")[0][0]
    with measured(f"copy {SEED} calls to {lines:,}"):
        store.command(
            "CREATE TABLE $db.seed ENGINE = Memory AS SELECT * FROM $db.request_lines FINAL"
        )
        step = 500_000 // SEED
        for first in range(0, lines // SEED - 1, step):
            count = min(step, lines // SEED - 1 - first)
            store.query(_COPY, {"seed": 2 * SEED, "first": first, "count": count})
    as_of = {STORE: 2 * lines + 2 * SEED}
    question = InvoiceQuestion(account_id=account, sandbox=False, period=MONTH, cutoff=as_of)
    with measured(f"invoice of one account over {lines:,} calls"):
        (drawn,) = draw(store, [question])
        found = bill(drawn.lines, carried_in=ZERO, tax_rate=Decimal(0))
    calls = sum(each.line.requests for each in found.lines)
    say("", f"{len(found.lines)} lines, {calls:,} calls, USD {found.fee_usd_exact}")
    with measured("who has something to bill"):
        billables(store, MONTH, cutoff=as_of)
    with measured("usage report by day, model and tag"):
        asked = UsageQuestion(
            start=START, end=MONTH.end, group_by=("day", "model", "tag:team"), filters=Filters()
        )
        usage_report(store, asked, as_of=as_of)
    with measured("usage of the account's month, by day (first paint)"):
        mine = UsageQuestion(
            start=START, end=MONTH.end, group_by=("day",), filters=Filters(account=account)
        )
        usage_report(store, mine, as_of=as_of)
    with measured("a page of requests (first paint)"):
        page = RequestsQuestion(start=START, end=MONTH.end, filters=Filters(account=account))
        request_list(store, page, as_of=as_of)
    sizes(store)
    store.close()


def over_accounts(folder: Path, accounts: int) -> None:
    """A month with so many accounts is closed, over a log on the disk."""
    clock = FixedClock(START)
    books = Books(shipped_book())
    log = open_sqlite_log(folder / "events.db", clock=clock)
    with measured(f"log of {accounts:,} accounts, {CALLS_EACH} calls each"):
        _open_accounts(log, accounts, books)
    store = open_embedded(folder / "projections")
    prepare(store)
    projector = Projector(log=log, store=store, books=books)
    with measured("project it"):
        projector.catch_up()
    with measured("look for ids with two payloads"):
        doubled_accounts(store)
    clock.advance(MONTH.end + timedelta(hours=2) - clock.now())
    closer = Closer(
        log=log,
        projected=projector,
        register=InvoiceRegister(log),
        seal=lambda: log.seal().result(),
        locks=MemoryLocks(),
        clock=clock,
    )
    start = perf_counter()
    with measured(f"close {accounts:,} accounts"):
        closed = closer.close(MONTH)
    assert len(closed.invoices) == accounts
    assert not closed.refused
    say("", f"{accounts / (perf_counter() - start):,.1f} invoices/s")
    store.close()
    log.close()


def over_events(folder: Path, events: int) -> None:
    """A rebuild from so many events."""
    store = open_embedded(folder / "projections")
    prepare(store)
    books = Books(shipped_book())
    log = GeneratedLog(events=events, accounts=1000, book=books.current.hash)
    projector = Projector(log=log, store=store, books=books)
    wall_s, cpu_s = perf_counter(), process_time()
    with measured(f"rebuild of {events:,} events, from empty tables"):
        while projector.step():
            pass
    made = log.made_s
    cpu_s, wall_s = process_time() - cpu_s - made, perf_counter() - wall_s - made
    say("", f"{events / cpu_s:,.0f} events/s of CPU, {events / wall_s:,.0f} by the clock")
    sizes(store)
    with measured("rebuild beside them, compare, exchange"):
        done = rebuild(projector, locks=MemoryLocks())
    assert not done.differences
    say("", f"generation {generation_in_force(store)}, making lines up took {log.made_s:,.0f} s")
    store.close()


def _open_accounts(log: EventLog, accounts: int, books: Books) -> None:
    """Accounts, and calls that are those of the generated log."""
    source = GeneratedLog(
        events=2 * accounts * CALLS_EACH, accounts=accounts, book=books.current.hash
    )
    ids = []
    futures = []
    for _ in range(accounts):
        account = Account(currency="USD")
        ids.append(public_id("acc", account.id))
        opened = [cast("Event", each) for each in account.collect_events()]
        futures.append(log.submit(*opened, account_id=ids[-1]))
    for recorded in source.read(after=0, limit=source.head()):
        event = decode(recorded)
        owner = ids[(recorded.seq + 1) // 2 % accounts]
        assert isinstance(event, RequestRouted | UsageReported)
        if isinstance(event, RequestRouted):
            event = RequestRouted(**{**vars(event), "account_id": owner})
        futures.append(log.submit(event, account_id=owner))
    for future in futures:
        future.result()


@contextmanager
def measured(what: str) -> Iterator[None]:
    """Say how long it took, its CPU time, and the most memory that the process had meanwhile."""
    process = psutil.Process()
    most = [process.memory_info().rss]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            most.append(max(most.pop(), process.memory_info().rss))

    before, watcher = most[0], threading.Thread(target=watch)
    watcher.start()
    wall_s, cpu_s = perf_counter(), process_time()
    try:
        yield
    finally:
        wall_s, cpu_s = perf_counter() - wall_s, process_time() - cpu_s
        ended.set()
        watcher.join()
    say(
        what,
        f"{wall_s:,.2f} s",
        f"{cpu_s:,.2f} s CPU",
        f"{most[0] / MIB:,.0f} MiB at most, {before / MIB:,.0f} before",
    )


def sizes(store: ProjectionStore) -> None:
    """Bytes on the disk per row, by table."""
    for table, rows, size in store.query(
        "SELECT table, sum(rows), sum(bytes_on_disk) FROM system.parts"
        " WHERE active AND database = {database:String} AND rows > 100"
        " GROUP BY table ORDER BY table",
        {"database": store.database},
    ):
        say("", f"{table}: {rows:,} rows, {size / rows:.1f} bytes each on the disk")


def say(what: str, *figures: str) -> None:
    """One line."""
    sys.stdout.write(f"{what:<52}" + "".join(f"  {figure}" for figure in figures) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
