"""The free-model rule, as the owner decided it (PRICES.md)."""

from __future__ import annotations

from typing import Any

import pytest

from domain.errors import BadValue
from pricing.paid_version import Setting, setting_of
from pricing.rate import Rating
from tests.pricing.build import amount, book, per_million, rated, row

USED = {"input_tokens": 1000, "output_tokens": 100}
FREE: dict[str, Any] = {"prices": {"input": "0", "output": "0"}}
FIRST: Setting = "same-provider-first"


def priced(provider: str, model: str, price_in: str, price_out: str, **more: Any) -> dict[str, Any]:
    return row(provider, model, prices={"input": price_in, "output": price_out}, **more)


def free(*others: dict[str, Any], reference: Setting = FIRST, **call: Any) -> Rating:
    """A call on groq's free llama, with other rows in the book."""
    prices = book(row("groq", "llama-3.3-70b:free", **FREE), *others)
    values: dict[str, Any] = {"provider": "groq", "model": "llama-3.3-70b:free", **call}
    return rated(prices, values.pop("usage", USED), reference=reference, **values)


def reference_of(rating: Rating) -> tuple[str, str, str]:
    assert rating.reference is not None
    return rating.reference.rule, rating.reference.provider, rating.reference.model


def lost(rating: Rating) -> dict[str, str | None]:
    return {f"{each.provider} {each.model}": each.lost for each in rating.candidates}


OWN = priced("groq", "llama-3.3-70b-versatile", "0.59", "0.79")
CHEAP = priced("novita", "meta-llama/llama-3.3-70b-instruct", "0.13", "0.39")
DEAR = priced("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "0.88", "0.88")


def test_the_own_providers_paid_version_comes_first() -> None:
    rating = free(OWN, CHEAP, DEAR)
    assert rating.status == "free_model"
    assert reference_of(rating) == (FIRST, "groq", "llama-3.3-70b-versatile")
    assert amount(rating.at_cost) == per_million([(1000, "0.59"), (100, "0.79")])
    assert lost(rating) == {
        "groq llama-3.3-70b-versatile": None,
        "novita meta-llama/llama-3.3-70b-instruct": "other_provider",
        "together meta-llama/Llama-3.3-70B-Instruct-Turbo": "other_provider",
    }


def test_lowest_looks_at_all_the_own_one_included() -> None:
    rating = free(OWN, CHEAP, DEAR, reference="lowest")
    assert reference_of(rating)[:2] == ("lowest", "novita")
    assert free(OWN, DEAR, reference="lowest").reference == free(OWN, reference="lowest").reference


def test_without_an_own_paid_version_the_lowest_of_the_others() -> None:
    rating = free(CHEAP, DEAR)
    assert reference_of(rating) == (FIRST, "novita", "meta-llama/llama-3.3-70b-instruct")
    assert lost(rating)["together meta-llama/Llama-3.3-70B-Instruct-Turbo"] == "higher"


def test_a_model_with_empty_prices_is_free_too() -> None:
    prices = book(row("nvidia", "meta/llama-3.3-70b-instruct", prices={}), CHEAP)
    rating = rated(prices, USED, provider="nvidia", model="meta/llama-3.3-70b-instruct")
    assert (rating.status, reference_of(rating)[1]) == ("free_model", "novita")


def test_a_paid_price_is_the_reference_however_cheap_others_are() -> None:
    rating = rated(book(OWN, CHEAP), USED, provider="groq", model="llama-3.3-70b-versatile")
    assert rating.status == "priced"
    assert reference_of(rating) == ("listed", "groq", "llama-3.3-70b-versatile")
    assert rating.candidates == ()


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": 1000, "output_tokens": 10}, "a"),
        ({"input_tokens": 10, "output_tokens": 1000}, "b"),
    ],
)
def test_lowest_is_the_total_of_this_very_call(usage: dict[str, int], expected: str) -> None:
    rating = free(priced("a", "llama-3.3-70b", "1", "4"), priced("b", "llama-3.3-70b", "2", "2"))
    assert rating.status == "free_model"
    rating = free(
        priced("a", "llama-3.3-70b", "1", "4"), priced("b", "llama-3.3-70b", "2", "2"), usage=usage
    )
    assert reference_of(rating)[1] == expected


def test_ties_go_by_provider_then_model() -> None:
    rating = free(
        priced("b", "llama-3.3-70b", "1", "1"),
        priced("a", "z/llama-3.3-70b", "1", "1"),
        priced("a", "y/llama-3.3-70b", "1", "1"),
    )
    assert reference_of(rating)[1:] == ("a", "y/llama-3.3-70b")


@pytest.mark.parametrize("provider", ["sandbox", "hyperbolic"])
def test_some_providers_are_never_a_reference(provider: str) -> None:
    assert free(priced(provider, "llama-3.3-70b", "1", "1")).status == "no_paid_equivalent"


def test_a_free_long_prompt_pays_the_long_context_tier() -> None:
    prices = book(
        row("google", "gemini-2.5-pro:free", **FREE),
        row(
            "google",
            "gemini-2.5-pro",
            prices={"input": "1.25", "output": "10"},
            tiers=[{"input_tokens_above": 200_000, "input": "2.5", "output": "15"}],
        ),
    )
    for count, terms in (
        (200_000, [(200_000, "1.25"), (10, "10")]),
        (200_001, [(200_001, "2.5"), (10, "15")]),
    ):
        usage = {"input_tokens": count, "output_tokens": 10}
        rating = rated(prices, usage, provider="google", model="gemini-2.5-pro:free")
        assert amount(rating.at_cost) == per_million(terms)


def test_no_paid_version_anywhere_costs_nothing_and_says_so() -> None:
    rating = free()
    assert (rating.status, str(rating.at_cost)) == ("no_paid_equivalent", "0")
    assert reference_of(rating) == ("listed", "groq", "llama-3.3-70b:free")


def test_a_free_model_with_unknown_usage_is_unrated() -> None:
    assert (free(OWN, usage={}).status, free(OWN, usage={}).at_cost) == ("unrated", None)


@pytest.mark.parametrize(
    "more",
    [{"service_tier": "flex"}, {"batch": True}, {"region": "eu"}, {"effective_to": "2026-01-01"}],
)
def test_only_standard_rows_in_force_are_candidates(more: dict[str, Any]) -> None:
    assert free(priced("novita", "llama-3.3-70b", "1", "1", **more)).candidates == ()


def test_a_batch_slug_is_another_model() -> None:
    assert free(priced("openrouter", "llama-3.3-70b:batch", "1", "1")).candidates == ()


def test_where_nobody_prices_every_unit_the_rest_is_charged_and_the_unit_named() -> None:
    usage = {**USED, "cached_input_tokens": 10}
    rating = free(CHEAP, priced("z", "llama-3.3-70b", "9", "9"), usage=usage)
    assert (rating.status, rating.unrated_units) == ("unrated_units", ("cached_input_tokens",))
    whole = free(CHEAP, usage={**USED, "input_tokens": USED["input_tokens"] - 10})
    assert rating.at_cost == whole.at_cost
    assert rating.reference == whole.reference
    assert set(lost(rating).values()) == {None, "higher"}
    assert {each.unpriced_units for each in rating.candidates} == {("cached_input_tokens",)}


def test_the_own_provider_comes_first_there_too() -> None:
    rating = free(OWN, CHEAP, usage={**USED, "cached_input_tokens": 10})
    assert rating.reference is not None
    assert rating.reference.provider == OWN["provider"]
    assert set(lost(rating).values()) == {None, "unpriced_units"}


def test_where_nothing_that_was_used_has_a_price_nothing_is_known() -> None:
    rating = free(CHEAP, usage={"input_tokens": 10, "cached_input_tokens": 10})
    assert (rating.status, rating.at_cost) == ("unrated", None)
    assert rating.unrated_units == ("cached_input_tokens",)
    assert free(usage={"input_tokens": 10}).status == "no_paid_equivalent"


def test_a_name_that_moves_is_no_reference() -> None:
    moving = priced("mistral", "x-latest", "1", "1", canonical="llama-3.3-70b")
    assert set(lost(free(moving)).values()) == {"moving_name"}


def at(row_id: str, provider: str, recorded_at: str) -> dict[str, Any]:
    return priced(provider, "llama-3.3-70b", "1", "1", id=row_id, recorded_at=recorded_at)


@pytest.mark.parametrize(
    ("newest", "status"),
    [
        ("2026-02-15T00:00:00.000000Z", "free_model"),
        ("2026-02-15T00:00:00.000001Z", "no_paid_equivalent"),
    ],
)
def test_a_price_not_seen_for_45_days_is_no_reference(newest: str, status: str) -> None:
    old = at("r1", "novita", "2026-01-01T00:00:00.000000Z")
    new = row("elsewhere", "other", recorded_at=newest)
    assert free(old, new).status == status


def test_a_sighting_keeps_a_price_fresh() -> None:
    old = at("r1", "novita", "2026-01-01T00:00:00.000000Z")
    seen = {"seen": {"row": "r1", "at": "2026-04-01T00:00:00.000000Z"}}
    new = row("elsewhere", "other", recorded_at="2026-04-02T00:00:00.000000Z")
    assert free(old, seen, new).status == "free_model"
    assert free(old, new).status == "no_paid_equivalent"


@pytest.mark.parametrize(
    ("since", "status"),
    [
        ("2026-11-23T12:00:00.000000Z", "no_paid_equivalent"),
        ("2026-11-23T12:00:00.000001Z", "free_model"),
    ],
)
def test_a_deprecated_row_is_no_reference(since: str, status: str) -> None:
    row_at = at("r1", "novita", "2026-11-01T00:00:00.000000Z")
    assert free(row_at, {"deprecated": {"row": "r1", "at": since}}).status == status


def test_an_own_row_that_is_excluded_leaves_the_others() -> None:
    own = {**OWN, "id": "r1"}
    gone = {"deprecated": {"row": "r1", "at": "2026-01-01T00:00:00.000000Z"}}
    assert reference_of(free(own, gone, CHEAP))[1] == "novita"


def totals(*prices: str) -> Rating:
    """Candidates whose totals for this call are these prices times a million tokens."""
    names = "abcdefgh"
    rows = [priced(names[i], "llama-3.3-70b", price, "0.1") for i, price in enumerate(prices)]
    return free(*rows, usage={"input_tokens": 1_000_000, "output_tokens": 0})


@pytest.mark.parametrize(
    ("prices", "chosen"),
    [
        (("1", "100"), "1"),  # two: no outliers
        (("0.25", "1", "1"), "0.25"),  # exactly a quarter of the median stays
        (("0.249999999", "1", "1"), "1"),
        (("1", "4", "16"), "1"),
        (("0.999999999", "4", "16"), "4"),
        (("0.5", "1", "3", "100"), "0.5"),  # median of four: the mean of 1 and 3
        (("0.499999999", "1", "3", "100"), "1"),
    ],
)
def test_outliers_from_three_candidates_on(prices: tuple[str, ...], chosen: str) -> None:
    assert str(totals(*prices).at_cost) == chosen


def test_an_outlier_upwards_is_named() -> None:
    rating = totals("1", "1", "4", "4.000000001")
    assert "outlier" not in lost(rating).values()
    rating = totals("1", "1", "1", "4.000000001")
    assert lost(rating)["d llama-3.3-70b"] == "outlier"
    assert lost(totals("1", "1", "1", "4"))["d llama-3.3-70b"] == "higher"


def test_exclusions_come_before_the_count_of_three() -> None:
    gone = {"deprecated": {"row": "r", "at": "2026-01-01T00:00:00.000000Z"}}
    rows = [
        priced("a", "llama-3.3-70b", "1", "1"),
        priced("b", "llama-3.3-70b", "100", "100"),
        priced("c", "llama-3.3-70b", "100", "100", id="r"),
    ]
    assert reference_of(free(*rows, gone))[1] == "a"


def test_sandbox_is_charged_by_sandbox_only() -> None:
    prices = book(
        row("sandbox", "sandbox/echo-free", **FREE),
        row("sandbox", "sandbox/echo"),
        priced("novita", "echo", "0.1", "0.1"),
    )
    rating = rated(prices, USED, provider="sandbox", model="sandbox/echo-free", reference="lowest")
    assert reference_of(rating) == ("lowest", "sandbox", "sandbox/echo")


def test_a_model_whose_latest_row_is_free_is_no_paid_version() -> None:
    assert free(CHEAP, {**CHEAP, **FREE}).status == "no_paid_equivalent"


def test_time_of_day_counts_for_candidates_too() -> None:
    peak = [{"utc_windows": ["11:00-13:00"], "input": "9", "output": "9"}]
    rating = free(priced("a", "llama-3.3-70b", "1", "1", time_overrides=peak), DEAR)
    assert reference_of(rating)[1] == "together"


def test_only_two_settings_exist() -> None:
    assert setting_of("lowest") == "lowest"
    assert setting_of("same-provider-first") == "same-provider-first"
    with pytest.raises(BadValue):
        setting_of("cheapest")
