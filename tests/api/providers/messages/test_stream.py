"""Anthropic's stream, where order and absence matter."""

from __future__ import annotations

import json
from typing import Any

from api.providers.messages.dialect import Messages
from api.providers.port import ChatCall, Reader
from tests.instants import AT


def reader(**body: Any) -> Reader:
    call = ChatCall(
        body={"messages": [], **body},
        model="claude-3-haiku-20240307",
        stream=True,
        wants_usage=True,
        choices=1,
        at=AT,
    )
    return Messages().reader(call, {})


def event(kind: str, **more: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), json.dumps({"type": kind, **more}).encode())


def start(**usage: Any) -> bytes:
    message = {"id": "msg_1", "model": "claude-x", "usage": {"input_tokens": 9, **usage}}
    return event("message_start", message=message)


def block(index: int, **more: Any) -> bytes:
    return event("content_block_start", index=index, content_block=more)


def delta(index: int, **more: Any) -> bytes:
    return event("content_block_delta", index=index, delta=more)


def ending(reason: str | None = "end_turn", **usage: Any) -> bytes:
    return event("message_delta", delta={"stop_reason": reason}, usage=usage)


STOP = event("message_stop")


def test_the_placeholder_of_the_start_is_never_the_output() -> None:
    reading = reader()
    reading.feed(start(output_tokens=4))
    outcome = reading.finish()
    assert outcome.usage == {"input_tokens": 9}
    assert not outcome.complete_usage
    assert not outcome.generated


def test_an_output_of_zero_that_was_told_is_a_zero() -> None:
    reading = reader()
    reading.feed(start(output_tokens=4) + ending("refusal", output_tokens=0) + STOP)
    outcome = reading.finish()
    # The start's placeholder must not come back through the rule about late zeros.
    assert outcome.usage == {"input_tokens": 9, "output_tokens": 0}
    assert outcome.complete_usage


def test_reports_that_lack_the_output_do_not_undo_it() -> None:
    for late in ({"output_tokens": 0}, {"output_tokens": None}, {"cache_read_input_tokens": 3}):
        reading = reader()
        reading.feed(start() + ending(output_tokens=7) + ending(None) + ending(None, **late) + STOP)
        outcome = reading.finish()
        assert outcome.usage["output_tokens"] == 7
        assert outcome.usage["input_tokens"] == 9 + (late.get("cache_read_input_tokens") or 0)
        assert outcome.complete_usage
        assert len(outcome.usage_raw) <= 3


def test_the_last_chunk_does_not_wait_for_the_last_event() -> None:
    reading = reader()
    reading.feed(start() + block(0, type="text", text="") + delta(0, type="text_delta", text="a"))
    (last,) = reading.feed(ending(output_tokens=1))
    assert last.finished
    assert last.has_choices
    (usage,) = reading.feed(STOP)
    assert not usage.has_choices
    assert usage.finished
    assert reading.done
    assert reading.feed(start()) == []


def test_a_count_before_the_reason_to_stop_is_an_interim_one() -> None:
    reading = reader()
    reading.feed(start() + ending(None, output_tokens=5))
    assert not reading.finish().complete_usage
    reading.feed(ending("end_turn", output_tokens=8) + STOP)
    outcome = reading.finish()
    assert outcome.complete_usage
    assert outcome.usage["output_tokens"] == 8
    assert len(outcome.usage_raw) == 2


def test_an_answer_through_the_tool_that_stands_in_for_a_schema() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    reading = reader(response_format=schema)
    chunks = [
        *reading.feed(start() + block(0, type="tool_use", id="t", name="answer_as_json")),
        *reading.feed(delta(0, type="input_json_delta", partial_json='{"a":')),
        *reading.feed(delta(0, type="input_json_delta", partial_json="1}")),
        *reading.feed(event("content_block_stop", index=0) + ending("tool_use") + STOP),
    ]
    choices = [json.loads(chunk.data)["choices"][0] for chunk in chunks]
    text = "".join(choice["delta"].get("content", "") for choice in choices)
    assert text == '{"a":1}'
    assert choices[-1]["finish_reason"] == "stop"
    assert not any("tool_calls" in choice["delta"] for choice in choices)


def test_an_error_before_anything_else() -> None:
    reading = reader()
    error = {"type": "overloaded_error", "message": "Overloaded"}
    assert reading.feed(event("error", error=error)) == []
    outcome = reading.finish()
    assert outcome.failure is not None
    assert outcome.failure.kind == "overloaded"
    assert outcome.usage == {}


def test_events_that_nobody_knows_are_passed_over() -> None:
    reading = reader()
    reading.feed(start() + event("ping") + event("invented", x=1) + delta(7, type="text_delta"))
    assert reading.finish().failure is None


def test_why_it_refused_is_told() -> None:
    reading = reader()
    stop = {"stop_reason": "refusal", "stop_details": {"explanation": "No."}}
    chunks = reading.feed(start() + event("message_delta", delta=stop, usage={}) + STOP)
    choice = json.loads(chunks[-1].data)["choices"][0]
    assert choice["delta"] == {"refusal": "No."}
    assert choice["finish_reason"] == "content_filter"
