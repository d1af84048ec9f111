"""Why a price is what it is: every row, the one that holds, and what it makes of a call."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from domain.errors import BadValue
from pricing.book import book_of
from pricing.explain import explain
from pricing.load import shipped_names

NOW = datetime(2026, 11, 23, tzinfo=UTC)
RECORDED = "2026-11-01T00:00:00.000000Z"


def row(row_id: str, provider: str, model: str, canonical: str, **given: Any) -> dict[str, Any]:
    said = {"id": row_id, "provider": provider, "model": model, "canonical": canonical}
    return {**said, "recorded_at": RECORDED, "prices": {"input": "2", "output": "8"}, **given}


BOOK = book_of(
    [
        row("o1", "openai", "gpt-x", "gpt-x", source=["one", "two"], confidence="high"),
        row("o2", "openai", "gpt-x", "gpt-x", service_tier="flex", prices={"input": "1"}),
        row("o3", "openai", "gpt-x", "gpt-x", effective_to=RECORDED),
        {"name": {"provider": "openai", "model": "gpt-x-0101", "canonical": "gpt-x"}},
        row("n1", "nvidia", "m:free", "m", prices={"input": "0", "output": "0"}),
        row("g1", "groq", "m", "m", prices={"input": "3", "output": "3"}),
        row("f1", "fireworks", "m", "m", prices={"input": "2", "output": "2"}),
    ]
)


def explained(provider: str, model: str, **given: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"at": NOW, "context": {}, "reference": "same-provider-first"}
    return explain(
        BOOK, provider=provider, model=model, names=shipped_names(), **{**asked, **given}
    )


def used(answer: dict[str, Any]) -> list[str]:
    return [each["id"] for each in answer["rows"] if each["used"]]


def test_every_row_of_a_model_is_told_and_the_one_that_holds_is_marked() -> None:
    answer = explained("openai", "gpt-x")
    assert (answer["found_by"], answer["canonical"]) == ("exact id", "gpt-x")
    assert (answer["price_book"], answer["entries"]) == (BOOK.hash, 7)
    assert used(answer) == ["o1"]
    told = {each["id"]: each for each in answer["rows"]}
    assert told.keys() == {"o1", "o2", "o3"}
    assert (told["o1"]["source"], told["o1"]["confidence"]) == (["one", "two"], "high")
    assert told["o1"]["last_seen"] == RECORDED
    assert not told["o2"]["conditions_met"]
    assert not told["o3"]["in_force"]
    # (1000 × 2 + 1000 × 8) × 1e-6
    assert answer["rating"]["at_cost_usd"] == "0.01"


def test_a_service_class_and_an_instant_choose_other_rows() -> None:
    flex = explained("openai", "gpt-x", context={"service_tier": "flex"}, usage={"input_tokens": 5})
    assert used(flex) == ["o2"]
    assert flex["rating"]["at_cost_usd"] == "0.000005"
    # Until then the row that has ended was the latest entry.
    assert used(explained("openai", "gpt-x", at=datetime(2026, 10, 1, tzinfo=UTC))) == ["o3"]


def test_another_name_leads_to_the_rows_of_the_canonical_one() -> None:
    answer = explained("openai", "gpt-x-0101")
    assert answer["found_by"] == "canonical name"
    assert used(answer) == ["o1"]


def test_the_paid_versions_of_a_free_model_are_told_with_what_they_lost_by() -> None:
    answer = explained("nvidia", "m:free")
    assert used(answer) == ["n1"]
    assert answer["rows"][0]["free"]
    rating = answer["rating"]
    assert (rating["status"], rating["reference"]["provider"]) == ("free_model", "fireworks")
    lost = {each["provider"]: each["lost"] for each in rating["candidates"]}
    assert lost == {"fireworks": None, "groq": "higher"}


def test_a_model_without_a_row_is_unrated() -> None:
    answer = explained("openai", "nobody-knows")
    assert (answer["found_by"], answer["rows"]) == (None, [])
    assert answer["rating"]["status"] == "unrated"


def test_a_usage_that_cannot_be_is_refused() -> None:
    with pytest.raises(BadValue):
        explained("openai", "gpt-x", usage={"input_tokens": 1, "cached_input_tokens": 2})
    with pytest.raises(BadValue):
        explained("openai", "gpt-x", context={"service_teir": "flex"})
