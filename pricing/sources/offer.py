"""What one source says that one model costs, in our words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final, Protocol

Prices = dict[str, Decimal]
Tiers = dict[int, Prices]
"""Total input tokens above which the prices hold for the whole call."""
Class = tuple[tuple[str, str | bool], ...]
"""The conditions of a price row, sorted: what service, and where."""
Window = tuple[tuple[int, ...], tuple[str, ...], Prices]
"""ISO weekdays, hours in UTC ("01:00-04:00"), and the prices that hold then."""

STANDARD: Final[Class] = ()
_NINE_PLACES: Final = Decimal("0.000000001")
_ROOMY: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)
_PER_MILLION: Final = Decimal(1_000_000)


def klass(**conditions: str | bool) -> Class:
    """A class of service or place, in the one order that classes are written in."""
    return tuple(sorted(conditions.items()))


def quantised(per_million: Decimal) -> Decimal:
    """Without the noise that binary floats leave in the last digits of a source."""
    return per_million.quantize(_NINE_PLACES, context=_ROOMY)


def per_million(per_token: Decimal) -> Decimal:
    """A price per token as one per million tokens, quantised."""
    return quantised(_ROOMY.multiply(per_token, _PER_MILLION))


@dataclass(slots=True)
class Terms:
    """The prices of one class: only what the source states for it."""

    prices: Prices = field(default_factory=dict)
    tiers: Tiers = field(default_factory=dict)
    windows: list[Window] = field(default_factory=list)

    def lifted(self, factor: Decimal) -> Terms:
        """Token prices times a factor; prices per call stay."""
        return Terms(
            _lift(self.prices, factor),
            {above: _lift(prices, factor) for above, prices in self.tiers.items()},
            [(days, hours, _lift(prices, factor)) for days, hours, prices in self.windows],
        )


@dataclass(slots=True)
class Offer:
    """One model at one provider, as one source has it."""

    provider: str
    model: str
    source: str
    terms: dict[Class, Terms] = field(default_factory=dict)
    """By class; the standard one is always there."""
    as_of: str | None = None
    """The day on which the source still had it; None where it keeps what is long gone."""
    since: str | None = None
    """The day from which the standard terms hold, if the source dates them."""
    before: list[tuple[str | None, str, Terms]] = field(default_factory=list)
    """Earlier standard terms: from day (None: always), to day, terms."""
    announced: list[tuple[str, Terms]] = field(default_factory=list)
    """Standard terms to come: from day, terms. They may still be cancelled."""
    uplifts: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    """Factor on the token prices of every class by place: `("inference_geo", "us")`."""
    deprecated: str | None = None
    """The day on which the provider ends it."""
    also: tuple[str, ...] = ()
    """Other exact spellings that stand for it."""

    @property
    def standard(self) -> Terms:
        """The terms without any condition."""
        return self.terms.setdefault(STANDARD, Terms())

    @property
    def free(self) -> bool:
        """The source says that no part of it costs anything."""
        prices = self.standard.prices
        return bool(prices) and not any(prices.values())

    @property
    def observed(self) -> str:
        """The day that the standard terms are known for; empty when nobody dated them."""
        return self.since or self.as_of or ""


class Source(Protocol):
    """Something that lists prices, read from a file."""

    @property
    def label(self) -> str:
        """Name and version: what `source` of a row says."""

    @property
    def exact(self) -> bool:
        """Whether its ids are those of the provider, letter by letter."""

    @property
    def other(self) -> frozenset[tuple[str, str]]:
        """Provider and id of what is no chat model, so that nobody takes it for one."""

    def offers(self) -> Iterable[Offer]:
        """Every chat model of our providers that it lists."""

    def find(self, provider: str, model: str) -> Offer | None:
        """What it says about an id that another source has named."""


class Listed:
    """A source that lists exact ids."""

    exact: Final = True
    other: frozenset[tuple[str, str]] = frozenset()

    def __init__(self, label: str, offers: Iterable[Offer]) -> None:
        self.label = label
        self._offers = {(offer.provider, offer.model): offer for offer in offers}

    def offers(self) -> Iterator[Offer]:
        """Every offer, in the order of the file."""
        yield from self._offers.values()

    def find(self, provider: str, model: str) -> Offer | None:
        """The offer of exactly this id."""
        return self._offers.get((provider, model))


def _lift(prices: Prices, factor: Decimal) -> Prices:
    return {
        name: price if "per_" in name else quantised(_ROOMY.multiply(price, factor))
        for name, price in prices.items()
    }
