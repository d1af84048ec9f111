"""What one row makes of one call's usage: a component per unit, exact."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple

from domain.money import EXACT, Money
from domain.usage import PART_OF, UNITS, Usage
from pricing.row import Charge, Prices, Row

_PER_MILLION: Final = Decimal("0.000001")

_FALL_BACKS: Final = {
    "cached_input_tokens": ("cached_input",),
    "cached_audio_tokens": ("cached_input_audio",),
    "cache_write_5m_tokens": ("cache_write_5m", "cache_write_1h"),
    "cache_write_1h_tokens": ("cache_write_1h", "cache_write_5m"),
    "cache_write_tokens": ("cache_write_5m", "cache_write_1h"),
    "input_tokens": ("input",),
    "input_audio_tokens": ("input_audio",),
    "input_image_tokens": ("input_image", "input"),
    "output_tokens": ("output",),
    "reasoning_tokens": ("reasoning",),
    "output_audio_tokens": ("output_audio",),
    "output_image_tokens": ("output_image",),
    "web_search_calls": ("web_search_per_call",),
    "requests": ("per_request",),
}
"""The price of each unit, then what stands in for it (API.md 7); no other stands in. Reasoning
without a price of its own stays in the output (`disjoint`)."""
_EACH: Final = frozenset({"web_search_calls", "requests"})


class Component(NamedTuple):
    """Part of a cost: so many of a unit, each at a price. `input_tokens` and `output_tokens` are
    here what is in no other unit. The components of a rating add up to its amount."""

    unit: str
    quantity: int
    price_name: str
    price: Decimal
    """USD per million tokens, or USD each; before the multiplier of the row."""
    amount: Money
    row: str | None
    """None for a figure that the provider reported."""


class Cost(NamedTuple):
    """What a row makes of a usage."""

    row: Row
    total: Money
    components: tuple[Component, ...]
    unpriced: tuple[str, ...]
    """Units that were used and that the row has no price for."""
    tier: int | None


def cost_of(row: Row, usage: Usage, at: datetime) -> Cost:
    """Price a consistent usage by one row. Units that are absent contribute nothing.

    Only `requests` need not be told: a call is one request.
    """
    prices, tier = row.prices_at(at, usage.get("input_tokens", 0))
    if "per_request" in prices and "requests" not in usage:
        usage = {**usage, "requests": 1}
    components: list[Component] = []
    unpriced: list[str] = []
    total = Decimal(0)
    for unit, count in disjoint(usage, reasoning_apart="reasoning" in prices).items():
        charge = _charge(unit, row, prices)
        if charge is not None:
            name, price, usd = charge
            amount = EXACT.multiply(Decimal(count), usd)
            total = EXACT.add(total, amount)
            components.append(Component(unit, count, name, price, Money(amount), row.id))
        elif count:
            unpriced.append(unit)
    unpriced.sort(key=UNITS.index)
    return Cost(row, Money(total), tuple(components), tuple(unpriced), tier)


def disjoint(usage: Usage, *, reasoning_apart: bool) -> dict[str, int]:
    """Counts that overlap nowhere: each whole becomes what is in none of its parts.

    Reasoning is part of the output and is only taken out where it has a price of its own; more
    reasoning than there is text output is cut to that (PROVIDERS.md 1.2, rule 3).
    """
    counts = {unit: count for unit, count in usage.items() if count or unit in _SHOWN}
    reasoning = counts.pop("reasoning_tokens", 0)
    for unit in list(counts):
        whole = PART_OF.get(unit)
        if whole is not None and whole in counts:
            counts[whole] -= usage[unit]
    if reasoning and reasoning_apart and counts.get("output_tokens"):
        counts["reasoning_tokens"] = min(reasoning, counts["output_tokens"])
        counts["output_tokens"] -= counts["reasoning_tokens"]
    return counts


_SHOWN: Final = frozenset({"input_tokens", "output_tokens"})
"""Units that have a component even where nothing of them was used."""


def _charge(unit: str, row: Row, prices: Prices) -> Charge | None:
    """Worked out once for the prices that a row usually has."""
    if prices is not row.prices:
        return _charge_of(unit, prices, row.multiplier)
    try:
        return row.charges[unit]
    except KeyError:
        charge = row.charges[unit] = _charge_of(unit, prices, row.multiplier)
        return charge


def _charge_of(unit: str, prices: Prices, multiplier: Decimal) -> Charge | None:
    factor = multiplier if unit in _EACH else EXACT.multiply(_PER_MILLION, multiplier)
    for name in _FALL_BACKS[unit]:
        if name in prices:
            return Charge(name, prices[name], EXACT.multiply(prices[name], factor))
    return None
