"""Answers as clients of OpenAI can read them, with the provider's own bytes wherever they can."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.providers.catalogue import PROVIDERS
from tests.api.providers.chat_completions.calls import call, streamed, whole

HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 7, "model": "m"}


def chunk(delta: Any = None, finish: Any = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {} if delta is None else delta, "finish_reason": finish}
    return {**HEAD, "choices": [choice], **more}


def given(*objects: Any, slug: str = "chutes") -> list[dict[str, Any]]:
    return [json.loads(found.data) for found in streamed(slug, *objects)[0]]


def test_what_needs_nothing_keeps_its_bytes() -> None:
    dialect = PROVIDERS["openai"].dialect
    assert dialect is not None
    data = b'{"id" : "c","object":"chat.completion.chunk","created":7, "model":"m","x":1.50,'
    data += b'"choices":[{"index":0,"delta":{"content":"\\u00e9"},"finish_reason":null}]}'
    reader = dialect.reader(call(stream=True), {})
    assert [found.data for found in reader.feed(b"data: " + data + b"\n\n")] == [data]


def test_thoughts_get_their_usual_name_without_a_byte_more() -> None:
    dialect = PROVIDERS["groq"].dialect
    assert dialect is not None
    data = b'{"id" : "c","object":"chat.completion.chunk","created":7, "model":"m","x":1.50,'
    data += b'"choices":[{"index":0,"delta":{"reasoning":"a \\"reasoning\\": b"}}]}'
    reader = dialect.reader(call(stream=True), {})
    (found,) = reader.feed(b"data: " + data + b"\n\n")
    assert found.data == data.replace(b'"reasoning":"a', b'"reasoning_content":"a')


@pytest.mark.parametrize(
    ("delta", "thoughts"),
    [
        ({"reasoning": "a"}, "a"),
        ({"reasoning": "a", "reasoning_content": "a"}, "a"),
        ({"reasoning": "a", "reasoning_content": None}, "a"),
        ({"reasoning": None}, None),
        ({"reasoning_content": "a"}, "a"),
    ],
)
def test_thoughts_are_told_once(delta: dict[str, Any], thoughts: str | None) -> None:
    (found,) = given(chunk(delta))
    assert found["choices"][0]["delta"] == {"reasoning_content": thoughts}


def test_another_member_of_that_name_is_left_alone() -> None:
    (found,) = given(chunk({"reasoning": "a"}, request={"reasoning": {"effort": "low"}}))
    assert found["choices"][0]["delta"] == {"reasoning_content": "a"}
    assert found["request"] == {"reasoning": {"effort": "low"}}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("abort", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("sensitive", "content_filter"),
        ("", None),
        (None, None),
        (["x"], None),
    ],
)
def test_reasons_to_stop(said: Any, meant: str | None) -> None:
    chunks, outcome = streamed("together", chunk({"content": "a"}, said))
    assert json.loads(chunks[0].data)["choices"][0]["finish_reason"] == meant
    # The event keeps the provider's own word.
    assert outcome.finish_reason == (said if isinstance(said, str) and said else None)


def test_missing_members_are_those_of_the_chunks_before() -> None:
    bare = {"choices": [{"delta": {"content": "b"}}]}
    first, second = given(chunk({"content": "a"}), bare)
    assert {**second, "choices": None} == {**first, "choices": None}
    assert second["choices"] == [{"delta": {"content": "b"}, "index": 0}]
    (alone,) = given({"created": 9.7, "choices": [{"delta": None, "finish_reason": None}]})
    assert alone["object"] == "chat.completion.chunk"
    assert (alone["id"], alone["created"], alone["model"]) == ("chatcmpl-unnamed", 9, "m")
    assert alone["choices"] == [{"delta": {}, "finish_reason": None, "index": 0}]


def test_calls_without_a_number_are_numbered() -> None:
    def calling(**more: Any) -> dict[str, Any]:
        return chunk({"tool_calls": [{"function": {"arguments": "x"}, **more}]})

    found = given(
        calling(id="a"), calling(), calling(id="b"), calling(index=5), calling(), calling(id="c")
    )
    numbers = [each["choices"][0]["delta"]["tool_calls"][0]["index"] for each in found]
    assert numbers == [0, 0, 1, 5, 5, 6]


def test_a_whole_answer_of_a_loose_writer() -> None:
    tool = {"id": "t", "function": {"name": "f", "arguments": {"a": [1]}}}
    outcome = whole(
        "akash",
        {"choices": [{"message": {"tool_calls": [tool], "reasoning": "hm"}}]},
        date="Thu, 01 Jan 1970 00:01:40 GMT",
    )
    assert json.loads(outcome.answer) == {
        "id": "chatcmpl-unnamed",
        "object": "chat.completion",
        "created": 100,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "reasoning_content": "hm",
                    "tool_calls": [
                        {
                            "id": "t",
                            "type": "function",
                            "function": {"name": "f", "arguments": '{"a":[1]}'},
                        }
                    ],
                },
                "finish_reason": "stop",
            }
        ],
    }


USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}


def test_usage_is_told_once_and_last() -> None:
    told = {**USAGE, "cost": 0.5}
    chunks, _ = streamed(
        "openrouter", chunk({"content": "a"}, "stop", usage=USAGE), chunk(usage=told)
    )
    *said, last = [json.loads(found.data) for found in chunks]
    assert [each["usage"] for each in said] == [None, None]
    assert last == {**HEAD, "choices": [], "usage": told}
    assert [found.has_choices for found in chunks] == [True, True, False]


def test_usage_in_a_chunk_of_its_own_is_not_repeated() -> None:
    finish = chunk({}, "stop", usage=USAGE)
    alone = {**HEAD, "choices": [], "usage": USAGE}
    found = given(finish, alone, slug="groq")
    assert [each["usage"] for each in found] == [None, USAGE]


def test_no_usage_is_told_aside_before_the_end() -> None:
    chunks, _ = streamed("openrouter", chunk({"content": "a"}, usage=USAGE), done=False)
    assert len(chunks) == 1


def test_usage_has_openai_s_meaning() -> None:
    google = {**USAGE, "completion_tokens_details": {"reasoning_tokens": 25}}
    outcome = whole("vercel", {"model": "google/gemini-3-pro", "choices": [], "usage": google})
    found = json.loads(outcome.answer)["usage"]
    assert (found["completion_tokens"], found["total_tokens"]) == (27, 36)
    cached = {**USAGE, "cached_tokens": 4}
    outcome = whole("together", {"model": "m", "choices": [], "usage": cached})
    found = json.loads(outcome.answer)["usage"]
    assert found["prompt_tokens_details"] == {"cached_tokens": 4}
    assert found["total_tokens"] == 11
    loose = {"prompt_tokens": 3, "completion_tokens": 4}
    outcome = whole("akash", {"model": "m", "choices": [], "usage": loose})
    assert json.loads(outcome.answer)["usage"]["total_tokens"] == 7
