"""Rounding once, and lines that add up to it (BILLING.md 3)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from domain.money import ZERO, Money
from pricing.invoice import Bill, Line, LineKey, bill, lines_of
from pricing.request import rate_request
from tests.pricing.build import book, reported, routed, row

NO_TAX = Decimal(0)


def line(model: str, fee: str | None) -> Line:
    key = LineKey("p", model, "0.05", "provider", "p", model, "listed", ("r",))
    known = None if fee is None else Money.parse(fee)
    return Line(key, 1, {"input_tokens": 1}, known, known)


def drawn(*fees: str | None, carried_in: str = "0", tax_rate: str = "0") -> Bill:
    """A bill over lines a, b, c, … with these fees."""
    lines = [line("abcdefgh"[place], fee) for place, fee in enumerate(fees)]
    return bill(lines, carried_in=Money.parse(carried_in), tax_rate=Decimal(tax_rate))


def amounts(of: Bill) -> list[str | None]:
    return [None if each.amount is None else str(each.amount) for each in of.lines]


@pytest.mark.parametrize(
    ("fee", "carried_in", "subtotal", "carried_out"),
    [
        ("0", "0", "0", "0"),
        ("0.004999999", "0", "0", "0.004999999"),
        ("0.005", "0", "0.01", "-0.005"),
        ("0.014999999", "0", "0.01", "0.004999999"),
        ("0.015", "0", "0.02", "-0.005"),
        ("0", "-0.005", "0", "-0.005"),
        ("0", "0.004999999", "0", "0.004999999"),
        ("0.001", "0.004", "0.01", "-0.005"),
        ("0.009", "-0.005", "0", "0.004"),
        ("0.01", "-0.005", "0.01", "-0.005"),
        ("0.10", "-0.30", "0", "-0.2"),
        ("12.345", "0.001", "12.35", "-0.004"),
    ],
)
def test_round_half_up_never_below_zero(
    fee: str, carried_in: str, subtotal: str, carried_out: str
) -> None:
    result = drawn(fee, carried_in=carried_in)
    assert (str(result.subtotal), str(result.carried_out)) == (subtotal, carried_out)
    assert result.fee_usd_exact == Money.parse(fee)
    assert amounts(result) == [subtotal]


@pytest.mark.parametrize(
    ("fees", "carried_in", "expected"),
    [
        (["0.005", "0.005"], "0", ["0.01", "0"]),  # ties: by key
        (["0.004", "0.006"], "0", ["0", "0.01"]),
        (["0.003", "0.003", "0.004"], "0", ["0", "0", "0.01"]),
        (["0.019", "0.018", "0.017"], "0", ["0.02", "0.02", "0.01"]),
        (["0.333", "0.333", "0.334"], "0", ["0.33", "0.33", "0.34"]),
        (["0.01", None, "0.004"], "0", ["0.01", None, "0"]),
        (["0.05", "0.05"], "-0.01", ["0.04", "0.05"]),  # a surplus comes from the largest fraction
        (["0.05", "0.051"], "-0.02", ["0.04", "0.04"]),
        (["0.05", "0.05"], "-0.05", ["0.02", "0.03"]),  # round after round
        (["0.10"], "-0.30", ["0"]),
        (["-0.004", "0.02"], "0", ["0", "0.02"]),
        (["0", "0", "0"], "0", ["0", "0", "0"]),
    ],
)
def test_lines_share_the_rounded_subtotal(
    fees: list[str | None], carried_in: str, expected: list[str | None]
) -> None:
    result = drawn(*fees, carried_in=carried_in)
    assert amounts(result) == expected
    shares = [each.amount for each in result.lines if each.amount is not None]
    assert Money.total(shares) == result.subtotal


def test_a_document_without_lines() -> None:
    result = drawn(carried_in="0.004")
    assert (result.lines, str(result.total), str(result.carried_out)) == ((), "0", "0.004")


@pytest.mark.parametrize(
    ("rate", "tax", "total"),
    [("0", "0", "10.1"), ("0.19", "1.92", "12.02"), ("0.0005", "0.01", "10.11")],
)
def test_tax_is_on_the_rounded_subtotal(rate: str, tax: str, total: str) -> None:
    result = drawn("10.1", tax_rate=rate)
    assert (str(result.tax), str(result.total)) == (tax, total)


BOOK = book(
    row("p", "m"),
    row("p", "m2", prices={"input": "1", "output": "1"}),
    row("p", "none:free", prices={"input": "0", "output": "0"}),
)


def request(model: str, tokens_in: int, tokens_out: int, rate: str = "0.05") -> object:
    start = routed(BOOK, upstream_model=model, markup_rate=rate)
    usage = {"input_tokens": tokens_in, "output_tokens": tokens_out}
    return rate_request(start, reported(start.originator_id, usage, model=model), BOOK)


def test_calls_with_the_same_key_share_a_line() -> None:
    requests = [
        request("m", 10, 1),
        request("m2", 5, 5),
        request("m", 20, 2),
        request("m", 1, 1, "0.04"),
        request("unheard", 1, 1),
        request("none:free", 3, 3),
    ]
    lines = lines_of(requests)  # type: ignore[arg-type]
    shown = [
        (line.key.model, line.key.markup_rate, line.requests, line.counts["input_tokens"])
        for line in lines
    ]
    assert shown == [
        ("m", "0.04", 1, 1),
        ("m", "0.05", 2, 30),
        ("m2", "0.05", 1, 5),
        ("none:free", "0.05", 1, 3),
        ("unheard", "0.05", 1, 1),
    ]
    by_model = {line.key.model: line for line in lines if line.key.markup_rate == "0.05"}
    assert str(by_model["m"].at_cost) == "0.000084"
    assert str(by_model["m"].fee) == "0.0000042"
    assert by_model["none:free"].fee == ZERO
    assert by_model["unheard"].fee is None
    assert by_model["unheard"].key.rule is None


def test_a_line_as_the_contract_shows_it() -> None:
    (line,) = lines_of([request("m", 10, 1)])  # type: ignore[list-item]
    result = bill([line], carried_in=ZERO, tax_rate=NO_TAX).as_json()
    (shown,) = result.pop("lines")
    assert result == {
        "fee_usd_exact": "0.0000014",
        "carried_in": "0",
        "carried_out": "0.0000014",
        "subtotal": "0",
        "tax": "0",
        "total": "0",
    }
    assert {name: shown[name] for name in shown if not name.endswith(("_tokens", "_calls"))} == {
        "kind": "usage",
        "provider": "p",
        "model": "m",
        "reference_provider": "p",
        "reference_model": "m",
        "rule": "listed",
        "usage_source": "provider",
        "markup_rate": "0.05",
        "price_rows": ["row-1"],
        "requests": 1,
        "at_cost_usd": "0.000028",
        "fee_usd": "0.0000014",
        "amount": "0",
    }
    assert (shown["input_tokens"], shown["output_tokens"]) == (10, 1)
    assert shown["cached_input_tokens"] is None


def test_an_adjustment_is_a_line_of_its_own() -> None:
    usage_key = line("m", "0.01").key
    other = LineKey(
        *("p", "m", "0.05", "provider", "p", "m", "listed", ("r",)),
        kind="adjustment",
        service_period="2026-10-01T00:00:00.000000Z/2026-11-01T00:00:00.000000Z",
        adjusts="inv_1",
    )
    assert other.canonical() < usage_key.canonical()
    assert other.as_json()["adjusts"] == "inv_1"
    assert "adjusts" not in usage_key.as_json()


def test_a_sum_is_unknown_only_while_nothing_in_it_is_known() -> None:
    whole = Line(line("m", None).key)
    for known in (None, "0.01", None, "0.02"):
        fee = None if known is None else Money.parse(known)
        whole.add(requests=1, usage={}, at_cost=fee, fee=fee)
        if known is None and whole.requests == 1:
            assert whole.fee is None
    assert (whole.requests, str(whole.fee), str(whole.at_cost)) == (4, "0.03", "0.03")
    assert whole.counts == {}
