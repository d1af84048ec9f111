"""Laws of invoices: lines add up, order is nothing, and no cent is ever lost or made."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from domain.money import EXACT, ZERO, Money
from pricing.invoice import Line, LineKey, bill

CENT = Fraction(1, 100)
NO_TAX = Decimal(0)

fees = st.integers(0, 10**25).map(lambda units: Money(EXACT.scaleb(Decimal(units), -24)))
signed = st.integers(-(10**24), 10**25).map(lambda units: Money(EXACT.scaleb(Decimal(units), -24)))
carried = st.integers(-(5 * 10**21), 5 * 10**21 - 1).map(
    lambda units: Money(EXACT.scaleb(Decimal(units), -24))
)


def lines(values: list[Money | None]) -> list[Line]:
    return [
        Line(
            LineKey("p", f"m{place:03}", "0.05", "provider", "p", "m", "listed", ("r",)),
            requests=1,
            at_cost=value,
            fee=value,
        )
        for place, value in enumerate(values)
    ]


@given(st.lists(st.none() | signed, max_size=12), carried)
def test_lines_add_up_to_the_subtotal(values: list[Money | None], carried_in: Money) -> None:
    result = bill(lines(values), carried_in=carried_in, tax_rate=NO_TAX)
    if not any(each.amount is not None for each in result.lines):
        assert result.subtotal == ZERO
    shares = [each.amount for each in result.lines if each.amount is not None]
    assert Money.total(shares) == result.subtotal >= ZERO
    assert result.subtotal + result.carried_out == result.fee_usd_exact + carried_in
    assert [each.amount is None for each in result.lines] == [
        each.line.fee is None for each in result.lines
    ]


@given(st.lists(fees, min_size=1, max_size=12))
def test_a_share_is_less_than_a_cent_from_its_fee(values: list[Money]) -> None:
    result = bill(lines([*values]), carried_in=ZERO, tax_rate=NO_TAX)
    for each in result.lines:
        assert each.amount is not None
        assert each.line.fee is not None
        assert abs(Fraction(each.amount.usd) - Fraction(each.line.fee.usd)) < CENT


@given(st.lists(st.lists(fees, max_size=4), max_size=30))
def test_billed_to_date_stays_within_a_cent_of_exact_to_date(periods: list[list[Money]]) -> None:
    carried_in, billed, exact = ZERO, Fraction(0), Fraction(0)
    for period in periods:
        result = bill(lines([*period]), carried_in=carried_in, tax_rate=NO_TAX)
        carried_in = result.carried_out
        billed += Fraction(result.subtotal.usd)
        exact += sum((Fraction(fee.usd) for fee in period), Fraction(0))
        assert abs(billed - exact) < CENT
        assert exact - billed == Fraction(carried_in.usd)


@given(st.lists(st.none() | signed, max_size=10), carried, st.randoms(use_true_random=False))
def test_the_order_of_lines_is_nothing(
    values: list[Money | None], carried_in: Money, random: object
) -> None:
    ordered = lines(values)
    shuffled = list(ordered)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert bill(ordered, carried_in=carried_in, tax_rate=NO_TAX) == bill(
        shuffled, carried_in=carried_in, tax_rate=NO_TAX
    )


@given(st.lists(fees, min_size=2, max_size=8))
def test_summing_calls_before_or_after_is_the_same(values: list[Money]) -> None:
    whole = Line(lines([values[0]])[0].key)
    for value in values:
        whole.add(requests=1, usage={"input_tokens": 1}, at_cost=value, fee=value)
    backwards = Line(whole.key)
    for value in reversed(values):
        backwards.add(requests=1, usage={"input_tokens": 1}, at_cost=value, fee=value)
    assert (whole.fee, whole.requests, whole.counts) == (
        *(backwards.fee, backwards.requests),
        backwards.counts,
    )
    assert whole.counts["input_tokens"] == len(values)
