"""How fast rating is, and what the price book costs in time and memory.

`.venv/bin/python -m bench.rate`. Times are of one processor, the best of three. The baseline of the
same run is what no exact rating can do without: a product for each unit, and their sum. The
second book is made of ROWS rows, one in three with tiers, half with conditions.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import cycle
from time import perf_counter, process_time
from typing import Any, Final
from uuid import uuid4

import orjson

from domain.events.requests import RequestRouted, UsageReported
from domain.money import EXACT
from pricing.book import Books, Entries, PriceBook
from pricing.load import DATA, shipped_book, shipped_names
from pricing.rate import Call, rate
from pricing.receipt import receipt
from pricing.records import rate_record
from pricing.request import rate_request
from pricing.row import STANDARD, Conditions, Row

USUAL: Final = {"input_tokens": 1200, "cached_input_tokens": 200, "output_tokens": 340}
CACHED: Final = {**USUAL, "cache_write_5m_tokens": 300, "cache_write_1h_tokens": 100}
AT: Final = datetime(2026, 11, 24, tzinfo=UTC)
ROUNDS: Final = 20_000
ROWS: Final = 10_000
RATE_TARGET: Final = 20_000

Work = Callable[[], object]


def per_second(work: Work, rounds: int = ROUNDS) -> float:
    """Calls in a second of one processor."""
    best = 0.0
    for _ in range(3):
        start = process_time()
        for _ in range(rounds):
            work()
        best = max(best, rounds / (process_time() - start))
    return best


def main() -> None:
    """Print the figures."""
    show_loading()
    book = shipped_book()
    show_table("the shipped book", {"baseline: bare products": baseline, **work_on(book)})
    show_table(f"a book of {ROWS} rows", work_on(synthetic(ROWS)))


def show_table(title: str, work: dict[str, Work]) -> None:
    """One line for each kind of work."""
    sys.stdout.write(f"\n{title:<44}{'per second':>12}{'µs':>8}\n")
    for name, each in work.items():
        speed = per_second(each)
        short = "" if speed >= RATE_TARGET else "  below target"
        sys.stdout.write(f"{name:<44}{speed:>12,.0f}{1e6 / speed:>8.1f}{short}\n")


def show_loading() -> None:
    """Time and memory of a fresh process that opens the book, and of opening a past one."""
    fresh = "import bench.rate as b; b.report_fresh()"
    for name in ("nothing", "book"):
        command = [sys.executable, "-c", fresh.replace("()", f"({name!r})")]
        sys.stdout.write(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    books, past = Books(shipped_book()), shipped_book().prefix(1000).hash
    start = perf_counter()
    books.open(past)
    first = perf_counter() - start
    sys.stdout.write(f"a past book by its hash, the first time  {first * 1000:.1f} ms\n")


def report_fresh(name: str) -> None:
    """Resident memory of this process, without or with the book and every row of it read."""
    start = perf_counter()
    book = shipped_book() if name == "book" else None
    loaded = perf_counter() - start
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if book is None:
        sys.stdout.write(f"a process without a book {held:.0f} MB\n")
        return
    every = sum(1 for _ in rows_of(book))
    read = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(
        f"with the book of {book.rows} entries {held:.0f} MB, loaded in {loaded * 1000:.1f} ms;"
        f" with all its {every} rows read {read:.0f} MB\n"
    )


def rows_of(book: PriceBook) -> Iterator[Row]:
    """Every row of the shipped book."""
    for provider in sorted(path.stem for path in DATA.glob("*.jsonl")):
        for model in book.models(provider):
            yield from book.rows_of(provider, model)


def work_on(book: PriceBook) -> dict[str, Work]:
    """What is measured on a book: each kind of call goes round all models of its kind."""
    rows = [row for row in rows_of(book) if row.live(AT) and not row.model.endswith("-latest")]
    standard = [row for row in rows if row.conditions == STANDARD and not row.free]
    conditional = [row for row in rows if row.conditions != STANDARD and not row.free]
    free = [row for row in rows if row.free and row.conditions == STANDARD]
    tiered = [row for row in standard if row.tiers]
    names = shipped_names()
    record = {"provider": standard[0].provider, "model": standard[0].model, "usage": USUAL}
    text = orjson.dumps(record)
    return {
        "rate, listed": around(standard, USUAL, book),
        "rate, cache writes": around(standard, CACHED, book),
        "rate, service class and place": around(conditional, USUAL, book),
        "rate, long context": around(tiered, {**USUAL, "input_tokens": 300_000}, book),
        "rate, free model": around(free, USUAL, book),
        "rate, unknown model": partial_rate(call_of("openai", "gpt-9", USUAL), book),
        "rate and receipt of a request": events_of(standard[0], book),
        "a line of `keytoll rate`": lambda: orjson.dumps(
            rate_record(orjson.loads(text), book, names=names, normalise={}, at=AT)
        ),
    }


def around(rows: list[Row], usage: dict[str, int], book: PriceBook) -> Work:
    """Rate a call of the next row each time."""
    calls = cycle([call_of(row.provider, row.model, usage, row.conditions) for row in rows])
    return lambda: rate(next(calls), book, reference="same-provider-first")


def partial_rate(call: Call, book: PriceBook) -> Work:
    """Rate one call."""
    return lambda: rate(call, book, reference="same-provider-first")


def call_of(
    provider: str, model: str, usage: dict[str, int], conditions: Conditions = STANDARD
) -> Call:
    """A call as the events of a request make it."""
    return Call(provider, model, (None, model), AT, usage, conditions)


def events_of(row: Row, book: PriceBook) -> Work:
    """Rate a request from its two events, and make its receipt."""
    route: dict[str, Any] = {
        **dict.fromkeys(("account_id", "api_key_id", "credential_id", "api", "owner"), "x"),
        **dict.fromkeys(("attempt_of", "idempotency")),
        "originator_id": uuid4(),
        "originator_version": 1,
        "provider": row.provider,
        "requested_model": row.model,
        "upstream_model": row.model,
        "stream": False,
        "prompt_bytes": 1,
        "price_book": book.hash,
        "markup_rate": "0.05",
        "tags": {},
        "price_at": "2026-11-24T00:00:00.000000Z",
        "account_version": 1,
        "sandbox": False,
        "reference_setting": "same-provider-first",
    }
    routed = RequestRouted(**route)
    used = UsageReported(
        originator_id=routed.originator_id,
        originator_version=2,
        usage=USUAL,
        provenance={},
        usage_raw=[],
        model=row.model,
    )

    def work() -> object:
        rated = rate_request(routed, used, book)
        return receipt(routed, used, rated, request_id="req_x", key_suffix="abcd")

    return work


def baseline() -> Decimal:
    """Three products and their sum, exact."""
    total = Decimal(0)
    for count, price in ((1000, _PRICES[0]), (200, _PRICES[1]), (340, _PRICES[2])):
        total = EXACT.add(total, EXACT.multiply(Decimal(count), price))
    return EXACT.multiply(total, _MILLIONTH)


_PRICES: Final = (Decimal("2.5"), Decimal("0.25"), Decimal("15"))
_MILLIONTH: Final = Decimal("0.000001")


def synthetic(rows: int) -> PriceBook:
    """A book of many rows at a few providers: every tenth model free, five providers a model."""
    providers = ("openai", "groq", "novita", "together", "fireworks")
    lines = []
    for n in range(1, rows + 1):
        model = f"model-{n // 15}"
        row: dict[str, Any] = {
            "id": f"row-{n}",
            "provider": providers[n % 5],
            "model": model,
            "canonical": model,
            "recorded_at": "2026-11-23T00:00:00.000000Z",
            "prices": {
                **dict.fromkeys(("input", "cached_input", "cache_write_5m"), f"{1 + n % 7}"),
                "output": f"{4 + n % 9}",
            },
        }
        if n // 15 % 10 == 0 and n % 5 == 0:
            row["prices"] = {}
        elif n % 3 == 0:
            row["tiers"] = [{"input_tokens_above": 200_000, "input": "9", "output": "20"}]
        if n % 15 >= 10:
            row["service_tier"] = ("flex", "priority")[n % 2]
        elif n % 15 >= 5:
            row["region"] = "eu"
        lines.append(orjson.dumps({"n": n, "row": row}, option=orjson.OPT_SORT_KEYS))
    return PriceBook(Entries(lines))


if __name__ == "__main__":
    main()
