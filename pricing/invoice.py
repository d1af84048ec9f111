"""What an invoice says: lines from exact sums, and the one rounding of all billing (BILLING.md 3).

Pure, per account and `sandbox`. The order in which anything arrives makes no difference.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal

import orjson

from domain.events.base import JsonObject
from domain.money import EXACT, ZERO, Money, text_of
from domain.usage import UNITS, Usage
from pricing.request import RatedRequest

Kind = Literal["usage", "adjustment"]

COUNTS: Final = tuple(unit for unit in UNITS if unit != "requests")
"""Units that lines count; `requests` is there the number of calls."""
_CENTS: Final = Decimal(100)


@dataclass(frozen=True, slots=True)
class LineKey:
    """What the calls of one line have in common (BILLING.md 4.5)."""

    provider: str
    model: str
    markup_rate: str
    usage_source: str
    reference_provider: str | None
    reference_model: str | None
    rule: str | None
    """The three are None for calls without a price."""
    price_rows: tuple[str, ...]
    kind: Kind = "usage"
    service_period: str | None = None
    """Of an adjustment: the closed period that it belongs to."""
    adjusts: str | None = None
    """Of an adjustment: the invoice that it corrects."""

    def as_json(self) -> JsonObject:
        """The fields as they stand in a line; those of adjustments only in adjustments."""
        fields: JsonObject = {
            "kind": self.kind,
            "provider": self.provider,
            "model": self.model,
            "reference_provider": self.reference_provider,
            "reference_model": self.reference_model,
            "rule": self.rule,
            "usage_source": self.usage_source,
            "markup_rate": self.markup_rate,
            "price_rows": list(self.price_rows),
        }
        if self.kind == "adjustment":
            fields["service_period"] = self.service_period
            fields["adjusts"] = self.adjusts
        return fields

    def canonical(self) -> bytes:
        """The text that orders lines and breaks ties."""
        return orjson.dumps(self.as_json(), option=orjson.OPT_SORT_KEYS)


@dataclass(slots=True)
class Line:
    """Exact sums over the calls of one key. Amounts are None while none of them has a price."""

    key: LineKey
    requests: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    at_cost: Money | None = None
    fee: Money | None = None

    def add(self, *, requests: int, usage: Usage, at_cost: Money | None, fee: Money | None) -> None:
        """Take in one call, or the sums of many."""
        self.requests += requests
        for unit in COUNTS:
            if unit in usage:
                self.counts[unit] = self.counts.get(unit, 0) + usage[unit]
        self.at_cost = _plus(self.at_cost, at_cost)
        self.fee = _plus(self.fee, fee)


@dataclass(frozen=True, slots=True)
class BilledLine:
    """A line and its share of the rounded subtotal."""

    line: Line
    amount: Money | None

    def as_json(self) -> JsonObject:
        """As API.md 5 shows it; a count that no call reported is null."""
        line = self.line
        return {
            **line.key.as_json(),
            "requests": line.requests,
            **{unit: line.counts.get(unit) for unit in COUNTS},
            "at_cost_usd": _text(line.at_cost),
            "fee_usd": _text(line.fee),
            "amount": _text(self.amount),
        }


@dataclass(frozen=True, slots=True)
class Bill:
    """The figures of one document."""

    lines: tuple[BilledLine, ...]
    fee_usd_exact: Money
    carried_in: Money
    carried_out: Money
    subtotal: Money
    tax: Money
    total: Money

    def as_json(self) -> JsonObject:
        """The part of an invoice that these figures are."""
        return {
            "lines": [line.as_json() for line in self.lines],
            "fee_usd_exact": str(self.fee_usd_exact),
            "carried_in": str(self.carried_in),
            "carried_out": str(self.carried_out),
            "subtotal": str(self.subtotal),
            "tax": str(self.tax),
            "total": str(self.total),
        }


def key_of(rated: RatedRequest) -> LineKey:
    """The usage line that a rated request belongs to."""
    reference = rated.rating.reference
    return LineKey(
        provider=rated.provider,
        model=rated.model,
        markup_rate=text_of(rated.markup_rate),
        usage_source=rated.usage_source,
        reference_provider=reference.provider if reference else None,
        reference_model=reference.model if reference else None,
        rule=reference.rule if reference else None,
        price_rows=reference.price_rows if reference else (),
    )


def lines_of(requests: Iterable[RatedRequest]) -> list[Line]:
    """Usage lines of rated requests, in the order of their keys."""
    lines: dict[LineKey, Line] = {}
    for rated in requests:
        key = key_of(rated)
        line = lines.get(key)
        if line is None:
            line = lines[key] = Line(key)
        line.add(requests=1, usage=rated.usage, at_cost=rated.at_cost, fee=rated.fee)
    return sorted(lines.values(), key=lambda line: line.key.canonical())


def bill(lines: Iterable[Line], *, carried_in: Money, tax_rate: Decimal) -> Bill:
    """Round once: subtotal to the cent, never below zero; what is left is carried out.

    As long as no period's fees are negative, what was billed to date differs from the exact fees
    to date by less than one cent, for ever.
    """
    ordered = sorted(lines, key=lambda line: line.key.canonical())
    exact = Money.total(line.fee for line in ordered if line.fee is not None)
    due = exact + carried_in
    subtotal = max(ZERO, due.rounded_to_cents())
    tax = subtotal.times(tax_rate).rounded_to_cents()
    amounts = allocated(ordered, subtotal)
    return Bill(
        lines=tuple(map(BilledLine, ordered, amounts)),
        fee_usd_exact=exact,
        carried_in=carried_in,
        carried_out=due - subtotal,
        subtotal=subtotal,
        tax=tax,
        total=subtotal + tax,
    )


def allocated(lines: Sequence[Line], subtotal: Money) -> list[Money | None]:
    """Shares of the subtotal that add up to it; a line without a fee has none.

    Each fee is rounded down to the cent. Missing cents go to (surplus cents come from) the
    largest fractions, ties by the canonical key ascending, round after round if they are many.
    """
    cents: dict[int, int] = {}
    fractions: dict[int, Decimal] = {}
    for position, line in enumerate(lines):
        if line.fee is not None:
            exact = EXACT.multiply(line.fee.usd, _CENTS)
            cents[position] = math.floor(exact)
            fractions[position] = EXACT.subtract(exact, Decimal(cents[position]))
    missing = int(EXACT.multiply(subtotal.usd, _CENTS)) - sum(cents.values())
    by_fraction = sorted(
        cents, key=lambda position: (-fractions[position], lines[position].key.canonical())
    )
    for position, share in zip(by_fraction, _shares(missing, len(by_fraction)), strict=True):
        cents[position] += share
    return [
        Money(EXACT.divide(Decimal(cents[position]), _CENTS)) if position in cents else None
        for position in range(len(lines))
    ]


def _shares(units: int, takers: int) -> Iterable[int]:
    """Units dealt out one by one to takers in a circle; negative ones are taken away."""
    if units and not takers:
        raise ArithmeticError("an amount without a line to stand in")
    whole, rest = divmod(abs(units), takers) if takers else (0, 0)
    sign = 1 if units > 0 else -1
    return (sign * (whole + (position < rest)) for position in range(takers))


def _plus(total: Money | None, amount: Money | None) -> Money | None:
    if amount is None:
        return total
    return amount if total is None else total + amount


def _text(amount: Money | None) -> str | None:
    return None if amount is None else str(amount)
