"""Worked cases: worked/*.toml, each with its formula by hand, through `keytoll rate`'s own door.

The formulas are evaluated in exact fractions (formula.py); no arithmetic of the program takes part.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from pricing.load import shipped_book
from pricing.records import rate_record
from tests.pricing.build import NAMES
from tests.pricing.formula import evaluate, plain

FOLDER: Final = Path(__file__).parent / "worked"
SHIPPED: Final = shipped_book()
UNITS: Final = {
    "in": "input_tokens",
    "cached": "cached_input_tokens",
    "cached_audio": "cached_audio_tokens",
    "write_5m": "cache_write_5m_tokens",
    "write_1h": "cache_write_1h_tokens",
    "write": "cache_write_tokens",
    "audio": "input_audio_tokens",
    "image": "input_image_tokens",
    "out": "output_tokens",
    "reasoning": "reasoning_tokens",
    "out_audio": "output_audio_tokens",
    "out_image": "output_image_tokens",
    "searches": "web_search_calls",
    "requests": "requests",
}
FIELDS: Final = (
    *("name", "rows", "call", "response_model", "at", "context", "key_plan", "setting"),
    *("entries", "usage", "cost", "status", "usd", "rule", "reference", "listed", "reported"),
    *("unrated", "notes", "lost"),
)
"""What a case may say; a misspelt expectation would be none."""


class Case(NamedTuple):
    """One case with the rows (none: the shipped book) and the usual status of its file."""

    file: str
    told: dict[str, Any]
    rows: dict[str, dict[str, Any]]
    usual: str

    @property
    def used(self) -> list[dict[str, Any]]:
        """The rows of its book, each known by its name in the file."""
        names = self.told.get("rows", list(self.rows))
        return [{"id": name, **self.rows[name]} for name in names]

    @property
    def record(self) -> dict[str, Any]:
        first = next((f"{row['provider']} {row['model']}" for row in self.used), "")
        provider, model = self.told.get("call", first).split(" ", 1)
        words = self.told["usage"].split()
        return {
            "provider": provider,
            "model": model,
            "response_model": self.told.get("response_model"),
            "at": self.told.get("at", "2026-11-23T12:00:00Z"),
            "key_plan": self.told.get("key_plan", "paid"),
            "context": self.told.get("context", {}),
            "usage": {
                UNITS[unit]: int(count) for unit, count in zip(words[::2], words[1::2], strict=True)
            },
            "provider_cost": self.told.get("cost"),
            "reference_setting": self.told.get("setting", "same-provider-first"),
            "price_book": [*self.used, *self.told.get("entries", ())] or None,
        }


def cases() -> list[Case]:
    """Every case of every file."""
    found = []
    for path in sorted(FOLDER.glob("*.toml")):
        table = tomllib.loads(path.read_text("utf-8"))
        usual = table.get("status", "priced")
        rows = {} if table.get("shipped") else table["rows"]
        found += [Case(path.stem, each, rows, usual) for each in table["case"]]
    return found


CASES: Final = cases()


def rated(case: Case) -> dict[str, Any]:
    return rate_record(case.record, SHIPPED, names=NAMES, normalise={})


def exact(formula: str | None) -> str | None:
    return None if formula is None else plain(evaluate(formula))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file}: {case.told['name']}")
def test_worked_case(case: Case) -> None:
    told, result = case.told, rated(case)
    amount = exact(told.get("usd"))
    assert (result["status"], result["at_cost_usd"]) == (told.get("status", case.usual), amount)
    if amount is None:
        assert (result["fee_usd"], result["reference"]) == (None, None)
    else:
        assert result["fee_usd"] == plain(evaluate(told["usd"]) / 20)
        parts = [Fraction(each["amount_usd"]) for each in result["components"]]
        assert sum(parts, Fraction(0)) == evaluate(told["usd"])
    assert result.get("unrated_units", []) == told.get("unrated", [])
    assert result.get("notes", []) == told.get("notes", [])
    assert {
        f"{each['provider']} {each['model']}": each["lost"]
        for each in result["candidates"]
        if not each["chosen"]
    } == told.get("lost", {})


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.told.get("usd") is not None],
    ids=lambda case: f"{case.file}: {case.told['name']}",
)
def test_reference_of_a_worked_case(case: Case) -> None:
    told, result = case.told, rated(case)
    reference = result["reference"]
    by_status = told.get("setting", "same-provider-first")
    usual = by_status if told.get("status", case.usual) == "free_model" else "listed"
    assert reference["rule"] == told.get("rule", usual)
    named, _, row = told.get("reference", "").partition(" #")
    if named:
        assert f"{reference['provider']} {reference['model']}" == named
    if row:
        assert reference["price_rows"] == [row]
    assert len(reference["price_rows"]) == (0 if reference["rule"] == "reported" else 1)
    reported = told.get("reported", told["usd"] if reference["rule"] == "reported" else None)
    assert result.get("reported_usd") == exact(reported)
    assert result.get("listed_usd") == exact(told.get("listed"))


def test_the_tables_are_whole() -> None:
    """No two cases bear one name, none says what nobody reads, no row is idle."""
    assert len(CASES) >= 200
    names = Counter((case.file, case.told["name"]) for case in CASES)
    assert names.most_common(1)[0][1] == 1
    for case in CASES:
        assert set(case.told) <= set(FIELDS), case.told["name"]
        assert ("usd" in case.told) != (case.told.get("status") == "unrated"), case.told["name"]


def test_formulas_are_exact() -> None:
    assert evaluate("(200_001*2.5 + 1000*15)/M") == Fraction(5150025, 10**7)
    assert evaluate("0.1 + 0.2 - 0.3") == 0
    assert plain(Fraction(1, 8)) == "0.125"
    assert plain(Fraction(0)) == "0"
    assert plain(Fraction(30)) == "30"
