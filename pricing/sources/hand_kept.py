"""Rows that no source has, and providers without any source: `hand_kept.toml`, read."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from pricing.sources.offer import STANDARD, Listed, Offer, Terms

FILE: Final = Path(__file__).with_name("hand_kept.toml")


class HandKept(Listed):
    """The reviewed file. `row`: provider, model, prices, as_of, source, reason."""

    def __init__(self, path: Path = FILE) -> None:
        content = tomllib.loads(path.read_text("utf-8"))
        self.none: Final[dict[str, str]] = {
            each["provider"]: each["reason"] for each in content.get("none", ())
        }
        """Providers that nobody prices, and why."""
        super().__init__("hand-kept", map(_offer, content.get("row", ())))


def _offer(row: dict[str, Any]) -> Offer:
    if not row["reason"]:
        raise ValueError("a row kept by hand needs a reason")
    terms = Terms({name: Decimal(price) for name, price in row["prices"].items()})
    return Offer(
        row["provider"], row["model"], row["source"], {STANDARD: terms}, as_of=row["as_of"]
    )
