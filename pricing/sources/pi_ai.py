"""Reads the model lists inside the npm package pi-ai, as a file (the package's .tgz).

Taken for the two gateways only, whose prices move and whose own lists it copies; for the others
it repeats models.dev. It writes zero where it knows nothing, so zero counts only where the id
itself says that the model is free.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from pricing.sources.hosts import HOSTS, is_chat
from pricing.sources.offer import STANDARD, Listed, Offer, Prices, Terms, quantised

_DATA: Final = "package/dist/providers/data/{}.json"
_NAMES: Final = {
    "input": "input",
    "output": "output",
    "cacheRead": "cached_input",
    "cacheWrite": "cache_write_5m",
}
_SAYS_FREE: Final = re.compile(r"[-:]free$")


class PiAi(Listed):
    """One copy of the package."""

    def __init__(self, path: Path, label: str, as_of: str) -> None:
        super().__init__(label, _offers(path, label, as_of))


def _offers(path: Path, label: str, as_of: str) -> Iterator[Offer]:
    with tarfile.open(path) as package:
        for provider, host in HOSTS.items():
            if host.pi_ai is None:
                continue
            member = package.extractfile(_DATA.format(host.pi_ai))
            if member is None:
                raise ValueError(f"{path.name} has no list of {host.pi_ai}")
            apis = json.loads(member.read(), parse_float=Decimal, parse_int=Decimal)
            for record in (record for models in apis.values() for record in models.values()):
                terms = _terms(record)
                if terms is not None and is_chat(provider, record["id"]):
                    yield Offer(provider, record["id"], label, {STANDARD: terms}, as_of=as_of)


def _terms(record: dict[str, Any]) -> Terms | None:
    cost = record.get("cost")
    if record.get("type") != "chat" or not cost:
        return None
    if not cost["input"] and not cost["output"]:
        free = Terms({"input": Decimal(0), "output": Decimal(0)})
        return free if _SAYS_FREE.search(record["id"]) else None
    tiers = {int(tier["inputTokensAbove"]): _prices(tier) for tier in cost.get("tiers", ())}
    return Terms(_prices(cost), tiers)


def _prices(cost: dict[str, Any]) -> Prices:
    return {
        ours: quantised(cost[theirs])
        for theirs, ours in _NAMES.items()
        if cost.get(theirs) or (theirs in {"input", "output"} and theirs in cost)
    }
