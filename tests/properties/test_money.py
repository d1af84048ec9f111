"""Laws of amounts."""

from __future__ import annotations

import decimal
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from domain.money import EXACT, Money, text_of

amounts = st.integers(-(10**38), 10**38).map(lambda units: Money(EXACT.scaleb(Decimal(units), -24)))


@given(amounts)
def test_text_and_back(amount: Money) -> None:
    text = str(amount)
    assert Money.parse(text) == amount
    assert "e" not in text.lower()
    assert text != "-0"
    assert "." not in text or not text.endswith("0")


@given(st.lists(amounts, max_size=50), st.randoms(use_true_random=False))
def test_sums_are_exact_and_free_of_order(values: list[Money], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert Money.total(values) == Money.total(shuffled)
    assert Fraction(Money.total(values).usd) == sum((Fraction(v.usd) for v in values), Fraction(0))


@given(amounts, amounts)
def test_plus_and_minus_undo_each_other(one: Money, other: Money) -> None:
    assert one + other - other == one
    assert one - one == Money(Decimal(0))
    negated = -one
    assert -negated == one
    assert (one < other) == (other > one) == (Fraction(one.usd) < Fraction(other.usd))


@given(amounts)
def test_rounding_moves_by_at_most_half_a_cent(amount: Money) -> None:
    away = Fraction(amount.rounded_to_cents().usd) - Fraction(amount.usd)
    assert abs(away) <= Fraction(1, 200)
    assert Fraction(amount.rounded_to_cents().usd) * 100 % 1 == 0


@given(amounts, amounts, st.integers(1, 12))
def test_the_ambient_context_changes_nothing(one: Money, other: Money, precision: int) -> None:
    expected = (one + other, one - other, text_of(one.usd), one.rounded_to_cents())
    with decimal.localcontext() as context:
        context.prec = precision
        context.rounding = decimal.ROUND_UP
        assert (one + other, one - other, text_of(one.usd), one.rounded_to_cents()) == expected


@given(amounts)
def test_equal_amounts_hash_alike(amount: Money) -> None:
    longer = Money(
        Decimal(format(amount.usd, "f") + ("0" if "." in format(amount.usd, "f") else ".0"))
    )
    assert longer == amount
    assert hash(longer) == hash(amount)
