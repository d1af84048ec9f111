"""From providers' usage objects to units: the rules of PROVIDERS.md 1.2, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from api.providers.catalogue import NORMALISERS, PROVIDERS
from api.providers.chat_completions.usage import normalise_chat_usage
from api.providers.chunks import openai_usage
from api.providers.messages.usage import merged_usage, normalise_messages_usage
from domain.usage import check_usage


def chat(
    p: int, c: int, t: int | None = None, r: int | None = None, **details: Any
) -> dict[str, Any]:
    return {
        "prompt_tokens": p,
        "completion_tokens": c,
        "total_tokens": p + c if t is None else t,
        "prompt_tokens_details": details,
        "completion_tokens_details": {"reasoning_tokens": r},
    }


@pytest.mark.parametrize(
    ("raw", "model", "output", "anomalies"),
    [
        (chat(10, 20), "gpt-5.6", 20, []),
        (chat(35, 12, 109), "gemini-3-flash", 74, ["output_from_total"]),
        (chat(9, 2, 36, 25), "x/other", 27, ["output_from_total"]),
        (chat(10, 20, 40), "gpt-5.6", 20, ["total_exceeds_sum"]),
        (chat(10, 10, 20, 11), "minimax-m2", 10, ["reasoning_exceeds_output"]),
        (chat(10, 20, 29), "gpt-5.6", 20, []),
    ],
)
def test_what_the_output_is(
    raw: dict[str, Any], model: str, output: int, anomalies: list[str]
) -> None:
    found = normalise_chat_usage(raw, model)
    assert found.usage["output_tokens"] == output
    assert found.anomalies == anomalies
    assert found.final
    check_usage(found.usage)


def test_reasoning_is_added_only_where_the_row_says_so() -> None:
    raw = chat(9, 2, 11, 25)
    assert normalise_chat_usage(raw).usage["output_tokens"] == 2
    found = normalise_chat_usage(raw, excludes_reasoning=True)
    assert found.usage["output_tokens"] == 27
    assert found.provenance["output_tokens"] == "derived"


def test_cached_counts_above_the_prompt_are_clamped() -> None:
    found = normalise_chat_usage(chat(7, 5, cached_tokens=161))
    assert found.usage["cached_input_tokens"] == 7
    assert found.provenance["cached_input_tokens"] == "derived"
    assert found.anomalies == ["cached_exceeds_input"]


def test_reads_and_writes_that_overlap_are_never_both_counted() -> None:
    found = normalise_chat_usage(chat(2168, 5, cached_tokens=2161, cache_write_tokens=2161))
    assert found.usage["cached_input_tokens"] == 2161
    assert found.usage["cache_write_tokens"] == 7
    check_usage(found.usage)


def test_cache_writes_keep_the_lifetime_that_was_told() -> None:
    details: dict[str, Any] = {
        "cache_write_tokens": 100,
        "cache_write_tokens_details": {"ttl_1h_tokens": 60},
    }
    found = normalise_chat_usage(chat(200, 5, **details))
    assert found.usage["cache_write_1h_tokens"] == 60
    assert found.usage["cache_write_tokens"] == 40
    assert "cache_write_5m_tokens" not in found.usage


def test_audio_is_the_uncached_part() -> None:
    found = normalise_chat_usage(
        chat(
            500,
            5,
            cached_tokens=120,
            audio_tokens=200,
            cached_tokens_details={"audio_tokens": 80},
        )
    )
    assert found.usage["cached_audio_tokens"] == 80
    assert found.usage["input_audio_tokens"] == 120
    check_usage(found.usage)


def test_absent_and_null_stay_absent_and_zero_stays_zero() -> None:
    found = normalise_chat_usage({"prompt_tokens": 3, "completion_tokens": 0})
    assert found.usage == {"input_tokens": 3, "output_tokens": 0}
    found = normalise_chat_usage(
        {"prompt_tokens": 3, "completion_tokens": None, "prompt_tokens_details": None}
    )
    assert found.usage == {"input_tokens": 3}
    assert not found.final


@pytest.mark.parametrize("value", [-1, "12", True, 1.5, 10**13, [1]])
def test_what_is_not_a_count_is_named_and_left_out(value: object) -> None:
    found = normalise_chat_usage({"prompt_tokens": value, "completion_tokens": 1})
    assert found.usage == {"output_tokens": 1}
    assert found.anomalies == ["not_a_count:prompt_tokens"]


def test_a_whole_float_is_a_count() -> None:
    assert normalise_chat_usage({"prompt_tokens": 12.0}).usage == {"input_tokens": 12}


def message(**more: Any) -> dict[str, Any]:
    return {"input_tokens": 6, "output_tokens": 10, **more}


def test_anthropic_s_cache_counts_stand_beside_the_input() -> None:
    raw = message(
        cache_read_input_tokens=2000,
        cache_creation_input_tokens=600,
        cache_creation={"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 500},
    )
    found = normalise_messages_usage(raw, "claude-sonnet-5")
    assert found.usage == {
        "input_tokens": 2606,
        "cached_input_tokens": 2000,
        "cache_write_5m_tokens": 100,
        "cache_write_1h_tokens": 500,
        "cache_write_tokens": 0,
        "output_tokens": 10,
    }
    assert found.provenance["input_tokens"] == "derived"
    check_usage(found.usage)


def test_writes_without_a_split_are_of_unknown_kind() -> None:
    found = normalise_messages_usage(message(cache_creation_input_tokens=600))
    assert found.usage["cache_write_tokens"] == 600
    assert "cache_write_5m_tokens" not in found.usage
    assert found.anomalies == []


def test_a_rest_of_the_split_is_of_unknown_kind_and_named() -> None:
    raw = message(
        cache_creation_input_tokens=600, cache_creation={"ephemeral_5m_input_tokens": 100}
    )
    found = normalise_messages_usage(raw)
    assert found.usage["cache_write_tokens"] == 500
    assert found.usage["input_tokens"] == 606
    assert found.anomalies == ["cache_write_kind_not_told"]


def test_a_split_above_its_total_is_believed() -> None:
    raw = message(cache_creation_input_tokens=50, cache_creation={"ephemeral_5m_input_tokens": 100})
    found = normalise_messages_usage(raw)
    assert found.usage["input_tokens"] == 106
    assert found.anomalies == ["cache_write_split_exceeds_total"]
    check_usage(found.usage)


def test_parts_without_their_whole_are_left_out() -> None:
    found = normalise_messages_usage({"output_tokens": 3, "cache_read_input_tokens": 100})
    assert found.usage == {"output_tokens": 3}
    assert found.anomalies == ["uncached_input_missing"]


@pytest.mark.parametrize(
    ("raw", "context"),
    [
        ({"service_tier": "standard", "speed": "standard"}, {}),
        (
            {"service_tier": "priority", "speed": "fast"},
            {"service_tier": "priority", "speed": "fast"},
        ),
        ({"service_tier": "batch"}, {"batch": True}),
        ({"inference_geo": "us"}, {"inference_geo": "us"}),
        ({"inference_geo": "not_available", "service_tier": None}, {}),
    ],
)
def test_what_selects_the_price(raw: dict[str, Any], context: dict[str, Any]) -> None:
    assert normalise_messages_usage(message(**raw)).context == context


def test_searches_count_only_when_they_happened() -> None:
    raw = message(server_tool_use={"web_search_requests": 0, "web_fetch_requests": 3})
    assert normalise_messages_usage(raw).usage["web_search_calls"] == 0
    assert "web_search_calls" not in normalise_messages_usage(message()).usage


def iteration(kind: str, i: int, o: int, **more: Any) -> dict[str, Any]:
    return {"type": kind, "input_tokens": i, "output_tokens": o, **more}


def test_iterations_of_the_same_model_that_add_up_are_one() -> None:
    raw = message(iterations=[iteration("message", 2, 4), iteration("compaction", 4, 6)])
    assert normalise_messages_usage(raw, "m").parts == []


def test_iterations_that_the_total_leaves_out_are_parts() -> None:
    raw = message(
        server_tool_use={"web_search_requests": 1},
        iterations=[
            iteration("message", 6, 10, cache_read_input_tokens=0),
            iteration("compaction", 100, 50),
            iteration("advisor_message", 80, 90, model="claude-opus-4-7"),
        ],
    )
    found = normalise_messages_usage(raw, "claude-sonnet-4-6")
    assert found.usage["input_tokens"] == 6
    assert [(part["model"], part["usage"]["input_tokens"]) for part in found.parts] == [
        ("claude-sonnet-4-6", 106),
        ("claude-opus-4-7", 80),
    ]
    assert found.parts[0]["usage"]["web_search_calls"] == 1
    assert found.anomalies == ["iterations_outside_total"]


def test_later_words_of_a_stream_count_but_a_late_zero_does_not() -> None:
    start = {"input_tokens": 0, "cache_read_input_tokens": 7, "a": {"x": 1, "y": 2}}
    delta = {"input_tokens": 40, "cache_read_input_tokens": 0, "output_tokens": 5, "a": {"x": 3}}
    assert merged_usage(start, delta) == {
        "input_tokens": 40,
        "cache_read_input_tokens": 7,
        "output_tokens": 5,
        "a": {"x": 3, "y": 2},
    }
    assert merged_usage(start, {"input_tokens": None}) == start


def test_the_answer_s_usage_is_in_openai_s_meaning() -> None:
    usage = {
        "input_tokens": 2606,
        "cached_input_tokens": 2000,
        "cache_write_5m_tokens": 100,
        "cache_write_1h_tokens": 500,
        "output_tokens": 10,
        "reasoning_tokens": 4,
    }
    assert openai_usage(usage) == {
        "prompt_tokens": 2606,
        "completion_tokens": 10,
        "total_tokens": 2616,
        "prompt_tokens_details": {"cached_tokens": 2000, "cache_write_tokens": 600},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }


def test_what_nobody_told_is_left_out_of_the_answer_s_usage() -> None:
    usage = {"input_tokens": 9, "output_tokens": 4}
    told = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
    assert openai_usage(usage) == told
    assert openai_usage(usage, cached=0) == {**told, "prompt_tokens_details": {"cached_tokens": 0}}


def test_flavours_can_be_normalised_by_name() -> None:
    spoken = {row.dialect.name for row in PROVIDERS.values() if row.dialect is not None}
    assert spoken <= set(NORMALISERS)
    assert {"openai.chat", "openai.responses", "anthropic.messages"} <= spoken
    assert NORMALISERS["openai.chat"](chat(1, 2)).usage["output_tokens"] == 2
    assert NORMALISERS["anthropic.messages"](message(), "m").usage["input_tokens"] == 6
