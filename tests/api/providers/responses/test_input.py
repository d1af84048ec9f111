"""OpenAI's messages as input items."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.providers.responses.calls import assert_known_to_openai, items, refused, sent


def test_who_speaks_and_in_which_order() -> None:
    said: list[dict[str, Any]] = [
        {"role": "system", "content": "a"},
        {"role": "user", "content": "b"},
        {"role": "developer", "content": "c", "name": "x"},
        {"role": "user", "content": None},
    ]
    assert items(*said) == [
        {"role": "system", "content": "a"},
        {"role": "user", "content": "b"},
        {"role": "developer", "content": "c"},
        {"role": "user", "content": ""},
    ]


def test_parts() -> None:
    mark = {"mode": "explicit"}
    body = sent(
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "a", "prompt_cache_breakpoint": mark},
                    {"type": "image_url", "image_url": {"url": "https://p.test/a.png"}},
                    {"type": "image_url", "image_url": "data:image/png;base64,AA"},
                    {"type": "file", "file": {"file_id": "f", "filename": "n"}},
                    {"type": "file", "file": {"file_data": "https://p.test/a.pdf"}},
                    {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA"}},
                ],
            }
        ]
    )
    assert body["input"][0]["content"] == [
        {"type": "input_text", "text": "a", "prompt_cache_breakpoint": mark},
        {"type": "input_image", "image_url": "https://p.test/a.png", "detail": "auto"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "auto"},
        {"type": "input_file", "file_id": "f", "filename": "n"},
        {"type": "input_file", "file_url": "https://p.test/a.pdf"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,AA"},
    ]
    assert_known_to_openai(body)


@pytest.mark.parametrize(
    "part",
    [
        *(None, "text", {"type": "text"}, {"type": "input_audio", "input_audio": {"data": "AA"}}),
        *({"type": "image_url"}, {"type": "file", "file": {"filename": "n"}}, {"type": "file"}),
    ],
)
def test_a_part_that_cannot_be_taken(part: Any) -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "a"}, part]}
    assert refused(messages=[message]) == "messages.0.content.1"


def test_what_the_assistant_said_is_one_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}]
    assert items({"role": "assistant", "content": parts, "refusal": "c"}) == [
        {"role": "assistant", "content": "abc"}
    ]
    assert items({"role": "assistant", "content": None}) == []
    image = {"type": "image_url", "image_url": {"url": "u"}}
    assert refused(messages=[{"role": "assistant", "content": [image]}]) == "messages.0.content.0"


def test_calls_and_their_results_know_each_other() -> None:
    body = sent(
        messages=[
            {
                "role": "assistant",
                "content": "a",
                "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    {"id": "2", "type": "custom", "custom": {"name": "c", "input": "x"}},
                ],
            },
            {"role": "tool", "tool_call_id": "2", "content": [{"type": "text", "text": "y"}]},
            {"role": "tool", "tool_call_id": "1", "content": "z"},
        ]
    )
    assert body["input"] == [
        {"role": "assistant", "content": "a"},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "2", "name": "c", "input": "x"},
        {
            "type": "custom_tool_call_output",
            "call_id": "2",
            "output": [{"type": "input_text", "text": "y"}],
        },
        {"type": "function_call_output", "call_id": "1", "output": "z"},
    ]
    assert_known_to_openai(body)


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "function", "name": "f", "content": "x"}, "messages.0.role"),
        ({"role": "assistant", "function_call": {"name": "f"}}, "messages.0.function_call"),
        ({"role": "assistant", "audio": {"id": "a"}}, "messages.0.audio"),
        ({"role": "assistant", "tool_calls": "x"}, "messages.0.tool_calls"),
        ({"role": "assistant", "tool_calls": [{}]}, "messages.0.tool_calls.0"),
        (
            {"role": "assistant", "tool_calls": [{"id": "1", "function": {}}]},
            "messages.0.tool_calls.0.function",
        ),
        (
            {
                "role": "assistant",
                "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": {}}}],
            },
            "messages.0.tool_calls.0.function.arguments",
        ),
        ({"role": "tool", "content": "x"}, "messages.0.tool_call_id"),
        ({"role": "user", "content": 5}, "messages.0.content"),
        ("x", "messages.0"),
    ],
)
def test_what_is_wrong_is_named(message: Any, param: str) -> None:
    assert refused(messages=[message]) == param


def test_messages_must_be_there() -> None:
    assert refused(messages=None) == "messages"
    assert refused(messages="x") == "messages"


def detail(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": f"reasoning.{kind}", "id": "rs_1", "format": "openai-responses-v1", **more}


def test_sealed_thoughts_go_back_before_what_they_led_to() -> None:
    details = [
        detail("summary", summary="a"),
        detail("summary", summary="b"),
        detail("encrypted", data="c2VhbA=="),
    ]
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body = sent(
        messages=[{"role": "assistant", "reasoning_details": details, "tool_calls": [call]}]
    )
    assert body["input"][0] == {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}],
        "encrypted_content": "c2VhbA==",
    }
    assert body["input"][1]["type"] == "function_call"
    assert body["include"] == ["reasoning.encrypted_content"]
    assert_known_to_openai(body)


@pytest.mark.parametrize(
    "details",
    [
        [detail("summary", summary="a")],
        [{**detail("encrypted", data="x"), "format": "anthropic-claude-v1"}],
        [{**detail("encrypted", data="x"), "id": None}],
        [{"type": "reasoning.text", "text": "x", "signature": "y"}],
        *("x", [5]),
    ],
)
def test_thoughts_that_cannot_go_back_are_left_out(details: Any) -> None:
    message = {"role": "assistant", "content": "a", "reasoning_details": details}
    assert items({**message, "reasoning_content": "b"}) == [{"role": "assistant", "content": "a"}]
