"""OpenAI's messages as Anthropic's."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from api.providers.messages.dialect import Messages
from tests.api.providers.messages.calls import (
    HI,
    SONNET,
    assistant,
    call,
    refused,
    sent,
    turns,
)


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
