"""The tables about the book, and how well names do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pricing.sources.__main__ import main
from pricing.sources.gold import agreement, names_table
from pricing.sources.offer import Listed, Offer
from pricing.sources.tables import coverage_table, free_models, free_table
from tests.pricing.build import NOON, book, row
from tests.pricing.sources.build import offer, terms


def free(provider: str, model: str) -> dict[str, Any]:
    return row(provider, model, prices={"input": "0", "output": "0"}, effective_from="2026-01-01")


def paid(provider: str, model: str) -> dict[str, Any]:
    return row(provider, model, effective_from="2026-01-01")


BOOK = book(
    free("openrouter", "a/glm-5:free"),
    paid("openrouter", "a/glm-5"),
    free("nvidia", "b/kimi-k3"),
    paid("together", "c/kimi-k3"),
    free("nvidia", "b/lonely"),
    free("nvidia", "b/dated"),
    paid("openrouter", "d/dated-latest"),
)


def test_whose_price_a_free_model_is_charged_by() -> None:
    lonely = offer("one", terms(input="0", output="0"), provider="nvidia", model="b/lonely")
    lonely.as_of = "2026-10-01"
    found = free_models(BOOK, [Listed("one", [lonely])], NOON)
    assert [(each.model, each.paid_at, each.served) for each in found] == [
        ("a/glm-5:free", "openrouter", False),
        ("b/dated", None, False),
        ("b/kimi-k3", "together", False),
        ("b/lonely", None, True),
    ]


def test_free_models_by_provider() -> None:
    table = list(free_table(free_models(BOOK, [], NOON)))
    assert "| openrouter | 1 | 1 | 0 | 0 |" in table
    assert "| nvidia | 3 | 0 | 1 | 2 |" in table
    assert "| all | 4 | 1 | 1 | 2 |" in table
    assert "| nvidia b/lonely | no | nobody sells it |" in table


def test_coverage_beside_what_a_source_lists() -> None:
    priced = Offer("nvidia", "b/kimi-k3", "one 1")
    unknown = Offer("nvidia", "b/unheard", "one 1")
    for each in (priced, unknown):
        each.standard.prices.update(terms(input="1", output="2").prices)
    bare = book(
        free("nvidia", "b/kimi-k3"), {"name": {"provider": "x", "model": "y", "canonical": "z"}}
    )
    table = list(coverage_table(bare, [Listed("one 1", [priced, unknown])], NOON))
    assert table[0].endswith("| one 1 |")
    (line,) = [each for each in table if each.startswith("| nvidia ")]
    assert line == "| nvidia | 0 / 1 / 0 | 1 | 2 / 0 / 0 |"


def test_agreement_counts_pairs() -> None:
    rows = [("a1", "a"), ("a2", "a"), ("b1", "a"), ("b2", "b"), ("c1", "c")]
    found = agreement(rows, lambda model: model[0])
    # Pairs by key: a1 a2, b1 b2. By gold: a1 a2, a1 b1, a2 b1. Both: a1 a2.
    assert (found.ids, found.both, found.rules_only, found.gold_only) == (5, 1, 1, 2)
    assert str(found) == "5 | 1 | 0.500 | 0.333"


def test_names_of_our_providers_and_of_others(tmp_path: Path) -> None:
    path = tmp_path / "api.json"
    path.write_text(
        json.dumps(
            {
                "openai": {"models": {"m": _record("gpt-x", "o/gpt-x")}},
                "anthropic": {"models": {"m": _record("gpt-x-20260101", "o/gpt-x-20260101")}},
                "elsewhere": {"models": {"m": _record("gpt-x", "o/gpt-x")}},
            }
        )
    )
    table = list(names_table(path, lambda model: model.removesuffix("-20260101")))
    assert "| our providers | 2 | 1 | 1.000 | 1.000 |" in table
    assert "| others | 1 | 0 | 0.000 | 0.000 |" in table


def _record(model: str, gold: str) -> dict[str, Any]:
    return {"id": model, "canonical_model_id": gold, "modalities": {"output": ["text"]}}


@pytest.mark.parametrize("table", ["coverage", "free"])
def test_the_command_prints_a_table_of_the_shipped_book(
    table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([table, "--at", "2026-11-23"]) == 0
    assert "| openrouter |" in capsys.readouterr().out
