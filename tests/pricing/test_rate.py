"""What selects a row, what is unknown, and whose figure counts."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from domain.usage import InconsistentUsage
from tests.pricing.build import amount, book, per_million, rated, row

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


def test_units_without_a_price_are_named_in_one_order() -> None:
    usage = {"web_search_calls": 1, "output_tokens": 3, "output_audio_tokens": 1}
    usage |= {"input_audio_tokens": 1, "input_tokens": 2}
    named = ("input_audio_tokens", "output_audio_tokens", "web_search_calls")
    for order in (usage, dict(reversed(usage.items()))):
        assert rated(book(row()), order).unrated_units == named


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
    assert rating.notes == ("no_token_counts",)


def test_an_unknown_model_is_unrated_and_never_zero() -> None:
    rating = rated(book(row()), USED, model="gpt-9-nonexistent")
    assert (rating.status, rating.at_cost, rating.reference) == ("unrated", None, None)
    assert rating.notes == ("unknown_model",)
    no_tier = rated(book(row()), USED, context={"service_tier": "flex"})
    assert no_tier.notes == ("unknown_service_class",)


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


def test_of_several_ids_of_one_name_a_paid_one_stands_for_it() -> None:
    ids = book(
        row(model="x", canonical="gpt-4o", prices={"input": "0", "output": "0"}),
        row(model="a-dated-one", canonical="gpt-4o", prices={"input": "3", "output": "3"}),
        row(model="b-dated-one", canonical="gpt-4o", prices={"input": "4", "output": "4"}),
        row("q", "y", canonical="gpt-4o", prices={"input": "5", "output": "5"}),
    )
    rating = rated(ids, USED, model="gpt-4o")
    assert (rating.status, str(rating.at_cost)) == ("priced", "3")
    only_free = book(row(model="x", canonical="gpt-4o", prices={}))
    assert rated(only_free, USED, model="gpt-4o").status == "no_paid_equivalent"


def test_an_id_whose_rows_have_all_ended_gives_way_to_its_name() -> None:
    ended = book(
        variant("9", effective_to="2026-01-01"),
        row(model="other", canonical="m", prices={"input": "3", "output": "3"}),
    )
    assert str(rated(ended, USED).at_cost) == "3"


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
    (note,) = rated(
        book(row(prices={"input": "2", "cache_write_5m": "2.5", "output": "8"})), usage
    ).notes
    assert note == "untold_cache_writes_at_5m"


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
        ("openai", {"amount": "0.00123", "meaning": "total"}, "2", "listed"),
    ],
)
def test_a_providers_own_figure(
    provider: str, cost: dict[str, Any] | None, at_cost: str, rule: str
) -> None:
    rating = rated(book(row(provider)), USED, provider=provider, provider_cost=cost)
    assert str(rating.at_cost) == at_cost
    assert rating.reference is not None
    assert rating.reference.rule == rule


@pytest.mark.parametrize(
    ("model", "rule", "at_cost"),
    [
        ("google/gemini-2.5-flash", "reported", "0.0001409"),
        ("googleplex/gemini", "listed", "2"),
        ("openai/gpt-5", "listed", "2"),
        ("anthropic/claude-sonnet-4", "listed", "2"),
    ],
)
@pytest.mark.parametrize("meaning", ["total", "upstream"])
def test_vercels_figure_counts_on_gemini_routes(
    model: str, rule: str, at_cost: str, meaning: str
) -> None:
    cost = {"amount": "0.0001409", "meaning": meaning}
    prices_there = book(row("vercel", model))
    rating = rated(prices_there, USED, provider="vercel", model=model, provider_cost=cost)
    assert rating.reference is not None
    assert (rating.reference.rule, str(rating.at_cost)) == (rule, at_cost)
    assert (str(rating.reported), str(rating.listed)) == ("0.0001409", "2")
    assert sum(Fraction(each.amount.usd) for each in rating.components) == amount(rating.at_cost)


def test_both_figures_are_kept_also_where_the_list_has_none() -> None:
    cost = {"amount": "0.5", "meaning": "total"}
    elsewhere = rated(book(row()), USED, provider="openai", model="new", provider_cost=cost)
    assert (elsewhere.status, elsewhere.at_cost) == ("unrated", None)
    assert (str(elsewhere.reported), elsewhere.listed) == ("0.5", None)
    rating = rated(book(row()), USED, provider="openrouter", model="new", provider_cost=cost)
    assert (str(rating.reported), rating.listed) == ("0.5", None)
    fee_only = {"amount": "0.5", "meaning": "gateway_fee"}
    rating = rated(book(row("openrouter")), USED, provider="openrouter", provider_cost=fee_only)
    assert (rating.reported, rating.listed) == (None, None)


@pytest.mark.parametrize(
    ("usage", "at_cost", "status"),
    [
        ({"input_tokens": 1_000_000}, "2.005", "priced"),
        ({"input_tokens": 1_000_000, "requests": 1}, "2.005", "priced"),
        ({"input_tokens": 1_000_000, "requests": 3}, "2.015", "priced"),
        ({"input_tokens": 1_000_000, "requests": 0}, "2", "priced"),
        ({}, "0.005", "unrated_units"),
    ],
)
def test_a_call_is_one_request_unless_it_says_otherwise(
    usage: dict[str, int], at_cost: str, status: str
) -> None:
    by_request = book(row(prices={"input": "2", "output": "8", "per_request": "0.005"}))
    rating = rated(by_request, usage)
    assert (str(rating.at_cost), rating.status) == (at_cost, status)


def test_a_reported_figure_needs_no_row() -> None:
    cost = {"amount": "0.5", "meaning": "total"}
    rating = rated(book(row()), {}, provider="openrouter", model="new/model", provider_cost=cost)
    assert (rating.status, str(rating.at_cost), rating.model) == ("priced", "0.5", "new/model")
