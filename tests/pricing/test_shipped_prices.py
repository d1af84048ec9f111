"""The shipped prices of all providers: known figures, and every known fault of a source kept out.

Expectations are the providers' published figures as PRICES.md and the sources' own pages have
them, worked out by hand; nothing is copied from a run.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from api.providers.catalogue import PROVIDERS
from domain.clock import parse_instant
from pricing.book import price_provider
from pricing.load import shipped_book
from pricing.row import STANDARD
from pricing.sources.hand_kept import HandKept
from tests.pricing.build import NOON, amount, per_million, rated

BOOK = shipped_book()
MILLION = {"input_tokens": 1_000_000, "output_tokens": 0}


def cost(provider: str, model: str, usage: dict[str, int], **call: Any) -> str:
    return str(rated(BOOK, usage, provider=provider, model=model, **call).at_cost)


@pytest.mark.parametrize("slug", sorted(PROVIDERS))
def test_every_provider_has_rows_or_a_reason_for_none(slug: str) -> None:
    owner = price_provider(slug)
    assert bool(BOOK.models(owner)) != (owner in HandKept().none)


@pytest.mark.parametrize(
    ("provider", "model", "per_million_in", "per_million_out"),
    [
        ("aws", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "3.3", "16.5"),
        ("aws", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", "3", "15"),
        ("aws", "amazon.nova-pro-v1:0", "0.8", "3.2"),
        ("azure", "gpt-4o-2024-08-06", "2.5", "10"),
        ("azure-responses", "gpt-4o-2024-08-06", "2.5", "10"),
        ("openai-responses", "gpt-4.1", "2", "8"),
        ("chutes", "Qwen/Qwen3.5-397B-A17B-TEE", "0.45", "3"),
        ("fireworks", "accounts/fireworks/models/deepseek-v3p1", "0.56", "1.68"),
        ("google", "gemini-2.5-flash", "0.3", "2.5"),
        ("groq", "openai/gpt-oss-120b", "0.15", "0.6"),
        ("hyperbolic", "Qwen/QwQ-32B", "0.2", "0.2"),
        ("morpheus", "glm-5.2", "1.25", "4.4"),
        ("morpheus", "gpt-oss-120b", "0.07", "0.28"),
        ("novita", "mistralai/mistral-nemo", "0.04", "0.17"),
        ("sambanova", "gpt-oss-120b", "0.22", "0.59"),
        ("together", "mistralai/Mixtral-8x7B-Instruct-v0.1", "0.6", "0.6"),
        ("vercel", "openai/gpt-4.1", "2", "8"),
        ("openrouter", "openai/gpt-4.1", "2", "8"),
    ],
)
def test_list_prices(provider: str, model: str, per_million_in: str, per_million_out: str) -> None:
    usage = {"input_tokens": 1_000, "output_tokens": 1_000}
    rating = rated(BOOK, usage, provider=provider, model=model)
    assert rating.status == "priced"
    assert amount(rating.at_cost) == per_million(
        [(1_000, per_million_in), (1_000, per_million_out)]
    )


@pytest.mark.parametrize(("tokens", "total"), [(200_000, "0.26"), (200_001, "0.5150025")])
def test_the_whole_call_is_charged_at_the_tier_strictly_above(tokens: int, total: str) -> None:
    usage = {"input_tokens": tokens, "output_tokens": 1_000}
    assert cost("google", "gemini-2.5-pro", usage) == total


def test_pictures_cost_more_than_words() -> None:
    usage = {"input_tokens": 0, "output_tokens": 1_000_000, "output_image_tokens": 1_000_000}
    assert cost("google", "gemini-3-pro-image", usage) == "120"
    assert cost("google", "gemini-3-pro-image", {**usage, "output_image_tokens": 0}) == "12"


@pytest.mark.parametrize(
    ("context", "total"),
    [
        ({}, "0.62"),
        ({"region": "us-east-1"}, "0.62"),
        ({"region": "eu-north-1"}, "0.74"),
        ({"region": "eu-north-1", "service_tier": "priority"}, "1.295"),
        ({"region": "eu-north-1", "batch": True}, "0.37"),
        ({"service_tier": "flex"}, "0.31"),
    ],
)
def test_bedrock_by_region_and_class(context: dict[str, Any], total: str) -> None:
    assert cost("aws", "deepseek.v3.2", MILLION, context=context) == total


@pytest.mark.parametrize(
    ("context", "total"),
    [
        ({}, "0.4"),
        ({"deployment_type": "global"}, "0.4"),
        ({"deployment_type": "datazone", "region": "eu"}, "0.48"),
        ({"deployment_type": "datazone", "region": "us"}, "0.44"),
        ({"deployment_type": "datazone", "region": "us", "service_tier": "priority"}, "0.88"),
    ],
)
def test_azure_by_deployment(context: dict[str, Any], total: str) -> None:
    usage = {"input_tokens": 200_000, "output_tokens": 0}
    assert cost("azure", "gpt-6-sol", usage, context=context) == total


@pytest.mark.parametrize(
    ("at", "total"), [("2026-12-31T23:59:59.999999Z", "0.75"), ("2027-01-01T00:00:00Z", "1.5")]
)
def test_an_announced_price_holds_from_its_instant(at: str, total: str) -> None:
    assert cost("google", "gemini-3.6-flash", MILLION, at=at) == total


def test_a_batch_before_the_source_modelled_batches_is_no_standard_call() -> None:
    early = parse_instant("2026-10-01")
    batch = {"batch": True}
    assert cost("google", "gemini-2.5-pro", MILLION, at=early, context=batch) == "1.25"
    assert cost("google", "gemini-2.5-pro", {**MILLION, "input_tokens": 1_000}, context=batch) == (
        "0.000625"
    )


@pytest.mark.parametrize("hour", [12, 20])
def test_no_other_hosts_hours_leak_into_azure(hour: int) -> None:
    usage = {"input_tokens": 1_000_000, "output_tokens": 1_000_000}
    at = NOON.replace(hour=hour)
    assert cost("azure", "deepseek-r1", usage, at=at) == "6.75"


def test_a_unit_without_a_price_is_named_and_not_free() -> None:
    usage = {"input_tokens": 1_000, "output_tokens": 0, "web_search_calls": 1}
    rating = rated(BOOK, usage, provider="novita", model="mistralai/mistral-nemo")
    assert (rating.status, rating.unrated_units) == ("unrated_units", ("web_search_calls",))


def test_fireworks_short_ids_resolve() -> None:
    whole = cost("fireworks", "accounts/fireworks/models/glm-4p7", MILLION)
    assert cost("fireworks", "glm-4p7", MILLION) == whole


def test_a_27b_model_is_in_its_size_class() -> None:
    assert cost("fireworks", "accounts/fireworks/models/gemma-3-27b-it", MILLION) == "0.9"


def test_tiers_are_where_the_provider_has_them() -> None:
    for provider, model, thresholds in (
        ("openai", "gpt-5.6-sol", [272_000]),
        ("google", "gemini-2.5-pro", [200_000]),
        ("aws", "openai.gpt-5.4", [272_000]),
        ("aws", "openai.gpt-5.5", [272_000]),
        ("aws", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", []),
    ):
        row = BOOK.fitting(provider, model, STANDARD)[0]
        assert [tier.above for tier in row.tiers] == thresholds, model


def test_nothing_of_openrouter_comes_from_a_list_that_dropped_it() -> None:
    text = b"\n".join(line for line in BOOK.lines() if b'"provider":"openrouter"' in line)
    assert b"litellm" not in text
    assert b"pi-ai" in text


@pytest.mark.parametrize(
    ("provider", "model", "seen"),
    [
        ("hyperbolic", "Qwen/QwQ-32B", "2025-08-31"),
        ("morpheus", "glm-5.2", "2026-07-23"),
        ("chutes", "Qwen/Qwen3.5-397B-A17B-TEE", "2026-09-30"),
        ("groq", "openai/gpt-oss-120b", "2026-11-11"),
    ],
)
def test_a_sighting_is_as_old_as_its_source(provider: str, model: str, seen: str) -> None:
    assert BOOK.last_seen(BOOK.fitting(provider, model, STANDARD)[0]) == parse_instant(seen)


def test_other_service_classes_are_never_the_paid_version() -> None:
    usage = {"input_tokens": 1_000, "output_tokens": 1_000}
    free = rated(BOOK, usage, provider="openrouter", model="openai/gpt-oss-120b:free")
    assert free.status == "free_model"
    batches = [each.model for each in free.candidates if each.model.endswith((":batch", ":flex"))]
    assert batches == []


def test_nvidia_gives_away_what_others_sell() -> None:
    usage = {"input_tokens": 1_000, "output_tokens": 1_000}
    rating = rated(BOOK, usage, provider="nvidia", model="meta/llama-3.3-70b-instruct")
    assert rating.status == "free_model"
    assert rating.reference is not None
    assert rating.reference.provider not in {"nvidia", "hyperbolic", "sandbox"}
    assert "llama-3.3-70b" in rating.reference.model.lower().replace("3p3", "3.3").replace(
        "llama3-3", "llama-3.3"
    )


def test_no_price_library_is_imported() -> None:
    root = Path(__file__).parents[2]
    for path in root.glob("pricing/**/*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        names = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        modules = {getattr(node, "module", None) or node.names[0].name for node in names}
        assert not {m for m in modules if m.split(".")[0] in {"litellm", "genai_prices"}}, path
