"""Reads genai-prices' data from its wheel, or from a folder that holds the package.

Its dates are whole days in UTC. Dates on service classes only say since when it has modelled
them, so they are not taken over; a variant states only what differs from the standard terms.
Hours of the day hold for the newest terms only: its own calculation forgets to combine the two.
Its fallbacks to other hosts' prices and its process-wide table are never used.
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

from pricing.sources.hosts import HOSTS, is_chat
from pricing.sources.offer import STANDARD, Class, Offer, Terms, klass, quantised

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
    "output_reasoning_mtok": "reasoning",
}
_THOUSAND: Final = Decimal(1000)
_VARIANTS: Final[dict[tuple[str, str], Class]] = {
    ("processing", "batch"): klass(batch=True),
    ("service_tier", "flex"): klass(service_tier="flex"),
    ("service_tier", "priority"): klass(service_tier="priority"),
    ("service_tier", "fast"): klass(service_tier="fast"),
    ("speed", "fast"): klass(speed="fast"),
}
_FREE: Final = re.compile(r":free$")
_SNAPSHOT: Final = frozenset({"openrouter"})
"""Hosts whose long gone ids it keeps: only a dated price says that the id was there."""
_REGIONAL: Final = "regional."
FAULTY_PASTS: Final = frozenset({("openai", "o3")})
"""Past prices that are wrong: o3's before 2025-06-10 bears the later cached rate."""


class GenaiPrices:
    """The data of one copy."""

    exact: Final = False
    """Some of its ids are names of patterns."""
    other: Final = frozenset[tuple[str, str]]()

    def __init__(self, path: Path, label: str, as_of: str) -> None:
        self.label: Final = label
        self._as_of: Final = as_of
        self._hosts: Final[Mapping[str, Any]] = {host.id: host for host in _data(path)}

    def offers(self) -> Iterator[Offer]:
        """Every chat model of our providers that it lists."""
        for provider, host in HOSTS.items():
            theirs = self._hosts.get(host.genai_prices or "")
            for found in theirs.models if theirs else ():
                for whole, also in _ids(found, host.path):
                    if is_chat(provider, whole):
                        yield self._offer(provider, whole, found, also)

    def find(self, provider: str, model: str) -> Offer | None:
        """What it says about an id, by its own matching."""
        host = HOSTS[provider]
        theirs = self._hosts.get(host.genai_prices or "")
        found = theirs.find_model(model.lower()) if theirs else None
        if found is None or not is_chat(provider, found.id):
            return None
        return self._offer(provider, model, found, dict(_ids(found, host.path)).get(model, ()))

    def _offer(self, provider: str, model: str, found: Any, also: tuple[str, ...]) -> Offer:
        offer = Offer(provider, model, self.label, also=also)
        dated = _dated(found.prices)
        come = [each for each in dated if (each[0] or "") <= self._as_of]
        offer.since, now = come[-1]
        offer.announced = [(day, terms) for day, terms in dated[len(come) :] if day]
        offer.terms[STANDARD] = now
        if not now.prices and _FREE.search(model):
            now.prices.update({"input": Decimal(0), "output": Decimal(0)})
        offer.as_of = offer.since if provider in _SNAPSHOT else self._as_of
        if (provider, found.id) not in FAULTY_PASTS:
            for (start, terms), (end, _) in itertools.pairwise(come):
                offer.before.append((start, end or "", terms))
        for variant in found.price_variants or ():
            (condition,) = variant.when.items()
            if condition in _VARIANTS:
                offer.terms[_VARIANTS[condition]] = _terms(variant.prices)
        return offer


def _data(path: Path) -> list[Any]:
    """Its table. A wheel of pure Python is imported as it is; nothing stays behind."""
    sys.path.insert(0, str(path))
    try:
        providers: list[Any] = importlib.import_module("genai_prices.data").providers
    finally:
        sys.path.remove(str(path))
        for name in [name for name in sys.modules if name.partition(".")[0] == "genai_prices"]:
            del sys.modules[name]
    return providers


def _ids(found: Any, path: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Ids as callers type them, with the other spellings of each.

    Its own id is none where callers type a path, nor for the profiles of several regions, which
    it gathers under `regional.`.
    """
    exact = [getattr(clause, "equals", "") for clause in getattr(found.match, "or_", [found.match])]
    spellings = sorted({each for each in exact if isinstance(each, str) and each} | {found.id})
    if found.id.startswith(_REGIONAL):
        bare = found.id.removeprefix(_REGIONAL)
        for spelling in spellings:
            if spelling.endswith(f".{bare}") and spelling != found.id:
                yield spelling, ()
        return
    root = path.partition("/")[0]
    whole = next((each for each in spellings if root and each.startswith(root)), found.id)
    yield whole, tuple(each for each in spellings if each != whole)


def _dated(prices: Any) -> list[tuple[str | None, Terms]]:
    if not isinstance(prices, list):
        return [(None, _terms(prices))]
    result: list[tuple[str | None, Terms]] = []
    for each in prices:
        day = getattr(each.constraint, "start_date", None)
        if each.constraint is None or day is not None:
            result.append((day.isoformat() if day else None, _terms(each.prices)))
        else:
            hours = f"{each.constraint.start_time:%H:%M}-{each.constraint.end_time:%H:%M}"
            every_day = (1, 2, 3, 4, 5, 6, 7)
            result[-1][1].windows.append((every_day, (hours,), _terms(each.prices).prices))
    return result


def _terms(prices: Any) -> Terms:
    terms = Terms()
    for theirs, ours in _NAMES.items():
        value = vars(prices).get(theirs)
        if isinstance(value, Decimal):
            terms.prices[ours] = quantised(value)
        elif value is not None:
            terms.prices[ours] = quantised(value.base)
            for tier in value.tiers:
                terms.tiers.setdefault(tier.start, {})[ours] = quantised(tier.price)
    searches = vars(prices).get("web_searches_kcount")
    if isinstance(searches, Decimal):
        terms.prices["web_search_per_call"] = searches / _THOUSAND
    return terms
