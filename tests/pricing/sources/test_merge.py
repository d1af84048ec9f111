"""Agreement goes into the book, contradiction to a person."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pricing.sources.decisions import Decision
from pricing.sources.merge import Merged
from pricing.sources.offer import Terms, klass
from tests.pricing.sources.build import decided, offer, terms

BATCH = klass(batch=True)
ZONE = klass(deployment_type="datazone", region="eu")


def both(one: Terms, other: Terms) -> Merged:
    return decided(offer("one", one), offer("other", other))


def ruling(**fields: object) -> Decision:
    return Decision(**{"provider": "p", "reason": "because", **fields})  # type: ignore[arg-type]


def test_two_that_agree() -> None:
    result = both(terms(input="2", output="8"), terms(input="2.0", output="8", cached_input="1"))
    assert result.conflicts == []
    (row,) = result.rows
    assert row["prices"] == {"cached_input": "1", "input": "2", "output": "8"}
    assert (row["confidence"], row["source"]) == ("high", ["one", "other"])


def test_one_alone_is_of_medium_confidence() -> None:
    (row,) = decided(offer("one", terms(input="2", output="8"))).rows
    assert row["confidence"] == "medium"


def test_a_contradiction_in_the_standard_price_leaves_the_model_out() -> None:
    result = both(terms(input="2", output="8"), terms(input="2", output="9"))
    assert result.rows == []
    assert result.conflicts == ["p m: one: output 8; other: output 9"]


def test_two_of_three_are_in_and_the_third_is_named() -> None:
    result = decided(
        offer("one", terms(input="2", output="8")),
        offer("two", terms(input="3", output="9", cached_input="1")),
        offer("three", terms(input="2", output="8")),
    )
    (row,) = result.rows
    assert (row["prices"], row["source"]) == ({"input": "2", "output": "8"}, ["one", "three"])
    assert result.settled[0].endswith("2 of 3 agree")


def test_two_against_two_is_no_majority() -> None:
    cheap, dear = terms(input="2", output="8"), terms(input="3", output="9")
    result = decided(
        *(offer(name, each) for name, each in zip("abcd", [cheap, dear] * 2, strict=True))
    )
    assert result.rows == []
    assert len(result.conflicts) == 1


def test_what_was_decided_about_a_model_beats_the_majority() -> None:
    cheap, dear = terms(input="2", output="8"), terms(input="3", output="9")
    result = decided(
        offer("a 1.0", cheap),
        offer("b 1.0", cheap),
        offer("c 1.0", dear),
        rulings=[ruling(models=("m*",), choose=("x", "c"))],
    )
    (row,) = result.rows
    assert (row["prices"]["input"], row["source"], row["confidence"]) == ("3", ["c 1.0"], "medium")


def test_the_majority_beats_what_was_decided_about_the_provider_as_a_whole() -> None:
    cheap, dear = terms(input="2", output="8"), terms(input="3", output="9")
    rulings = [ruling(choose=("c",))]
    result = decided(offer("a", cheap), offer("b", cheap), offer("c", dear), rulings=rulings)
    assert result.rows[0]["prices"]["input"] == "2"
    (row,) = decided(offer("a", cheap), offer("c", dear), rulings=rulings).rows
    assert row["prices"]["input"] == "3"


@pytest.mark.parametrize("fields", [{"models": ("n*",)}, {"prices": ("input",)}, {"provider": "q"}])
def test_a_ruling_about_something_else_settles_nothing(fields: dict[str, object]) -> None:
    result = decided(
        offer("one", terms(input="2", output="8")),
        offer("other", terms(input="2", output="9")),
        rulings=[ruling(choose=("one",), **fields)],
    )
    assert result.rows == []


def test_what_is_left_out_leaves_the_rest_standing() -> None:
    result = decided(
        offer("one", terms(input="2", output="8", web_search_per_call="0.01")),
        offer("other", terms(input="2", output="8", web_search_per_call="0.025")),
        rulings=[ruling(prices=("web_search_per_call",), omit=True)],
    )
    (row,) = result.rows
    assert row["prices"] == {"input": "2", "output": "8"}
    assert "0.01" in result.settled[0]
    assert "0.025" in result.settled[0]


def test_flat_contradicts_tiered() -> None:
    tiers = {200_000: {"input": "4"}}
    result = both(terms(tiers, input="2", output="8"), terms(input="2", output="8"))
    assert result.rows == []
    assert "tiers 200000" in result.conflicts[0]


def test_tiers_that_a_person_has_flattened() -> None:
    result = decided(
        offer("one 1", terms({200_000: {"input": "4"}}, input="2", output="8")),
        offer("other 1", terms(input="2", output="8")),
        rulings=[ruling(flatten="one")],
    )
    (row,) = result.rows
    assert "tiers" not in row


def test_a_contradicted_service_class_is_left_out_alone() -> None:
    standard = terms(input="2", output="8")
    result = decided(
        offer("one", standard, classes={BATCH: terms(input="1")}),
        offer("other", standard, classes={BATCH: terms(input="1.5")}),
    )
    assert [row.get("batch") for row in result.rows] == [None]
    assert result.conflicts == ["p m (batch): one: input 1; other: input 1.5"]


def test_who_is_wrong_about_the_standard_price_is_not_heard_on_the_rest() -> None:
    cheap = terms(input="2", output="8")
    result = decided(
        offer("a", cheap),
        offer("b", cheap),
        offer("c", terms(input="9", output="9"), classes={BATCH: terms(input="4.5")}),
    )
    assert [row.get("batch") for row in result.rows] == [None]


def test_a_service_class_keeps_the_standard_price_of_what_it_does_not_name() -> None:
    standard = terms({100: {"input": "4", "output": "9"}}, input="2", cached_input="1", output="8")
    priority = klass(service_tier="priority")
    (_, row) = decided(offer("one", standard, classes={priority: terms(input="5")})).rows
    assert row["service_tier"] == "priority"
    assert row["prices"] == {"cached_input": "1", "input": "5", "output": "8"}
    assert row["tiers"] == [{"input_tokens_above": 100, "output": "9"}]


def test_a_class_of_a_place_falls_back_to_the_place() -> None:
    zoned_batch = tuple(sorted((*ZONE, *BATCH)))
    made = offer(
        "one",
        terms(input="2", output="8", cached_input="1"),
        classes={ZONE: terms(input="3", output="9"), zoned_batch: terms(input="1.5")},
    )
    rows = {(row.get("region"), row.get("batch")): row["prices"] for row in decided(made).rows}
    assert rows["eu", None] == {"cached_input": "1", "input": "3", "output": "9"}
    assert rows["eu", True] == {"cached_input": "1", "input": "1.5", "output": "9"}


def test_a_place_that_costs_the_same_needs_no_row() -> None:
    standard = terms(input="2", output="8")
    (row,) = decided(offer("one", standard, classes={ZONE: terms(input="2", output="8")})).rows
    assert "region" not in row


def test_places_lift_token_prices_only() -> None:
    standard = terms(input="2", output="8", web_search_per_call="0.01")
    made = offer("one", standard, uplifts={("inference_geo", "us"): Decimal("1.1")})
    (_, row) = decided(made).rows
    assert row["inference_geo"] == "us"
    assert row["prices"] == {"input": "2.2", "output": "8.8", "web_search_per_call": "0.01"}


def test_dated_prices_become_rows_with_instants() -> None:
    past = [(None, "2026-08-21", terms(input="3", output="9"))]
    made = offer("one", terms(input="2", output="8"), since="2026-08-21", before=past)
    first, now = decided(made).rows
    assert (first.get("effective_from"), first["effective_to"]) == (
        None,
        "2026-08-21T00:00:00.000000Z",
    )
    assert now["effective_from"] == "2026-08-21T00:00:00.000000Z"
    assert "effective_to" not in now


def test_an_announced_price_comes_after_the_one_in_force() -> None:
    coming = [("2027-01-01", terms(input="4", output="16"))]
    now, then = decided(offer("one", terms(input="2", output="8"), announced=coming)).rows
    assert now["prices"]["input"] == "2"
    assert (then["prices"]["input"], then["effective_from"]) == ("4", "2027-01-01T00:00:00.000000Z")


def test_hours_and_days_become_an_override() -> None:
    made = offer("one", terms(input="2", output="8"))
    made.standard.windows.append(((6, 7), ("00:00-24:00",), {"input": Decimal(1)}))
    (row,) = decided(made).rows
    assert row["time_overrides"] == [
        {"utc_days": [6, 7], "utc_windows": ["00:00-24:00"], "input": "1"}
    ]


def test_no_row_without_input_and_output() -> None:
    assert decided(offer("one", terms(input="2"))).rows == []
    assert decided().rows == []
