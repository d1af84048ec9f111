"""A chat completion's request as one for Responses, field by field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.providers.asked import NEUTRAL
from api.providers.port import UnsupportedParameter
from api.providers.responses.dialect import Responses
from api.providers.responses.request import AS_THEY_ARE, HARMLESS, TRANSLATED
from tests.api.providers.responses.calls import (
    HI,
    MODEL,
    TOOL,
    assert_known_to_openai,
    call,
    refused,
    sent,
)

CASES = Path(__file__).parents[3] / "golden" / "dialects"


@pytest.mark.parametrize(
    "expected", sorted(CASES.glob("*-responses/*/expect.json")), ids=lambda path: path.parent.name
)
def test_what_the_cases_send_is_known_to_openai(expected: Path) -> None:
    assert_known_to_openai(json.loads(expected.read_text())["request"])


def test_the_envelope() -> None:
    request = Responses().request(call(), {"apiKey": "sk-x"}, "https://a.test/v1/")
    assert request.url == "https://a.test/v1/responses"
    assert request.headers["authorization"] == "Bearer sk-x"
    assert request.headers["accept"] == "application/json"
    streamed = Responses().request(call(stream=True), {"apiKey": "sk-x"}, "https://a.test/v1")
    assert streamed.headers["accept"] == "text/event-stream"


def test_the_least_request() -> None:
    # Kept nowhere unless the client asks for it: that is what chat completions do.
    assert sent() == {"model": MODEL, "input": HI, "store": False}
    assert sent(store=True)["store"] is True


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("temperature", 0), ("top_p", 0.5), ("parallel_tool_calls", False), ("user", "u")),
        *(("metadata", {"a": "b"}), ("service_tier", "flex"), ("safety_identifier", "s")),
        *(("prompt_cache_key", "k"), ("prompt_cache_retention", "24h"), ("truncation", "auto")),
        *(("prompt_cache_options", {"mode": "explicit"}), ("max_tool_calls", 3)),
        ("moderation", {"model": "omni-moderation-latest"}),
    ],
)
def test_what_has_the_same_name(name: str, value: Any) -> None:
    body = sent(**{name: value})
    assert body[name] == value
    assert name in AS_THEY_ARE
    assert_known_to_openai(body)


def test_the_token_limit() -> None:
    assert sent(max_tokens=20)["max_output_tokens"] == 20
    assert sent(max_completion_tokens=30, max_tokens=20)["max_output_tokens"] == 30
    assert "max_output_tokens" not in sent()


def test_effort_and_thoughts() -> None:
    body = sent(reasoning_effort="low")
    assert body["reasoning"] == {"effort": "low"}
    assert body["include"] == ["reasoning.encrypted_content"]
    both = sent(reasoning_effort="high", reasoning={"summary": "auto", "effort": "low"})
    assert both["reasoning"] == {"summary": "auto", "effort": "high"}
    # Whether a model reasons at all is not known: one that does not would refuse the ask.
    assert "include" not in sent()
    none = sent(reasoning_effort="none")
    assert none["reasoning"] == {"effort": "none"}
    assert "include" not in none
    assert refused(reasoning={"max_tokens": 5}) == "reasoning"
    assert refused(reasoning="much") == "reasoning"


def test_likelihoods() -> None:
    body = sent(logprobs=True, top_logprobs=3)
    assert body["include"] == ["message.output_text.logprobs"]
    assert body["top_logprobs"] == 3
    assert "top_logprobs" not in sent(logprobs=True)
    assert "include" not in sent(logprobs=False, top_logprobs=0)
    assert refused(top_logprobs=3) == "top_logprobs"


def test_tools_are_flat_and_strict_only_when_asked() -> None:
    given = {"name": "a", "description": "A.", "parameters": {"type": "object"}, "strict": True}
    body = sent(tools=[{"type": "function", "function": given}, {"function": {"name": "b"}}])
    assert body["tools"] == [
        {"type": "function", **given},
        {
            "type": "function",
            "name": "b",
            "parameters": {"type": "object", "properties": {}},
            "strict": False,
        },
    ]
    assert_known_to_openai(body)


def test_custom_tools() -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /x/"}}
    body = sent(
        tools=[
            {"type": "custom", "custom": {"name": "a", "format": grammar}},
            {"type": "custom", "custom": {"name": "b", "format": {"type": "text"}}},
        ]
    )
    assert body["tools"] == [
        {
            "type": "custom",
            "name": "a",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: /x/"},
        },
        {"type": "custom", "name": "b", "format": {"type": "text"}},
    ]
    assert_known_to_openai(body)


@pytest.mark.parametrize(
    "tool",
    [
        *(None, {}, {"type": "function"}, {"type": "function", "function": {}}),
        *({"type": "mcp", "mcp": {"name": "a"}}, {"type": "image_generation"}),
    ],
)
def test_a_tool_that_is_none(tool: Any) -> None:
    assert refused(tools=[TOOL, tool]) == "tools.1"


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        *(("auto", "auto"), ("none", "none"), ("required", "required")),
        (
            {"type": "function", "function": {"name": "paint"}},
            {"type": "function", "name": "paint"},
        ),
        ({"type": "custom", "custom": {"name": "x"}}, {"type": "custom", "name": "x"}),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "paint"}}],
                },
            },
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "paint"}],
            },
        ),
    ],
)
def test_tool_choice(choice: Any, found: Any) -> None:
    body = sent(tools=[TOOL], tool_choice=choice)
    assert body["tool_choice"] == found
    assert_known_to_openai(body)


@pytest.mark.parametrize(
    "choice",
    [
        *("some", 5, {"type": "function"}, {"type": "function", "function": {}}, {"type": "mcp"}),
        {"type": "allowed_tools", "allowed_tools": {"tools": [{"type": "x"}]}},
    ],
)
def test_a_tool_choice_that_is_none(choice: Any) -> None:
    assert refused(tools=[TOOL], tool_choice=choice) == "tool_choice"


def test_web_search() -> None:
    near = {"city": "Delft", "country": "NL"}
    options = {
        "search_context_size": "low",
        "user_location": {"type": "approximate", "approximate": {**near, "street": "x"}},
    }
    body = sent(web_search_options=options, tools=[TOOL])
    assert body["tools"][1] == {
        "type": "web_search",
        "search_context_size": "low",
        "user_location": {"type": "approximate", **near},
    }
    assert_known_to_openai(body)
    assert sent(web_search_options={})["tools"] == [{"type": "web_search"}]
    assert refused(web_search_options=True) == "web_search_options"


def test_the_form_of_the_answer() -> None:
    inner = {"name": "n", "description": "d", "schema": {"type": "object"}, "strict": True}
    body = sent(response_format={"type": "json_schema", "json_schema": inner}, verbosity="low")
    assert body["text"] == {"format": {"type": "json_schema", **inner}, "verbosity": "low"}
    assert_known_to_openai(body)
    assert sent(response_format={"type": "json_object"})["text"] == {
        "format": {"type": "json_object"}
    }
    assert "text" not in sent(response_format={"type": "text"})
    for wrong in ({"type": "grammar"}, "json", {"type": "json_schema"}, {}):
        assert refused(response_format=wrong) == "response_format"


def test_streams_tell_their_usage_unasked() -> None:
    body = sent(stream=True, stream_options={"include_usage": True})
    assert body["stream"] is True
    assert "stream_options" not in body
    options = {"include_usage": True, "include_obfuscation": False}
    body = sent(stream=True, stream_options=options)
    assert body["stream_options"] == {"include_obfuscation": False}
    assert_known_to_openai(body)
    assert "stream_options" not in sent(stream_options=options)


@pytest.mark.parametrize("name", sorted(HARMLESS))
def test_what_is_harmless_is_dropped(name: str) -> None:
    assert sent(**{name: {"a": "b"}}) == sent()


@pytest.mark.parametrize("name", sorted(NEUTRAL.keys() - TRANSLATED))
def test_what_asks_for_nothing_is_dropped(name: str) -> None:
    for value in (*NEUTRAL[name], None):
        assert sent(**{name: value}) == sent()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("n", 2), ("stop", "END"), ("stop", ["a"]), ("logit_bias", {"1": 5})),
        *(("frequency_penalty", 0.5), ("presence_penalty", -1), ("modalities", ["audio"])),
        *(("audio", {"voice": "a"}), ("functions", [{}]), ("function_call", "auto")),
        *(("background", True), ("conversation", "c"), ("previous_response_id", "r")),
        *(("top_k", 4), ("made_up", 1)),
    ],
)
def test_what_would_change_the_answer_is_refused_by_name(name: str, value: Any) -> None:
    assert refused(**{name: value}) == name


_TEXT = st.text(min_size=1, max_size=5)
_PARTS = st.lists(
    st.one_of(
        _TEXT.map(lambda text: {"type": "text", "text": text}),
        _TEXT.map(lambda text: {"type": "image_url", "image_url": {"url": text}}),
        _TEXT.map(lambda text: {"type": "file", "file": {"file_id": text, "filename": "a"}}),
    ),
    max_size=3,
)
_CALLS = st.lists(
    st.one_of(
        _TEXT.map(lambda x: {"id": x, "type": "function", "function": {"name": x}}),
        _TEXT.map(lambda x: {"id": x, "type": "custom", "custom": {"name": x, "input": x}}),
    ),
    max_size=2,
)
_MESSAGES = st.lists(
    st.one_of(
        st.builds(
            lambda role, content: {"role": role, "content": content},
            st.sampled_from(["system", "developer", "user"]),
            _TEXT | _PARTS,
        ),
        st.builds(
            lambda text, calls: {"role": "assistant", "content": text, "tool_calls": calls},
            _TEXT | st.none(),
            _CALLS,
        ),
        st.builds(
            lambda call_id, content: {"role": "tool", "tool_call_id": call_id, "content": content},
            _TEXT,
            _TEXT | _PARTS,
        ),
    ),
    max_size=5,
)
_GOOD = st.fixed_dictionaries(
    {"messages": _MESSAGES},
    optional={
        "stream": st.booleans(),
        "stream_options": st.just({"include_usage": True}),
        "max_tokens": st.integers(16, 99),
        "reasoning_effort": st.sampled_from(["none", "minimal", "low", "xhigh", "max"]),
        "verbosity": st.sampled_from(["low", "high"]),
        "service_tier": st.sampled_from(["auto", "default", "flex", "priority", "fast"]),
        "logprobs": st.just(True),
        "tools": st.just([TOOL]),
        "tool_choice": st.sampled_from(["auto", "none", "required"]),
        "seed": st.integers(),
        "response_format": st.sampled_from([{"type": "text"}, {"type": "json_object"}]),
        "web_search_options": st.just({"search_context_size": "high"}),
    },
)


@settings(max_examples=150, deadline=None)
@given(body=_GOOD)
def test_whatever_is_sent_is_known_to_openai(body: dict[str, Any]) -> None:
    assert_known_to_openai(sent(**body))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "type", "text", "tool_calls", "function", "custom", "name"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
_FIELDS = (
    *("messages", "tools", "tool_choice", "stop", "response_format", "reasoning_effort", "n"),
    *("reasoning", "logprobs", "top_logprobs", "web_search_options", "stream_options", "stream"),
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


def test_the_schema_of_these_tests_knows_what_it_does_not_know() -> None:
    for strange in (
        {"made_up": 1},
        {"input": [{"role": "user", "content": "a", "made_up": 1}]},
        {"tools": [{"type": "function", "name": "a", "strict": False}]},
        {"text": {"format": {"type": "json_object", "made_up": 1}}},
    ):
        with pytest.raises((AssertionError, ValueError)):
            assert_known_to_openai({**sent(), **strange})
