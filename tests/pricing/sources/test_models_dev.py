"""models.dev's api.json and what is wrong with it."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from pricing.sources.models_dev import ModelsDev


def source(folder: Path, host: str, **fields: Any) -> ModelsDev:
    record = {"id": "m", "modalities": {"input": ["text"], "output": ["text"]}, **fields}
    path = folder / "api.json"
    path.write_text(json.dumps({host: {"models": {"m": record}}}))
    return ModelsDev(path, "models.dev 2026-09-30", "2026-09-30")


def prices(folder: Path, host: str = "chutes", **cost: Any) -> dict[str, Decimal]:
    provider = {"togetherai": "together"}.get(host, host)
    offer = source(folder, host, cost=cost).find(provider, "m")
    assert offer is not None
    return offer.standard.prices


def test_float_noise_is_taken_away(tmp_path: Path) -> None:
    assert prices(tmp_path, input=0.45, output=3, cache_read=0.04499999999999999) == {
        "input": Decimal("0.45"),
        "output": Decimal(3),
        "cached_input": Decimal("0.045"),
    }


def test_tiers_are_read_and_the_field_that_any_tier_fills_is_not(tmp_path: Path) -> None:
    tiers = [{"input": 8, "output": 30, "tier": {"type": "context", "size": 272000}}]
    cost = {"input": 4, "output": 20, "context_over_200k": {"input": 8}, "tiers": tiers}
    offer = source(tmp_path, "openai", cost=cost).find("openai", "m")
    assert offer is not None
    assert offer.standard.tiers == {272_000: {"input": Decimal(8), "output": Decimal(30)}}


def test_a_size_that_is_the_first_above_is_the_same_threshold(tmp_path: Path) -> None:
    tiers = [{"input": 8, "output": 30, "tier": {"type": "context", "size": 200001}}]
    offer = source(tmp_path, "openai", cost={"input": 4, "output": 20, "tiers": tiers})
    found = offer.find("openai", "m")
    assert found is not None
    assert list(found.standard.tiers) == [200_000]


def test_the_price_of_an_image_is_not_one_of_text(tmp_path: Path) -> None:
    makes_images = {"input": ["text"], "output": ["text", "image"]}
    cost = {"input": 2, "output": 120}
    offer = source(tmp_path, "google", cost=cost, modalities=makes_images, id="gemini-m")
    found = offer.find("google", "gemini-m")
    assert found is not None
    assert found.standard.prices == {"input": Decimal(2)}


def test_cache_writes_are_those_of_five_minutes(tmp_path: Path) -> None:
    assert prices(tmp_path, input=1, output=2, cache_write=1.25)["cache_write_5m"] == Decimal(
        "1.25"
    )


def test_a_part_that_costs_nothing_is_unknown_unless_all_is_free(tmp_path: Path) -> None:
    assert "cached_input" not in prices(tmp_path, input=1, output=2, cache_read=0)
    assert prices(tmp_path, input=0, output=0, cache_read=0)["cached_input"] == 0


def test_no_cost_is_no_price(tmp_path: Path) -> None:
    assert source(tmp_path, "chutes").find("chutes", "m") is None


def test_what_makes_no_text_is_no_chat_model(tmp_path: Path) -> None:
    only_images = {"input": ["text"], "output": ["image"]}
    cost = {"input": 0, "output": 0}
    assert not list(source(tmp_path, "nvidia", cost=cost, modalities=only_images).offers())


def test_the_name_that_all_spellings_share(tmp_path: Path) -> None:
    found = source(tmp_path, "togetherai", canonical_model_id="meta/llama-3.3-70b-instruct")
    assert found.canonical == {("together", "m"): "meta/llama-3.3-70b-instruct"}
