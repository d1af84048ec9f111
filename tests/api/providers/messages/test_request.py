"""OpenAI's request as Anthropic's, field by field."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.providers.asked import NEUTRAL
from api.providers.messages.dialect import Messages
from api.providers.messages.request import HARMLESS, TRANSLATED
from api.providers.port import UnsupportedParameter
from tests.api.providers.messages.calls import (
    ANCIENT,
    HI,
    OLD,
    SONNET,
    TOOL,
    assistant,
    call,
    refused,
    sent,
)


def test_the_headers_that_anthropic_asks_for() -> None:
    request = Messages().request(call(SONNET), {"apiKey": "sk-ant-x"}, "https://a.test/")
    assert request.url == "https://a.test/v1/messages"
    assert request.headers["x-api-key"] == "sk-ant-x"
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in request.headers
    assert "anthropic-beta" not in request.headers


def test_cache_marks_pass_through() -> None:
    mark = {"type": "ephemeral", "ttl": "1h"}
    body = sent(
        messages=[
            {"role": "system", "content": "One.", "cache_control": mark},
            {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": mark}]},
        ],
        tools=[{**TOOL, "cache_control": mark}],
        cache_control=mark,
    )
    assert body["system"][0]["cache_control"] == mark
    assert body["messages"][0]["content"][0]["cache_control"] == mark
    assert body["tools"][0]["cache_control"] == mark
    assert body["cache_control"] == mark


def test_tools() -> None:
    strict = {"name": "s", "strict": True, "parameters": {"properties": {"a": {"minimum": 1}}}}
    body = sent(tools=[{"type": "function", "function": {"name": "p"}}, {"function": strict}])
    assert body["tools"][0] == {"name": "p", "input_schema": {"type": "object"}}
    assert body["tools"][1]["input_schema"] == {
        "type": "object",
        "properties": {"a": {"description": "{minimum: 1}"}},
        "additionalProperties": False,
    }
    assert refused(tools=[{"type": "custom", "custom": {"name": "x"}}]) == "tools.0"


@pytest.mark.parametrize(
    ("choice", "alone", "found"),
    [
        ("auto", None, {"type": "auto"}),
        ("required", None, {"type": "any"}),
        ("none", False, {"type": "none"}),
        (
            {"type": "function", "function": {"name": "paint"}},
            None,
            {"type": "tool", "name": "paint"},
        ),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        (None, True, None),
    ],
)
def test_tool_choice(choice: Any, alone: bool | None, found: Any) -> None:
    body = sent(tools=[TOOL], tool_choice=choice, parallel_tool_calls=alone)
    assert body.get("tool_choice") == found


def test_a_tool_is_not_forced_where_the_model_refuses_it() -> None:
    forced = {"tools": [TOOL], "tool_choice": "required"}
    assert refused("claude-opus-5-5", **forced) == "tool_choice"
    assert refused(SONNET, **forced, reasoning_effort="low") == "tool_choice"
    assert sent("claude-opus-5", **forced)["tool_choice"] == {"type": "any"}
    assert refused(tools=[TOOL], tool_choice={"type": "allowed_tools"}) == "tool_choice"


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("claude-sonnet-5-5", 128_000),
        ("claude-opus-4-5-20251101", 64_000),
        ("claude-opus-4-1-20250805", 32_000),
        ("claude-opus-4-20250514", 32_000),
        ("claude-sonnet-4-20250514", 64_000),
        ("claude-3-7-sonnet-20250219", 64_000),
        ("claude-3-5-sonnet-20241022", 8_192),
        ("claude-3-opus-20240229", 4_096),
        ("claude-haiku-4-5", 64_000),
        ("anthropic/claude-haiku-4.5", 64_000),
        ("something-new", 4_096),
    ],
)
def test_the_token_limit_is_always_sent(model: str, limit: int) -> None:
    assert sent(model)["max_tokens"] == limit
    assert sent(model, max_tokens=5)["max_tokens"] == 5
    assert sent(model, max_completion_tokens=7)["max_tokens"] == 7


def test_effort_where_the_model_adapts() -> None:
    body = sent(reasoning_effort="minimal")
    assert body["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert body["output_config"] == {"effort": "low"}
    assert sent(reasoning_effort="max")["output_config"] == {"effort": "max"}
    assert sent(reasoning_effort="none")["thinking"] == {"type": "disabled"}


def test_effort_where_the_model_has_a_budget() -> None:
    body = sent(OLD, reasoning_effort="high")
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 4096}
    assert sent(OLD, reasoning_effort="high", max_tokens=4096)["thinking"]["budget_tokens"] == 4095
    assert sent(OLD, reasoning_effort="high", max_tokens=1025)["thinking"]["budget_tokens"] == 1024
    assert refused(OLD, reasoning_effort="high", max_tokens=1024) == "reasoning_effort"


def test_effort_where_the_model_does_not_think() -> None:
    assert refused(ANCIENT, reasoning_effort="low") == "reasoning_effort"
    assert "thinking" not in sent(ANCIENT, reasoning_effort="none")
    assert refused(reasoning_effort="heroic") == "reasoning_effort"


def test_a_budget_model_whose_thoughts_were_dropped_answers_without() -> None:
    history = [*HI, assistant("x"), {"role": "tool", "tool_call_id": "call_x", "content": "1"}]
    assert "thinking" not in sent(OLD, messages=history, reasoning_effort="low")
    history[1] = assistant("x", reasoning_details=[{"text": "Hm", "signature": "c2ln"}])
    assert "thinking" in sent(OLD, messages=history, reasoning_effort="low")


@pytest.mark.parametrize("model", ["claude-sonnet-5", "claude-opus-4-7", "claude-mythos-5"])
def test_sampling_is_refused_where_the_model_refuses_it(model: str) -> None:
    assert refused(model, temperature=0) == "temperature"
    assert refused(model, top_p=0.5) == "top_p"
    assert refused(model, top_k=5) == "top_k"
    assert "temperature" not in sent(model, temperature=1, top_p=1)


def test_sampling_elsewhere() -> None:
    assert (
        sent(SONNET, temperature=0.5, top_p=0.9, top_k=3).items()
        >= {
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 3,
        }.items()
    )
    assert refused(SONNET, temperature=1.1) == "temperature"
    assert refused(SONNET, temperature=0.5, reasoning_effort="low") == "temperature"


SCHEMA = {
    "type": "object",
    "properties": {"a": {"oneOf": [{"type": "string", "pattern": "x"}, {"type": "null"}]}},
    "$defs": {"d": {"type": "object", "properties": {}, "description": "D", "minProperties": 1}},
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": SCHEMA}}


def test_a_schema_for_the_answer() -> None:
    body = sent(response_format=FORMAT, reasoning_effort="low")
    assert body["output_config"]["effort"] == "low"
    assert body["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {
                "a": {
                    "anyOf": [{"type": "string", "description": "{pattern: x}"}, {"type": "null"}]
                }
            },
            "$defs": {
                "d": {
                    "type": "object",
                    "properties": {},
                    "description": "D\n\n{minProperties: 1}",
                    "additionalProperties": False,
                }
            },
            "additionalProperties": False,
        },
    }
    assert "additionalProperties" not in SCHEMA


def test_a_schema_on_a_model_that_knows_none() -> None:
    body = sent(ANCIENT, response_format=FORMAT)
    assert body["tool_choice"]["name"] == body["tools"][0]["name"] == "answer_as_json"
    assert refused(ANCIENT, response_format=FORMAT, tools=[TOOL]) == "response_format"


def test_json_without_a_schema_is_asked_for_in_words() -> None:
    assert "JSON" in sent(response_format={"type": "json_object"})["system"]
    assert "system" not in sent(response_format={"type": "text"})
    assert refused(response_format={"type": "xml"}) == "response_format"
    assert refused(response_format={"type": "json_schema"}) == "response_format"


def test_a_schema_without_end_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(100):
        schema = {"items": schema}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    assert refused(response_format=wanted) == "response_format"


def test_stops() -> None:
    assert sent(stop="END")["stop_sequences"] == ["END"]
    assert sent(stop=["END", " \n"])["stop_sequences"] == ["END"]
    assert "stop_sequences" not in sent(stop=["\n"])


def test_the_user_is_named_without_an_address() -> None:
    assert sent(user="u1")["metadata"] == {"user_id": "u1"}
    assert sent(user="u1", safety_identifier="s1")["metadata"] == {"user_id": "s1"}
    hashed = sent(user="ann@example.org")["metadata"]["user_id"]
    assert "@" not in hashed
    assert len(hashed) == 64
    assert sent(user="x" * 300)["metadata"]["user_id"] != "x" * 300


def test_service_tiers() -> None:
    assert sent(service_tier="auto")["service_tier"] == "auto"
    assert sent(service_tier="default")["service_tier"] == "standard_only"
    assert refused(service_tier="flex") == "service_tier"


def test_stream_is_asked_for_and_its_options_are_not_sent() -> None:
    body = sent(stream=True, stream_options={"include_usage": True})
    assert body["stream"] is True
    assert "stream_options" not in body
    assert "stream" not in sent()


@pytest.mark.parametrize("name", sorted(HARMLESS))
def test_what_is_harmless_is_dropped(name: str) -> None:
    body: dict[str, Any] = {name: {"a": "b"}}
    assert name not in sent(**body)


@pytest.mark.parametrize("name", sorted(NEUTRAL.keys() - TRANSLATED))
def test_what_asks_for_nothing_is_dropped(name: str) -> None:
    for value in (*NEUTRAL[name], None):
        assert name not in sent(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("n", 2), ("logprobs", True), ("top_logprobs", 3), ("logit_bias", {"1": 5})),
        *(("frequency_penalty", 0.5), ("presence_penalty", -1), ("modalities", ["audio"])),
        *(("audio", {"voice": "a"}), ("verbosity", "low"), ("web_search_options", {})),
        *(("functions", [{}]), ("function_call", "auto"), ("made_up", 1)),
    ],
)
def test_what_would_change_the_answer_is_refused_by_name(name: str, value: Any) -> None:
    assert refused(**{name: value}) == name


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "type", "text", "tool_calls", "function", "name", "a"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
_FIELDS = (
    *("messages", "tools", "tool_choice", "stop", "response_format", "reasoning_effort", "user"),
    *("service_tier", "max_tokens", "temperature", "parallel_tool_calls", "thinking", "n"),
)


@settings(max_examples=300, deadline=None)
@given(body=st.dictionaries(st.sampled_from(_FIELDS), _JSON, max_size=4), roles=st.booleans())
def test_nonsense_is_refused_and_never_a_crash(body: dict[str, Any], roles: bool) -> None:
    if roles:
        body["messages"] = [
            {"role": role, "content": body.get("messages"), "tool_calls": body.get("tools")}
            for role in ("user", "assistant", "tool")
        ]
    try:
        sent(**body)
    except UnsupportedParameter as error:
        assert error.param  # noqa: PT017
