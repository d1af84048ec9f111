"""Reads genai-prices' data from a folder that holds its package; it is not a dependency.

Its dates are whole days in UTC. Dates on service classes only say since when it has modelled
them, so they are not taken over; a variant states only what differs from the standard terms.
"""

from __future__ import annotations

import importlib
import itertools
import re
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from pricing.sources.offer import STANDARD, Offer, Terms

SOURCE: Final = "genai-prices 0.2.3"
_NAMES: Final = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cached_input",
    "cache_audio_read_mtok": "cached_input_audio",
    "cache_write_mtok": "cache_write_5m",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "input_audio",
    "output_audio_mtok": "output_audio",
    "input_image_mtok": "input_image",
    "output_image_mtok": "output_image",
}
_THOUSAND: Final = Decimal(1000)
_VARIANTS: Final = {
    ("processing", "batch"): "batch",
    ("service_tier", "flex"): "flex",
    ("service_tier", "priority"): "priority",
    ("service_tier", "fast"): "fast_tier",
    ("speed", "fast"): "fast_speed",
}
_NOT_SOLD: Final = re.compile(r"gpt-oss|[:]|ft-")
"""Entries that are no ids of the provider itself (PRICES.md 1): open weights and variants as sold
by OpenRouter, and prefixes of fine-tuned models, which a row cannot hold."""
FAULTY_PASTS: Final = frozenset({("openai", "o3")})
"""Past prices that are wrong: o3's before 2025-06-10 bears the later cached rate."""


class GenaiPrices:
    """The data of one installed copy."""

    def __init__(self, folder: Path) -> None:
        sys.path.insert(0, str(folder))
        try:
            providers = importlib.import_module("genai_prices.data").providers
        finally:
            sys.path.remove(str(folder))
        self._providers: Mapping[str, Any] = {provider.id: provider for provider in providers}

    def find(self, provider: str, model: str) -> Offer | None:
        """What it says about an id, by its own matching."""
        found = self._providers[provider].find_model(model)
        if found is None or _NOT_SOLD.search(found.id):
            return None
        return _offer(provider, model, found)

    def models(self, provider: str) -> Iterator[tuple[str, list[str]]]:
        """Each id with the exact spellings that it stands for."""
        for model in self._providers[provider].models:
            if not _NOT_SOLD.search(model.id):
                yield model.id, sorted(set(_spellings(model.match)) - {model.id})


def _spellings(match: Any) -> Iterator[str]:
    for clause in getattr(match, "or_", [match]):
        equal = getattr(clause, "equals", None)
        if isinstance(equal, str):
            yield equal


def _offer(provider: str, model: str, found: Any) -> Offer:
    offer = Offer(provider, model, SOURCE)
    dated = _dated(found.prices)
    offer.since, now = dated[-1]
    offer.terms[STANDARD] = now
    if (provider, found.id) not in FAULTY_PASTS:
        for (start, terms), (end, _) in itertools.pairwise(dated):
            offer.before.append((start, end or "", terms))
    for variant in found.price_variants or ():
        (condition,) = variant.when.items()
        name = _VARIANTS.get(condition)
        if name is not None:
            offer.terms[name] = _terms(variant.prices)
    return offer


def _dated(prices: Any) -> list[tuple[str | None, Terms]]:
    if not isinstance(prices, list):
        return [(None, _terms(prices))]
    result = []
    for each in prices:
        start = getattr(each.constraint, "start_date", None)
        if each.constraint is not None and start is None:
            raise ValueError(f"a constraint of another kind: {each.constraint}")
        result.append((start.isoformat() if start else None, _terms(each.prices)))
    return result


def _terms(prices: Any) -> Terms:
    terms = Terms()
    for theirs, ours in _NAMES.items():
        value = getattr(prices, theirs, None)
        if isinstance(value, Decimal):
            terms.prices[ours] = value
        elif value is not None:
            terms.prices[ours] = value.base
            for tier in value.tiers:
                terms.tiers.setdefault(tier.start, {})[ours] = tier.price
    searches = getattr(prices, "web_searches_kcount", None)
    if searches is not None:
        terms.prices["web_search_per_call"] = searches / _THOUSAND
    return terms
