"""Answers that no honest provider gives: what was served is billed all the same, nothing breaks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.chat.settle import Facts, _used
from api.providers.chat_completions.dialect import ChatCompletions
from api.providers.failures import classify, classify_inside
from api.providers.messages.dialect import Messages
from api.providers.messages.usage import normalise_messages_usage
from api.providers.port import ChatCall, Dialect, Outcome, UnsupportedParameter
from domain.events.requests import UsageReported
from domain.ids import new_id
from domain.usage import COUNT_MAX
from tests.instants import AT

DEPTHS = pytest.mark.parametrize("depth", [200, 260, 600, 950, 1000, 1015])
"""orjson writes 254 levels and reads 1023; Python's own recursion ends in between."""
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


def read(dialect: Dialect, text: str, *, stream: bool = False) -> Outcome:
    call = ChatCall(
        body={"messages": []}, model="m", stream=stream, wants_usage=True, choices=1, at=AT
    )
    reader = dialect.reader(call, {})
    reader.feed(text.encode())
    return reader.finish()


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def whole(**more: Any) -> str:
    said = {"role": "assistant", "content": "Hi"}
    choice = {"index": 0, "message": said, "finish_reason": "stop"}
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    return json.dumps({**head, "choices": [choice], "usage": USAGE, **more})


def with_deep(text: str, depth: int) -> str:
    return text.replace('"DEEP"', nested(depth))


def facts() -> Facts:
    return Facts(
        request=new_id(), upstream_status=200, delivered="all", first_byte_ms=1, total_ms=2
    )


@DEPTHS
@pytest.mark.parametrize("stream", [False, True])
def test_a_usage_object_may_be_nested_absurdly(depth: int, *, stream: bool) -> None:
    text = with_deep(whole(usage={**USAGE, "x": "DEEP"}), depth)
    outcome = read(ChatCompletions(), f"data: {text}\n\n" if stream else text, stream=stream)
    assert outcome.complete_usage
    assert outcome.usage == {"input_tokens": 5, "output_tokens": 2}


@DEPTHS
@pytest.mark.parametrize("stream", [False, True])
def test_a_member_of_ours_is_taken_out_or_nothing_is_given(depth: int, *, stream: bool) -> None:
    text = with_deep(whole(x_keytoll="DEEP", other="DEEP"), depth)
    outcome = read(ChatCompletions(), f"data: {text}\n\n" if stream else text, stream=stream)
    assert outcome.usage == {"input_tokens": 5, "output_tokens": 2}
    assert b"x_keytoll" not in outcome.answer
    assert outcome.answer or stream or outcome.failure is not None


@DEPTHS
def test_a_tool_s_input_may_be_nested_absurdly(depth: int) -> None:
    usage = {"input_tokens": 5, "output_tokens": 2}
    tool = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": "DEEP"}}
    text = json.dumps({"id": "m", "content": [tool], "stop_reason": "tool_use", "usage": usage})
    outcome = read(Messages(), with_deep(text, depth))
    assert outcome.complete_usage
    assert outcome.generated
    assert outcome.usage == usage
    assert (outcome.failure is not None) == (depth > 254)


@DEPTHS
def test_reports_of_a_stream_may_be_nested_absurdly(depth: int) -> None:
    deep = '{"a":' * depth + "1" + "}" * depth
    message = {"id": "m", "usage": {"input_tokens": 5, "x": "DEEP"}}
    told = {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2, "x": "DEEP"}}
    events = [
        {"type": "message_start", "message": message},
        {"type": "message_delta", **told},
        {"type": "message_stop"},
    ]
    lines = [f"data: {json.dumps(event)}\n\n".replace('"DEEP"', deep) for event in events]
    outcome = read(Messages(), "".join(lines), stream=True)
    assert outcome.complete_usage
    assert outcome.usage == {"input_tokens": 5, "output_tokens": 2}


@DEPTHS
def test_errors_may_hold_errors_absurdly(depth: int) -> None:
    body = '{"error":' * depth + '"x"' + "}" * depth
    assert classify(500, {}, body.encode()).kind == "provider_error"
    assert classify_inside(json.loads('{"error":' * 100 + '"x"' + "}" * 100)).message


@pytest.mark.parametrize("kind", [["advisor"], {"a": 1}, 5, None])
def test_an_iteration_s_kind_may_be_anything(kind: object) -> None:
    iteration = {"type": kind, "input_tokens": 3, "output_tokens": 4}
    raw = {"input_tokens": 3, "output_tokens": 4, "iterations": [iteration]}
    assert normalise_messages_usage(raw, "m").final


def test_a_sum_that_is_no_count_is_estimated_not_lost() -> None:
    usage = {
        "input_tokens": COUNT_MAX,
        "cache_read_input_tokens": COUNT_MAX,
        "output_tokens": 2,
    }
    outcome = read(Messages(), json.dumps({"id": "m", "content": [], "usage": usage}))
    assert not outcome.complete_usage
    assert "not_a_count:input_tokens" in outcome.anomalies
    event = UsageReported(**_used(outcome, facts(), {}))
    assert event.usage == {"output_tokens": 2}


@pytest.mark.parametrize("flaw", [r'"half \ud83d"', "NaN", "-Infinity"])
@pytest.mark.parametrize("stream", [False, True])
def test_almost_json_is_billed_and_passed_on_as_it_was(flaw: str, *, stream: bool) -> None:
    text = whole(x="FLAW").replace('"FLAW"', flaw)
    outcome = read(ChatCompletions(), f"data: {text}\n\n" if stream else text, stream=stream)
    assert outcome.failure is None
    assert outcome.usage == {"input_tokens": 5, "output_tokens": 2}
    assert stream or outcome.answer == text.encode()


@DEPTHS
def test_arguments_may_be_nested_absurdly(depth: int) -> None:
    arguments = '{"a":' * depth + "1" + "}" * depth
    tool = {"id": "t", "type": "function", "function": {"name": "f", "arguments": arguments}}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": [tool]},
        {"role": "tool", "tool_call_id": "t", "content": "x"},
    ]
    call = ChatCall(
        body={"messages": messages}, model="m", stream=False, wants_usage=False, choices=1, at=AT
    )
    try:
        request = Messages().request(call, {"apiKey": "sk-ant-x"}, "https://a.test")
    except UnsupportedParameter as refused:
        assert refused.param == "messages"  # noqa: PT017
        assert depth > 240
    else:
        assert arguments.encode() in request.body
