"""What a credit note may give back: never more than was billed, in no line and in all."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.credit_note import Credit, NothingToCredit, credit_of
from domain.errors import BadValue
from domain.invoice_series import CreditNoteIssued, InvoiceIssued
from domain.money import ZERO, Money
from tests.domain.events.samples import ACCOUNT_ID, sample


def money(text: str) -> Money:
    return Money.parse(text)


def invoice(*amounts: str | None, tax_rate: str = "0") -> InvoiceIssued:
    known = [money(each) for each in amounts if each is not None]
    template = sample("invoice.issued")
    assert isinstance(template, InvoiceIssued)
    return InvoiceIssued(
        **{
            **vars(template),
            "lines": [
                {"kind": "usage", "provider": "openai", "model": f"gpt-{n}", "amount": amount}
                for n, amount in enumerate(amounts)
            ],
            "subtotal": str(Money.total(known)),
            "tax_rate": tax_rate,
        }
    )


def note(of: Credit, version: int = 2) -> CreditNoteIssued:
    return CreditNoteIssued(
        originator_id=uuid4(),
        originator_version=version,
        number=f"KT-2026-{version:06d}",
        invoice_id="inv_1",
        account_id=ACCOUNT_ID,
        sandbox=False,
        currency="USD",
        reason="a test",
        lines=of.lines,
        subtotal=str(of.subtotal),
        tax=str(of.tax),
        total=str(of.total),
        tax_rate="0",
    )


def amounts(credit: Credit) -> dict[int, str]:
    return {line["line"]: line["amount"] for line in credit.lines}


def test_an_amount_is_taken_from_the_largest_lines() -> None:
    credit = credit_of(invoice("0.3", "5", None, "2"), [], amount=money("6.5"))
    assert amounts(credit) == {2: "5", 4: "1.5"}
    assert (str(credit.subtotal), str(credit.tax), str(credit.total)) == ("6.5", "0", "6.5")


def test_without_an_amount_all_that_is_left_goes_back() -> None:
    issued = invoice("3", "-1", "0.5", tax_rate="0.19")
    first = credit_of(issued, [], amounts={1: money("1.01")})
    rest = credit_of(issued, [note(first)])
    assert amounts(rest) == {1: "1.99", 2: "-1", 3: "0.5"}
    # 19 % of 2.5 is 0.475, rounded half up as on the invoice; 0.19 % of 1.01 is 0.1919.
    assert (str(first.tax), str(rest.tax)) == ("0.19", "0.29")
    with pytest.raises(NothingToCredit):
        credit_of(issued, [note(first), note(rest)])


def test_lines_are_named_by_their_number_on_the_invoice() -> None:
    issued = invoice("1", None, "2")
    credit = credit_of(issued, [], amounts={3: money("2")})
    assert credit.lines == [
        {
            "line": 3,
            "kind": "usage",
            "provider": "openai",
            "model": "gpt-2",
            "billed": "2",
            "amount": "2",
        }
    ]
    for unbilled in (2, 4, 0):
        with pytest.raises(BadValue):
            credit_of(issued, [], amounts={unbilled: money("0.01")})


@pytest.mark.parametrize("text", ["0", "-1", "0.001"])
def test_an_amount_is_above_zero_in_whole_cents(text: str) -> None:
    asked: list[dict[str, Any]] = [{"amount": money(text)}, {"amounts": {1: money(text)}}]
    for each in asked:
        with pytest.raises(BadValue):
            credit_of(invoice("5"), [], **each)


def test_no_more_than_was_billed() -> None:
    issued = invoice("5", "-1")
    with pytest.raises(NothingToCredit):
        credit_of(issued, [], amount=money("4.01"))
    with pytest.raises(NothingToCredit):
        credit_of(issued, [], amounts={1: money("5.01")})
    with pytest.raises(NothingToCredit):
        credit_of(invoice("0"), [])


@given(
    cents=st.lists(st.integers(0, 10_000), min_size=1, max_size=6),
    asked=st.lists(st.integers(1, 4_000), max_size=12),
    per_mille=st.integers(0, 300),
)
def test_any_sequence_gives_back_what_was_billed_and_no_more(
    cents: list[int], asked: list[int], per_mille: int
) -> None:
    def of(count: int) -> Money:
        return money(f"{count // 100}.{count % 100:02d}")

    rate = f"0.{per_mille:03d}" if per_mille else "0"
    issued = invoice(*(str(of(each)) for each in cents), tax_rate=rate)
    notes: list[CreditNoteIssued] = []
    left = sum(cents)
    for each in asked:
        if each > left:
            with pytest.raises(NothingToCredit):
                credit_of(issued, notes, amount=of(each))
        else:
            notes.append(note(credit_of(issued, notes, amount=of(each))))
            left -= each
    if left:
        notes.append(note(credit_of(issued, notes)))
    billed = money(issued.subtotal)
    tax = (sum(cents) * per_mille + 500) // 1000
    assert Money.total(money(each.subtotal) for each in notes) == billed
    assert Money.total(money(each.tax) for each in notes) == of(tax)
    for number, line in enumerate(issued.lines, start=1):
        given_back = Money.total(
            money(each["amount"]) for n in notes for each in n.lines if each["line"] == number
        )
        assert given_back == money(line["amount"])
    assert all(money(each.total) > ZERO for each in notes)
