"""Reads litellm's price map, as data: the JSON file of its wheel, which is never imported.

Its numbers are floats with noise in the last digits, so prices per million are quantised to nine
places. It has no dates. Twelve-hour cache writes, `ultrafast`, `balanced` and `decisions` are
not modelled, nor prices per second, image or character.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from pricing.sources.hosts import HOSTS, is_chat
from pricing.sources.offer import STANDARD, Class, Listed, Offer, Terms, klass, per_million

_MAP: Final = "litellm/model_prices_and_context_window_backup.json"
_MODES: Final = frozenset({"chat", "responses", "completion"})
_PLAIN: Final = r"(?P<model>.+)"
_SEGMENT: Final = r"(?P<model>[^/]+)"
_IDS: Final = (
    ("openai", "openai|text-completion-openai", _SEGMENT),
    ("anthropic", "anthropic", _SEGMENT),
    (
        "aws",
        "bedrock_converse|bedrock",
        r"(?:bedrock/)?(?:(?P<region>[a-z-]+-\d)/)?(?P<model>[a-z0-9-]+\.[^/@]+)",
    ),
    (
        "aws",
        "bedrock_mantle",
        r"bedrock_mantle/(?:(?P<region>[a-z-]+-\d)/)?(?P<model>[^/@]+)",
    ),
    (
        "azure",
        "azure|azure_text",
        rf"azure/(?:(?P<zone>eu|us|apac)/|(?P<region>us-gov)/|global(?:-standard)?/)?{_SEGMENT}",
    ),
    ("azure", "azure_ai", f"azure_ai/{_SEGMENT}"),
    ("google", "gemini", f"(?:gemini/)?{_SEGMENT}"),
    ("groq", "groq", f"groq/{_PLAIN}"),
    ("sambanova", "sambanova", f"sambanova/{_PLAIN}"),
    ("vercel", "vercel_ai_gateway", f"vercel_ai_gateway/{_PLAIN}"),
    ("novita", "novita", f"novita/{_PLAIN}"),
    ("hyperbolic", "hyperbolic", f"hyperbolic/{_PLAIN}"),
    ("fireworks", "fireworks_ai", r"fireworks_ai/(?P<model>accounts/.+)"),
    ("fireworks", "fireworks_ai", f"fireworks_ai/{_SEGMENT}"),
    ("together", "together_ai", f"together_ai/{_PLAIN}"),
)
"""Our provider, whose entries, and where the id as callers type it and the place stand in the
key. Of several entries for one id and place, the one that is matched by the earlier line counts.
Commitments by the month and other endpoints match none."""
_AGES: Final = {"hyperbolic": "2025-08-31", "vercel": "2026-02-05"}
"""Lists that it has not kept up, and the last day that shows in them (PRICES.md 1)."""
_NAMES: Final = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached_input",
    "input_cost_per_token_cache_hit": "cached_input",
    "cache_read_input_audio_token_cost": "cached_input_audio",
    "cache_creation_input_token_cost": "cache_write_5m",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "input_cost_per_audio_token": "input_audio",
    "output_cost_per_audio_token": "output_audio",
    "input_cost_per_image_token": "input_image",
    "output_cost_per_image_token": "output_image",
    "output_cost_per_reasoning_token": "reasoning",
}
_FIELD: Final = re.compile(
    r"(?P<name>[a-z_]+?_(?:token|cost)(?:_above_1hr|_cache_hit)?)"
    r"(?:_above_(?P<above>\d+)k_tokens)?(?:_(?P<variant>batches|flex|priority))?"
)
_VARIANTS: Final[dict[str | None, Class]] = {
    None: STANDARD,
    "batches": klass(batch=True),
    "flex": klass(service_tier="flex"),
    "priority": klass(service_tier="priority"),
}
_PLACES: Final = {
    "regional_processing_uplift_multiplier_eu": ("region", "eu"),
    "regional_processing_uplift_multiplier_us": ("region", "us"),
}
_EVERY_DAY: Final = (1, 2, 3, 4, 5, 6, 7)


class LiteLlm(Listed):
    """One copy: the wheel, or the JSON file out of it."""

    def __init__(self, path: Path, label: str, as_of: str) -> None:
        text = path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as wheel:
                text = wheel.read(_MAP)
        known = json.loads(text, parse_float=Decimal, parse_int=Decimal)
        super().__init__(label, _offers(known, label, as_of))
        self.other = frozenset(
            (provider, model)
            for provider, model, _, fields in _entries(known)
            if fields["mode"] not in {*_MODES, "image_generation"}
        )


def _entries(known: dict[str, Any]) -> Iterator[tuple[str, str, Class, dict[str, Any]]]:
    """Provider, id as callers type it, place and fields; the entries that count first, first."""
    for provider, owners, pattern in _IDS:
        for key, fields in known.items():
            match = re.fullmatch(pattern, key)
            if match and "mode" in fields and fields["litellm_provider"] in owners.split("|"):
                yield provider, match["model"], _place(match.groupdict()), fields


def _place(found: dict[str, str | None]) -> Class:
    zone, region = found.get("zone"), found.get("region")
    if zone:
        return klass(deployment_type="datazone", region=zone)
    return klass(region=region) if region else STANDARD


def _offers(known: dict[str, Any], label: str, as_of: str) -> list[Offer]:
    offers: dict[tuple[str, str], Offer] = {}
    for provider, model, place, fields in _entries(known):
        if fields["mode"] not in _MODES or "cost_per_second" in fields:
            continue
        whole = offers.get((provider, HOSTS[provider].path + model))
        if whole is not None and HOSTS[provider].path:
            whole.also = (*whole.also, model)
        elif is_chat(provider, model):
            day = _AGES.get(provider, as_of)
            new = Offer(provider, model, label, as_of=day)
            _read(offers.setdefault((provider, model), new), place, fields)
    return list(offers.values())


def _read(offer: Offer, place: Class, fields: dict[str, Any]) -> None:
    if place in offer.terms:
        return
    for name, value in fields.items():
        match = _FIELD.fullmatch(name)
        if match and match["name"] in _NAMES and isinstance(value, Decimal):
            variant = tuple(sorted((*_VARIANTS[match["variant"]], *place)))
            terms = offer.terms.setdefault(variant, Terms())
            prices = terms.prices
            if match["above"]:
                prices = terms.tiers.setdefault(int(match["above"]) * 1000, {})
            prices.setdefault(_NAMES[match["name"]], per_million(value))
    terms = offer.terms.setdefault(place, Terms())
    if terms.prices.get("reasoning") == terms.prices.get("output"):
        terms.prices.pop("reasoning", None)
    search = set((fields.get("search_context_cost_per_query") or {}).values())
    if len(search) == 1:
        terms.prices["web_search_per_call"] = search.pop()
    if "input_cost_per_request" in fields:
        terms.prices["per_request"] = fields["input_cost_per_request"]
    if place == STANDARD:
        _read_standard(offer, fields)


def _read_standard(offer: Offer, fields: dict[str, Any]) -> None:
    extra = fields.get("provider_specific_entry") or {}
    if "us" in extra:
        offer.uplifts["inference_geo", "us"] = extra["us"]
    if "fast" in extra:
        whole = offer.standard.lifted(extra["fast"])
        offer.terms[klass(speed="fast")] = Terms(whole.prices)
    offer.uplifts.update({place: fields[n] for n, place in _PLACES.items() if n in fields})
    offer.deprecated = fields.get("deprecation_date")
    _read_off_peak(offer, fields.get("off_peak_pricing"))


def _read_off_peak(offer: Offer, off_peak: dict[str, Any] | None) -> None:
    """Prices of certain hours, the weekdays of each window ANDed with its hours."""
    for window in (off_peak or {}).get("windows", ()):
        hours = window["hours_utc"]
        prices = {
            ours: per_million(off_peak[theirs])
            for theirs, ours in _NAMES.items()
            if off_peak and theirs in off_peak
        }
        days = tuple(int(day) for day in window.get("weekdays", _EVERY_DAY))
        spans = tuple(map(_span, [hours] if isinstance(hours, str) else hours))
        offer.standard.windows.append((days, spans, prices))


def _span(hours: str) -> str:
    """It writes the end of the day as 00:00."""
    start, _, end = hours.partition("-")
    return f"{start}-{'24:00' if end == '00:00' else end}"
