"""Invoices as PDF: every line and digit, and the same bytes for ever."""

from __future__ import annotations

import hashlib
import re
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

import pytest

from domain.errors import BadValue
from domain.events.base import JsonObject
from pricing.invoice import COUNTS
from projections.invoice_pdf import invoice_pdf
from projections.paper import FONTS

GOLDEN: Final = "32899b666fe7c383294ae760a18b37845bea016d90e0a064cafd0917af6985ac"
"""Of `document()`. If it changes, files that were sent out can no longer be made again."""


def line(**given: Any) -> JsonObject:
    return {
        "kind": "usage",
        "provider": "openai",
        "model": "gpt-x",
        "reference_provider": "openai",
        "reference_model": "gpt-x",
        "rule": "listed",
        "usage_source": "provider",
        "markup_rate": "0.05",
        "price_rows": ["openai/gpt-x#1"],
        "requests": 3,
        **dict.fromkeys(COUNTS),
        "input_tokens": 1_200_000,
        "output_tokens": 45,
        "at_cost_usd": "2.40036",
        "fee_usd": "0.120018",
        "amount": "0.12",
        **given,
    }


def document(*lines: JsonObject, **given: Any) -> JsonObject:
    return {
        "id": "inv_" + "1" * 32,
        "number": "KT-2026-000007",
        "account_id": "acc_" + "2" * 32,
        "status": "open",
        "sandbox": False,
        "period": {"start": "2026-11-01T00:00:00.000000Z", "end": "2026-12-01T00:00:00.000000Z"},
        "currency": "USD",
        "lines": list(lines or [line()]),
        "fee_usd_exact": "0.120018",
        "carried_in": "0.003",
        "carried_out": "0.003018",
        "subtotal": "0.12",
        "tax": "0.02",
        "total": "0.14",
        "tax_rate": "0.19",
        "tax_note": "VAT",
        "cutoff": {"store-1": 12},
        "price_books": ["sha256:" + "3" * 64],
        "merkle": {"store-1": {"size": 11, "root": "4" * 64}},
        "issued_at": "2026-12-01T01:02:03.000004Z",
        **given,
    }


def texts(pdf: bytes) -> list[list[str]]:
    """The texts of each page, in the order in which they are set."""
    maps = [_signs(each) for each in _streams(pdf) if b"beginbfchar" in each]
    found = re.compile(rb"/F(\d)\+0 \d+ Tf [\d.]+ TL \(((?:\\.|[^\\)])*)\) Tj", re.DOTALL)
    return [
        [
            "".join(maps[int(font) - 1][code] for code in _unescaped(codes))
            for font, codes in found.findall(page)
        ]
        for page in _streams(pdf)
        if b" Tf" in page
    ]


def _streams(pdf: bytes) -> list[bytes]:
    return re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL)


def _signs(cmap: bytes) -> dict[int, str]:
    pairs = re.findall(rb"<([0-9A-F]{2})> <([0-9A-F]{4})>", cmap)
    return {int(code, 16): chr(int(sign, 16)) for code, sign in pairs}


def _unescaped(text: bytes) -> bytes:
    return re.sub(
        rb"\\(\d{3}|.)",
        lambda m: bytes([int(m[1], 8)]) if len(m[1]) == 3 else m[1],
        text,
        flags=re.DOTALL,
    )


def test_the_bytes_are_those_that_were_sent_out() -> None:
    made = invoice_pdf(document())
    assert made == invoice_pdf(document())
    assert hashlib.sha256(made).hexdigest() == GOLDEN


def test_other_documents_between_change_nothing() -> None:
    first = invoice_pdf(document())
    invoice_pdf(document(line(model="модель"), sandbox=True))
    assert invoice_pdf(document()) == first


def test_neither_the_machine_s_clock_nor_its_settings_show(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    made = invoice_pdf(document())
    assert hashlib.sha256(made).hexdigest() == GOLDEN
    assert re.findall(rb"Date \((.*?)\)", made) == [b"D:20261201010203Z"] * 2
    assert b"FlateDecode" not in made


def test_what_changes_later_is_not_in_it() -> None:
    assert invoice_pdf(document()) == invoice_pdf(document(status="paid"))


def test_the_exact_fee_stands_beside_the_rounded_amount() -> None:
    exact = "0.120018000000000000000001"
    (page,) = texts(invoice_pdf(document(line(fee_usd=exact))))
    for said in (exact, "0.12", "2.40036", "1,200,000", "0.003", "0.003018", "KT-2026-000007"):
        assert said in page, said
    assert page[page.index("Total USD") + 1] == "0.14"
    assert page[page.index("Tax, 19 %") + 1] == "0.02"
    assert "4" * 64 in " ".join(page)
    assert "sha256:" + "3" * 64 in page


def test_unknown_is_not_zero() -> None:
    unrated = line(
        fee_usd=None, at_cost_usd=None, amount=None, rule=None, output_tokens=None, price_rows=[]
    )
    (page,) = texts(invoice_pdf(document(unrated, total="0")))
    start = page.index("1,200,000")
    assert page[start + 1 : start + 5] == ["–"] * 4
    assert any("no price known yet" in text for text in page)


def test_a_long_invoice_has_every_line_and_carries_its_totals() -> None:
    lines = [line(model=f"model-{n}", fee_usd="0.0123", amount="0.01") for n in range(120)]
    pages = texts(invoice_pdf(document(*lines)))
    assert len(pages) > 2
    seen = [text for page in pages for text in page if text.startswith("model-")]
    assert seen == [f"model-{n}" for n in range(120)]
    for number, page in enumerate(pages, start=1):
        assert f"Page {number} of {len(pages)}" in page
    so_far = 0
    for page, following in pairwise(pages):
        so_far += sum(text.startswith("model-") for text in page)
        if so_far == 120:
            break
        place, next_place = page.index("Carried forward"), following.index("Brought forward")
        fee, amount = page[place + 1 : place + 3]
        assert Decimal(fee) == so_far * Decimal("0.0123")
        assert Decimal(amount) == so_far * Decimal("0.01")
        assert following[next_place + 1 : next_place + 3] == [fee, amount]


def test_names_in_any_writing_are_not_lost() -> None:
    (page,) = texts(invoice_pdf(document(line(model="Modèle-模💥\n(\\"), tax_note="Müller")))
    assert "Modèle-[U+6A21][U+1F4A5][U+000A](\\" in page
    assert "Tax: Müller" in page


def test_a_name_without_end_is_broken_into_rows() -> None:
    name = "x" * 900
    pages = texts(invoice_pdf(document(line(model=name))))
    assert "".join(text for text in pages[0] if set(text) == {"x"}) == name


def test_a_sandbox_invoice_says_so() -> None:
    (page,) = texts(invoice_pdf(document(sandbox=True)))
    assert any("SANDBOX" in text for text in page)


def test_an_invoice_without_lines_says_so() -> None:
    (page,) = texts(invoice_pdf({**document(), "lines": []}))
    assert "No call of the period is billed." in page


def test_a_draft_has_none() -> None:
    with pytest.raises(BadValue):
        invoice_pdf(document(issued_at=None, number=None, id=None))


def test_the_typefaces_are_those_that_were_published() -> None:
    told = re.findall(
        r"\| `(\S+\.ttf)` .*\| `([0-9a-f]{64})` \|", (FONTS / "README.md").read_text()
    )
    files = {path.name: path for path in FONTS.glob("*.ttf")}
    assert dict(told).keys() == files.keys()
    for name, digest in told:
        assert hashlib.sha256(files[name].read_bytes()).hexdigest() == digest
