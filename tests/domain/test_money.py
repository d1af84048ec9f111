"""Amounts: exact, plain text, one rounding."""

from __future__ import annotations

from decimal import Decimal, Inexact

import pytest

from domain.errors import BadValue
from domain.money import EXACT, ZERO, Money, decimal_of, text_of


@pytest.mark.parametrize(
    "text", ["0", "-0.005", "0.0000123", "1", "99999999999999999999", "0." + "0" * 23 + "1"]
)
def test_plain_text(text: str) -> None:
    assert str(Money.parse(text)) == text


@pytest.mark.parametrize(
    ("given", "shown"), [("1.500", "1.5"), ("1.00", "1"), ("-0", "0"), ("-0.00", "0")]
)
def test_no_trailing_zeros_and_no_minus_zero(given: str, shown: str) -> None:
    assert str(Money.parse(given)) == shown


@pytest.mark.parametrize(
    "text",
    [
        *("", " 1", "1 ", "+1", "1e3", "1E-3", ".5", "5.", "01", "1,5", "NaN", "Infinity"),
        *("0x1", "１", "1" * 21, "0." + "1" * 25, "--1", "1.2.3", "\n1", "1\n"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        Money.parse(text)


@pytest.mark.parametrize("value", [1, 0.5, None, Decimal("1"), ["1"]])
def test_only_text_is_read(value: object) -> None:
    with pytest.raises(BadValue):
        decimal_of(value, places=6, what="rate")  # type: ignore[arg-type]


def test_places_are_a_limit_but_zeros_are_not_digits() -> None:
    assert decimal_of("0.123456", places=6, what="rate") == Decimal("0.123456")
    assert decimal_of("0.1234560", places=6, what="rate") == Decimal("0.123456")
    with pytest.raises(BadValue) as caught:
        decimal_of("0.1234567", places=6, what="rate")
    assert caught.value.param == "rate"


@pytest.mark.parametrize(
    ("exact", "cents"),
    [
        ("0.004999999999999999999999", "0"),
        ("0.005", "0.01"),
        ("0.015", "0.02"),
        ("-0.004", "0"),
        ("1.005", "1.01"),
    ],
)
def test_half_up(exact: str, cents: str) -> None:
    assert str(Money.parse(exact).rounded_to_cents()) == cents


def test_a_product_that_does_not_fit_is_refused_never_rounded() -> None:
    digits = Decimal("1." + "1" * 30)
    with pytest.raises(Inexact):
        Money(digits).times(digits)
    with pytest.raises(Inexact):
        EXACT.divide(Decimal(1), Decimal(3))


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), 1, 0.5, "1"])
def test_an_amount_is_a_finite_decimal(value: object) -> None:
    with pytest.raises(BadValue):
        Money(value)  # type: ignore[arg-type]


def test_an_amount_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        ZERO.usd = Decimal(1)
    assert text_of(ZERO.usd) == "0"
    assert repr(Money.parse("1.50")) == "Money(1.5)"
    assert Money.parse("1") != 1
