"""Random months of calls, for checking one reading of the rules against another."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random
from typing import Any, Final
from uuid import UUID

from domain.clock import instant_text
from domain.events.base import JsonObject
from domain.events.codec import decode
from domain.events.requests import (
    RequestRouted,
    UsageCorrected,
    UsageEstimated,
    UsageEvent,
    UsageReported,
    UsageRerated,
)
from domain.money import Money
from domain.usage import UNITS
from pricing.book import Books, PriceBook
from pricing.fee import markup_rate
from pricing.invoice import bill, lines_of
from pricing.load import shipped_book
from pricing.request import rate_request
from tests.projections.world import START, World

SHIPPED: Final = shipped_book()
EARLIER: Final = SHIPPED.prefix(1200)
END: Final = datetime(2026, 12, 1, tzinfo=UTC)
MODELS: Final = (
    *(("openai", model) for model in ("gpt-5.4", "gpt-4o-2024-08-06", "gpt-5.6-sol", "gpt-audio")),
    ("openai-responses", "gpt-5.4-2026-03-05"),
    ("openai", "gpt-5-4"),
    ("openai", "a-model-nobody-knows"),
    *(("anthropic", model) for model in ("claude-opus-5", "claude-sonnet-4-5", "claude-haiku-5-5")),
    ("openrouter", "openai/gpt-5.4"),
    ("openrouter", "meta-llama/llama-3.3-70b-instruct:free"),
    ("nvidia", "meta/llama-3.3-70b-instruct"),
    *(("vercel", model) for model in ("google/gemini-2.5-flash", "openai/gpt-5")),
    ("aws", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ("google", "gemini-2.5-pro"),
)
PLAY: Final = tuple(
    ("sandbox", f"sandbox/{name}") for name in ("echo", "echo-free", "slow", "unpriced")
)
CONTEXTS: Final[tuple[JsonObject, ...]] = (
    *({}, {}, {"service_tier": "default"}, {"service_tier": "flex"}, {"batch": True}),
    {"service_tier": "priority", "region": "eu"},
    {"speed": "fast", "inference_geo": "us"},
    {"deployment_model": "gpt-5.4"},
)


def some_usage(random: Random) -> dict[str, int]:
    """Consistent counts, now and then enough for long-context tiers, or hardly anything known."""
    if random.random() < 0.04:
        return random.choice([{}, {"web_search_calls": 1}])
    parts = {
        unit: random.randrange(5000)
        for unit in UNITS
        if unit.startswith(("cache", "input_", "output_"))
        and unit not in {"input_tokens", "output_tokens", "cached_audio_tokens"}
        and random.random() < 0.2
    }
    out = sum(count for unit, count in parts.items() if unit.startswith("output"))
    usage = {**parts, "output_tokens": out + random.randrange(3000)}
    usage["input_tokens"] = sum(parts.values()) - out + random.choice([0, 77, 100_001, 272_001])
    if random.random() < 0.3:
        usage["reasoning_tokens"] = random.randrange(usage["output_tokens"] + 1)
    if random.random() < 0.2:
        usage["web_search_calls"] = random.randrange(3)
    return usage


@dataclass
class Month:
    """One account's calls, written to a log by the real codec."""

    random: Random
    play: bool = False
    world: World = field(default_factory=lambda: World(full_book=SHIPPED))
    effective: list[tuple[RequestRouted, UsageEvent, PriceBook]] = field(default_factory=list)
    """What counts of each request that used something, as the one who wrote it knows."""

    def __post_init__(self) -> None:
        self.world.books = Books(SHIPPED)
        self.account = self.world.open_account("a")

    def calls(self, number: int) -> None:
        """Make calls that end in every way there is."""
        for _ in range(number):
            self.world.tick(minutes=7)
            self._call()

    def _call(self) -> None:
        random, world = self.random, self.world
        provider, model = random.choice(PLAY if self.play else MODELS)
        book = random.choice([SHIPPED, EARLIER])
        request = world.routed(
            self.account,
            provider=provider,
            model=model,
            price_book=book.hash,
            markup_rate=random.choice(["0.05", "0.04", "0.012345"]),
            reference_setting=random.choice(["same-provider-first", "lowest"]),
        )
        routed = decode(world.log.stream(request)[0])
        assert isinstance(routed, RequestRouted)
        used: UsageEvent | None = None
        if random.random() < 0.1:
            world.failed(request, self.account, "process_lost")
        else:
            told = replace(world.report(request, **some_usage(random)), **self._served(model))
            used = self._estimate(told) if random.random() < 0.2 else told
            world.append(used, account=self.account)
        version = 3
        if random.random() < 0.2:
            used = self._correction(request, model, version)
            world.append(used, account=self.account)
            version += 1
        if random.random() < 0.2:
            world.append(
                UsageRerated(
                    originator_id=request,
                    originator_version=version,
                    price_book=SHIPPED.hash,
                    reason="price found",
                ),
                account=self.account,
            )
            book = SHIPPED
        if used is not None:
            self.effective.append((routed, used, book))

    def _served(self, model: str) -> dict[str, Any]:
        random = self.random
        served: dict[str, Any] = {
            "model": random.choice([model, None, "a-served-model-without-a-row"]),
            "context": random.choice(CONTEXTS),
            "provider_cost": random.choice(
                [
                    None,
                    {"amount": "0.000123456789012345", "meaning": "total"},
                    {"amount": "0", "meaning": "total"},
                    {"amount": "0.5", "meaning": "gateway_fee"},
                    {"amount": "0.02", "meaning": "upstream"},
                ]
            ),
        }
        if random.random() < 0.15:
            served["parts"] = [
                {"model": random.choice(MODELS)[1], "usage": some_usage(random)} for _ in range(2)
            ]
        return served

    def _estimate(self, used: UsageReported) -> UsageEstimated:
        kept = {name: value for name, value in vars(used).items() if name != "provenance"}
        return UsageEstimated(
            **kept,
            provenance=dict.fromkeys(used.usage, "estimated"),
            reason="cut_off",
            method={"encoding": "o200k_base", "factor": "1", "counted": ["prompt"]},
        )

    def _correction(self, request: UUID, model: str, version: int) -> UsageCorrected:
        used = replace(self.world.report(request, **some_usage(self.random)), **self._served(model))
        kept = {**vars(used), "originator_version": version}
        return UsageCorrected(**kept, replaces=version - 1, reason="late_report")

    def invoice(self, *, carried_in: Money) -> JsonObject:
        """The document as the program draws it up."""
        rated = [rate_request(*each) for each in self.effective]
        self.random.shuffle(rated)
        figures = bill(lines_of(rated), carried_in=carried_in, tax_rate=markup_rate("0.19"))
        return {
            "id": "inv_1",
            "number": "KT-2026-000001",
            "account_id": self.account,
            "sandbox": self.play,
            "period": {"start": instant_text(START), "end": instant_text(END)},
            **figures.as_json(),
            "tax_rate": "0.19",
            "cutoff": {"store-1": self.world.log.head()},
            "price_books": sorted({each.price_book for each in rated}),
        }

    def lines(self) -> list[bytes]:
        """What `export events` writes."""
        return [each.line for each in self.world.log.read(after=0, limit=10**6)]
