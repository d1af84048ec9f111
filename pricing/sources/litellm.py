"""Reads litellm's price map, as data: the JSON file of its wheel, which is never imported.

Its numbers are floats with noise in the last digits, so prices per million are quantised to nine
places. It has no dates. Twelve-hour cache writes, `ultrafast` and `decisions` are not modelled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Context, Decimal
from pathlib import Path
from typing import Any, Final

from pricing.sources.offer import STANDARD, Offer, Terms

SOURCE: Final = "litellm 1.109.1"
_MODES: Final = frozenset({"chat", "responses", "completion"})
_PROVIDERS: Final = {
    "openai": "openai",
    "text-completion-openai": "openai",
    "anthropic": "anthropic",
}
_PER_MILLION: Final = Decimal(1_000_000)
_NINE_PLACES: Final = Decimal("0.000000001")
_ROOMY: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)
_NAMES: Final = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached_input",
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
    r"(?P<name>[a-z_]+?_(?:token|cost)(?:_above_1hr)?)"
    r"(?:_above_(?P<above>\d+)k_tokens)?(?:_(?P<variant>batches|flex|priority))?"
)
_VARIANTS: Final = {"batches": "batch", "flex": "flex", "priority": "priority"}
_PLACES: Final = {
    "regional_processing_uplift_multiplier_eu": "region=eu",
    "regional_processing_uplift_multiplier_us": "region=us",
}


def chat_offers(path: Path) -> Iterator[Offer]:
    """Every chat model of the providers that we take from here."""
    known = json.loads(path.read_text("utf-8"), parse_float=Decimal, parse_int=Decimal)
    for model, fields in known.items():
        provider = _PROVIDERS.get(fields.get("litellm_provider"))
        if provider and fields.get("mode") in _MODES and not re.search(r"/|^ft:", model):
            yield _offer(provider, model, fields)


def other_models(path: Path) -> set[str]:
    """Ids that are no chat models (embeddings, images, speech), so nobody takes them for one."""
    known = json.loads(path.read_text("utf-8"))
    return {name for name, fields in known.items() if fields.get("mode") not in _MODES}


def _offer(provider: str, model: str, fields: dict[str, Any]) -> Offer:
    offer = Offer(provider, model, SOURCE, {STANDARD: Terms()})
    for name, value in fields.items():
        match = _FIELD.fullmatch(name)
        if match and match["name"] in _NAMES and isinstance(value, Decimal):
            terms = offer.terms.setdefault(_VARIANTS.get(match["variant"] or "", STANDARD), Terms())
            prices = terms.prices
            if match["above"]:
                prices = terms.tiers.setdefault(int(match["above"]) * 1000, {})
            prices[_NAMES[match["name"]]] = _per_million(value)
    search = set((fields.get("search_context_cost_per_query") or {}).values())
    if len(search) == 1:
        offer.terms[STANDARD].prices["web_search_per_call"] = search.pop()
    extra = fields.get("provider_specific_entry") or {}
    if "us" in extra:
        offer.uplifts["inference_geo=us"] = extra["us"]
    if "fast" in extra:
        offer.terms["fast_speed"] = _times(offer.terms[STANDARD], extra["fast"])
    offer.uplifts.update({place: fields[n] for n, place in _PLACES.items() if n in fields})
    offer.deprecated = fields.get("deprecation_date")
    return offer


def _per_million(value: Decimal) -> Decimal:
    return _ROOMY.multiply(value, _PER_MILLION).quantize(_NINE_PLACES, context=_ROOMY)


def _times(terms: Terms, factor: Decimal) -> Terms:
    """Token prices times a factor; prices per call stay."""
    tokens = {n: _ROOMY.multiply(p, factor) for n, p in terms.prices.items() if "per_" not in n}
    return Terms(tokens, {})
