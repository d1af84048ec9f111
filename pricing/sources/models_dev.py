"""Reads the `api.json` of models.dev, as a file.

Its traps (PRICES.md): `context_over_200k` stands for any threshold, so only `tiers` is read; a
size of 200001 means what others write as above 200000; where a model makes images, `output` is
the price of the image; there is one price of cache writes, that of five minutes; a part that
costs nothing beside a paid input is one that it does not know; prices are floats, with noise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from pricing.sources.hosts import HOSTS, is_chat
from pricing.sources.offer import STANDARD, Listed, Offer, Prices, Terms, quantised

_NAMES: Final = {
    "input": "input",
    "output": "output",
    "cache_read": "cached_input",
    "cache_write": "cache_write_5m",
    "reasoning": "reasoning",
    "input_audio": "input_audio",
    "output_audio": "output_audio",
}


class ModelsDev(Listed):
    """One copy of the file."""

    def __init__(self, path: Path, label: str, as_of: str) -> None:
        hosts = json.loads(path.read_text("utf-8"), parse_float=Decimal, parse_int=Decimal)
        self.canonical: Final = dict(_canonical(hosts))
        """Provider and id → the name that models.dev gives to all spellings of the model."""
        super().__init__(label, _offers(hosts, label, as_of))


def hosted(hosts: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every record of our providers' text models."""
    for provider, host in HOSTS.items():
        if host.models_dev in hosts:
            for record in hosts[host.models_dev]["models"].values():
                if "text" in record["modalities"]["output"] and is_chat(provider, record["id"]):
                    yield provider, record


def _canonical(hosts: dict[str, Any]) -> Iterator[tuple[tuple[str, str], str]]:
    for provider, record in hosted(hosts):
        if "canonical_model_id" in record:
            yield (provider, record["id"]), record["canonical_model_id"]


def _offers(hosts: dict[str, Any], label: str, as_of: str) -> Iterator[Offer]:
    for provider, record in hosted(hosts):
        cost = record.get("cost")
        if cost:
            offer = Offer(provider, record["id"], label, {STANDARD: _terms(cost)}, as_of=as_of)
            if "image" in record["modalities"]["output"]:
                del offer.standard.prices["output"]
            if record.get("status") == "deprecated":
                offer.deprecated = as_of
            yield offer


def _terms(cost: dict[str, Any]) -> Terms:
    tiers = {}
    for tier in cost.get("tiers", ()):
        if tier["tier"]["type"] == "context":
            size = int(tier["tier"]["size"])
            tiers[size - size % 10] = _prices(tier)
    return Terms(_prices(cost), tiers)


def _prices(cost: dict[str, Any]) -> Prices:
    prices = {ours: quantised(cost[theirs]) for theirs, ours in _NAMES.items() if theirs in cost}
    if prices["input"]:
        prices = {name: price for name, price in prices.items() if price or name == "output"}
    if prices.get("reasoning") == prices.get("output"):
        prices.pop("reasoning", None)
    return prices
