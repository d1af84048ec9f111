"""litellm's price map, read as data."""

from __future__ import annotations

import io
import json
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pricing.sources.litellm import LiteLlm
from pricing.sources.offer import STANDARD, Offer, klass
from tests.pricing.sources.build import litellm


def model(**fields: Any) -> dict[str, Any]:
    return {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 2e-06,
        "output_cost_per_token": 8e-06,
        **fields,
    }


def read(folder: Path, **fields: Any) -> Offer:
    found = litellm(folder, {"m": model(**fields)}).find("openai", "m")
    assert found is not None
    return found


def addressed(folder: Path, **keys: str) -> dict[tuple[str, str], set[Any]]:
    """Key → litellm's provider, as provider and id → classes."""
    entries = {key: model(litellm_provider=owner) for key, owner in keys.items()}
    offers = litellm(folder, entries).offers()
    return {(each.provider, each.model): set(each.terms) for each in offers}


def test_float_noise_is_taken_away(tmp_path: Path) -> None:
    assert read(tmp_path, cache_read_input_token_cost=8.000000000000001e-07).standard.prices == {
        "input": Decimal(2),
        "output": Decimal(8),
        "cached_input": Decimal("0.8"),
    }


def test_tiers_and_service_classes(tmp_path: Path) -> None:
    terms = read(
        tmp_path,
        input_cost_per_token_above_272k_tokens=4e-06,
        input_cost_per_token_batches=1e-06,
        input_cost_per_token_above_272k_tokens_flex=3e-06,
        output_cost_per_token_priority=16e-06,
        cache_creation_input_token_cost=2.5e-06,
        cache_creation_input_token_cost_above_1hr=4e-06,
        cache_creation_input_token_cost_above_1hr_above_272k_tokens=8e-06,
        cache_creation_input_token_cost_above_12hr=5e-06,
        input_cost_per_token_ultrafast=9e-06,
        input_cost_per_token_balanced=9e-06,
    ).terms
    batch, flex = klass(batch=True), klass(service_tier="flex")
    priority = klass(service_tier="priority")
    assert terms.keys() == {STANDARD, batch, flex, priority}
    assert terms[STANDARD].tiers == {272_000: {"input": Decimal(4), "cache_write_1h": Decimal(8)}}
    assert terms[STANDARD].prices["cache_write_5m"] == Decimal("2.5")
    assert terms[STANDARD].prices["cache_write_1h"] == Decimal(4)
    assert terms[batch].prices == {"input": Decimal(1)}
    assert terms[flex].tiers == {272_000: {"input": Decimal(3)}}
    assert terms[priority].prices == {"output": Decimal(16)}


def test_reasoning_is_priced_apart_only_where_it_costs_something_else(tmp_path: Path) -> None:
    same = read(tmp_path, output_cost_per_reasoning_token=8e-06)
    assert "reasoning" not in same.standard.prices
    apart = read(tmp_path, output_cost_per_reasoning_token=3e-06)
    assert apart.standard.prices["reasoning"] == Decimal(3)


def test_a_search_price_counts_only_when_it_is_one(tmp_path: Path) -> None:
    same = {"search_context_size_low": 0.01, "search_context_size_high": 0.01}
    one = read(tmp_path, search_context_cost_per_query=same)
    assert one.standard.prices["web_search_per_call"] == Decimal("0.01")
    two = read(tmp_path, search_context_cost_per_query={**same, "search_context_size_high": 0.05})
    assert "web_search_per_call" not in two.standard.prices


def test_a_price_per_request(tmp_path: Path) -> None:
    assert read(tmp_path, input_cost_per_request=0.005).standard.prices["per_request"] == Decimal(
        "0.005"
    )


def test_fast_and_places(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        provider_specific_entry={"us": 1.1, "fast": 2.0},
        regional_processing_uplift_multiplier_eu=1.1,
    )
    assert found.uplifts == {
        ("inference_geo", "us"): Decimal("1.1"),
        ("region", "eu"): Decimal("1.1"),
    }
    assert found.terms[klass(speed="fast")].prices == {"input": Decimal(4), "output": Decimal(16)}


def test_hours_and_weekdays_hold_together(tmp_path: Path) -> None:
    windows = [
        {"hours_utc": ["00:00-01:00", "10:00-00:00"], "weekdays": [1, 2]},
        {"hours_utc": "00:00-00:00", "weekdays": [6, 7]},
    ]
    off_peak = {"input_cost_per_token": 1e-06, "windows": windows}
    found = read(tmp_path, off_peak_pricing=off_peak)
    assert found.standard.windows == [
        ((1, 2), ("00:00-01:00", "10:00-24:00"), {"input": Decimal(1)}),
        ((6, 7), ("00:00-24:00",), {"input": Decimal(1)}),
    ]


@pytest.mark.parametrize(
    ("key", "owner", "provider", "callers_id", "place"),
    [
        ("us.a.b-v1:0", "bedrock_converse", "aws", "us.a.b-v1:0", STANDARD),
        ("bedrock/eu-west-1/a.b", "bedrock", "aws", "a.b", klass(region="eu-west-1")),
        ("bedrock/us-gov-west-1/a.b", "bedrock", "aws", "a.b", klass(region="us-gov-west-1")),
        ("bedrock_mantle/a.b", "bedrock_mantle", "aws", "a.b", STANDARD),
        ("azure/x", "azure", "azure", "x", STANDARD),
        ("azure/global/x", "azure", "azure", "x", STANDARD),
        ("azure/eu/x", "azure", "azure", "x", klass(deployment_type="datazone", region="eu")),
        ("azure_ai/x", "azure_ai", "azure", "x", STANDARD),
        ("gemini/gemini-x", "gemini", "google", "gemini-x", STANDARD),
        ("groq/a/b", "groq", "groq", "a/b", STANDARD),
        (
            "fireworks_ai/accounts/fireworks/models/x",
            "fireworks_ai",
            "fireworks",
            "accounts/fireworks/models/x",
            STANDARD,
        ),
    ],
)
def test_where_an_entry_belongs(
    tmp_path: Path, key: str, owner: str, provider: str, callers_id: str, place: Any
) -> None:
    assert addressed(tmp_path, **{key: owner}) == {(provider, callers_id): {place}}


@pytest.mark.parametrize(
    ("key", "owner"),
    [
        ("ft:gpt-4o", "openai"),
        ("openai/x", "openai"),
        ("bedrock/us-east-1/1-month-commitment/anthropic.claude-v1", "bedrock"),
        ("bedrock/claude_platform/claude-x", "bedrock"),
        ("azure/model-router", "azure"),
        ("together-ai-21.1b-41b", "together_ai"),
        ("m", "somewhere"),
    ],
)
def test_what_is_no_model_of_ours(tmp_path: Path, key: str, owner: str) -> None:
    assert addressed(tmp_path, **{key: owner}) == {}


def test_the_first_of_several_entries_for_one_id_counts(tmp_path: Path) -> None:
    entries = {
        "azure_ai/x": model(litellm_provider="azure_ai", input_cost_per_token=9e-06),
        "azure/x": model(litellm_provider="azure"),
    }
    found = litellm(tmp_path, entries).find("azure", "x")
    assert found is not None
    assert found.standard.prices["input"] == Decimal(2)


def test_a_short_id_is_another_name_of_the_whole_one(tmp_path: Path) -> None:
    path = "fireworks_ai/accounts/fireworks/models/"
    found = litellm(
        tmp_path,
        {
            "fireworks_ai/x": model(litellm_provider="fireworks_ai"),
            f"{path}x": model(litellm_provider="fireworks_ai"),
        },
    ).offers()
    assert [(each.model, each.also) for each in found] == [
        ("accounts/fireworks/models/x", ("x",)),
    ]


def test_other_modes_are_no_chat_models(tmp_path: Path) -> None:
    source = litellm(tmp_path, {"chat": model(), "e": model(mode="embedding")})
    assert [each.model for each in source.offers()] == ["chat"]
    assert source.other == {("openai", "e")}


def test_a_list_that_it_has_not_kept_up_is_dated_by_what_shows_in_it(tmp_path: Path) -> None:
    entries = {
        "hyperbolic/x": model(litellm_provider="hyperbolic"),
        "novita/x": model(litellm_provider="novita"),
    }
    days = {each.provider: each.as_of for each in litellm(tmp_path, entries).offers()}
    assert days == {"hyperbolic": "2025-08-31", "novita": "2026-11-11"}


def test_the_wheel_is_read_without_unpacking(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as wheel:
        name = "litellm/model_prices_and_context_window_backup.json"
        wheel.writestr(name, json.dumps({"m": model()}))
    path = tmp_path / "litellm.whl"
    path.write_bytes(packed.getvalue())
    assert LiteLlm(path, "litellm 1", "2026-11-11").find("openai", "m") is not None
