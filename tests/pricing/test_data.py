"""The prices that travel with the program: every row sound, known figures right, faults absent."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest

from domain.money import PRICE_PLACES, text_of
from pricing.load import DATA, shipped_book, shipped_lines
from pricing.row import STANDARD, Row, row_of
from pricing.sources.refresh import BOOKS, name_of
from tests.pricing.build import NOON, rated

BOOK = shipped_book()
ENTRIES = [orjson.loads(line) for line in shipped_lines()]
ROWS = {entry["row"]["id"]: entry["row"] for entry in ENTRIES if "row" in entry}


def test_every_line_is_canonical_and_in_its_providers_file() -> None:
    for line, entry in zip(shipped_lines(), ENTRIES, strict=True):
        assert line == orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)


def test_every_book_that_was_ever_written_can_be_opened() -> None:
    """One that cannot has a line that was edited: put it back, and append a row instead."""
    names = (DATA / BOOKS).read_text("utf-8").splitlines()
    assert names == [name_of(BOOK.prefix(int(name.split()[0]))) for name in names]
    assert names[-1] == name_of(BOOK), f"rows were appended: add the line {name_of(BOOK)}"


def test_every_row_can_be_read_and_has_its_own_id() -> None:
    rows = [entry for entry in ENTRIES if "row" in entry]
    assert len(rows) == len(ROWS) > 600
    for entry in rows:
        row = row_of(entry["n"], entry["row"])
        assert row.recorded_at is not None
        assert "input" in row.prices
        assert "output" in row.prices


def test_every_model_has_a_name() -> None:
    for entry in ENTRIES:
        if "row" in entry:
            row = entry["row"]
            assert BOOK.canonical(row["provider"], row["model"]) == row["canonical"]
        if "name" in entry:
            name = entry["name"]
            found = BOOK.rows_of_key(name["canonical"])
            assert name["provider"] in {row.provider for row in found}, name


def test_marks_name_rows_that_exist() -> None:
    marks = [entry[kind] for entry in ENTRIES for kind in ("seen", "deprecated") if kind in entry]
    assert {mark["row"] for mark in marks} <= set(ROWS)


def standard(provider: str, model: str) -> Row:
    rows = [
        row
        for row in BOOK.rows_of(provider, model)
        if row.conditions == STANDARD and row.live(NOON)
    ]
    return max(rows, key=lambda row: row.n)


@pytest.mark.parametrize(
    ("provider", "model", "prices"),
    [
        ("openai", "gpt-4.1", {"input": "2", "cached_input": "0.5", "output": "8"}),
        ("openai", "gpt-4o-mini", {"input": "0.15", "cached_input": "0.075", "output": "0.6"}),
        ("openai", "gpt-4o-2024-05-13", {"input": "5", "output": "15"}),
        ("openai", "o3", {"input": "2", "cached_input": "0.5", "output": "8"}),
        ("openai", "gpt-audio", {"input_audio": "32", "output_audio": "64"}),
        (
            "anthropic",
            "claude-sonnet-4-5-20250929",
            {
                "input": "3",
                "cached_input": "0.3",
                "cache_write_5m": "3.75",
                "cache_write_1h": "6",
                "output": "15",
                "web_search_per_call": "0.01",
            },
        ),
        ("anthropic", "claude-sonnet-4-20250514", {"input": "3", "output": "15"}),
        ("anthropic", "claude-fable-5-1", {"cached_input": "0.25"}),
        ("sandbox", "sandbox/echo", {"input": "1", "cached_input": "0.1", "output": "4"}),
    ],
)
def test_known_figures(provider: str, model: str, prices: dict[str, str]) -> None:
    row = standard(provider, model)
    assert {name: text_of(row.prices[name]) for name in prices} == prices


@pytest.mark.parametrize("model", ["gpt-5.4", "gpt-5.4-2026-03-05"])
def test_long_context_and_tiers_of_gpt(model: str) -> None:
    (tier,) = standard("openai", model).tiers
    assert (tier.above, str(tier.prices["input"]), str(tier.prices["output"])) == (
        *(272_000, "5"),
        "22.5",
    )
    usage = {"input_tokens": 1_000_000, "output_tokens": 0}
    flex = rated(BOOK, usage, provider="openai", model=model, context={"service_tier": "flex"})
    assert str(flex.at_cost) == "2.5"
    fast = rated(BOOK, usage, provider="openai", model=model, context={"service_tier": "priority"})
    assert str(fast.at_cost) == "5"


def test_places_cost_more() -> None:
    usage = {"input_tokens": 1_000_000, "output_tokens": 0, "web_search_calls": 1}
    call: dict[str, Any] = {"provider": "anthropic", "model": "claude-opus-5"}
    assert str(rated(BOOK, usage, **call).at_cost) == "5.01"
    assert str(rated(BOOK, usage, **call, context={"inference_geo": "us"}).at_cost) == "5.51"
    assert str(rated(BOOK, usage, **call, context={"speed": "fast"}).at_cost) == "10.01"


def test_a_price_cut_holds_from_its_day() -> None:
    usage = {"input_tokens": 1_000, "output_tokens": 0}
    call: dict[str, Any] = {"provider": "openai", "model": "gpt-5.6-sol"}
    before = rated(BOOK, usage, **call, at="2026-08-20T23:59:59.999999Z")
    after = rated(BOOK, usage, **call, at="2026-08-21T00:00:00Z")
    assert (str(before.at_cost), str(after.at_cost)) == ("0.005", "0.004")


def test_known_faults_are_not_in() -> None:
    models = set(BOOK.models("openai"))
    assert not [model for model in models if "gpt-oss" in model or ":" in model or "ft-" in model]
    used = {"input_tokens": 10, "cached_input_tokens": 5, "output_tokens": 1}
    early = rated(BOOK, used, provider="openai", model="o3", at="2025-06-09T23:59:59Z")
    assert early.status == "unrated"


def test_no_price_has_float_noise() -> None:
    for data in ROWS.values():
        groups = [data["prices"], *data.get("tiers", ())]
        texts = [text for group in groups for text in group.values() if isinstance(text, str)]
        # Twelfths of a dollar recur; what a float leaves ends a run of noughts or nines.
        assert not [text for text in texts if re.search(r"\.\d*?(00000|99999)", text)], data["id"]
        assert all(len(text.partition(".")[2]) <= PRICE_PLACES for text in texts), data["id"]


def test_sandbox_models() -> None:
    used = {"input_tokens": 10, "output_tokens": 10}
    statuses = {
        model: rated(BOOK, used, provider="sandbox", model=f"sandbox/{model}").status
        for model in ("echo", "slow", "cut", "silent", "echo-free", "unpriced")
    }
    assert statuses == {
        **dict.fromkeys(("echo", "slow", "cut", "silent"), "priced"),
        "echo-free": "free_model",
        "unpriced": "unrated",
    }


def test_no_real_model_is_ever_charged_by_sandbox() -> None:
    owners = {row.provider for row in BOOK.rows_of_key("sandbox/echo")}
    assert owners == {"sandbox"}


def test_an_unknown_snapshot_is_charged_as_the_undated_id() -> None:
    dated = re.compile(r"20\d{2}-?\d{2}-?\d{2}")
    for provider in ("openai", "anthropic"):
        models = BOOK.models(provider)
        for canonical in {BOOK.canonical(provider, model) or "" for model in models}:
            rows = BOOK.rows_of_key(canonical)
            ids = {row.model for row in rows if row.provider == provider}
            undated = {model for model in ids if not dated.search(model)}
            stands = min(ids, key=lambda model: (len(model), model))
            assert not undated or stands in undated, canonical
