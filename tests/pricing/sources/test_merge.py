"""Agreement goes into the book, contradiction to a person."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pricing.sources.merge import Merged, merged
from pricing.sources.offer import STANDARD, Offer, Terms


def terms(tiers: dict[int, dict[str, str]] | None = None, **prices: str) -> Terms:
    return Terms(
        {name: Decimal(price) for name, price in prices.items()},
        {
            above: {name: Decimal(price) for name, price in named.items()}
            for above, named in (tiers or {}).items()
        },
    )


def offer(source: str, standard: Terms, **more: Any) -> Offer:
    variants = more.pop("variants", {})
    return Offer("p", "m", source, {STANDARD: standard, **variants}, **more)


def both(one: Terms, other: Terms, **more: Any) -> Merged:
    return merged([offer("one", one, **more), offer("other", other)])


def test_two_that_agree() -> None:
    result = both(terms(input="2", output="8"), terms(input="2.0", output="8", cached_input="1"))
    assert result.conflicts == []
    (row,) = result.rows
    assert row["prices"] == {"cached_input": "1", "input": "2", "output": "8"}
    assert (row["confidence"], row["source"]) == ("high", ["one", "other"])


def test_one_alone_is_of_medium_confidence() -> None:
    (row,) = merged([offer("one", terms(input="2", output="8"))]).rows
    assert row["confidence"] == "medium"


def test_a_contradiction_in_the_standard_price_leaves_the_model_out() -> None:
    result = both(terms(input="2", output="8"), terms(input="2", output="9"))
    assert result.rows == []
    assert result.conflicts == ["p m output: 8 or 9"]


def test_a_contradicted_search_price_is_left_out_alone() -> None:
    result = both(
        terms(input="2", output="8", web_search_per_call="0.01"),
        terms(input="2", output="8", web_search_per_call="0.025"),
    )
    (row,) = result.rows
    assert row["prices"] == {"input": "2", "output": "8"}
    assert result.conflicts == ["p m web_search_per_call: 0.01 or 0.025"]


def test_flat_contradicts_tiered() -> None:
    tiers = {200_000: {"input": "4"}}
    result = both(terms(tiers, input="2", output="8"), terms(input="2", output="8"))
    assert result.rows == []
    assert "above 200000" in result.conflicts[0]


def test_a_contradicted_service_class_is_left_out_alone() -> None:
    result = merged(
        [
            offer("one", terms(input="2", output="8"), variants={"batch": terms(input="1")}),
            offer("other", terms(input="2", output="8"), variants={"batch": terms(input="1.5")}),
        ]
    )
    assert [row.get("batch") for row in result.rows] == [None]
    assert result.conflicts == ["p m (batch) input: 1 or 1.5"]


def test_a_service_class_keeps_the_standard_price_of_what_it_does_not_name() -> None:
    standard = terms({100: {"input": "4", "output": "9"}}, input="2", cached_input="1", output="8")
    priority = terms(input="5")
    (_, row) = merged([offer("one", standard, variants={"priority": priority})]).rows
    assert row["service_tier"] == "priority"
    assert row["prices"] == {"cached_input": "1", "input": "5", "output": "8"}
    assert row["tiers"] == [{"input_tokens_above": 100, "output": "9"}]


def test_places_lift_token_prices_only() -> None:
    standard = terms(input="2", output="8", web_search_per_call="0.01")
    made = offer("one", standard, uplifts={"inference_geo=us": Decimal("1.1")})
    (_, row) = merged([made]).rows
    assert row["inference_geo"] == "us"
    assert row["prices"] == {"input": "2.2", "output": "8.8", "web_search_per_call": "0.01"}


def test_dated_prices_become_rows_with_instants() -> None:
    made = offer(
        "one",
        terms(input="2", output="8"),
        since="2026-08-21",
        before=[(None, "2026-08-21", terms(input="3", output="9"))],
    )
    past, now = merged([made]).rows
    assert (past.get("effective_from"), past["effective_to"]) == (
        None,
        "2026-08-21T00:00:00.000000Z",
    )
    assert now["effective_from"] == "2026-08-21T00:00:00.000000Z"
    assert "effective_to" not in now


def test_no_row_without_input_and_output() -> None:
    assert merged([offer("one", terms(input="2"))]).rows == []
    assert merged([]).rows == []
