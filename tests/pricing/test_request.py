"""Rating a request from its events, and the receipt that its caller gets."""

from __future__ import annotations

from typing import Any

import pytest

from domain.errors import BadValue
from domain.events.requests import RequestFailed, UsageEstimated
from pricing.receipt import receipt
from pricing.request import rate_request
from tests.pricing.build import amount as fraction
from tests.pricing.build import book, per_million, reported, routed, row

BOOK = book(
    row("p", "m"),
    row("p", "m-2026-01-01", prices={"input": "3", "output": "9"}),
    row("p", "other", prices={"input": "10", "output": "10"}),
    row("p", "gone:free", prices={"input": "0", "output": "0"}),
    row("p", "m:free", prices={"input": "0", "output": "0"}),
)
USED = {"input_tokens": 100, "output_tokens": 10}


def rated(usage: dict[str, int] | None = None, **fields: Any) -> Any:
    of_route = {name: fields.pop(name) for name in list(fields) if name in _ROUTE}
    start = routed(BOOK, **of_route)
    return rate_request(start, reported(start.originator_id, usage or USED, **fields), BOOK)


_ROUTE = ("provider", "upstream_model", "markup_rate", "price_at", "reference_setting", "sandbox")


@pytest.mark.parametrize(
    ("served", "deployed", "asked", "model", "at_cost"),
    [
        ("m", None, "other", "m", 280),
        ("m-2026-01-01", None, "m", "m-2026-01-01", 390),
        ("m-2027-05-05", None, "other", "m-2027-05-05", 280),
        ("unheard", None, "m", "m", 280),
        ("unheard", "other", "m", "other", 1100),
        (None, None, "m", "m", 280),
        (None, "other", "m", "other", 1100),
    ],
)
def test_the_first_name_with_a_row_is_the_model(
    served: str | None, deployed: str | None, asked: str, model: str, at_cost: int
) -> None:
    result = rated(model=served, context={"deployment_model": deployed}, upstream_model=asked)
    assert result.model == model
    assert fraction(result.at_cost) == per_million([(at_cost, "1")])


def test_a_model_without_a_row_keeps_the_served_name() -> None:
    result = rated(model="unheard", upstream_model="asked")
    assert (result.model, result.status, result.at_cost, result.fee) == (
        *("unheard", "unrated"),
        *(None, None),
    )


@pytest.mark.parametrize(
    ("rate", "fee"), [("0.05", "0.000014"), ("0", "0"), ("0.000001", "0.00000000028")]
)
def test_the_fee_is_the_agreed_rate_of_the_at_cost_amount(rate: str, fee: str) -> None:
    assert str(rated(markup_rate=rate).fee) == fee


def test_a_rate_finer_than_six_places_is_refused() -> None:
    with pytest.raises(BadValue):
        rated(markup_rate="0.0000001")


def test_the_smallest_fee_fits_24_places() -> None:
    tiny = book(row(prices={"input": "0.000000001", "output": "1"}, multiplier="0.001"))
    start = routed(tiny, markup_rate="0.000001")
    used = reported(start.originator_id, {"input_tokens": 1, "output_tokens": 0})
    assert str(rate_request(start, used, tiny).fee) == "0.000000000000000000000001"


def part(model: str | None, tokens_in: int, tokens_out: int) -> dict[str, Any]:
    return {"model": model, "usage": {"input_tokens": tokens_in, "output_tokens": tokens_out}}


def test_parts_are_rated_one_by_one_under_the_main_model() -> None:
    result = rated(parts=[part("m", 60, 5), part("other", 40, 5)])
    assert result.model == "m"
    assert fraction(result.at_cost) == per_million([(60, "2"), (5, "8"), (45, "10")])
    assert result.rating.reference.price_rows == ("row-1", "row-3")
    assert [each.status for each in result.parts] == ["priced", "priced"]
    turned = rated(parts=[part("other", 40, 5), part("m", 60, 5)])
    assert turned.at_cost == result.at_cost
    assert turned.rating.reference == result.rating.reference
    assert result.rating.reference.model == "m"


def test_a_part_without_a_price_makes_the_rest_a_part_of_the_bill() -> None:
    unknown = rated(parts=[part("unheard", 40, 5)], upstream_model="unheard")
    assert (unknown.status, unknown.at_cost) == ("unrated", None)
    some = rated(parts=[part("other", 40, 5), part("unheard", 40, 5)], upstream_model="unheard")
    assert some.status == "unrated_units"
    assert fraction(some.at_cost) == per_million([(45, "10")])
    assert some.rating.unrated_units == ("input_tokens", "output_tokens")


def test_a_free_part_makes_the_request_one_of_a_free_model() -> None:
    result = rated(parts=[part("other", 10, 0), part("m:free", 10, 0)])
    assert result.status == "free_model"
    assert fraction(result.at_cost) == per_million([(10, "10"), (10, "2")])


def test_the_reference_setting_is_that_of_the_route() -> None:
    assert rated(model="m:free", reference_setting="lowest").rating.reference.rule == "lowest"
    with pytest.raises(BadValue):
        rated(reference_setting="cheapest")


def test_the_price_instant_is_that_of_the_route() -> None:
    later = book(row(effective_from="2026-11-23T12:00:00.000001Z"))
    start = routed(later)
    assert rate_request(start, reported(start.originator_id, USED), later).status == "unrated"


def estimated(usage: dict[str, int], **fields: Any) -> UsageEstimated:
    start = routed(BOOK)
    return UsageEstimated(
        originator_id=start.originator_id,
        originator_version=2,
        usage=usage,
        provenance=dict.fromkeys(usage, "estimated"),
        usage_raw=[],
        model="m",
        reason="cut_off",
        method={},
        **fields,
    )


def test_where_the_counts_come_from() -> None:
    assert rated().usage_source == "provider"
    assert rate_request(routed(BOOK), estimated(USED), BOOK).usage_source == "estimate"
    assert rated(provenance={"output_tokens": "estimated"}).usage_source == "estimate"


def shown(used: Any, result: Any) -> dict[str, Any]:
    return receipt(routed(BOOK), used, result, request_id="req_1", key_suffix="x9Qk")


def test_a_receipt_has_the_shape_of_the_contract() -> None:
    start = routed(BOOK)
    usage = {**USED, "cached_input_tokens": 0, "input_image_tokens": 7, "web_search_calls": 0}
    used = reported(start.originator_id, usage)
    result = receipt(
        start, used, rate_request(start, used, BOOK), request_id="req_1", key_suffix="x9Qk"
    )
    assert result == {
        "request_id": "req_1",
        "provider": "p",
        "credential_id": "cred_1",
        "key_suffix": "x9Qk",
        "requested_model": "m",
        "model": "m",
        "usage_source": "provider",
        "usage": {
            "input_tokens": 100,
            "cached_input_tokens": 0,
            "output_tokens": 10,
            "reasoning_tokens": None,
            "input_image_tokens": 7,
        },
        "status": "priced",
        "markup_rate": "0.05",
        "at_cost_usd": "0.00028",
        "fee_usd": "0.000014",
        "reference": {"rule": "listed", "provider": "p", "model": "m", "price_rows": ["row-1"]},
        "price_book": BOOK.hash,
        "sandbox": False,
    }


def test_a_receipt_of_a_free_model_lists_every_candidate() -> None:
    start = routed(BOOK)
    used = reported(start.originator_id, USED, model="m:free")
    (candidate, *others) = shown(used, rate_request(start, used, BOOK))["candidates"]
    assert candidate == {
        "provider": "p",
        "model": "m",
        "price_row": "row-1",
        "at_cost_usd": "0.00028",
        "chosen": True,
        "lost": None,
    }
    assert [each["lost"] for each in others] == ["higher"]


def test_a_receipt_of_an_unrated_call_has_no_amounts() -> None:
    start = routed(BOOK, upstream_model="unheard")
    used = reported(start.originator_id, USED, model="unheard")
    result = shown(used, rate_request(start, used, BOOK))
    assert (result["status"], result["at_cost_usd"], result["fee_usd"], result["reference"]) == (
        *("unrated", None),
        *(None, None),
    )


def test_a_receipt_that_is_pending_promises_nothing() -> None:
    used = reported(routed(BOOK).originator_id, USED)
    result = shown(used, None)
    assert (result["status"], result["at_cost_usd"], result["fee_usd"]) == ("pending", None, None)
    assert (result["usage_source"], result["usage"]["input_tokens"]) == ("provider", 100)
    assert shown(None, None)["usage_source"] == "none"


@pytest.mark.parametrize(
    ("failure", "at_cost"), [("rate_limited", "0"), ("process_lost", None), ("timeout", None)]
)
def test_a_failed_call_is_not_billed(failure: str, at_cost: str | None) -> None:
    start = routed(BOOK)
    failed = RequestFailed(originator_id=start.originator_id, originator_version=2, failure=failure)
    result = shown(failed, None)
    assert (result["status"], result["failure"]) == ("failed", failure)
    assert (result["at_cost_usd"], result["fee_usd"]) == (at_cost, "0")
    assert (result["usage"], result["usage_source"]) == ({}, "none")
