"""Costs that gateways report, and what stands beside a usage object."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from api.providers.catalogue import NORMALISERS, PROVIDERS
from api.providers.chat_completions.cost import openrouter_cost, vercel_cost, with_decimals
from pricing.rate import Call, rate
from pricing.row import Conditions
from tests.api.chat.calls import BOOKS
from tests.api.providers.chat_completions.calls import call, streamed, whole
from tests.instants import AT

BYOK = {"is_byok": True, "cost": Decimal("0.01")}
COUNTS = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def total(amount: str) -> dict[str, str]:
    return {"amount": amount, "meaning": "total"}


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ('{"cost": 0.0000123, "is_byok": false}', total("0.0000123")),
        ('{"cost": 1.23e-05}', total("0.0000123")),
        ('{"cost": 0, "is_byok": null}', total("0")),
        ('{"cost": 0.1234567890123456785}', total("0.123456789012345678")),
        ('{"cost": 0.1234567890123456795}', total("0.12345678901234568")),
        ('{"cost": 3}', total("3")),
        (
            '{"cost": 0.01, "is_byok": false, "cost_details": {"upstream_inference_cost": 9}}',
            total("0.01"),
        ),
        (
            '{"cost": 0, "is_byok": true, "cost_details": {"upstream_inference_cost": 0.02}}',
            {"amount": "0.02", "meaning": "upstream"},
        ),
        (
            '{"cost": 0.001, "is_byok": true, "cost_details": {"upstream_inference_cost": null}}',
            {"amount": "0.001", "meaning": "gateway_fee"},
        ),
        ('{"cost": "0.01"}', None),
        ('{"cost": true}', None),
        ('{"cost": -1}', None),
        ('{"cost": 1e400}', None),
        ('{"cost": NaN}', None),
        ("{}", None),
    ],
)
def test_what_openrouter_says_a_call_cost(usage: str, cost: Any) -> None:
    assert openrouter_cost(with_decimals(usage)) == cost


def test_what_vercel_says_a_call_cost() -> None:
    both = {"cost": Decimal("0.3"), "market_cost": Decimal("0.2")}
    assert vercel_cost(both) == total("0.3")
    assert vercel_cost({**both, "is_byok": True}) == {"amount": "0.2", "meaning": "upstream"}
    assert vercel_cost(BYOK) is None


def test_the_figure_comes_from_the_text_itself() -> None:
    usage = '{"prompt_tokens":1,"completion_tokens":1,"cost":0.10000000000000000001}'
    dialect = PROVIDERS["openrouter"].dialect
    assert dialect is not None
    reader = dialect.reader(call(), {})
    reader.feed(f'{{"choices":[],"usage":{usage}}}'.encode())
    outcome = reader.finish()
    assert outcome.provider_cost == total("0.1")
    assert outcome.usage_raw == [usage]


def test_rating_by_hand_finds_the_same_figure() -> None:
    found = NORMALISERS["openrouter.chat"]({**COUNTS, "cost": 1.23e-05}, "x/y")
    assert found.provider_cost == total("0.0000123")
    found = NORMALISERS["vercel.chat"](
        {**COUNTS, "completion_tokens_details": {"reasoning_tokens": 7}}, "google/gemini-3"
    )
    assert found.usage["output_tokens"] == 12
    assert NORMALISERS["openai.chat"]({**COUNTS, "cost": 1.0}).provider_cost is None


def compound(*models: Any, **usage: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}
    return {
        "model": "groq/compound",
        "choices": [choice],
        "usage": {**COUNTS, **usage},
        "usage_breakdown": {"models": list(models)},
    }


def used(model: str, prompt: int, completion: int) -> dict[str, Any]:
    return {"model": model, "usage": {"prompt_tokens": prompt, "completion_tokens": completion}}


def test_models_that_a_compound_used() -> None:
    outcome = whole("groq", compound(used("a", 4, 1), used("b", 3, 2), used("a", 3, 2)))
    assert outcome.parts == [
        {"model": "a", "usage": {"input_tokens": 7, "output_tokens": 3}},
        {"model": "b", "usage": {"input_tokens": 3, "output_tokens": 2}},
    ]
    assert outcome.anomalies == []


def test_parts_that_do_not_add_up_are_named() -> None:
    outcome = whole("groq", compound(used("a", 4, 1)))
    assert outcome.anomalies == ["parts_differ_from_total"]
    assert outcome.usage["input_tokens"] == 10


@pytest.mark.parametrize(
    "models", [[], None, "x", [None, {"model": "a"}], [used("groq/compound", 10, 5)]]
)
def test_no_other_model_no_parts(models: Any) -> None:
    answer = {**compound(), "usage_breakdown": {"models": models}}
    assert whole("groq", answer).parts == []
    assert whole("chutes", compound(used("a", 10, 5))).parts == []


def test_searches_of_a_stream_are_counted_once() -> None:
    def running(*kinds: str) -> dict[str, Any]:
        tools = [{"index": at, "type": kind} for at, kind in enumerate(kinds)]
        return {"choices": [{"index": 0, "delta": {"executed_tools": tools}}]}

    finish = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": COUNTS}
    _, outcome = streamed("groq", running("search"), running("search", "python"), finish)
    assert outcome.usage["web_search_calls"] == 1
    _, outcome = streamed("groq", finish)
    assert "web_search_calls" not in outcome.usage


def anthropic(prompt: int, **own: Any) -> dict[str, Any]:
    usage = {"input_tokens": 10, "cache_read_input_tokens": 200, **own}
    message = {"content": "x", "provider_metadata": {"anthropic": {"usage": usage}}}
    return {
        "model": "anthropic/claude",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": 5, "total_tokens": prompt + 5},
    }


@pytest.mark.parametrize(
    ("prompt", "anomalies"),
    [(280, []), (210, ["cache_writes_outside_prompt"]), (10, ["cache_writes_outside_prompt"])],
)
def test_vercel_s_writes_are_in_the_input_once(prompt: int, anomalies: list[str]) -> None:
    split = {"ephemeral_5m_input_tokens": 50, "ephemeral_1h_input_tokens": 15}
    outcome = whole(
        "vercel", anthropic(prompt, cache_creation_input_tokens=70, cache_creation=split)
    )
    assert outcome.anomalies == anomalies
    assert outcome.usage["input_tokens"] == 280
    assert outcome.usage["cached_input_tokens"] == 200
    assert outcome.usage["cache_write_5m_tokens"] == 50
    assert outcome.usage["cache_write_1h_tokens"] == 15
    assert outcome.usage["cache_write_tokens"] == 5


def test_what_does_not_fit_is_not_explained_away() -> None:
    outcome = whole("vercel", anthropic(999, cache_creation_input_tokens=70))
    assert outcome.usage["input_tokens"] == 999
    assert outcome.anomalies == ["upstream_usage_differs"]
    assert "cache_write_5m_tokens" not in outcome.usage


RECOUNTS = {
    "usage": COUNTS,
    "usage_from_consumer": {"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 11},
    "usage_from_provider": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
}


def test_morpheus_bills_by_its_recount() -> None:
    outcome = whole("morpheus", {"model": "m", "choices": [], **RECOUNTS})
    assert outcome.usage == {"input_tokens": 8, "output_tokens": 3}
    assert [json.loads(text) for text in outcome.usage_raw] == [
        RECOUNTS["usage_from_consumer"],
        COUNTS,
    ]
    assert outcome.anomalies == ["usage_differs_from_recount"]
    _, outcome = streamed("morpheus", {"choices": [], **RECOUNTS})
    assert outcome.usage == {"input_tokens": 7, "output_tokens": 2}
    outcome = whole("morpheus", {"model": "m", "choices": [], "usage": COUNTS})
    assert outcome.usage == {"input_tokens": 10, "output_tokens": 5}
    assert whole("chutes", {"model": "m", "choices": [], **RECOUNTS}).usage["input_tokens"] == 10


@pytest.mark.parametrize(
    ("slug", "told", "tier"),
    [
        ("groq", "on_demand", "default"),
        ("groq", "flex", "default"),
        ("groq", "performance", "performance"),
        ("openai", "flex", "flex"),
        ("openai", "priority", "priority"),
        ("openai", "on_demand", "on_demand"),
    ],
)
def test_tiers_at_list_prices_are_the_default(slug: str, told: str, tier: str) -> None:
    outcome = whole(slug, {"model": "m", "choices": [], "usage": COUNTS, "service_tier": told})
    assert outcome.context == {"service_tier": tier}


def test_recorded_calls_of_groq_have_a_price() -> None:
    """The price of a call at the tier that Groq calls `on_demand` is that of the list."""
    outcome = whole("groq", {"choices": [], "usage": COUNTS, "service_tier": "on_demand"})
    asked = Call(
        provider="groq",
        served="openai/gpt-oss-120b",
        otherwise=(),
        at=AT,
        usage=outcome.usage,
        conditions=Conditions.of(outcome.context),
    )
    assert rate(asked, BOOKS.current, reference="same-provider-first").status == "priced"
