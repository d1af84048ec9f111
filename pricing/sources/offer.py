"""What one source says that one model costs, in our words."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

Prices = dict[str, Decimal]
Tiers = dict[int, Prices]
"""Total input tokens above which the prices hold for the whole call."""

STANDARD: Final = ""
"""The standard service class; merge.py has the others."""


@dataclass(slots=True)
class Terms:
    """The prices of one service class: only what the source states for it."""

    prices: Prices = field(default_factory=dict)
    tiers: Tiers = field(default_factory=dict)


@dataclass(slots=True)
class Offer:
    """One model at one provider."""

    provider: str
    model: str
    source: str
    terms: dict[str, Terms] = field(default_factory=dict)
    """By service class; the standard one is always there."""
    since: str | None = None
    """The day from which the standard terms hold, if the source dates them."""
    before: list[tuple[str | None, str, Terms]] = field(default_factory=list)
    """Earlier standard terms: from day (None: always), to day, terms."""
    uplifts: dict[str, Decimal] = field(default_factory=dict)
    """Factor on token prices by place: `inference_geo=us`, `region=eu`."""
    deprecated: str | None = None
    """The day on which the provider ends it."""

    def flatten(self) -> None:
        """Forget the tiers by length of the input."""
        for terms in self.terms.values():
            terms.tiers.clear()
