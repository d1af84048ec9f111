"""A price row (API.md 7): what one model costs at one provider, and under which conditions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from domain.clock import parse_instant
from domain.errors import BadValue
from domain.events.base import JsonObject
from domain.money import MULTIPLIER_PLACES, PRICE_PLACES, decimal_of

PRICES: Final = (
    "input",
    "cached_input",
    "cached_input_audio",
    "cache_write_5m",
    "cache_write_1h",
    "input_audio",
    "input_image",
    "output",
    "reasoning",
    "output_audio",
    "output_image",
    "web_search_per_call",
    "per_request",
)
"""The names of prices; the last two are USD each, the others USD per million tokens."""
CONDITIONS: Final = (
    "service_tier",
    "batch",
    "speed",
    "region",
    "inference_geo",
    "deployment_type",
)
PRICE_MAX: Final = Decimal(1_000_000)
"""A dollar a token. Anything above is a mistake of units, not a price."""
MULTIPLIER_MAX: Final = Decimal(1_000)

_ONE: Final = Decimal(1)
_STANDARD: Final = frozenset({"", "auto", "default", "standard"})
_FIELDS: Final = frozenset(
    {"id", "canonical", "recorded_at", "source", "confidence", "note", "provider", "model"}
    | {"prices", "tiers", "time_overrides", "multiplier", "effective_from", "effective_to"}
    | set(CONDITIONS)
)
_WINDOW: Final = re.compile(
    r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|(24):(00))", re.ASCII
)

Prices = Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Tier:
    """Prices of the whole call once its total input is above a number of tokens."""

    above: int
    prices: Prices


@dataclass(frozen=True, slots=True)
class TimeOverride:
    """Prices at certain hours (UTC) of certain days."""

    days: frozenset[int]
    """ISO weekdays, 1 is Monday."""
    windows: tuple[tuple[int, int], ...]
    """Minutes of the day, half-open; one that ends before it starts runs over midnight."""
    prices: Prices

    def holds(self, at: datetime) -> bool:
        """Whether the instant (UTC) lies on one of the days and in one of the windows."""
        if at.isoweekday() not in self.days:
            return False
        minute = at.hour * 60 + at.minute
        return any(
            start <= minute < end if start < end else minute >= start or minute < end
            for start, end in self.windows
        )


class Conditions(NamedTuple):
    """What selects a row: of a call, as served; of a row, what it demands. None is the standard."""

    service_tier: str | None = None
    batch: bool = False
    speed: str | None = None
    region: str | None = None
    inference_geo: str | None = None
    deployment_type: str | None = None

    @classmethod
    def of(cls, context: Mapping[str, object]) -> Conditions:
        """Read a context as recorded. Never raises: a value that makes no sense matches no row."""
        if not context:
            return STANDARD
        return cls(
            service_tier=_tier(context.get("service_tier")),
            batch=bool(context.get("batch")),
            speed=_tier(context.get("speed")),
            region=_place(context.get("region")),
            inference_geo=_place(context.get("inference_geo")),
            deployment_type=_place(context.get("deployment_type")),
        )

    @property
    def stated(self) -> int:
        """How many conditions are stated."""
        places = (self.region, self.inference_geo, self.deployment_type)
        return (
            (self.service_tier is not None)
            + self.batch
            + (self.speed is not None)
            + sum(place is not None for place in places)
        )

    def met_by(self, call: Conditions) -> bool:
        """Service class must be equal; a place that the row does not name is any place."""
        return (
            self.service_tier == call.service_tier
            and self.batch == call.batch
            and self.speed == call.speed
            and self.region in {None, call.region}
            and self.inference_geo in {None, call.inference_geo}
            and self.deployment_type in {None, call.deployment_type}
        )


STANDARD: Final = Conditions()


class Charge(NamedTuple):
    """What a unit costs by a row."""

    name: str
    """Of the price."""
    price: Decimal
    """As it stands in the row: USD per million tokens, or USD each."""
    usd: Decimal
    """USD for one of the unit, the row's multiplier included. Exact."""


@dataclass(frozen=True, slots=True)
class Row:
    """One priced (or free) way to call one model. Never changed; a later row replaces it."""

    n: int
    id: str
    provider: str
    model: str
    canonical: str
    recorded_at: datetime | None
    prices: Prices
    tiers: tuple[Tier, ...]
    """Highest threshold first."""
    time_overrides: tuple[TimeOverride, ...]
    multiplier: Decimal
    conditions: Conditions
    effective_from: datetime | None
    effective_to: datetime | None
    free: bool
    """No price in it is above zero: the provider gives the model away."""
    charges: dict[str, Charge | None] = field(default_factory=dict, init=False, compare=False)
    """Of `prices`, kept by pricing/cost.py."""

    def live(self, at: datetime) -> bool:
        """In force at the instant: from inclusive, to exclusive."""
        return (self.effective_from is None or self.effective_from <= at) and (
            self.effective_to is None or at < self.effective_to
        )

    def prices_at(self, at: datetime, input_tokens: int) -> tuple[Prices, int | None]:
        """Prices for a call of that instant and total input, and the tier that applied.

        The first matching time override replaces what it names, then the highest tier exceeded.
        """
        prices = self.prices
        for override in self.time_overrides:
            if override.holds(at):
                prices = {**prices, **override.prices}
                break
        for tier in self.tiers:
            if input_tokens > tier.above:
                return {**prices, **tier.prices}, tier.above
        return prices, None


def row_of(n: int, data: JsonObject) -> Row:
    """Read a row. Raises BadValue for an unknown field or a price that is no price."""
    unknown = sorted(set(data) - _FIELDS)
    if unknown:
        raise BadValue(f"a price row has no field {unknown[0][:40]!r}", param=unknown[0])
    provider, model = text_field(data, "provider"), text_field(data, "model")
    prices = _prices(_object(data.get("prices"), "prices"), "prices")
    tiers = tuple(sorted(map(_tier_of, _list(data, "tiers")), key=lambda tier: -tier.above))
    overrides = tuple(map(_override_of, _list(data, "time_overrides")))
    named = [prices, *(tier.prices for tier in tiers), *(each.prices for each in overrides)]
    recorded_at = _instant(data, "recorded_at")
    return Row(
        n=n,
        id=told_text(data, "id") or f"row-{n}",
        provider=provider,
        model=model,
        canonical=told_text(data, "canonical") or model,
        recorded_at=recorded_at,
        prices=prices,
        tiers=tiers,
        time_overrides=overrides,
        multiplier=_multiplier(data.get("multiplier")),
        conditions=_conditions(data),
        effective_from=_instant(data, "effective_from"),
        effective_to=_instant(data, "effective_to"),
        free=not any(price for group in named for price in group.values()),
    )


def _tier(value: object) -> str | None:
    if value is None or (isinstance(value, str) and value in _STANDARD):
        return None
    return value if isinstance(value, str) else f"({value!r})"


def _place(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def text_field(data: JsonObject, name: str) -> str:
    """A text that an entry cannot do without. Raises BadValue."""
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise BadValue(f"an entry of a price book needs {name}, as text", param=name)
    return value


def told_text(data: JsonObject, name: str) -> str | None:
    """A text that a row may state. Raises BadValue."""
    value = data.get(name)
    if value is not None and not isinstance(value, str):
        raise BadValue(f"{name} of a price row must be text", param=name)
    return value


def _conditions(data: JsonObject) -> Conditions:
    """What a row demands. A condition that cannot be read must not make it the standard row."""
    for name in CONDITIONS:
        if name != "batch":
            told_text(data, name)
    if data.get("batch") not in (None, False, True):
        raise BadValue("batch of a price row must be true or false", param="batch")
    return Conditions.of(data)


def _object(value: object, name: str) -> JsonObject:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadValue(f"{name} must be an object", param=name)
    return value


def _list(data: JsonObject, name: str) -> list[JsonObject]:
    value = data.get(name) or []
    if not isinstance(value, list):
        raise BadValue(f"{name} must be a list", param=name)
    return [_object(item, name) for item in value]


def _instant(data: JsonObject, name: str) -> datetime | None:
    value = data.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadValue(f"{name} must be an instant", param=name)
    return parse_instant(value, param=name)


def _prices(data: JsonObject, where: str) -> Prices:
    prices: dict[str, Decimal] = {}
    for name, text in data.items():
        if name not in PRICES:
            raise BadValue(f"{where} has no price {name[:40]!r}", param=f"{where}.{name}")
        if text is None:
            continue
        price = decimal_of(text, places=PRICE_PLACES, what=f"{where}.{name}")
        if not 0 <= price <= PRICE_MAX:
            raise BadValue(f"{where}.{name} is not a price", param=f"{where}.{name}")
        prices[name] = price
    return prices


def _multiplier(text: object) -> Decimal:
    if text is None:
        return _ONE
    value = decimal_of(text, places=MULTIPLIER_PLACES, what="multiplier")  # type: ignore[arg-type]
    if not 0 < value <= MULTIPLIER_MAX:
        raise BadValue("multiplier must be above 0 and at most 1000", param="multiplier")
    return value


def _tier_of(data: JsonObject) -> Tier:
    prices = dict(data)
    above = prices.pop("input_tokens_above", None)
    if type(above) is not int or above < 0:
        raise BadValue("a tier needs input_tokens_above", param="tiers")
    return Tier(above, _prices(prices, "tiers"))


def _override_of(data: JsonObject) -> TimeOverride:
    prices = dict(data)
    days = prices.pop("utc_days", None) or [1, 2, 3, 4, 5, 6, 7]
    if not isinstance(days, list) or not all(type(day) is int and 1 <= day <= 7 for day in days):
        raise BadValue("utc_days are numbers from 1 (Monday) to 7", param="time_overrides")
    windows = prices.pop("utc_windows", None) or ["00:00-24:00"]
    if not isinstance(windows, list):
        raise BadValue("utc_windows must be a list", param="time_overrides")
    return TimeOverride(
        frozenset(days), tuple(map(_window, windows)), _prices(prices, "time_overrides")
    )


def _window(text: object) -> tuple[int, int]:
    match = _WINDOW.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise BadValue('a window is written as "01:00-04:00"', param="time_overrides")
    start = timedelta(hours=int(match[1]), minutes=int(match[2]))
    end = timedelta(hours=int(match[3] or match[5]), minutes=int(match[4] or match[6]))
    if start == end:
        raise BadValue("a window may not be empty", param="time_overrides")
    return int(start.total_seconds()) // 60, int(end.total_seconds()) // 60
