"""An issued invoice as PDF. The same event gives the same bytes, whenever and wherever.

Nothing in the file depends on the machine: the date is that of the issue, there is no random id,
nothing is compressed (what zlib makes of the same bytes differs between its versions), and the
typefaces travel with the program. Its status is left out, because it changes and the bytes do not.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import md5
from pathlib import Path
from threading import Lock
from typing import Any, Final

from reportlab.lib.colors import HexColor
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

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

FONTS: Final = Path(__file__).parent / "fonts"
PLAIN: Final = "DejaVuSansCondensed"
BOLD: Final = "DejaVuSansCondensed-Bold"

_WIDTH, _HEIGHT = 595, 842
"""A4 in points; everything below is in points too, from the bottom left."""
_LEFT, _RIGHT = 42, 553
_TOP, _BOTTOM = 800, 60
_INK, _SOFT, _LINE, _BAND = (
    HexColor(each) for each in ("#132226", "#4a5d62", "#c5cece", "#eef1f1")
)
_ACCENT: Final = HexColor("#0f766e")
_COLUMNS: Final = (
    ("Calls", 222),
    ("Tokens in", 282),
    ("Tokens out", 338),
    ("At cost", 414),
    ("Fee, exact", 511),
    ("Amount", _RIGHT),
)
"""Titles of the numbers and where they end."""
_NAMES_WIDTH: Final = 148
_GAP: Final = 5

_one_at_a_time: Final = Lock()
"""A typeface of the library belongs to one document at a time."""


def invoice_pdf(document: JsonObject) -> bytes:
    """An issued invoice on A4 pages. Raises BadValue for a draft, which has no date and number."""
    if document["issued_at"] is None:
        raise BadValue("only an issued invoice has a PDF", param="format")
    with _one_at_a_time:
        _load_fonts()
        pages = _Paper(document, pages=0).written()[1]
        return _Paper(document, pages=pages).written()[0]


@cache
def _load_fonts() -> None:
    for name in (PLAIN, BOLD):
        font = TTFont(name, str(FONTS / f"{name}.ttf"), asciiReadable=1, shapable=False)
        pdfmetrics.registerFont(font)


@dataclass(slots=True)
class _Carried:
    """What the pages so far add up to."""

    fee: Money
    amount: Money


class _Paper:
    """Writes from the top of a page to its bottom, and goes on on the next one."""

    def __init__(self, document: JsonObject, *, pages: int) -> None:
        self._document = document
        self._pages = pages
        self._page = 1
        self._file = io.BytesIO()
        self._y = _TOP
        self._carried: _Carried | None = None
        number = str(document["number"])
        self._canvas = Canvas(
            self._file,
            pagesize=(_WIDTH, _HEIGHT),
            pageCompression=0,
            invariant=1,
            initialFontName=PLAIN,
            lang="en",
        )
        # The library makes the file's id from SOURCE_DATE_EPOCH too; only what is set here counts.
        self._canvas._doc.signature = md5(usedforsecurity=False)
        date = "D:" + re.sub(r"\D", "", document["issued_at"])[:14] + "Z"
        self._canvas.setDateFormatter(lambda *_: date)
        self._canvas.setTitle(f"Invoice {number}")
        self._canvas.setAuthor("keytoll")
        self._canvas.setCreator("keytoll")
        self._canvas.setProducer("keytoll")
        self._canvas.setSubject(f"{document['account_id']} {document['period']['start']}")

    def written(self) -> tuple[bytes, int]:
        """The file, and how many pages it has."""
        self._head()
        self._table_head()
        self._carried = _Carried(Money.parse("0"), Money.parse("0"))
        for group in groups_of(self._document):
            self._group(group)
        if not self._document["lines"]:
            self._text("No call of the period is billed.", size=8, color=_SOFT)
        self._carried = None
        self._figures()
        self._proof()
        self._foot()
        self._canvas.showPage()
        self._canvas.save()
        return self._file.getvalue(), self._page

    # -- parts of the document

    def _head(self) -> None:
        document = self._document
        self._at(_LEFT, "Invoice", size=20, font=BOLD)
        self._ends(_RIGHT, str(document["number"]), size=16, font=BOLD)
        self._down(14)
        if document["sandbox"]:
            self._down(8)
            self._at(
                _LEFT,
                "SANDBOX: calls of the built-in test provider. Nothing is owed.",
                size=9,
                font=BOLD,
                color=_ACCENT,
            )
            self._down(6)
        self._rule()
        self._down(14)
        facts = {
            "Account": document["account_id"],
            "Period": period_text(document["period"]),
            "Issued": f"{instant_words(document['issued_at'])} UTC",
            "Currency": document["currency"],
            "Document": document["id"],
        }
        for name, value in facts.items():
            self._fact(name, str(value))
        self._down(4)
        self._text(
            "The fee is the agreed rate of what a call costs at its provider. The provider bills"
            " the call itself; this invoice bills the fee only. Amounts are in US dollars.",
            size=8,
            color=_SOFT,
        )
        self._down(8)

    def _group(self, group: LineGroup) -> None:
        self._room(48)
        self._down(2)
        self._at(_LEFT, group.title, size=8, font=BOLD, color=_ACCENT)
        self._down(11)
        if group.note:
            self._text(group.note, size=7, color=_SOFT)
            self._down(2)
        for line in group.lines:
            self._line(line)

    def _line(self, line: JsonObject) -> None:
        names = _rows(line["model"], PLAIN, 8, _NAMES_WIDTH)
        if line["kind"] == "adjustment":
            names = _rows(f"{line['provider']}: {line['model']}", PLAIN, 8, _NAMES_WIDTH)
        details = _rows(_details(line), PLAIN, 6, _RIGHT - _LEFT)
        self._room(10 * min(len(names), 10) + 8 * min(len(details), 10) + 6)
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
            self._room(10)
            self._at(_LEFT, row, size=8)
            self._down(10)
        for row in details:
            self._room(8)
            self._at(_LEFT, row, size=6, color=_SOFT)
            self._down(8)
        if self._carried is not None:
            for name, own in (("fee", "fee_usd"), ("amount", "amount")):
                if line[own] is not None:
                    so_far = getattr(self._carried, name) + Money.parse(line[own])
                    setattr(self._carried, name, so_far)
        self._canvas.setLineWidth(0)
        self._rule(up=3)
        self._down(6)

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
        self._room(14 * len(figures) + 30)
        self._down(6)
        for name, value, font in figures:
            self._at(300, name, size=9, font=font)
            self._ends(_RIGHT, value, size=9, font=font)
            self._down(14)
        if document["tax_note"]:
            self._text(f"Tax: {document['tax_note']}", size=8, color=_INK)
        self._text(
            "Fees are summed exactly and rounded once, to the cent. Exact fees plus what was"
            " carried in are the subtotal plus what is carried out; the amounts of the lines add up"
            " to the subtotal.",
            size=8,
            color=_SOFT,
        )
        self._down(6)

    def _proof(self) -> None:
        self._room(60)
        self._at(_LEFT, "What this invoice was made from", size=9, font=BOLD)
        self._down(13)
        for store, seq in self._document["cutoff"].items():
            self._fact("Event log", f"{store}, events up to number {seq}")
        for store, seal in (self._document["merkle"] or {}).items():
            root = f"{seal['root']} over the first {seal['size']} events of {store}"
            self._fact("Merkle root", root)
        for book in self._document["price_books"]:
            self._fact("Price book", book)

    # -- pages

    def _room(self, height: int) -> None:
        """Go on on the next page unless so much is left of this one."""
        if self._y - height >= _BOTTOM + (14 if self._carried else 0):
            return
        self._carry("Carried forward")
        self._foot()
        self._canvas.showPage()
        self._page += 1
        self._y = _TOP
        self._at(_LEFT, f"Invoice {self._document['number']}, continued", size=10, font=BOLD)
        self._down(10)
        if self._carried is None:
            self._rule()
            self._down(14)
        else:
            self._table_head()
            self._carry("Brought forward")

    def _table_head(self) -> None:
        self._canvas.setFillColor(_BAND)
        self._canvas.rect(_LEFT - 4, self._y - 12, _RIGHT - _LEFT + 8, 16, stroke=0, fill=1)
        self._down(7)
        self._at(_LEFT, "Provider and model", size=7, font=BOLD, color=_SOFT)
        for title, end in _COLUMNS:
            self._ends(end, title, size=7, font=BOLD, color=_SOFT)
        self._down(17)

    def _carry(self, words: str) -> None:
        if self._carried is None:
            return
        self._at(_LEFT, words, size=8, font=BOLD)
        sums = (str(self._carried.fee), cents(str(self._carried.amount)))
        self._numbers(("", "", "", "", *sums), font=BOLD)
        self._down(14)

    def _foot(self) -> None:
        self._y = 36
        self._at(_LEFT, f"{self._document['number']} · {self._document['account_id']}", size=7)
        self._ends(_RIGHT, f"Page {self._page} of {self._pages}", size=7)

    # -- strokes

    def _fact(self, name: str, value: str) -> None:
        rows = _rows(value, PLAIN, 8, _RIGHT - _LEFT - 70)
        for position, row in enumerate(rows):
            self._room(12)
            if position == 0:
                self._at(_LEFT, name, size=8, color=_SOFT)
            self._at(_LEFT + 70, row, size=8)
            self._down(12)

    def _text(self, text: str, *, size: int, color: Any) -> None:
        for row in _rows(text, PLAIN, size, _RIGHT - _LEFT):
            self._room(size + 3)
            self._at(_LEFT, row, size=size, color=color)
            self._down(size + 3)

    def _numbers(self, cells: Sequence[str], *, font: str) -> None:
        """One row of numbers; what would not fit is set smaller, all digits stay."""
        start = _LEFT + _NAMES_WIDTH
        for text, (_, end) in zip(cells, _COLUMNS, strict=True):
            size = 8
            while size > 4 and _width(text, font, size) > end - start - _GAP:
                size -= 1
            self._ends(end, text, size=size, font=font)
            start = end

    def _at(self, x: int, text: str, *, size: int, font: str = PLAIN, color: Any = _INK) -> None:
        self._canvas.setFillColor(color)
        self._canvas.setFont(font, size)
        self._canvas.drawString(x, self._y, _printable(text, font))

    def _ends(self, x: int, text: str, *, size: int, font: str = PLAIN, color: Any = _INK) -> None:
        self._canvas.setFillColor(color)
        self._canvas.setFont(font, size)
        self._canvas.drawRightString(x, self._y, _printable(text, font))

    def _rule(self, *, up: int = 0) -> None:
        self._canvas.setStrokeColor(_LINE)
        self._canvas.line(_LEFT, self._y + up, _RIGHT, self._y + up)

    def _down(self, by: int) -> None:
        self._y -= by


def _details(line: JsonObject) -> str:
    said = [f"rate {percent(line['markup_rate'])}", price_words(line), source_words(line)]
    said += [f"{name} {counted(count)}" for name, count in other_counts(line)]
    if line["price_rows"]:
        said.append("price rows " + " ".join(line["price_rows"]))
    return "; ".join(said)


def _width(text: str, font: str, size: int) -> Any:
    return pdfmetrics.stringWidth(text, font, size)


def _printable(text: str, font: str) -> str:
    """What the typeface has no sign for is named by its number, so that nothing is lost."""
    known = pdfmetrics.getFont(font).face.charToGlyph
    return "".join(
        each if ord(each) in known and each.isprintable() else f"[U+{ord(each):04X}]"
        for each in text
    )


def _rows(text: str, font: str, size: int, width: int) -> list[str]:
    """The text in rows of a width, broken between words where that can be."""
    rows: list[str] = []
    row = ""
    for word in _printable(text, font).split(" "):
        longer = f"{row} {word}" if row else word
        if _width(longer, font, size) <= width:
            row = longer
            continue
        if row:
            rows.append(row)
        row = word
        while _width(row, font, size) > width:
            fits = next(n for n in range(len(row), 0, -1) if _width(row[:n], font, size) <= width)
            rows.append(row[:fits])
            row = row[fits:]
    return [*rows, row]
