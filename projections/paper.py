"""A4 pages that are written from top to bottom: what the documents we send out are made of.

Nothing in a file depends on the machine: its date is that of the issue, there is no random id,
nothing is compressed (what zlib makes of the same bytes differs between its versions), and the
typefaces travel with the program. So the same document gives the same bytes, for ever.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import cache
from hashlib import md5
from pathlib import Path
from threading import Lock
from typing import Any, Final

from reportlab.lib.colors import HexColor
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

FONTS: Final = Path(__file__).parent / "fonts"
PLAIN: Final = "DejaVuSansCondensed"
BOLD: Final = "DejaVuSansCondensed-Bold"

WIDTH, HEIGHT = 595, 842
"""A4 in points; everything below is in points too, from the bottom left."""
LEFT, RIGHT = 42, 553
TOP, BOTTOM = 800, 60
INK, SOFT, LINE, BAND = (HexColor(each) for each in ("#132226", "#4a5d62", "#c5cece", "#eef1f1"))
ACCENT: Final = HexColor("#0f766e")

_one_at_a_time: Final = Lock()
"""A typeface of the library belongs to one document at a time."""


def printed(written: Callable[[int], tuple[bytes, int]]) -> bytes:
    """A document that says on every page how many there are: written once to count them.

    `written` is given that number and answers the file and how many pages it has.
    """
    with _one_at_a_time:
        _load_fonts()
        return written(written(0)[1])[0]


@cache
def _load_fonts() -> None:
    for name in (PLAIN, BOLD):
        font = TTFont(name, str(FONTS / f"{name}.ttf"), asciiReadable=1, shapable=False)
        pdfmetrics.registerFont(font)


class Sheet:
    """Pages of one document. A page that is full ends with its foot, and the next one begins."""

    def __init__(self, *, title: str, subject: str, issued_at: str, foot: str, pages: int) -> None:
        """`pages` is what every foot says there are in all."""
        self._title = title
        self._footing = foot
        self._pages = pages
        self.page = 1
        self._file = io.BytesIO()
        self._y = TOP
        self.canvas = Canvas(
            self._file,
            pagesize=(WIDTH, HEIGHT),
            pageCompression=0,
            invariant=1,
            initialFontName=PLAIN,
            lang="en",
        )
        # The library makes the file's id from SOURCE_DATE_EPOCH too; only what is set here counts.
        self.canvas._doc.signature = md5(usedforsecurity=False)
        date = "D:" + re.sub(r"\D", "", issued_at)[:14] + "Z"
        self.canvas.setDateFormatter(lambda *_: date)
        self.canvas.setTitle(title)
        self.canvas.setAuthor("keytoll")
        self.canvas.setCreator("keytoll")
        self.canvas.setProducer("keytoll")
        self.canvas.setSubject(subject)

    def finished(self) -> tuple[bytes, int]:
        """The file, and how many pages it has."""
        self._foot()
        self.canvas.showPage()
        self.canvas.save()
        return self._file.getvalue(), self.page

    def kept_free(self) -> int:
        """Height at the bottom that `page_ends` needs."""
        return 0

    def page_ends(self) -> None:
        """Whatever a full page says above its foot."""

    def page_begins(self) -> None:
        """Whatever stands under the title of a further page."""
        self.rule()
        self.down(14)

    def room(self, height: int) -> None:
        """Go on on the next page unless so much is left of this one."""
        if self._y - height >= BOTTOM + self.kept_free():
            return
        self.page_ends()
        self._foot()
        self.canvas.showPage()
        self.page += 1
        self._y = TOP
        self.at(LEFT, f"{self._title}, continued", size=10, font=BOLD)
        self.down(10)
        self.page_begins()

    def band(self) -> None:
        """A shaded strip behind the next row."""
        self.canvas.setFillColor(BAND)
        self.canvas.rect(LEFT - 4, self._y - 12, RIGHT - LEFT + 8, 16, stroke=0, fill=1)
        self.down(7)

    def _foot(self) -> None:
        self._y = 36
        self.at(LEFT, self._footing, size=7)
        self.ends(RIGHT, f"Page {self.page} of {self._pages}", size=7)

    def fact(self, name: str, value: str) -> None:
        """A name and what it is, in as many rows as it takes."""
        rows = rows_of(value, PLAIN, 8, RIGHT - LEFT - 70)
        for position, row in enumerate(rows):
            self.room(12)
            if position == 0:
                self.at(LEFT, name, size=8, color=SOFT)
            self.at(LEFT + 70, row, size=8)
            self.down(12)

    def text(self, text: str, *, size: int, color: Any = INK, width: int = RIGHT - LEFT) -> None:
        """A paragraph, over the whole width if nothing else is said."""
        for row in rows_of(text, PLAIN, size, width):
            self.room(size + 3)
            self.at(LEFT, row, size=size, color=color)
            self.down(size + 3)

    def at(self, x: int, text: str, *, size: int, font: str = PLAIN, color: Any = INK) -> None:
        """Text that begins at x."""
        self.canvas.setFillColor(color)
        self.canvas.setFont(font, size)
        self.canvas.drawString(x, self._y, _printable(text, font))

    def ends(self, x: int, text: str, *, size: int, font: str = PLAIN, color: Any = INK) -> None:
        """Text that ends at x."""
        self.canvas.setFillColor(color)
        self.canvas.setFont(font, size)
        self.canvas.drawRightString(x, self._y, _printable(text, font))

    def rule(self, *, up: int = 0) -> None:
        """A thin line over the whole width."""
        self.canvas.setStrokeColor(LINE)
        self.canvas.line(LEFT, self._y + up, RIGHT, self._y + up)

    def down(self, by: int) -> None:
        """Go on further down."""
        self._y -= by


def width_of(text: str, font: str, size: int) -> Any:
    """In points."""
    return pdfmetrics.stringWidth(text, font, size)


def _printable(text: str, font: str) -> str:
    """What the typeface has no sign for is named by its number, so that nothing is lost."""
    known = pdfmetrics.getFont(font).face.charToGlyph
    return "".join(
        each if ord(each) in known and each.isprintable() else f"[U+{ord(each):04X}]"
        for each in text
    )


def rows_of(text: str, font: str, size: int, width: int) -> list[str]:
    """The text in rows of a width, broken between words where that can be."""
    rows: list[str] = []
    row = ""
    for word in _printable(text, font).split(" "):
        longer = f"{row} {word}" if row else word
        if width_of(longer, font, size) <= width:
            row = longer
            continue
        if row:
            rows.append(row)
        row = word
        while width_of(row, font, size) > width:
            fits = next(n for n in range(len(row), 0, -1) if width_of(row[:n], font, size) <= width)
            rows.append(row[:fits])
            row = row[fits:]
    return [*rows, row]
