"""How fast rating is, and what the price book costs in time and memory.

.venv/bin/python -m bench.rate
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from time import perf_counter, process_time
from typing import Any
from uuid import uuid4

from domain.events.requests import RequestRouted, UsageReported
from pricing.load import shipped_book
from pricing.paid_version import Setting
from pricing.rate import Call, rate
from pricing.receipt import receipt
from pricing.request import rate_request
from pricing.row import Conditions

USUAL = {"input_tokens": 1200, "cached_input_tokens": 200, "output_tokens": 340}
CACHED = {**USUAL, "cache_write_5m_tokens": 300, "cache_write_1h_tokens": 100}
ROUNDS = 20_000


def per_second(work: Callable[[], object]) -> str:
    """Calls in a second of one processor, best of three."""
    best = 0.0
    for _ in range(3):
        start = process_time()
        for _ in range(ROUNDS):
            work()
        best = max(best, ROUNDS / (process_time() - start))
    return f"{best:>9,.0f}/s  {1e6 / best:6.1f} µs"


def main() -> None:
    start = perf_counter()
    book = shipped_book()
    loaded = perf_counter() - start
    tracemalloc.start()
    held_book = shipped_book()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    sys.stdout.write(
        f"load {book.rows} entries: {loaded * 1000:.1f} ms, {held / 1e6:.1f} MB {held_book}\n"
    )

    route: dict[str, Any] = {
        **dict.fromkeys(("account_id", "api_key_id", "credential_id", "api", "owner"), "x"),
        "originator_id": uuid4(),
        "originator_version": 1,
        "provider": "openai",
        "requested_model": "gpt-5.4",
        "upstream_model": "gpt-5.4",
        "stream": False,
        "prompt_bytes": 1,
        "price_book": book.hash,
        "markup_rate": "0.05",
        "tags": {},
        "price_at": "2026-11-24T00:00:00.000000Z",
        "account_version": 1,
        "sandbox": False,
        "attempt_of": None,
        "idempotency": None,
        "reference_setting": "same-provider-first",
    }
    routed = RequestRouted(**route)
    used = UsageReported(
        originator_id=routed.originator_id,
        originator_version=2,
        usage=USUAL,
        provenance={},
        usage_raw=[],
        model="gpt-5.4-2026-03-05",
    )
    setting: Setting = "same-provider-first"

    def call(provider: str, model: str, usage: dict[str, int], **context: str) -> Callable[[], Any]:
        made = Call(
            provider=provider,
            served=model,
            otherwise=(None, model),
            at=datetime(2026, 11, 24, tzinfo=UTC),
            usage=usage,
            conditions=Conditions.of(context),
        )
        return lambda: rate(made, book, reference=setting)

    rated = rate_request(routed, used, book)
    work = {
        "rate, listed": call("openai", "gpt-5.4", USUAL),
        "rate, flex tier": call("openai", "gpt-5.4", USUAL, service_tier="flex"),
        "rate, cache writes": call("anthropic", "claude-opus-5", CACHED),
        "rate, free model": call("sandbox", "sandbox/echo-free", USUAL),
        "rate, unknown model": call("openai", "gpt-9", USUAL),
        "rate a request from its events": lambda: rate_request(routed, used, book),
        "receipt of a rated request": lambda: receipt(
            routed, used, rated, request_id="req_x", key_suffix="abcd"
        ),
    }
    for name, each in work.items():
        sys.stdout.write(f"{name:32} {per_second(each)}\n")


if __name__ == "__main__":
    main()
