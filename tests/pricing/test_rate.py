"""Worked cases of API.md 7, each with its formula written by hand; boundaries in pairs."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import pytest

from domain.usage import InconsistentUsage
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


USED = {"input_tokens": 1_000_000, "output_tokens": 0}


def variant(price: str, **conditions: Any) -> dict[str, Any]:
    return row(prices={"input": price, "output": price}, **conditions)


SERVED = book(
    variant("1"),
    variant("0.5", batch=True),
    variant("0.6", service_tier="flex"),
    variant("2", service_tier="priority"),
    variant("6", speed="fast"),
    variant("1.1", region="eu"),
    variant("1.2", inference_geo="us"),
    variant("1.3", region="eu", deployment_type="zone"),
    variant("0.55", batch=True, region="eu"),
)


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ({}, "1"),
        ({"service_tier": None}, "1"),
        ({"service_tier": "auto"}, "1"),
        ({"service_tier": "default"}, "1"),
        ({"service_tier": "standard"}, "1"),
        ({"service_tier": "flex"}, "0.6"),
        ({"service_tier": "priority"}, "2"),
        ({"service_tier": "Flex"}, None),
        ({"service_tier": "scale"}, None),
        ({"service_tier": "priority", "batch": True}, None),
        ({"batch": True}, "0.5"),
        ({"batch": False}, "1"),
        ({"speed": "fast"}, "6"),
        ({"speed": "standard"}, "1"),
        ({"speed": "slow"}, None),
        ({"speed": "fast", "batch": True}, None),
        ({"region": "eu"}, "1.1"),
        ({"region": "mars"}, "1"),
        ({"inference_geo": "us"}, "1.2"),
        ({"inference_geo": "global"}, "1"),
        ({"region": "eu", "deployment_type": "zone"}, "1.3"),
        ({"region": "us", "deployment_type": "zone"}, "1"),
        ({"batch": True, "region": "eu"}, "0.55"),
        ({"batch": True, "region": "us"}, "0.5"),
        ({"service_tier": "flex", "region": "eu"}, "0.6"),
    ],
)
def test_conditions_choose_the_row(context: dict[str, Any], expected: str | None) -> None:
    rating = rated(SERVED, USED, context=context)
    assert (None if rating.at_cost is None else str(rating.at_cost)) == expected
    assert rating.status == ("unrated" if expected is None else "priced")


def test_a_context_that_makes_no_sense_is_unrated_not_standard() -> None:
    assert rated(SERVED, USED, context={"service_tier": 5}).status == "unrated"


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-08-16T15:59:59.999999Z", "1"),
        ("2026-08-16T16:00:00Z", "2"),
        ("2026-12-31T23:59:59.999999Z", "2"),
        ("2027-01-01T00:00:00Z", None),
    ],
)
def test_rows_hold_from_an_instant_to_an_instant(at: str, expected: str | None) -> None:
    prices_over_time = book(
        variant("1", effective_to="2026-08-16T16:00:00Z"),
        variant("2", effective_from="2026-08-16T16:00:00Z", effective_to="2027-01-01T00:00:00Z"),
    )
    at_cost = rated(prices_over_time, USED, at=at).at_cost
    assert (None if at_cost is None else str(at_cost)) == expected


def test_of_equal_rows_the_latest_entry_wins() -> None:
    assert str(rated(book(variant("3"), variant("2")), USED).at_cost) == "2"


def test_a_later_row_without_dates_beats_an_earlier_dated_one() -> None:
    dated = variant("3", effective_from="2026-01-01T00:00:00Z")
    assert str(rated(book(dated, variant("2")), USED).at_cost) == "2"


@pytest.mark.parametrize(
    ("usage", "unit", "at_cost"),
    [
        ({"cached_input_tokens": 4}, "cached_input_tokens", 16 * 2),
        ({"input_audio_tokens": 4}, "input_audio_tokens", 16 * 2),
        ({"output_audio_tokens": 1}, "output_audio_tokens", 20 * 2 - 8),
        ({"output_image_tokens": 1}, "output_image_tokens", 20 * 2 - 8),
        ({"cache_write_5m_tokens": 4}, "cache_write_5m_tokens", 16 * 2),
        ({"cache_write_1h_tokens": 4}, "cache_write_1h_tokens", 16 * 2),
        ({"cache_write_tokens": 4}, "cache_write_tokens", 16 * 2),
        ({"web_search_calls": 2}, "web_search_calls", 20 * 2),
        ({"requests": 1}, "requests", 20 * 2),
    ],
)
def test_a_unit_without_a_price_is_named_and_the_rest_is_billed(
    usage: dict[str, int], unit: str, at_cost: int
) -> None:
    rating = rated(book(row()), {"input_tokens": 20, "output_tokens": 1, **usage})
    assert rating.status == "unrated_units"
    assert rating.unrated_units == (unit,)
    assert amount(rating.at_cost) == Fraction(at_cost + 8, 10**6)


def test_cached_audio_without_its_price() -> None:
    usage = {"input_tokens": 9, "cached_input_tokens": 5, "cached_audio_tokens": 2}
    rating = rated(book(row(prices={"input": "2", "cached_input": "1", "output": "8"})), usage)
    assert rating.unrated_units == ("cached_audio_tokens",)
    assert amount(rating.at_cost) == per_million([(4, "2"), (3, "1")])


def test_an_unpriced_unit_that_was_not_used_is_no_gap() -> None:
    usage = {"input_tokens": 20, "output_tokens": 1, "cached_input_tokens": 0}
    assert rated(book(row()), usage).status == "priced"


def test_when_nothing_used_has_a_price_the_amount_is_unknown() -> None:
    rating = rated(book(row(prices={"output": "8"})), {"input_tokens": 20, "output_tokens": 0})
    assert (rating.status, rating.at_cost) == ("unrated", None)
    assert rating.unrated_units == ("input_tokens",)


def test_an_empty_usage_is_unknown_not_zero() -> None:
    rating = rated(book(row()), {})
    assert (rating.status, rating.at_cost) == ("unrated", None)


def test_a_usage_of_searches_alone_bills_them_and_names_what_is_unknown() -> None:
    prices_of_search = {"input": "1", "output": "1", "web_search_per_call": "0.01"}
    rating = rated(book(row(prices=prices_of_search)), {"web_search_calls": 2})
    assert (rating.status, str(rating.at_cost)) == ("unrated_units", "0.02")
    assert rating.unrated_units == ("input_tokens", "output_tokens")


def test_an_unknown_model_is_unrated_and_never_zero() -> None:
    rating = rated(book(row()), USED, model="gpt-9-nonexistent")
    assert (rating.status, rating.at_cost, rating.reference) == ("unrated", None, None)


def test_another_providers_row_is_never_taken_for_a_paid_model() -> None:
    assert rated(book(row("q", "m")), USED).status == "unrated"


def test_an_exact_id_comes_before_the_canonical_name() -> None:
    prices_of_both = book(
        row(model="gpt-4o-2024-05-13", prices={"input": "5", "output": "15"}),
        row(model="gpt-4o", prices={"input": "2.5", "output": "10"}),
    )
    assert str(rated(prices_of_both, USED, model="gpt-4o-2024-05-13").at_cost) == "5"
    assert str(rated(prices_of_both, USED, model="gpt-4o").at_cost) == "2.5"
    later = rated(prices_of_both, USED, model="gpt-4o-2030-01-01")
    assert (str(later.at_cost), later.reference and later.reference.model) == ("2.5", "gpt-4o")


@pytest.mark.parametrize("slug", ["openai", "openai-responses"])
def test_a_second_dialect_reads_the_rows_of_its_provider(slug: str) -> None:
    rating = rated(book(row("openai")), USED, provider=slug)
    assert rating.reference is not None
    assert rating.reference.provider == "openai"
    assert rated(book(row("azure")), USED, provider="azure-responses").status == "priced"


def test_inconsistent_usage_is_refused() -> None:
    with pytest.raises(InconsistentUsage):
        rated(book(row()), {"input_tokens": 3, "cached_input_tokens": 4})
    with pytest.raises(InconsistentUsage):
        rated(book(row()), {"cached_input_tokens": 4})
    with pytest.raises(InconsistentUsage):
        rated(book(row()), {"input_tokens": 10**12 + 1})


def test_untold_cache_writes_are_said_so() -> None:
    usage = {"input_tokens": 100, "cache_write_tokens": 70, "output_tokens": 2}
    (note,) = rated(book(row(prices=FULL)), usage).notes
    assert "5 minute" in note


@pytest.mark.parametrize(
    ("provider", "cost", "at_cost", "rule"),
    [
        ("openrouter", {"amount": "0.00123", "meaning": "total"}, "0.00123", "reported"),
        ("openrouter", {"amount": "0.00123", "meaning": "upstream"}, "0.00123", "reported"),
        ("openrouter", {"amount": "0.00123", "meaning": "gateway_fee"}, "2", "listed"),
        ("openrouter", {"amount": "0", "meaning": "total"}, "2", "listed"),
        ("openrouter", {"amount": "-1", "meaning": "total"}, "2", "listed"),
        ("openrouter", {"amount": "1e-5", "meaning": "total"}, "2", "listed"),
        ("openrouter", {"amount": 5, "meaning": "total"}, "2", "listed"),
        ("openrouter", None, "2", "listed"),
        ("vercel", {"amount": "0.00123", "meaning": "total"}, "2", "listed"),
    ],
)
def test_a_providers_own_figure(
    provider: str, cost: dict[str, Any] | None, at_cost: str, rule: str
) -> None:
    rating = rated(book(row(provider)), USED, provider=provider, provider_cost=cost)
    assert str(rating.at_cost) == at_cost
    assert rating.reference is not None
    assert rating.reference.rule == rule


def test_a_reported_figure_needs_no_row() -> None:
    cost = {"amount": "0.5", "meaning": "total"}
    rating = rated(book(row()), {}, provider="openrouter", model="new/model", provider_cost=cost)
    assert (rating.status, str(rating.at_cost), rating.model) == ("priced", "0.5", "new/model")
