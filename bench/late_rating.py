"""What late rating and what-ifs take: a month of 100,000 calls in a log on disk, 2,000 without a
price.

.venv/bin/python -m bench.late_rating
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Final, TypeVar
from uuid import UUID

from domain.clock import FixedClock
from domain.eventlog.sqlite import open_sqlite_log
from domain.events.base import Event
from domain.invoice import Period
from pricing.book import Books
from pricing.load import shipped_book
from projections.migrate import prepare
from projections.projector import Projector
from projections.queries.unrated import unrated_count
from projections.store.clickhouse import open_embedded
from projections.what_if import as_rated, by_book, compared, settled_within
from tests.projections.world import START, World
from workers.rerate import Rerater

CALLS: Final = 100_000
UNRATED: Final = 2_000
CHUNK: Final = 2_000
MODELS: Final = (
    ("openai", "gpt-4o"),
    ("openai", "gpt-5.4"),
    ("anthropic", "claude-sonnet-4-5"),
    ("openai", "gpt-4o-mini-2024-07-18"),
)
MONTH: Final = Period(START, START + timedelta(days=30))

T = TypeVar("T")


class Recorder(World):
    """A world that writes its calls in large appends."""

    def __init__(self, folder: Path) -> None:
        super().__init__(clock=FixedClock(START), full_book=shipped_book())
        self.log = open_sqlite_log(folder / "events.sqlite", clock=self.clock)
        self.first_book = self.full_book.prefix(10)
        self.pending: list[Event] = []
        self.account = self.open_account("a")

    def append(self, *events: Event, account: str | None) -> tuple[()]:
        if account is None or not hasattr(self, "account"):
            self.log.submit(*events, account_id=account).result()
            return ()
        self.pending.extend(events)
        if len(self.pending) >= CHUNK:
            self.log.submit(*self.pending, account_id=account).result()
            self.pending.clear()
        return ()

    def fill(self) -> None:
        for number in range(CALLS):
            provider, model = MODELS[number % len(MODELS)]
            # Calls under a book of ten entries, which knows none of the models, wait for a price.
            early = number % (CALLS // UNRATED) == 0
            book = self.first_book if early else self.full_book
            request: UUID = self.routed(
                self.account, provider=provider, model=model, price_book=book.hash
            )
            used = self.report(
                request, input_tokens=1200, cached_input_tokens=number % 800, output_tokens=340
            )
            self.append(used, account=self.account)
            self.tick(seconds=25)


def timed(what: str, run: Callable[[], T]) -> T:
    wall_s, cpu_s = perf_counter(), process_time()
    result = run()
    wall_s, cpu_s = perf_counter() - wall_s, process_time() - cpu_s
    sys.stdout.write(f"{what:<56}{wall_s:>8.2f} s{cpu_s:>10.2f} s CPU\n")
    return result


def main() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        world = Recorder(folder)
        timed(f"write {CALLS} calls", world.fill)
        store = open_embedded(folder / "projections")
        prepare(store)
        books = Books(world.full_book)
        projector = Projector(log=world.log, store=store, books=books)
        timed("project them", projector.catch_up)
        by = by_book(world.full_book)

        def what_if() -> object:
            return compared(settled_within(world.log, store, MONTH), as_rated(books), by)

        timed("what-if of the month", what_if)
        rerater = Rerater(
            log=world.log, projected=lambda: projector, books=books, clock=world.clock
        )
        timed("count what has no price", lambda: unrated_count(store))
        done = timed(f"rate the {UNRATED} that have none", rerater.run)
        assert done.rated == UNRATED, done
        projector.catch_up()
        timed("look again and find nothing", rerater.run)
        timed("what-if of the month, with 2,000 re-rated calls", what_if)
        world.log.close()
        store.close()


if __name__ == "__main__":
    main()
