"""Reads Morpheus's own list, `models/prod_model_price.json` of its repository
MorpheusAIs/Morpheus-Marketplace-API.

Its default for models that it does not name is left out: a row needs a model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from pricing.sources.hosts import is_chat
from pricing.sources.offer import STANDARD, Listed, Offer, Terms, quantised


class Morpheus(Listed):
    """One copy of the list."""

    def __init__(self, path: Path, label: str, as_of: str) -> None:
        super().__init__(label, _offers(path, label, as_of))


def _offers(path: Path, label: str, as_of: str) -> Iterator[Offer]:
    for model, prices in json.loads(path.read_text("utf-8"))["models"].items():
        if is_chat("morpheus", model):
            terms = Terms({name: quantised(Decimal(prices[name])) for name in ("input", "output")})
            yield Offer("morpheus", model, label, {STANDARD: terms}, as_of=as_of)
