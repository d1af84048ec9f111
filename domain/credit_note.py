"""Credit notes: money given back on an issued invoice, as a document with a number of its own.

An invoice never changes. Its credit notes together never give back more than it billed, in no line
and in all; the tax of what is given back goes with it, so that giving back everything gives back
the invoice's own tax to the cent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from domain.errors import BadValue, DomainError
from domain.events.base import JsonObject
from domain.invoice_series import CreditNoteIssued, InvoiceIssued
from domain.money import RATE_PLACES, ZERO, Money, decimal_of

REASON_CHARS_MAX: Final = 200
_KEPT: Final = ("kind", "service_period", "adjusts", "provider", "model")


class NothingToCredit(DomainError):
    """The credit notes of the invoice have given back all of it, or more was asked than is left."""


@dataclass(frozen=True, slots=True)
class Credit:
    """The figures of one credit note."""

    lines: list[JsonObject]
    """{line: its number on the invoice from 1, what it billed, amount given back}."""
    subtotal: Money
    tax: Money
    total: Money


def credit_of(
    invoice: InvoiceIssued,
    before: Sequence[CreditNoteIssued],
    *,
    amount: Money | None = None,
    amounts: Mapping[int, Money] | None = None,
) -> Credit:
    """What a further credit note gives back: an amount, taken from the largest lines first;
    amounts of single lines (by their numbers on the invoice, from 1); or all that is left.

    Amounts are before tax. Raises NothingToCredit, BadValue.
    """
    given = [Money.parse(note.subtotal) for note in before]
    left = Money.parse(invoice.subtotal) - Money.total(given)
    lines = _left_of_lines(invoice, before)
    if amounts is not None:
        taken = _of_lines(lines, amounts)
    elif amount is not None:
        taken = _from_the_largest(lines, _checked(amount)) if amount <= left else {}
    else:
        taken = {number: rest for number, rest in lines.items() if rest != ZERO}
    subtotal = Money.total(taken.values())
    if not ZERO < subtotal <= left:
        raise NothingToCredit(f"of {invoice.number} there is {left} USD left to credit")
    tax = _tax_to_date(invoice, Money.total([*given, subtotal])) - Money.total(
        Money.parse(note.tax) for note in before
    )
    return Credit(
        lines=[_line(invoice, number, taken[number]) for number in sorted(taken)],
        subtotal=subtotal,
        tax=tax,
        total=subtotal + tax,
    )


def _left_of_lines(invoice: InvoiceIssued, before: Sequence[CreditNoteIssued]) -> dict[int, Money]:
    """Number of each line → what it billed and nobody gave back yet."""
    left = {
        number: Money.parse(line["amount"])
        for number, line in enumerate(invoice.lines, start=1)
        if line["amount"] is not None
    }
    for note in before:
        for line in note.lines:
            left[line["line"]] -= Money.parse(line["amount"])
    return left


def _of_lines(left: Mapping[int, Money], amounts: Mapping[int, Money]) -> dict[int, Money]:
    for number, amount in amounts.items():
        if number not in left:
            raise BadValue(f"the invoice bills nothing in a line {number}", param="lines")
        if _checked(amount) > left[number]:
            raise NothingToCredit(f"of line {number} there is {left[number]} USD left to credit")
    return dict(amounts)


def _from_the_largest(left: Mapping[int, Money], amount: Money) -> dict[int, Money]:
    """Ties go to the line that stands first."""
    taken: dict[int, Money] = {}
    for number in sorted(left, key=lambda each: (-left[each], each)):
        part = min(amount, left[number])
        if part > ZERO:
            taken[number] = part
            amount -= part
    return taken


def _checked(amount: Money) -> Money:
    if amount <= ZERO or amount != amount.rounded_to_cents():
        raise BadValue("an amount to credit is above zero, in whole cents", param="amount")
    return amount


def _tax_to_date(invoice: InvoiceIssued, credited: Money) -> Money:
    rate: Decimal = decimal_of(invoice.tax_rate, places=RATE_PLACES, what="tax_rate")
    return credited.times(rate).rounded_to_cents()


def _line(invoice: InvoiceIssued, number: int, amount: Money) -> JsonObject:
    billed = invoice.lines[number - 1]
    kept: JsonObject = {name: billed[name] for name in _KEPT if name in billed}
    return {"line": number, **kept, "billed": billed["amount"], "amount": str(amount)}
