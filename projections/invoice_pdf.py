"""An issued invoice as PDF. The same event gives the same bytes, whenever and wherever.

Its status is left out, because it changes and the bytes do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from domain.errors import BadValue
from domain.events.base import JsonObject
from domain.money import Money
from projections.invoice_words import (
    NOTHING,
    LineGroup,
    cents,
    counted,
    groups_of,
    instant_words,
    other_counts,
    percent,
    period_text,
    price_words,
    source_words,
)
from projections.paper import (
    ACCENT,
    BOLD,
    INK,
    LEFT,
    PLAIN,
    RIGHT,
    SOFT,
    Sheet,
    printed,
    rows_of,
    width_of,
)

_COLUMNS: Final = (
    ("Calls", 222),
    ("Tokens in", 282),
    ("Tokens out", 338),
    ("At cost", 414),
    ("Fee, exact", 511),
    ("Amount", RIGHT),
)
"""Titles of the numbers and where they end."""
_NAMES_WIDTH: Final = 148
_GAP: Final = 5


def invoice_pdf(document: JsonObject) -> bytes:
    """An issued invoice on A4 pages. Raises BadValue for a draft, which has no date and number."""
    if document["issued_at"] is None:
        raise BadValue("only an issued invoice has a PDF", param="format")
    return printed(lambda pages: _Invoice(document, pages=pages).written())


@dataclass(slots=True)
class _Carried:
    """What the pages so far add up to."""

    fee: Money
    amount: Money


class _Invoice(Sheet):
    def __init__(self, document: JsonObject, *, pages: int) -> None:
        super().__init__(
            title=f"Invoice {document['number']}",
            subject=f"{document['account_id']} {document['period']['start']}",
            issued_at=document["issued_at"],
            foot=f"{document['number']} · {document['account_id']}",
            pages=pages,
        )
        self._document = document
        self._carried: _Carried | None = None

    def written(self) -> tuple[bytes, int]:
        """The file, and how many pages it has."""
        self._head()
        self._table_head()
        self._carried = _Carried(Money.parse("0"), Money.parse("0"))
        for group in groups_of(self._document):
            self._group(group)
        if not self._document["lines"]:
            self.text("No call of the period is billed.", size=8, color=SOFT)
        self._carried = None
        self._figures()
        self._proof()
        return self.finished()

    # -- parts of the document

    def _head(self) -> None:
        document = self._document
        self.at(LEFT, "Invoice", size=20, font=BOLD)
        self.ends(RIGHT, str(document["number"]), size=16, font=BOLD)
        self.down(14)
        if document["sandbox"]:
            self.down(8)
            self.at(
                LEFT,
                "SANDBOX: calls of the built-in test provider. Nothing is owed.",
                size=9,
                font=BOLD,
                color=ACCENT,
            )
            self.down(6)
        self.rule()
        self.down(14)
        facts = {
            "Account": document["account_id"],
            "Period": period_text(document["period"]),
            "Issued": f"{instant_words(document['issued_at'])} UTC",
            "Currency": document["currency"],
            "Document": document["id"],
        }
        for name, value in facts.items():
            self.fact(name, str(value))
        self.down(4)
        self.text(
            "The fee is the agreed rate of what a call costs at its provider. The provider bills"
            " the call itself; this invoice bills the fee only. Amounts are in US dollars.",
            size=8,
            color=SOFT,
        )
        self.down(8)

    def _group(self, group: LineGroup) -> None:
        self.room(48)
        self.down(2)
        self.at(LEFT, group.title, size=8, font=BOLD, color=ACCENT)
        self.down(11)
        if group.note:
            self.text(group.note, size=7, color=SOFT)
            self.down(2)
        for line in group.lines:
            self._line(line)

    def _line(self, line: JsonObject) -> None:
        names = rows_of(line["model"], PLAIN, 8, _NAMES_WIDTH)
        if line["kind"] == "adjustment":
            names = rows_of(f"{line['provider']}: {line['model']}", PLAIN, 8, _NAMES_WIDTH)
        details = rows_of(_details(line), PLAIN, 6, RIGHT - LEFT)
        self.room(10 * min(len(names), 10) + 8 * min(len(details), 10) + 6)
        cells = (
            counted(line["requests"]),
            counted(line["input_tokens"]),
            counted(line["output_tokens"]),
            line["at_cost_usd"] or NOTHING,
            line["fee_usd"] or NOTHING,
            cents(line["amount"]),
        )
        self._numbers(cells, font=PLAIN)
        for row in names:
            self.room(10)
            self.at(LEFT, row, size=8)
            self.down(10)
        for row in details:
            self.room(8)
            self.at(LEFT, row, size=6, color=SOFT)
            self.down(8)
        if self._carried is not None:
            for name, own in (("fee", "fee_usd"), ("amount", "amount")):
                if line[own] is not None:
                    so_far = getattr(self._carried, name) + Money.parse(line[own])
                    setattr(self._carried, name, so_far)
        self.canvas.setLineWidth(0)
        self.rule(up=3)
        self.down(6)

    def _figures(self) -> None:
        document = self._document
        tax = f"Tax, {percent(document['tax_rate'])}"
        figures = (
            ("Fees, exact", document["fee_usd_exact"], PLAIN),
            ("Carried in from the invoice before", document["carried_in"], PLAIN),
            ("Carried out to the next invoice", document["carried_out"], PLAIN),
            ("Subtotal", cents(document["subtotal"]), BOLD),
            (tax, cents(document["tax"]), PLAIN),
            (f"Total {document['currency']}", cents(document["total"]), BOLD),
        )
        self.room(14 * len(figures) + 30)
        self.down(6)
        for name, value, font in figures:
            self.at(300, name, size=9, font=font)
            self.ends(RIGHT, value, size=9, font=font)
            self.down(14)
        if document["tax_note"]:
            self.text(f"Tax: {document['tax_note']}", size=8, color=INK)
        self.text(
            "Fees are summed exactly and rounded once, to the cent. Exact fees plus what was"
            " carried in are the subtotal plus what is carried out; the amounts of the lines add up"
            " to the subtotal.",
            size=8,
            color=SOFT,
        )
        self.down(6)

    def _proof(self) -> None:
        self.room(60)
        self.at(LEFT, "What this invoice was made from", size=9, font=BOLD)
        self.down(13)
        for store, seq in self._document["cutoff"].items():
            self.fact("Event log", f"{store}, events up to number {seq}")
        for store, seal in (self._document["merkle"] or {}).items():
            root = f"{seal['root']} over the first {seal['size']} events of {store}"
            self.fact("Merkle root", root)
        for book in self._document["price_books"]:
            self.fact("Price book", book)

    # -- pages

    def kept_free(self) -> int:
        return 14 if self._carried else 0

    def page_ends(self) -> None:
        self._carry("Carried forward")

    def page_begins(self) -> None:
        if self._carried is None:
            super().page_begins()
        else:
            self._table_head()
            self._carry("Brought forward")

    def _table_head(self) -> None:
        self.band()
        self.at(LEFT, "Provider and model", size=7, font=BOLD, color=SOFT)
        for title, end in _COLUMNS:
            self.ends(end, title, size=7, font=BOLD, color=SOFT)
        self.down(17)

    def _carry(self, words: str) -> None:
        if self._carried is None:
            return
        self.at(LEFT, words, size=8, font=BOLD)
        sums = (str(self._carried.fee), cents(str(self._carried.amount)))
        self._numbers(("", "", "", "", *sums), font=BOLD)
        self.down(14)

    def _numbers(self, cells: Sequence[str], *, font: str) -> None:
        """One row of numbers; what would not fit is set smaller, all digits stay."""
        start = LEFT + _NAMES_WIDTH
        for text, (_, end) in zip(cells, _COLUMNS, strict=True):
            size = 8
            while size > 4 and width_of(text, font, size) > end - start - _GAP:
                size -= 1
            self.ends(end, text, size=size, font=font)
            start = end


def _details(line: JsonObject) -> str:
    said = [f"rate {percent(line['markup_rate'])}", price_words(line), source_words(line)]
    said += [f"{name} {counted(count)}" for name, count in other_counts(line)]
    if line["price_rows"]:
        said.append("price rows " + " ".join(line["price_rows"]))
    return "; ".join(said)
