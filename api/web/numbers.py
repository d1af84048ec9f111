"""Numbers as pages show them: from decimal text, never through a float."""

from __future__ import annotations

from decimal import Decimal
from typing import Final, NamedTuple

PLACES: Final = 6
"""Of a sum in a table; what is cut off is said, and all digits are in the title."""


class Amount(NamedTuple):
    """Dollars in a column."""

    shown: str
    cut: bool
    """More digits follow."""


def amount(text: str, shown_places: int = PLACES) -> Amount:
    """`1234.5` → `1,234.500000`; never rounded."""
    sign = "-" if text.startswith("-") else ""
    whole, _, places = text.removeprefix("-").partition(".")
    shown = f"{sign}{int(whole):,}.{places[:shown_places].ljust(shown_places, '0')}"
    return Amount(shown, len(places) > shown_places)


def count(number: int | None) -> str:
    """`1234567` → `1,234,567`."""
    return "–" if number is None else f"{number:,}"


def share(part: int, whole: int) -> str:
    """`1 of 3` → `33.3 %`, cut and not rounded, so that 100 % means all."""
    if not whole:
        return "–"
    tenths = part * 1000 // whole
    if part and not tenths:
        return "< 0.1 %"
    return f"{tenths // 10}.{tenths % 10} %"


def duration(ms: int | None) -> str:
    """`1234` → `1.23 s`."""
    if ms is None:
        return "–"
    if ms < 1000:
        return f"{ms} ms"
    return f"{Decimal(ms // 10) / 100} s"
