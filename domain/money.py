"""Exact amounts of US dollars, and the one rounding function.

Amounts stay exact until an invoice is issued. The ambient decimal context is never used: every
operation goes through `EXACT`, which raises instead of rounding.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import (
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    Inexact,
    InvalidOperation,
    Overflow,
)
from functools import total_ordering
from typing import Final

from domain.errors import BadValue

EXACT: Final = Context(
    prec=50, traps=[FloatOperation, Inexact, InvalidOperation, DivisionByZero, Overflow]
)
"""The context of all money arithmetic: 50 digits, and an error where a digit would be lost."""

_ROUNDING: Final = Context(
    prec=50,
    rounding=ROUND_HALF_UP,
    traps=[FloatOperation, InvalidOperation, DivisionByZero, Overflow],
)
_PLAIN: Final = re.compile(r"-?(0|[1-9][0-9]{0,19})(\.[0-9]{1,24})?")

PRICE_PLACES: Final = 9
"""Decimal places of a price in USD per million tokens (BILLING.md 3)."""
MULTIPLIER_PLACES: Final = 3
RATE_PLACES: Final = 6
PROVIDER_COST_PLACES: Final = 18
CENT: Final = Decimal("0.01")


def decimal_of(text: str, *, places: int, what: str) -> Decimal:
    """Read plain decimal text with at most `places` decimals.

    Raises BadValue for anything else: an exponent, a float, too many digits, a non-number.
    """
    if not isinstance(text, str) or not _PLAIN.fullmatch(text):
        raise BadValue(f'{what} must be plain decimal text, for example "0.05"', param=what)
    value = Decimal(text)
    if -int(value.as_tuple().exponent) > places and EXACT.remainder(
        value, Decimal(1).scaleb(-places)
    ):
        raise BadValue(f"{what} has more than {places} decimal places", param=what)
    return value


def text_of(value: Decimal) -> str:
    """Plain text without exponent and without trailing zeros: "0.0000123", "0"."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"", "-0"} else text


@total_ordering
class Money:
    """An exact amount of US dollars. Immutable; compares and hashes by value."""

    __slots__ = ("usd",)

    usd: Decimal

    def __init__(self, usd: Decimal) -> None:
        if not isinstance(usd, Decimal) or not usd.is_finite():
            raise BadValue("an amount is a finite decimal")
        object.__setattr__(self, "usd", usd)

    @classmethod
    def parse(cls, text: str, *, places: int = 24, what: str = "amount") -> Money:
        """Read decimal text; raise BadValue when it is not plain or finer than `places`."""
        return cls(decimal_of(text, places=places, what=what))

    @classmethod
    def total(cls, amounts: Iterable[Money]) -> Money:
        """The exact sum; the order of the amounts does not matter."""
        result = Decimal(0)
        for amount in amounts:
            result = EXACT.add(result, amount.usd)
        return cls(result)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("Money is immutable")

    def __add__(self, other: Money) -> Money:
        return Money(EXACT.add(self.usd, other.usd))

    def __sub__(self, other: Money) -> Money:
        return Money(EXACT.subtract(self.usd, other.usd))

    def __neg__(self) -> Money:
        return Money(EXACT.minus(self.usd))

    def times(self, factor: Decimal) -> Money:
        """The exact product; raises decimal.Inexact if it does not fit 50 digits."""
        return Money(EXACT.multiply(self.usd, factor))

    def rounded_to_cents(self) -> Money:
        """Half up to the minor unit. Only an invoice being issued may call this (BILLING.md 3)."""
        return Money(self.usd.quantize(CENT, context=_ROUNDING))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and self.usd == other.usd

    def __lt__(self, other: Money) -> bool:
        return self.usd < other.usd

    def __hash__(self) -> int:
        return hash(self.usd)

    def __str__(self) -> str:
        return text_of(self.usd)

    def __repr__(self) -> str:
        return f"Money({self})"


ZERO: Final = Money(Decimal(0))
