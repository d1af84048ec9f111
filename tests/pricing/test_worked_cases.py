"""Worked cases of API.md 7, each with its formula written by hand; boundaries in pairs."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import pytest

from tests.pricing.build import Terms, amount, book, per_million, rated, row

FULL = {
    "input": "2",
    "cached_input": "0.5",
    "cached_input_audio": "0.25",
    "cache_write_5m": "2.5",
    "cache_write_1h": "4",
    "input_audio": "32",
    "input_image": "5",
    "output": "8",
    "reasoning": "3",
    "output_audio": "64",
    "output_image": "120",
}
TIERED: dict[str, Any] = {
    "prices": {"input": "1.25", "cached_input": "0.125", "output": "10"},
    "tiers": [
        {"input_tokens_above": 200_000, "input": "2.5", "cached_input": "0.25", "output": "15"},
    ],
}


class Case(NamedTuple):
    """A usage, the fields of its row, and what it comes to by hand."""

    name: str
    fields: dict[str, Any]
    usage: dict[str, int]
    terms: Terms
    at: str = "2026-11-23T12:00:00Z"


def prices(**named: str) -> dict[str, Any]:
    return {"prices": named}


CASES = [
    Case("plain", {}, {"input_tokens": 1000, "output_tokens": 500}, [(1000, "2"), (500, "8")]),
    Case("one token in", {}, {"input_tokens": 1, "output_tokens": 0}, [(1, "2")]),
    Case("nothing at all", {}, {"input_tokens": 0, "output_tokens": 0}, []),
    Case(
        "smallest price",
        prices(input="0.000000001", output="0.000000001"),
        {"input_tokens": 1, "output_tokens": 1},
        [(2, "0.000000001")],
    ),
    Case(
        "an absent output is not counted",
        {},
        {"input_tokens": 10},
        [(10, "2")],
    ),
    Case(
        "cached is taken out of input",
        {"prices": FULL},
        {"input_tokens": 1200, "cached_input_tokens": 200, "output_tokens": 340},
        [(1000, "2"), (200, "0.5"), (340, "8")],
    ),
    Case(
        "everything cached",
        {"prices": FULL},
        {"input_tokens": 200, "cached_input_tokens": 200, "output_tokens": 0},
        [(200, "0.5")],
    ),
    Case(
        "cached audio is taken out of cached",
        {"prices": FULL},
        {
            "input_tokens": 100,
            "cached_input_tokens": 60,
            "cached_audio_tokens": 25,
            "output_tokens": 1,
        },
        [(40, "2"), (35, "0.5"), (25, "0.25"), (1, "8")],
    ),
    Case(
        "cache writes of 5 minutes",
        {"prices": FULL},
        {"input_tokens": 100, "cache_write_5m_tokens": 70, "output_tokens": 2},
        [(30, "2"), (70, "2.5"), (2, "8")],
    ),
    Case(
        "cache writes of 1 hour at their own price (litellm 31724)",
        {"prices": FULL},
        {"input_tokens": 100, "cache_write_1h_tokens": 70, "output_tokens": 2},
        [(30, "2"), (70, "4"), (2, "8")],
    ),
    Case(
        "cache writes of an untold kind at the 5 minute price",
        {"prices": FULL},
        {"input_tokens": 100, "cache_write_tokens": 70, "output_tokens": 2},
        [(30, "2"), (70, "2.5"), (2, "8")],
    ),
    Case(
        "all three kinds, once each (litellm 9812)",
        {"prices": FULL},
        {
            "input_tokens": 100,
            "cache_write_5m_tokens": 10,
            "cache_write_1h_tokens": 20,
            "cache_write_tokens": 30,
            "output_tokens": 0,
        },
        [(40, "2"), (10, "2.5"), (20, "4"), (30, "2.5")],
    ),
    Case(
        "1 hour writes without a price of their own",
        prices(input="2", output="8", cache_write_5m="2.5"),
        {"input_tokens": 10, "cache_write_1h_tokens": 4, "output_tokens": 0},
        [(6, "2"), (4, "2.5")],
    ),
    Case(
        "5 minute writes where only 1 hour is priced",
        prices(input="2", output="8", cache_write_1h="4"),
        {"input_tokens": 10, "cache_write_5m_tokens": 4, "output_tokens": 0},
        [(6, "2"), (4, "4")],
    ),
    Case(
        "untold writes where only 1 hour is priced",
        prices(input="2", output="8", cache_write_1h="4"),
        {"input_tokens": 10, "cache_write_tokens": 4, "output_tokens": 0},
        [(6, "2"), (4, "4")],
    ),
    Case(
        "audio in and out at their own prices (litellm 17410)",
        {"prices": FULL},
        {
            "input_tokens": 100,
            "input_audio_tokens": 80,
            "output_tokens": 50,
            "output_audio_tokens": 45,
        },
        [(20, "2"), (80, "32"), (5, "8"), (45, "64")],
    ),
    Case(
        "images in",
        {"prices": FULL},
        {"input_tokens": 100, "input_image_tokens": 90, "output_tokens": 1},
        [(10, "2"), (90, "5"), (1, "8")],
    ),
    Case(
        "images in without a price of their own are input",
        {},
        {"input_tokens": 100, "input_image_tokens": 90, "output_tokens": 1},
        [(100, "2"), (1, "8")],
    ),
    Case(
        "images out",
        {"prices": FULL},
        {"input_tokens": 1, "output_tokens": 1300, "output_image_tokens": 1290},
        [(1, "2"), (10, "8"), (1290, "120")],
    ),
    Case(
        "reasoning is output, once (9router 2762)",
        {},
        {"input_tokens": 10, "output_tokens": 100, "reasoning_tokens": 90},
        [(10, "2"), (100, "8")],
    ),
    Case(
        "reasoning priced apart",
        {"prices": FULL},
        {"input_tokens": 10, "output_tokens": 100, "reasoning_tokens": 90},
        [(10, "2"), (10, "8"), (90, "3")],
    ),
    Case(
        "more reasoning than output, priced apart",
        {"prices": FULL},
        {"input_tokens": 10, "output_tokens": 10, "reasoning_tokens": 11},
        [(10, "2"), (10, "3")],
    ),
    Case(
        "more reasoning than output, priced as output",
        {},
        {"input_tokens": 10, "output_tokens": 10, "reasoning_tokens": 11},
        [(10, "2"), (10, "8")],
    ),
    Case(
        "web searches by the piece (litellm 31316)",
        prices(input="2", output="8", web_search_per_call="0.01"),
        {"input_tokens": 10, "output_tokens": 0, "web_search_calls": 3},
        [(10, "2"), (3_000_000, "0.01")],
    ),
    Case(
        "no web search, only the tool declared (litellm 10384)",
        prices(input="2", output="8", web_search_per_call="0.01"),
        {"input_tokens": 10, "output_tokens": 0, "web_search_calls": 0},
        [(10, "2")],
    ),
    Case(
        "by request",
        prices(input="1", output="1", per_request="0.005"),
        {"input_tokens": 10, "output_tokens": 10, "requests": 1},
        [(20, "1"), (1_000_000, "0.005")],
    ),
    Case(
        "200,000 stays low (claude-code-hub 869)",
        TIERED,
        {"input_tokens": 200_000, "output_tokens": 1000},
        [(200_000, "1.25"), (1000, "10")],
    ),
    Case(
        "200,001 reprices the whole call",
        TIERED,
        {"input_tokens": 200_001, "output_tokens": 1000},
        [(200_001, "2.5"), (1000, "15")],
    ),
    Case(
        "the tier looks at all input, cached too",
        TIERED,
        {"input_tokens": 200_001, "cached_input_tokens": 200_000, "output_tokens": 1},
        [(1, "2.5"), (200_000, "0.25"), (1, "15")],
    ),
    Case(
        "output does not reach the tier",
        TIERED,
        {"input_tokens": 200_000, "output_tokens": 300_000},
        [(200_000, "1.25"), (300_000, "10")],
    ),
    Case(
        "a tier replaces only what it names",
        {
            "prices": {"input": "1", "output": "4"},
            "tiers": [{"input_tokens_above": 100, "output": "6"}],
        },
        {"input_tokens": 101, "output_tokens": 10},
        [(101, "1"), (10, "6")],
    ),
    *(
        Case(
            f"of two tiers, at {count}",
            {
                "prices": {"input": "1", "output": "1"},
                "tiers": [
                    {"input_tokens_above": 32_000, "input": "2"},
                    {"input_tokens_above": 128_000, "input": "3"},
                ],
            },
            {"input_tokens": count, "output_tokens": 0},
            [(count, price)],
        )
        for count, price in ((32_000, "1"), (32_001, "2"), (128_000, "2"), (128_001, "3"))
    ),
    Case(
        "the highest tier replaces the row, not the tier below it",
        {
            "prices": {"input": "1", "output": "1"},
            "tiers": [
                {"input_tokens_above": 10, "input": "2", "output": "2"},
                {"input_tokens_above": 20, "input": "3"},
            ],
        },
        {"input_tokens": 21, "output_tokens": 5},
        [(21, "3"), (5, "1")],
    ),
    Case(
        "a multiplier of the whole row",
        {"multiplier": "1.1"},
        {"input_tokens": 1000, "output_tokens": 500},
        [(1000, "2.2"), (500, "8.8")],
    ),
    Case(
        "a multiplier comes after the tier (litellm 39861)",
        {**TIERED, "multiplier": "0.5"},
        {"input_tokens": 200_001, "cached_input_tokens": 1, "output_tokens": 10},
        [(200_000, "1.25"), (1, "0.125"), (10, "7.5")],
    ),
]

PEAK: dict[str, Any] = {
    "prices": {"input": "1", "output": "2"},
    "time_overrides": [
        {"utc_days": [1, 2, 3, 4, 5], "utc_windows": ["01:00-04:00"], "input": "2", "output": "4"}
    ],
}
NIGHT: dict[str, Any] = {
    "prices": {"input": "1", "output": "1"},
    "time_overrides": [{"utc_windows": ["16:30-00:30"], "input": "0.5"}],
    "tiers": [{"input_tokens_above": 100, "input": "3"}],
}
TIMES = [
    ("the minute before the window", PEAK, "2026-11-23T00:59:59.999999Z", [(10, "1"), (1, "2")]),
    ("the window's first instant", PEAK, "2026-11-23T01:00:00Z", [(10, "2"), (1, "4")]),
    ("the window's last instant", PEAK, "2026-11-23T03:59:59.999999Z", [(10, "2"), (1, "4")]),
    ("the window's end", PEAK, "2026-11-23T04:00:00Z", [(10, "1"), (1, "2")]),
    ("Friday", PEAK, "2026-11-27T02:00:00Z", [(10, "2"), (1, "4")]),
    ("Saturday", PEAK, "2026-11-28T02:00:00Z", [(10, "1"), (1, "2")]),
    ("Sunday", PEAK, "2026-11-29T02:00:00Z", [(10, "1"), (1, "2")]),
    ("a day is a day in UTC", PEAK, "2026-11-28T02:00:00+08:00", [(10, "1"), (1, "2")]),
    ("before a window over midnight", NIGHT, "2026-11-23T16:29:00Z", [(10, "1"), (1, "1")]),
    ("in a window over midnight", NIGHT, "2026-11-23T16:30:00Z", [(10, "0.5"), (1, "1")]),
    ("after midnight", NIGHT, "2026-11-24T00:29:59Z", [(10, "0.5"), (1, "1")]),
    ("after a window over midnight", NIGHT, "2026-11-24T00:30:00Z", [(10, "1"), (1, "1")]),
]
CASES += [
    Case(name, fields, {"input_tokens": 10, "output_tokens": 1}, terms, at)
    for name, fields, at, terms in TIMES
]
CASES.append(
    Case(
        "a tier replaces what the time of day did",
        NIGHT,
        {"input_tokens": 101, "output_tokens": 1},
        [(101, "3"), (1, "1")],
        "2026-11-23T20:00:00Z",
    )
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_worked_case(case: Case) -> None:
    rating = rated(book(row(**case.fields)), case.usage, at=case.at)
    assert amount(rating.at_cost) == per_million(case.terms)
    assert rating.status == "priced"
    assert sum((Fraction(each.amount.usd) for each in rating.components), Fraction(0)) == (
        per_million(case.terms)
    )
