"""Whatever form an answer comes in, and under whatever content type, what it used is read."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.providers.catalogue import PROVIDERS
from api.providers.port import ChatCall, Outcome
from tests.api.providers.chat_completions.calls import call
from tests.api.providers.converse.frames import frame

SLUGS = ("openai", "morpheus", "openai-responses", "anthropic", "aws", "google")
TYPES = ("application/json", "Application/JSON; charset=utf-8", "text/event-stream", "text/plain")
USED = {"input_tokens": 11, "output_tokens": 3}


def sse(*events: dict[str, Any], named: bool = False) -> bytes:
    return b"".join(
        (b"event: %s\n" % event["type"].encode() if named else b"")
        + b"data: %s\n\n" % json.dumps(event).encode()
        for event in events
    )


def chat(stream: bool, **more: Any) -> bytes:
    usage = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}
    head = {"id": "c", "created": 1, "model": "m", **more}
    if not stream:
        choice = {"index": 0, "message": {"role": "assistant", "content": "hey"}}
        return json.dumps(
            {**head, "choices": [{**choice, "finish_reason": "stop"}], "usage": usage}
        ).encode()
    said = {"index": 0, "delta": {"content": "hey"}, "finish_reason": None}
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    chunks = [{**head, "choices": [said]}, {**head, "choices": [end]}]
    return sse(*chunks, {**head, "choices": [], "usage": usage}) + b"data: [DONE]\n\n"


def responses(stream: bool) -> bytes:
    usage = {"input_tokens": 11, "output_tokens": 3, "total_tokens": 14}
    text = {"type": "output_text", "text": "hey", "annotations": []}
    item = {"type": "message", "role": "assistant", "content": [text]}
    whole = {"id": "resp_1", "model": "m", "status": "completed", "output": [item], "usage": usage}
    if not stream:
        return json.dumps(whole).encode()
    delta = {"type": "response.output_text.delta", "output_index": 0, "delta": "hey"}
    return sse(delta, {"type": "response.completed", "response": whole}, named=True)


def messages(stream: bool) -> bytes:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}
    if not stream:
        content = [{"type": "text", "text": "hey"}]
        return json.dumps(
            {**head, "content": content, "stop_reason": "end_turn", "usage": USED}
        ).encode()
    start = {**head, "content": [], "usage": {**USED, "output_tokens": 1}}
    return sse(
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": "hey"},
        },
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 3},
        },
        {"type": "message_stop"},
        named=True,
    )


def converse(stream: bool) -> bytes:
    usage = {"inputTokens": 11, "outputTokens": 3, "totalTokens": 14}
    if not stream:
        said = {"role": "assistant", "content": [{"text": "hey"}]}
        return json.dumps(
            {"output": {"message": said}, "stopReason": "end_turn", "usage": usage}
        ).encode()
    return b"".join(
        (
            frame("messageStart", {"role": "assistant"}),
            frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "hey"}}),
            frame("messageStop", {"stopReason": "end_turn"}),
            frame("metadata", {"usage": usage}),
        )
    )


def gemini(stream: bool) -> bytes:
    usage = {"promptTokenCount": 11, "candidatesTokenCount": 3, "totalTokenCount": 14}
    said = {"content": {"parts": [{"text": "hey"}]}, "finishReason": "STOP", "index": 0}
    whole = {"candidates": [said], "usageMetadata": usage}
    return sse(whole) if stream else json.dumps(whole).encode()


def answer(slug: str, *, stream: bool) -> bytes:
    if slug == "morpheus":
        # It bills by another count in streams than in whole answers.
        name = "usage_from_provider" if stream else "usage_from_consumer"
        recount = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}
        return chat(stream, **{name: recount})
    voices = {
        "openai": chat,
        "openai-responses": responses,
        "anthropic": messages,
        "aws": converse,
        "google": gemini,
    }
    return voices[slug](stream)


def read(slug: str, asked: ChatCall, content_type: str, *pieces: bytes) -> tuple[Outcome, str]:
    dialect = PROVIDERS[slug].dialect
    assert dialect is not None
    reader = dialect.reader(asked, {"content-type": content_type})
    for piece in pieces:
        reader.feed(piece)
    return reader.finish(), reader.received_text()


@pytest.mark.parametrize("content_type", TYPES)
@pytest.mark.parametrize("came_as_stream", [False, True])
@pytest.mark.parametrize("asked_for_stream", [False, True])
@pytest.mark.parametrize("slug", SLUGS)
def test_usage_is_read_in_any_form(
    slug: str, asked_for_stream: bool, came_as_stream: bool, content_type: str
) -> None:
    data = answer(slug, stream=came_as_stream)
    outcome, said = read(slug, call(stream=asked_for_stream), content_type, data)
    assert outcome.usage.items() >= USED.items()
    assert outcome.complete_usage
    assert said == "hey"
    # An array of responses is how Gemini streams to those who do not ask for events.
    as_asked = came_as_stream == asked_for_stream or (slug == "google" and asked_for_stream)
    assert (outcome.failure is None) == as_asked
    if outcome.failure is not None:
        assert outcome.failure.kind == "invalid_response"
        assert outcome.answer == b""
        assert outcome.tail == ()


@pytest.mark.parametrize("slug", SLUGS)
@given(
    cuts=st.lists(st.integers(0, 400), max_size=4), leads=st.sampled_from([b"", b"\n", b" \r\n"])
)
def test_the_form_is_known_wherever_the_bytes_are_cut(
    slug: str, cuts: list[int], leads: bytes
) -> None:
    data = leads + answer(slug, stream=False)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:stop] for start, stop in pairwise(places)]
    outcome, _ = read(slug, call(stream=True), "text/event-stream", *pieces)
    assert outcome.usage.items() >= USED.items()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("slug", SLUGS)
@pytest.mark.parametrize("data", [b"<html>data: no\n\n</html>", b"OK", b"[]", b"{}", b'"x"'])
def test_what_is_neither_is_an_invalid_answer(slug: str, stream: bool, data: bytes) -> None:
    outcome, said = read(slug, call(stream=stream), "text/html", data)
    assert outcome.failure is not None
    assert outcome.failure.kind in ("invalid_response", "provider_error")
    assert (outcome.usage, outcome.generated, said) == ({}, False, "")


@pytest.mark.parametrize("slug", ["openai", "anthropic", "openai-responses"])
def test_a_stream_that_nobody_asked_for_and_that_breaks_off(slug: str) -> None:
    data = answer(slug, stream=True)
    cut = data[: data.index(b"hey") + data[data.index(b"hey") :].index(b"\n\n") + 2]
    outcome, said = read(slug, call(), "text/event-stream", cut)
    assert outcome.generated
    assert not outcome.complete_usage
    assert said == "hey"
