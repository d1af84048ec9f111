"""OpenAI's request as Anthropic's, field by field."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.providers.messages import Messages
from api.providers.messages_request import HARMLESS, NEUTRAL
from api.providers.port import ChatCall, UnsupportedParameter

HI = [{"role": "user", "content": "Hello"}]
TOOL = {"type": "function", "function": {"name": "paint", "parameters": {"type": "object"}}}
SONNET, OLD, ANCIENT = "claude-sonnet-4-6", "claude-sonnet-4-5-20250929", "claude-3-haiku-20240307"


def call(model: str, **body: Any) -> ChatCall:
    body.setdefault("messages", HI)
    return ChatCall(
        body={"model": model, **body},
        model=model,
        stream=body.get("stream", False),
        wants_usage=False,
        choices=1,
    )


def sent(model: str = SONNET, **body: Any) -> dict[str, Any]:
    request = Messages().request(call(model, **body), {"apiKey": "sk-ant-x"}, "https://a.test")
    found: dict[str, Any] = json.loads(request.body)
    return found


def refused(model: str = SONNET, **body: Any) -> str:
    with pytest.raises(UnsupportedParameter) as caught:
        sent(model, **body)
    return caught.value.param


def turns(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sent(messages=list(messages))["messages"]
    return found


def test_the_headers_that_anthropic_asks_for() -> None:
    request = Messages().request(call(SONNET), {"apiKey": "sk-ant-x"}, "https://a.test/")
    assert request.url == "https://a.test/v1/messages"
    assert request.headers["x-api-key"] == "sk-ant-x"
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in request.headers
    assert "anthropic-beta" not in request.headers


def test_system_and_developer_go_to_the_top() -> None:
    body = sent(
        messages=[
            {"role": "system", "content": "One."},
            {"role": "developer", "content": [{"type": "text", "text": "Two."}]},
            *HI,
        ]
    )
    assert body["system"] == [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]
    assert sent(messages=[{"role": "system", "content": "One."}, *HI])["system"] == "One."
    assert "system" not in sent()


def test_an_instruction_in_the_middle_keeps_its_place() -> None:
    found = turns(
        *HI, {"role": "assistant", "content": "Yes?"}, {"role": "system", "content": "Now!"}
    )
    assert [turn["role"] for turn in found] == ["user", "assistant", "user"]
    assert found[2]["content"] == [{"type": "text", "text": "Now!"}]


def test_neighbours_of_one_role_are_merged_and_empty_text_is_dropped() -> None:
    found = turns(*HI, {"role": "user", "content": ""}, {"role": "user", "content": "again"})
    assert found == [
        {
            "role": "user",
            "content": [{"type": "text", "text": "Hello"}, {"type": "text", "text": "again"}],
        }
    ]


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "webp"])
def test_pictures(kind: str) -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,QUJD"}},
        {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}},
    ]
    assert turns({"role": "user", "content": parts})[0]["content"] == [
        {
            "type": "image",
            "source": {"type": "base64", "media_type": f"image/{kind}", "data": "QUJD"},
        },
        {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
    ]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/bmp;base64,QUJD"}},
        {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
        {"type": "image_url", "image_url": None},
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/zip;base64,QUJD"}},
        {"type": "file", "file": None},
        {"type": "file", "file": {}},
        "text",
        {},
    ],
)
def test_parts_that_anthropic_does_not_take(part: Any) -> None:
    param = refused(messages=[{"role": "user", "content": [part]}])
    assert param == "messages.0.content.0"


def test_documents() -> None:
    text = base64.b64encode("Grün".encode()).decode()
    files = [
        {"file_data": "data:application/pdf;base64,QUJD", "filename": "a.pdf"},
        {"file_data": "QUJD"},
        {"file_data": f"data:text/plain;charset=utf-8;base64,{text}"},
        {"file_data": "https://x.test/a.pdf"},
        {"file_id": "file_1"},
    ]
    parts = [{"type": "file", "file": file} for file in files]
    request = Messages().request(
        call(SONNET, messages=[{"role": "user", "content": parts}]),
        {"apiKey": "k"},
        "https://a.test",
    )
    blocks = json.loads(request.body)["messages"][0]["content"]
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "QUJD"}
    assert [block["source"] for block in blocks] == [
        pdf,
        pdf,
        {"type": "text", "media_type": "text/plain", "data": "Grün"},
        {"type": "url", "url": "https://x.test/a.pdf"},
        {"type": "file", "file_id": "file_1"},
    ]
    assert blocks[0]["title"] == "a.pdf"
    assert request.headers["anthropic-beta"].startswith("files-api")


def assistant(*names: str, **more: Any) -> dict[str, Any]:
    calls = [
        {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": args}}
        for name, args in zip(names, ('{"a":1}', ""), strict=False)
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls, **more}


def test_tool_calls_and_all_their_results_first_in_one_message() -> None:
    found = turns(
        *HI,
        assistant("x", "y", content="Let me."),
        {"role": "tool", "tool_call_id": "call_x", "content": "1"},
        {"role": "user", "content": "hurry"},
        {"role": "tool", "tool_call_id": "call_y", "content": [{"type": "text", "text": "2"}]},
    )
    assert found[1]["content"] == [
        {"type": "text", "text": "Let me."},
        {"type": "tool_use", "id": "call_x", "name": "x", "input": {"a": 1}},
        {"type": "tool_use", "id": "call_y", "name": "y", "input": {}},
    ]
    assert [block["type"] for block in found[2]["content"]] == [
        "tool_result",
        "tool_result",
        "text",
    ]
    assert found[2]["content"][0] == {
        "type": "tool_result",
        "tool_use_id": "call_x",
        "content": "1",
    }
    assert found[2]["content"][1]["content"] == [{"type": "text", "text": "2"}]


def test_strange_call_ids_stay_equal_on_both_sides() -> None:
    made = {"id": "a:b/c", "type": "function", "function": {"name": "x", "arguments": "{}"}}
    found = turns(
        *HI,
        {"role": "assistant", "tool_calls": [made]},
        {"role": "tool", "tool_call_id": "a:b/c", "content": ""},
    )
    assert found[1]["content"][0]["id"] == found[2]["content"][0]["tool_use_id"] == "a_b_c"
    assert "content" not in found[2]["content"][0]


@pytest.mark.parametrize("arguments", ["[1]", "{", "1", 5])
def test_arguments_must_be_an_object(arguments: Any) -> None:
    made = {"id": "a", "type": "function", "function": {"name": "x", "arguments": arguments}}
    param = refused(messages=[*HI, {"role": "assistant", "tool_calls": [made]}])
    assert param == "messages.1.tool_calls.0.function"


def test_thoughts_return_only_with_their_signature() -> None:
    details = [
        {"type": "reasoning.text", "text": "Hm", "signature": "c2ln", "index": 0},
        {"type": "reasoning.encrypted", "data": "eHh4"},
        {"type": "reasoning.text", "text": "unsigned"},
    ]
    found = turns(
        *HI, assistant("x", reasoning_details=details, reasoning_content="Hm"), {"role": "tool"}
    )
    assert found[1]["content"][:2] == [
        {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "eHh4"},
    ]
    assert found[1]["content"][2]["type"] == "tool_use"


def test_a_prefill_does_not_end_with_white_space() -> None:
    assert turns(*HI, {"role": "assistant", "content": "So: \n"})[1]["content"][0]["text"] == "So:"
    assert len(turns(*HI, {"role": "assistant", "content": "  "})) == 1


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


@pytest.mark.parametrize("name", sorted(NEUTRAL))
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
