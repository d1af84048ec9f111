"""Random price books and calls that touch every rule, many of them at its very edge."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from domain.clock import instant_text
from domain.events.base import JsonObject
from domain.usage import UNITS
from pricing.row import PRICES

NOON: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
PROVIDERS: Final = (
    *("groq", "novita", "together", "openrouter", "vercel", "openai"),
    *("hyperbolic", "sandbox", "azure"),
)
CALLERS: Final = (*PROVIDERS, "openai-responses", "azure-responses", "nobody")
MODELS: Final = ("a", "a-2026-01-01", "a:free", "b", "b-latest", "a:batch", "google/a", "deployed")
CANONICAL: Final = ("a", "b")
MOMENTS: Final = tuple(
    NOON + timedelta(days=days, microseconds=micros)
    for days in (-46, -45, -1, 0, 5)
    for micros in (-1, 0, 1)
)
PRICE_TEXTS: Final = ("0", "0.000000001", "0.25", "0.999999999", "1", "1.000000001", "2.5", "4")
STATED: Final[tuple[tuple[str, tuple[Any, ...]], ...]] = (
    ("service_tier", (None, "", "auto", "default", "standard", "flex", "priority")),
    ("batch", (None, False, True)),
    ("speed", (None, "standard", "fast")),
    ("region", (None, "", "eu", "us")),
    ("inference_geo", (None, "us")),
    ("deployment_type", (None, "zone", "global")),
)
WINDOWS: Final = ("11:00-12:00", "12:00-13:00", "12:00-24:00", "16:30-12:00", "23:00-11:59")
THRESHOLDS: Final = (0, 100, 200)
SEARCHES: Final = ("web_search_calls", "requests")


@dataclass
class Maker:
    """Makes books and calls from one source of chance."""

    random: Random

    def maybe(self, share: float) -> bool:
        return self.random.random() < share

    def conditions(self, share: float) -> JsonObject:
        return {name: self.random.choice(values) for name, values in STATED if self.maybe(share)}

    def prices(self) -> JsonObject:
        if self.maybe(0.2):
            return self.random.choice([{}, {"input": "0", "output": "0"}])
        names = {*self.random.sample(PRICES, self.random.randrange(6)), "input", "output"}
        if self.maybe(0.4):
            names = set(PRICES)
        return {name: self.random.choice(PRICE_TEXTS) for name in sorted(names)}

    def row(self, number: int) -> JsonObject:
        random = self.random
        row: JsonObject = {
            "id": f"row-{number}",
            "provider": random.choice(PROVIDERS),
            "model": random.choice(MODELS),
            "canonical": random.choice(CANONICAL),
            "recorded_at": instant_text(NOON - timedelta(days=random.choice([1, 45, 46, 90]))),
            "prices": self.prices(),
            **self.conditions(0.12),
        }
        if self.maybe(0.3):
            row["tiers"] = [
                {"input_tokens_above": above, **self.prices()}
                for above in random.sample(THRESHOLDS, 2)
            ]
        if self.maybe(0.3):
            row["time_overrides"] = [self._override() for _ in range(2)]
        if self.maybe(0.2):
            row["multiplier"] = random.choice(["0.5", "1.1", "2", "0.001"])
        if self.maybe(0.2):
            row["effective_from"] = instant_text(random.choice(MOMENTS))
        if self.maybe(0.2):
            row["effective_to"] = instant_text(random.choice(MOMENTS))
        return row

    def _override(self) -> JsonObject:
        random = self.random
        override: JsonObject = {"utc_windows": [random.choice(WINDOWS)], **self.prices()}
        if self.maybe(0.5):
            override["utc_days"] = random.sample(range(1, 8), 3)
        return override

    def entries(self, rows: int) -> list[JsonObject]:
        """A list of entries of every kind; every row is there before it is spoken of."""
        made: list[JsonObject] = []
        for number in range(rows):
            made.append({"row": self.row(number)})
            about = {"row": f"row-{self.random.randrange(number + 1)}"}
            if self.maybe(0.3):
                made.append({"seen": {**about, "at": instant_text(self.random.choice(MOMENTS))}})
            if self.maybe(0.1):
                made.append(
                    {"deprecated": {**about, "at": instant_text(self.random.choice(MOMENTS))}}
                )
            if self.maybe(0.3):
                made.append({"name": self._name()})
        return made

    def _name(self) -> JsonObject:
        random = self.random
        return {
            "provider": random.choice(PROVIDERS),
            "model": random.choice([*MODELS, "alias"]),
            "canonical": random.choice(CANONICAL),
        }

    def usage(self) -> dict[str, int]:
        """Consistent counts, at the edges of the tiers; now and then hardly anything known."""
        random = self.random
        if self.maybe(0.05):
            return random.choice([{}, {"web_search_calls": 2}, {"requests": 1}])
        parts = {
            unit: random.choice([0, 1, 7, 20])
            for unit in UNITS
            if unit not in {"input_tokens", "output_tokens", "reasoning_tokens", *SEARCHES}
            and self.maybe(0.15)
        }
        if "cached_audio_tokens" in parts:
            parts["cached_input_tokens"] = parts["cached_audio_tokens"] + random.randrange(5)
        inside = {u: n for u, n in parts.items() if u not in {"cached_audio_tokens"}}
        out = sum(n for u, n in inside.items() if u.startswith("output"))
        into = sum(inside.values()) - out
        usage = dict(parts)
        if into or self.maybe(0.95):
            usage["input_tokens"] = max(into, random.choice([0, 100, 101, 200, 201, 1000]))
        if out or self.maybe(0.95):
            usage["output_tokens"] = out + random.choice([0, 1, 50])
        if self.maybe(0.3):
            usage["reasoning_tokens"] = random.choice([0, 3, 60])
        for unit in SEARCHES:
            if self.maybe(0.1):
                usage[unit] = random.randrange(3)
        return usage

    def routed(self, book_hash: str) -> JsonObject:
        """The fields of a call as it was routed that rating looks at."""
        random = self.random
        return {
            "provider": random.choice(CALLERS),
            "upstream_model": random.choice([*MODELS, "alias", "unheard"]),
            "price_book": book_hash,
            "price_at": instant_text(random.choice(MOMENTS)),
            "reference_setting": random.choice(["same-provider-first", "lowest"]),
        }

    def used(self) -> JsonObject:
        """What a terminal event says."""
        random = self.random
        context = self.conditions(0.15)
        if self.maybe(0.1):
            context["deployment_model"] = random.choice(["deployed", "unheard"])
        used: JsonObject = {
            "usage": self.usage(),
            "model": random.choice([None, *MODELS, "alias", "unheard"]),
            "context": context,
            "provider_cost": random.choice(FIGURES) if self.maybe(0.3) else None,
        }
        if self.maybe(0.1):
            used["parts"] = [
                {"model": random.choice([*MODELS, "unheard"]), "usage": self.usage()}
                for _ in range(2)
            ]
        return used


FIGURES: Final[tuple[JsonObject, ...]] = tuple(
    {"amount": amount, "meaning": meaning}
    for amount in ("0", "0.000000000000000001", "1.25")
    for meaning in ("total", "upstream", "gateway_fee")
)
