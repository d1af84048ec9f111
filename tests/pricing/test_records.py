"""`keytoll rate`, one record at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from domain.errors import BadValue
from pricing.load import shipped_book
from pricing.records import rate_record
from tests.pricing.build import NAMES, NOON, row

BOOK = shipped_book()
RECORD = {
    "provider": "sandbox",
    "model": "sandbox/echo",
    "at": "2026-11-24T00:00:00Z",
    "usage": {"input_tokens": 100, "cached_input_tokens": 20, "output_tokens": 7},
}


DEEP: list[Any] = []
for _ in range(300):
    DEEP = [DEEP]


@dataclass
class Told:
    usage: dict[str, int]
    context: dict[str, Any] = field(default_factory=dict)
    parts: list[dict[str, Any]] = field(default_factory=list)
    anomalies: list[str] = field(default_factory=list)
    provider_cost: dict[str, Any] | None = None


def normalise(raw: dict[str, Any], model: str | None) -> Told:
    usage = {"input_tokens": raw["in"], "output_tokens": raw["out"]}
    context = {"service_tier": raw.get("tier")}
    return Told(usage, context, raw.get("parts", []), [f"seen {model}"], raw.get("cost"))


def rated(reference: str = "same-provider-first", **changed: Any) -> dict[str, Any]:
    record = {name: value for name, value in {**RECORD, **changed}.items() if value is not ...}
    return rate_record(
        record, BOOK, names=NAMES, normalise={"openai.chat": normalise}, reference=reference
    )


def test_a_record() -> None:
    result = rated()
    assert result == {
        "status": "priced",
        "at_cost_usd": "0.00011",
        "fee_usd": "0.0000055",
        "model": "sandbox/echo",
        "reference": {
            "rule": "listed",
            "provider": "sandbox",
            "model": "sandbox/echo",
            "price_rows": result["reference"]["price_rows"],
        },
        "components": result["components"],
        "candidates": [],
        "price_book": BOOK.hash,
    }
    assert [(each["unit"], each["count"], each["price"]) for each in result["components"]] == [
        ("input_tokens", 80, "1"),
        ("cached_input_tokens", 20, "0.1"),
        ("output_tokens", 7, "4"),
    ]


@pytest.mark.parametrize("plan", ["paid", "free", None])
def test_the_plan_of_the_key_changes_nothing(plan: str | None) -> None:
    assert rated(key_plan=plan) == rated()


def test_a_free_model_and_its_settings() -> None:
    assert rated(model="sandbox/echo-free")["reference"]["rule"] == "same-provider-first"
    assert rated("lowest", model="sandbox/echo-free")["reference"]["rule"] == "lowest"


def test_no_row_at_all() -> None:
    result = rated(model="sandbox/unpriced")
    assert (result["status"], result["at_cost_usd"], result["fee_usd"]) == ("unrated", None, None)


def test_a_book_of_the_records_own_is_named_by_rule() -> None:
    rows = [row("groq", "llama-3.3-70b-versatile", prices={"input": "1", "output": "2"})]
    result = rated(
        provider="groq",
        model="meta-llama/Llama-3.3-70B-Instruct",
        usage={"input_tokens": 10, "output_tokens": 10},
        price_book=rows,
    )
    assert (result["status"], result["at_cost_usd"]) == ("priced", "0.00003")
    assert result["price_book"] != BOOK.hash


def test_the_served_model_comes_first() -> None:
    assert rated(response_model="sandbox/slow")["model"] == "sandbox/slow"
    assert rated(response_model="unheard-of")["model"] == "sandbox/echo"
    deployed = rated(model="my-deployment", context={"deployment_model": "sandbox/echo"})
    assert deployed["model"] == "sandbox/echo"


def test_raw_usage_is_read_by_its_flavor() -> None:
    result = rated(usage=..., raw_usage={"in": 10, "out": 1}, api_flavor="openai.chat")
    assert (result["at_cost_usd"], result["anomalies"]) == ("0.000014", ["seen sandbox/echo"])


def test_a_providers_own_reading_of_a_protocol_goes_first() -> None:
    def doubled(raw: dict[str, Any], model: str | None) -> Told:
        return Told({"input_tokens": 2 * raw["in"], "output_tokens": 0})

    def inputs(provider: str, flavor: str) -> int:
        record = {
            **RECORD,
            "provider": provider,
            "usage": None,
            "raw_usage": {"in": 10, "out": 1},
            "api_flavor": flavor,
            "price_book": [row(provider, "sandbox/echo")],
        }
        flavors = {"openai.chat": normalise, "gateway.chat": doubled}
        found = rate_record(record, BOOK, names=NAMES, normalise=flavors)
        return int(found["components"][0]["count"])

    assert inputs("gateway", "openai.chat") == inputs("gateway", "gateway.chat") == 20
    assert inputs("groq", "openai.chat") == 10
    assert inputs("groq", "gateway.chat") == 20


def test_what_raw_usage_tells_of_the_tier_counts_unless_the_record_says_it() -> None:
    raw = {"in": 10, "out": 1, "tier": "priority"}
    tiered = rated(usage=..., raw_usage=raw, api_flavor="openai.chat")
    assert tiered["status"] == "unrated"
    for said, status in (("standard", "priced"), (None, "unrated")):
        plain = rated(
            usage=..., raw_usage=raw, api_flavor="openai.chat", context={"service_tier": said}
        )
        assert plain["status"] == status


def test_raw_usage_with_parts() -> None:
    raw = {
        "in": 10,
        "out": 1,
        "parts": [
            {"model": "sandbox/echo", "usage": {"input_tokens": 10, "output_tokens": 0}},
            {"model": "sandbox/slow", "usage": {"input_tokens": 0, "output_tokens": 1}},
        ],
    }
    result = rated(usage=..., raw_usage=raw, api_flavor="openai.chat")
    assert result["at_cost_usd"] == "0.000014"
    assert len(result["reference"]["price_rows"]) == 2


def test_what_the_provider_says_it_cost_comes_with_the_usage_or_by_itself() -> None:
    raw = {"in": 10, "out": 1, "cost": {"amount": "0.5", "meaning": "total"}}
    rows = [row("openrouter", "sandbox/echo", prices={"input": "1", "output": "4"})]
    routed: dict[str, Any] = {"provider": "openrouter", "price_book": rows}
    told = rated(usage=..., raw_usage=raw, api_flavor="openai.chat", **routed)
    assert (told["at_cost_usd"], told["reported_usd"], told["listed_usd"]) == (
        *("0.5", "0.5"),
        "0.000014",
    )
    assert told["reference"] == {
        "rule": "reported",
        "provider": "openrouter",
        "model": "sandbox/echo",
        "price_rows": [],
    }
    assert told["components"] == [
        {
            "unit": "requests",
            "count": 1,
            "price_name": "reported",
            "price": "0.5",
            "amount_usd": "0.5",
            "price_row": None,
        }
    ]
    said = rated(provider_cost={"amount": "0.25", "meaning": "upstream"}, **routed)
    assert said["at_cost_usd"] == "0.25"
    listed = rated(provider_cost={"amount": "0.25", "meaning": "total"})
    assert (listed["reference"]["rule"], listed["reported_usd"], listed["listed_usd"]) == (
        *("listed", "0.25"),
        listed["at_cost_usd"],
    )


def test_rows_of_the_records_own_are_read_once_and_told_apart() -> None:
    for price in ("1", "2", "1"):
        rows = [row("p", "m", prices={"input": price, "output": "0"})]
        usage = {"input_tokens": 10**6}
        result = rated(provider="p", model="m", usage=usage, price_book=rows)
        assert result["at_cost_usd"] == price


def test_an_instant_may_be_handed_in() -> None:
    record = {name: value for name, value in RECORD.items() if name != "at"}
    assert rate_record(record, BOOK, names=NAMES, normalise={}, at=NOON)["status"] == "priced"


def test_an_unknown_count_may_be_null() -> None:
    usage = {**RECORD["usage"], "reasoning_tokens": None}  # type: ignore[dict-item]
    assert rated(usage=usage) == rated()


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"provider": ...}, "provider"),
        ({"model": 5}, "model"),
        ({"response_model": 5}, "response_model"),
        (
            {
                "response_model": [],
                "usage": ...,
                "raw_usage": {"in": 1, "out": 1},
                "api_flavor": "openai.chat",
            },
            "response_model",
        ),
        ({"at": "noon"}, "at"),
        ({"at": ...}, "at"),
        ({"usage": ...}, "usage"),
        ({"usage": [1]}, "usage"),
        ({"usage": {"input_tokens": -1}}, "usage.input_tokens"),
        ({"usage": {"input_tokens": 1.5}}, "usage.input_tokens"),
        ({"usage": {"tokens": 1}}, "usage"),
        ({"usage": {"input_tokens": 1, "cached_input_tokens": 2}}, "usage.input_tokens"),
        ({"usage": ..., "raw_usage": {}, "api_flavor": "telepathy"}, "api_flavor"),
        ({"usage": ..., "raw_usage": {}}, "api_flavor"),
        ({"context": {"servce_tier": "flex"}}, "context.servce_tier"),
        ({"context": {"service_tier": 1}}, "context.service_tier"),
        ({"context": {"batch": "yes"}}, "context.batch"),
        ({"markup_rate": "5%"}, "markup_rate"),
        ({"markup_rate": "1.000001"}, "markup_rate"),
        ({"markup_rate": "-0.05"}, "markup_rate"),
        ({"markup_rate": ["0.05"]}, "markup_rate"),
        ({"price_book": [{**row(), "model": 5}]}, "model"),
        ({"price_book": [row(region=5)]}, "region"),
        ({"price_book": [row(batch="yes")]}, "batch"),
        ({"price_book": [row(id=5)]}, "id"),
        ({"price_book": [row(canonical=["x"])]}, "canonical"),
        ({"price_book": [row(recorded_at=5)]}, "recorded_at"),
        ({"price_book": [{"row": row(region=5)}]}, "region"),
        ({"price_book": [{"name": {"provider": "p", "model": "m"}}]}, "canonical"),
        ({"price_book": [{"name": {"provider": [], "model": "m", "canonical": "m"}}]}, "provider"),
        ({"price_book": [{"seen": {"row": "x", "at": 5}}]}, "at"),
        ({"price_book": [{"deprecated": {"row": "x", "at": 5}}]}, "at"),
        ({"price_book": [row(note=DEEP)]}, "price_book"),
        ({"price_book": [{"row": 1, "seen": {"row": "x"}}]}, "at"),
        ({"provider_cost": "0.5"}, "provider_cost"),
        ({"provider_cost": {"amount": "0.5", "meaning": "cost"}}, "provider_cost.meaning"),
        ({"provider_cost": {"amount": 1, "meaning": "total"}}, "provider_cost.amount"),
        (
            {"provider_cost": {"amount": f"0.{'1' * 19}", "meaning": "total"}},
            "provider_cost.amount",
        ),
        ({"price_book": {}}, "price_book"),
        ({"price_book": [{"model": "m"}]}, "provider"),
        ({"price_book": [row(prices={"input": 1})]}, "prices.input"),
        ({"reference_setting": "cheapest"}, "reference"),
    ],
)
def test_bad_input_names_its_field(changed: dict[str, Any], param: str) -> None:
    with pytest.raises(BadValue) as caught:
        rated(**changed)
    assert caught.value.param == param


def test_a_record_is_an_object() -> None:
    with pytest.raises(BadValue):
        rate_record([], BOOK, names=NAMES, normalise={})  # type: ignore[arg-type]
