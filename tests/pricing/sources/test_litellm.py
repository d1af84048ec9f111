"""litellm's price map, read as data."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from pricing.sources.litellm import chat_offers, other_models
from pricing.sources.offer import STANDARD, Offer


def read(tmp_path: Path, **models: dict[str, Any]) -> dict[str, Offer]:
    path = tmp_path / "map.json"
    path.write_text(json.dumps(models))
    return {offer.model: offer for offer in chat_offers(path)}


def model(**fields: Any) -> dict[str, Any]:
    return {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 2e-06,
        "output_cost_per_token": 8e-06,
        **fields,
    }


def test_float_noise_is_taken_away(tmp_path: Path) -> None:
    offers = read(tmp_path, m=model(cache_read_input_token_cost=8.000000000000001e-07))
    assert offers["m"].terms[STANDARD].prices == {
        "input": Decimal(2),
        "output": Decimal(8),
        "cached_input": Decimal("0.8"),
    }


def test_tiers_and_service_classes(tmp_path: Path) -> None:
    offers = read(
        tmp_path,
        m=model(
            input_cost_per_token_above_272k_tokens=4e-06,
            input_cost_per_token_batches=1e-06,
            input_cost_per_token_above_272k_tokens_flex=3e-06,
            output_cost_per_token_priority=16e-06,
            cache_creation_input_token_cost=2.5e-06,
            cache_creation_input_token_cost_above_1hr=4e-06,
            cache_creation_input_token_cost_above_12hr=5e-06,
            input_cost_per_token_ultrafast=9e-06,
        ),
    )
    terms = offers["m"].terms
    assert terms.keys() == {STANDARD, "batch", "flex", "priority"}
    assert terms[STANDARD].tiers == {272_000: {"input": Decimal(4)}}
    assert terms[STANDARD].prices["cache_write_5m"] == Decimal("2.5")
    assert terms[STANDARD].prices["cache_write_1h"] == Decimal(4)
    assert terms["batch"].prices == {"input": Decimal(1)}
    assert terms["flex"].tiers == {272_000: {"input": Decimal(3)}}
    assert terms["priority"].prices == {"output": Decimal(16)}


def test_a_search_price_counts_only_when_it_is_one(tmp_path: Path) -> None:
    same = {"search_context_size_low": 0.01, "search_context_size_high": 0.01}
    offers = read(
        tmp_path,
        one=model(search_context_cost_per_query=same),
        two=model(search_context_cost_per_query={**same, "search_context_size_high": 0.05}),
    )
    assert offers["one"].terms[STANDARD].prices["web_search_per_call"] == Decimal("0.01")
    assert "web_search_per_call" not in offers["two"].terms[STANDARD].prices


def test_fast_and_places(tmp_path: Path) -> None:
    extra = {"us": 1.1, "fast": 2.0}
    offers = read(tmp_path, m=model(litellm_provider="anthropic", provider_specific_entry=extra))
    assert offers["m"].uplifts == {"inference_geo=us": Decimal("1.1")}
    assert offers["m"].terms["fast_speed"].prices == {"input": Decimal(4), "output": Decimal(16)}


def test_only_chat_models_of_known_providers(tmp_path: Path) -> None:
    offers = read(
        tmp_path,
        chat=model(),
        embedding=model(mode="embedding"),
        elsewhere=model(litellm_provider="somewhere"),
        **{"ft:gpt": model(), "openai/x": model()},
    )
    assert offers.keys() == {"chat"}
    assert other_models(tmp_path / "map.json") == {"embedding"}
