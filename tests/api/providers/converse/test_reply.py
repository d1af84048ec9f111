"""Converse's answers, whole and as a stream of frames, in OpenAI's words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.providers.converse.dialect import Converse
from api.providers.converse.usage import price_context
from api.providers.port import Chunk, Outcome, Reader
from tests.api.providers.converse.calls import NOVA, call
from tests.api.providers.converse.frames import compact, frame, raw_frame

HEADERS = {
    "content-type": "application/vnd.amazon.eventstream",
    "date": "Tue, 22 Sep 2026 10:00:00 GMT",
    "x-amzn-requestid": "7f1c",
}
USAGE = {"inputTokens": 12, "outputTokens": 5, "totalTokens": 17}
START = frame("messageStart", {"role": "assistant", "p": "abc"})
STOP = frame("messageStop", {"stopReason": "end_turn"})
METADATA = frame("metadata", {"usage": USAGE, "metrics": {"latencyMs": 9}})
SCHEMA: dict[str, Any] = {
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "a", "schema": {"type": "object"}},
    }
}


def delta(index: int, **told: Any) -> bytes:
    return frame("contentBlockDelta", {"contentBlockIndex": index, "delta": told})


def opening(index: int, **told: Any) -> bytes:
    return frame("contentBlockStart", {"contentBlockIndex": index, "start": told})


def closing(index: int) -> bytes:
    return frame("contentBlockStop", {"contentBlockIndex": index})


def streamed(*frames: bytes, **body: Any) -> tuple[Reader, list[Chunk], Outcome]:
    reader = Converse().reader(call(NOVA, stream=True, **body), HEADERS)
    chunks = [chunk for data in frames for chunk in reader.feed(data)]
    return reader, chunks, reader.finish()


def deltas(chunks: list[Chunk]) -> list[dict[str, Any]]:
    return [
        choice["delta"]
        for chunk in chunks
        for choice in json.loads(chunk.data)["choices"]
        if choice["finish_reason"] is None
    ]


def whole(found: Any, **body: Any) -> Outcome:
    headers = {**HEADERS, "content-type": "application/json"}
    reader = Converse().reader(call(NOVA, **body), headers)
    reader.feed(found if isinstance(found, bytes) else compact(found))
    return reader.finish()


def answer(*content: Any, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": list(content)}
    return {"output": {"message": message}, "stopReason": "end_turn", "usage": USAGE, **more}


# Whole answers


def test_the_answer_in_openai_s_form() -> None:
    outcome = whole(answer({"text": "Good "}, {"text": "day."}))
    assert json.loads(outcome.answer) == {
        "id": "7f1c",
        "object": "chat.completion",
        "created": 1790071200,
        "model": NOVA,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Good day.", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 12,
            "completion_tokens": 5,
            "total_tokens": 17,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }
    assert outcome.upstream_id == "7f1c"
    assert outcome.model is None
    assert outcome.ended
    assert outcome.usage_raw == ['{"inputTokens":12,"outputTokens":5,"totalTokens":17}']


REASONS = [
    ("end_turn", "stop"),
    ("stop_sequence", "stop"),
    ("tool_use", "tool_calls"),
    ("max_tokens", "length"),
    ("model_context_window_exceeded", "length"),
    ("guardrail_intervened", "content_filter"),
    ("content_filtered", "content_filter"),
    ("malformed_model_output", "stop"),
    ("something_new", "stop"),
    (None, "stop"),
]


@pytest.mark.parametrize(("told", "reason"), REASONS)
def test_why_it_stopped(told: Any, reason: str) -> None:
    assert whole(answer({"text": "a"}, stopReason=told)).finish_reason == reason
    stop = frame("messageStop", {"stopReason": told})
    _, chunks, outcome = streamed(START, delta(0, text="a"), stop, METADATA)
    assert outcome.finish_reason == reason
    assert json.loads(chunks[-2].data)["choices"][0]["finish_reason"] == reason


def test_tools_that_the_provider_runs_are_not_the_client_s() -> None:
    foreign = {"toolUseId": "s", "name": "grounding", "type": "server_tool_use", "input": {"q": 1}}
    outcome = whole(answer({"toolUse": foreign}, {"toolResult": {}}, {"text": "It rains."}))
    assert json.loads(outcome.answer)["choices"][0]["message"] == {
        "role": "assistant",
        "content": "It rains.",
        "refusal": None,
    }
    use = {"toolUseId": "s", "name": "grounding", "type": "server_tool_use"}
    reader, chunks, _ = streamed(
        START,
        opening(0, toolUse=use),
        delta(0, toolUse={"input": "{}"}),
        closing(0),
        opening(1, toolResult={"toolUseId": "s"}),
        delta(1, toolResult=[{"text": "secret"}]),
        delta(2, text="It rains."),
        STOP,
        METADATA,
    )
    assert deltas(chunks) == [{"role": "assistant", "content": ""}, {"content": "It rains."}]
    assert reader.received_text() == "It rains."


@pytest.mark.parametrize(
    "found",
    [b"<html>", b"[1]", b"", {"output": {"message": {"content": 5}}}, {"usage": USAGE}, {}],
)
def test_what_is_no_answer_is_invalid(found: Any) -> None:
    outcome = whole(found)
    assert outcome.failure is not None
    assert outcome.failure.kind == "invalid_response"
    assert outcome.answer == b""


def test_a_body_where_a_stream_was_asked_for_is_invalid_but_counted() -> None:
    outcome = whole(answer({"text": "a"}), stream=True)
    assert outcome.failure is not None
    assert outcome.usage["output_tokens"] == 5
    assert outcome.generated


def test_a_schema_s_stand_in_is_unwrapped() -> None:
    use = {"toolUseId": "a", "name": "answer_as_json", "input": {"n": 1}}
    outcome = whole(answer({"toolUse": use}, stopReason="tool_use"), **SCHEMA)
    choice = json.loads(outcome.answer)["choices"][0]
    assert choice["message"]["content"] == '{"n":1}'
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "stop"
    start = opening(0, toolUse={"toolUseId": "a", "name": "answer_as_json"})
    stop = frame("messageStop", {"stopReason": "tool_use"})
    reader, chunks, told = streamed(
        START, start, delta(0, toolUse={"input": '{"n":1}'}), closing(0), stop, METADATA, **SCHEMA
    )
    assert deltas(chunks)[1:] == [{"content": '{"n":1}'}]
    assert told.finish_reason == "stop"
    assert reader.received_text() == '{"n":1}'


# Streams


def test_the_end_is_the_metadata_and_not_the_reason() -> None:
    reader = Converse().reader(call(NOVA, stream=True), HEADERS)
    done = []
    for data in (START + delta(0, text="Hi") + closing(0), STOP, METADATA):
        chunks = reader.feed(data)
        done.append((reader.done, [chunk.finished for chunk in chunks]))
    assert done == [(False, [False, False]), (False, [True]), (True, [True])]
    (usage,) = chunks
    assert not usage.has_choices
    assert json.loads(usage.data)["usage"]["total_tokens"] == 17
    assert list(reader.feed(delta(0, text="after the end"))) == []
    assert reader.finish().ended


def test_metadata_may_come_before_the_reason() -> None:
    """As in a recording that somebody put together by hand."""
    _, chunks, outcome = streamed(delta(0, text="Hi"), METADATA, STOP)
    assert outcome.ended
    assert outcome.complete_usage
    assert [chunk.finished for chunk in chunks] == [False, False, True, True]


def test_a_stream_without_its_start_or_its_end() -> None:
    _, chunks, outcome = streamed(delta(0, text="Hi"), STOP)
    assert deltas(chunks) == [{"role": "assistant", "content": ""}, {"content": "Hi"}]
    assert not outcome.ended
    assert not outcome.complete_usage
    assert outcome.failure is None
    _, chunks, outcome = streamed(START)
    assert not outcome.generated


def test_usage_that_was_told_counts_also_when_the_rest_is_lost() -> None:
    _, _, outcome = streamed(START, delta(0, text="Hi"), METADATA)
    assert outcome.complete_usage
    assert not outcome.ended


def test_two_calls_side_by_side() -> None:
    reader, chunks, outcome = streamed(
        START,
        delta(0, text="So:"),
        closing(0),
        opening(1, toolUse={"toolUseId": "a", "name": "paint"}),
        opening(2, toolUse={"toolUseId": "b", "name": "wait"}),
        delta(2, toolUse={"input": '{"s":'}),
        delta(1, toolUse={"input": '{"c":1}'}),
        delta(2, toolUse={"input": "2}"}),
        closing(1),
        closing(2),
        frame("messageStop", {"stopReason": "tool_use"}),
        METADATA,
    )
    calls: dict[int, list[str]] = {}
    for each in deltas(chunks):
        for tool in each.get("tool_calls", ()):
            told = calls.setdefault(tool["index"], ["", "", ""])
            told[0] += tool.get("id", "")
            told[1] += tool["function"].get("name", "")
            told[2] += tool["function"].get("arguments", "")
    assert calls == {0: ["a", "paint", '{"c":1}'], 1: ["b", "wait", '{"s":2}']}
    assert reader.received_text() == 'So:paintwait{"s":{"c":1}2}'
    assert outcome.finish_reason == "tool_calls"


def test_a_call_without_arguments_has_empty_ones() -> None:
    _, chunks, _ = streamed(START, opening(0, toolUse={"toolUseId": "a", "name": "p"}), closing(0))
    assert deltas(chunks)[-1]["tool_calls"][0]["function"]["arguments"] == "{}"


@pytest.mark.parametrize(
    ("kind", "told", "expected"),
    [
        ("throttlingException", {"message": "Slow."}, "rate_limited"),
        ("serviceUnavailableException", {"message": "Later."}, "overloaded"),
        ("internalServerException", {"message": "Oops."}, "provider_error"),
        ("validationException", {"message": "Input is too long."}, "bad_request"),
        ("modelStreamErrorException", {"originalMessage": "The model broke."}, "provider_error"),
        ("modelTimeoutException", {"message": "Too slow."}, "overloaded"),
        ("unheardOfException", {"message": "What?"}, "provider_error"),
        ("ThrottlingException", {"Message": "Slow."}, "rate_limited"),
    ],
)
def test_exceptions_inside_the_stream(kind: str, told: dict[str, str], expected: str) -> None:
    reader, chunks, outcome = streamed(
        START, delta(0, text="Hi"), frame(kind, told, "exception"), STOP, METADATA
    )
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.status) == (expected, 200)
    assert outcome.failure.message == next(iter(told.values()))
    assert not reader.done
    assert outcome.generated
    assert not outcome.complete_usage
    assert len(chunks) == 2


def test_an_error_that_only_the_frame_knows() -> None:
    _, _, outcome = streamed(START, frame("InternalFailure", b"", "error"))
    assert outcome.failure is not None
    assert outcome.failure.kind == "provider_error"
    assert outcome.failure.message


@pytest.mark.parametrize(
    "bad", [b"plain text, no frames at all", frame("metadata", b"{not json"), raw_frame(b"x", b"")]
)
def test_what_is_no_frame_ends_the_answer(bad: bytes) -> None:
    _, chunks, outcome = streamed(START, delta(0, text="Hi"), bad, METADATA)
    assert outcome.failure is not None
    assert outcome.failure.kind == "invalid_response"
    assert outcome.usage == {}
    assert outcome.generated
    assert len(chunks) == 2


def test_events_yet_to_come_say_nothing() -> None:
    _, chunks, outcome = streamed(START, frame("contentBlockGlow", {"a": 1}), STOP, METADATA)
    assert len(chunks) == 3
    assert outcome.failure is None


@pytest.mark.parametrize(
    ("told", "context"),
    [
        ({}, {}),
        ({"serviceTier": {"type": "default"}}, {"service_tier": "default"}),
        ({"performanceConfig": {"latency": "standard"}}, {"speed": "standard"}),
        ({"serviceTier": {"type": "flex"}}, {"service_tier": "flex"}),
        ({"performanceConfig": {"latency": "optimized"}}, {"speed": "optimized"}),
        ({"serviceTier": "flex", "performanceConfig": 5}, {}),
    ],
)
def test_what_the_answer_says_about_its_price(told: Any, context: Any) -> None:
    assert price_context(told) == context
    assert whole(answer({"text": "a"}, **told)).context == context
    metadata = frame("metadata", {"usage": USAGE, **told})
    assert streamed(START, STOP, metadata)[2].context == context
