"""What the queries behind the usage page take with a million calls in the projection.

.venv/bin/python -m bench.pages
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

from projections.migrate import prepare
from projections.queries.filters import Filters
from projections.queries.latency import latency
from projections.queries.requests import RequestsQuestion, request_list
from projections.queries.usage import UsageQuestion, usage_report
from projections.rows import micros
from projections.store.clickhouse import open_embedded
from projections.store.port import ProjectionStore

CALLS: Final = 1_000_000
RUNS: Final = 7
START: Final = datetime(2026, 9, 1, tzinfo=UTC)
END: Final = datetime(2026, 11, 30, tzinfo=UTC)
MONTH: Final = datetime(2026, 11, 1, tzinfo=UTC)
ACCOUNT: Final = "acc_0000000000000000000000000000000a"
OTHER: Final = "acc_0000000000000000000000000000000b"
AS_OF: Final = {"bench": CALLS}

_FILL: Final = """
    INSERT INTO $db.request_lines
        (account_id, event_id, sign, request_id, version, topic, store_id, seq, position, hash,
         recorded_at, terminal_at, routed_at, price_at, sandbox, api_key_id, credential_id,
         provider, api, requested_model, model, tags, stream, state, status, usage_source, failure,
         delivered, first_byte_ms, total_ms, tries, markup_rate, rule, reference_provider,
         reference_model, at_cost_usd, fee_usd, input_tokens, cached_input_tokens, output_tokens,
         reasoning_tokens, first_wins)
    SELECT
        if(number % 20 = 0, {other:String}, {account:String}), generateUUIDv4(number), 1,
        generateUUIDv4(number + 1), 2, if(failed, 'request.failed', 'request.usage-reported'),
        'bench', number + 1, number + 1, toFixedString('', 32),
        fromUnixTimestamp64Micro({start:Int64} + intDiv({span:Int64}, {calls:Int64}) * number,
            'UTC') AS at,
        at, at - toIntervalMillisecond(total), at, number % 50 = 0,
        concat('key_', toString(number % 7)), concat('cred_', toString(number % 9)),
        ['openai', 'anthropic', 'google', 'groq', 'openrouter'][number % 5 + 1], 'openai.chat',
        model, concat('model-', toString(number % 13)) AS model,
        map('team', concat('team-', toString(number % 4))), number % 2,
        if(number % 33 = 0, 'failed', 'settled') AS state,
        multiIf(failed, 'failed', number % 101 = 0, 'unrated', 'priced') AS status,
        multiIf(failed, 'none', number % 12 = 0, 'estimate', 'provider'),
        if(failed, 'rate_limited', ''), 'all', number % 900, 200 + number % 4000 AS total, 1,
        '0.05', 'listed', 'openai', model,
        if(status = 'priced', toDecimal128(number % 997, 24) / 1000000, NULL),
        if(status = 'priced', toDecimal128(number % 997, 24) / 20000000, NULL),
        number % 3000, number % 500, number % 800, number % 100, 18446744073709551615 - number
    FROM (SELECT number, number % 33 = 0 AS failed FROM numbers({first:UInt64}, {count:UInt64}))
"""


def fill(store: ProjectionStore, calls: int = CALLS) -> None:
    """Calls spread evenly over three months, in parts as the projector makes them."""
    part = max(calls // 50, 1)
    for first in range(0, calls, part):
        store.query(
            _FILL,
            {
                "account": ACCOUNT,
                "other": OTHER,
                "start": micros(START),
                "span": micros(END) - micros(START),
                "calls": calls,
                "first": first,
                "count": min(part, calls - first),
            },
        )


def main() -> None:
    """Print the time of each question."""
    with TemporaryDirectory() as folder:
        store = open_embedded(Path(folder))
        prepare(store)
        fill(store)
        for name, ask in questions(store).items():
            print(f"{name:40} {median_ms(ask):8.0f} ms")
        store.close()


def questions(store: ProjectionStore) -> dict[str, Callable[[], object]]:
    """What the usage page asks, for one account and for all."""
    asked: dict[str, Callable[[], object]] = {}
    for whose, account in (("one account", ACCOUNT), ("all", None)):
        for span, start in (("month", MONTH), ("all time", START)):
            filters = Filters(account=account)
            usage = UsageQuestion(
                start=start, end=END, group_by=("day", "provider"), filters=filters
            )
            calls = RequestsQuestion(start=start, end=END, filters=filters)
            what = f"{whose}, {span}"
            asked[f"usage, {what}"] = partial(usage_report, store, usage, as_of=AS_OF)
            asked[f"latency, {what}"] = partial(latency, store, usage, as_of=AS_OF, span="day")
            asked[f"list, {what}"] = partial(request_list, store, calls, as_of=AS_OF)
    return asked


def median_ms(ask: Callable[[], object]) -> float:
    """Of some runs, after one to warm up."""
    ask()
    times = []
    for _ in range(RUNS):
        began = perf_counter()
        ask()
        times.append(perf_counter() - began)
    return sorted(times)[RUNS // 2] * 1000


if __name__ == "__main__":
    main()
