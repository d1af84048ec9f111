"""An invoice in words and groups, for people: the page and the PDF say the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from domain.events.base import JsonObject
from domain.money import CENT, EXACT, Money
from pricing.invoice import COUNTS

NOTHING: Final = "–"
"""Of what is not known: never a zero."""
_RULES: Final[Mapping[str, str]] = {
    "listed": "at the list price of",
    "reported": "at what the provider itself reported, for",
    "same-provider-first": "free there; at the paid version at the same provider,",
    "lowest": "free there; at the lowest price of its paid version,",
}
_SOURCES: Final[Mapping[str, str]] = {
    "provider": "counted by the provider",
    "estimate": "estimated: the provider did not report counts",
    "none": "nothing was counted",
}
_IN_COLUMNS: Final = frozenset({"input_tokens", "output_tokens"})


@dataclass(frozen=True, slots=True)
class LineGroup:
    """Lines that belong together, and what they add up to."""

    title: str
    note: str
    """What an adjustment adjusts; empty for usage."""
    lines: Sequence[JsonObject]
    adjusts: str | None = None
    """The id of the invoice that is adjusted."""

    @property
    def fee(self) -> str:
        """Exact."""
        return total(self.lines, "fee_usd")

    @property
    def amount(self) -> str:
        """Rounded, as billed."""
        return total(self.lines, "amount")


def groups_of(document: JsonObject) -> list[LineGroup]:
    """Usage by provider, then adjustments by the invoice that they adjust; each line once."""
    found: dict[tuple[str, ...], list[JsonObject]] = {}
    for line in document["lines"]:
        found.setdefault(_group_key(line), []).append(line)
    return [_group(lines) for _, lines in sorted(found.items())]


def _group_key(line: JsonObject) -> tuple[str, ...]:
    adjusted = (line.get("service_period") or "", line.get("adjusts") or "")
    return ("1", *adjusted) if line["kind"] == "adjustment" else ("0", line["provider"])


def _group(lines: Sequence[JsonObject]) -> LineGroup:
    first = lines[0]
    if first["kind"] != "adjustment":
        return LineGroup(first["provider"], "", lines)
    start, _, end = first["service_period"].partition("/")
    return LineGroup(
        "Adjustments",
        f"of {first['adjusts']}, period {period_text({'start': start, 'end': end})}:"
        " the difference to what was billed there",
        lines,
        first["adjusts"],
    )


def total(lines: Iterable[JsonObject], name: str) -> str:
    """The exact sum of a money field; what is unknown counts as nothing."""
    known = (Money.parse(line[name]) for line in lines if line[name] is not None)
    return str(Money.total(known))


def cents(amount: str | None) -> str:
    """A rounded amount with its two places: 12.5 → 12.50."""
    if amount is None:
        return NOTHING
    value = Decimal(amount)
    return format(EXACT.quantize(value, CENT), ",f")


def counted(count: int | None) -> str:
    """A count with its thousands apart."""
    return NOTHING if count is None else format(count, ",d")


def percent(rate: str) -> str:
    """A rate as a percentage, exact: 0.05 → 5 %."""
    return f"{Money.parse(rate).times(Decimal(100))} %"


def instant_words(instant: str) -> str:
    """A midnight as its day; any other instant to the second, or to what it has beyond."""
    shortened = instant.removesuffix("T00:00:00.000000Z")
    return shortened.removesuffix(".000000Z").removesuffix("Z").replace("T", " ")


def period_text(period: Mapping[str, str]) -> str:
    """Half-open, as it is."""
    start, end = instant_words(period["start"]), instant_words(period["end"])
    return f"{start} to {end} UTC, end not included"


def price_words(line: JsonObject) -> str:
    """Where the price of a line comes from."""
    if line["fee_usd"] is None:
        return "no price known yet: nothing is billed until there is one"
    if line["rule"] is None or (line["rule"] == "listed" and line["at_cost_usd"] == "0"):
        return "free, and no paid version is known: no fee"
    said = _RULES.get(line["rule"], line["rule"])
    return f"{said} {line['reference_provider']}/{line['reference_model']}"


def source_words(line: JsonObject) -> str:
    """Where the counts of a line come from."""
    return _SOURCES.get(line["usage_source"], line["usage_source"])


def other_counts(line: JsonObject) -> list[tuple[str, int]]:
    """The counts that have no column of their own, without those that are zero or unknown."""
    names = (name for name in COUNTS if name not in _IN_COLUMNS and line[name])
    return [(name.removesuffix("_tokens").replace("_", " "), line[name]) for name in names]
