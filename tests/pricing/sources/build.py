"""Small builders for offers and for files of sources."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from pricing.sources.decisions import Decision, Decisions
from pricing.sources.litellm import LiteLlm
from pricing.sources.merge import Merged, merged
from pricing.sources.offer import STANDARD, Class, Offer, Terms

Figures = dict[int, dict[str, str]]


def terms(tiers: Figures | None = None, **prices: str) -> Terms:
    """Prices, and prices above numbers of tokens."""
    above = {at: {n: Decimal(p) for n, p in named.items()} for at, named in (tiers or {}).items()}
    return Terms({name: Decimal(price) for name, price in prices.items()}, above)


def offer(
    source: str,
    standard: Terms,
    *,
    classes: dict[Class, Terms] | None = None,
    model: str = "m",
    provider: str = "p",
    **more: Any,
) -> Offer:
    """What one source says of a model."""
    return Offer(provider, model, source, {STANDARD: standard, **(classes or {})}, **more)


def decided(*offers: Offer, rulings: list[Decision] | None = None) -> Merged:
    """The offers merged."""
    return merged(list(offers), Decisions(rulings or []))


def litellm(folder: Path, models: dict[str, dict[str, Any]]) -> LiteLlm:
    """The source of a map of these models."""
    path = folder / "map.json"
    path.write_text(json.dumps(models))
    return LiteLlm(path, "litellm 1", "2026-11-11")
