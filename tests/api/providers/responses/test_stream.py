"""The stream of Responses, where order and absence matter."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.providers.port import Chunk, Reader
from api.providers.responses.dialect import Responses
from tests.api.providers.responses.calls import call


def reader() -> Reader:
    return Responses().reader(call(stream=True), {})


def event(kind: str, **more: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), json.dumps({"type": kind, **more}).encode())


def created(**more: Any) -> bytes:
    return event("response.created", response={"id": "resp_1", "model": "gpt-x", **more})


def usage(inputs: int, outputs: int) -> dict[str, int]:
    return {"input_tokens": inputs, "output_tokens": outputs}


def completed(*output: Any, **more: Any) -> bytes:
    response = {"id": "resp_1", "model": "gpt-x", "status": "completed", "output": list(output)}
    return event("response.completed", response={**response, "usage": usage(9, 4), **more})


def text(place: int, piece: str, part: int = 0) -> bytes:
    return event("response.output_text.delta", output_index=place, content_index=part, delta=piece)


def done(place: int, **item: Any) -> bytes:
    return event("response.output_item.done", output_index=place, item=item)


def added(place: int, **item: Any) -> bytes:
    return event("response.output_item.added", output_index=place, item=item)


def deltas(chunks: list[Chunk]) -> list[dict[str, Any]]:
    read = [json.loads(chunk.data) for chunk in chunks]
    return [choice["delta"] for chunk in read for choice in chunk["choices"] if choice["delta"]]


def spoken(data: bytes) -> list[dict[str, Any]]:
    """What the client is told of these bytes, but for the role and the end."""
    reading = reader()
    chunks = [*reading.feed(created() + data), *reading.finish().tail]
    return deltas(chunks)[1:]


def test_the_last_chunk_does_not_wait_for_the_end_of_the_stream() -> None:
    reading = reader()
    reading.feed(created() + text(0, "a"))
    (last,) = reading.feed(completed())
    assert (last.has_choices, last.finished) == (True, True)
    (told,) = reading.finish().tail
    assert (told.has_choices, told.finished) == (False, True)
    assert reading.feed(text(0, "b") + event("error", code="server_error", message="m")) == []
    assert reading.finish().failure is None


def test_only_a_failure_or_the_word_for_it_is_the_end_of_the_stream() -> None:
    reading = reader()
    reading.feed(created() + text(0, "a") + completed())
    assert not reading.done
    reading.feed(b"data: [DONE]\n\n")
    assert reading.finish().ended
    failing = reader()
    failing.feed(created() + event("response.failed", response={"status": "failed"}))
    assert (reading.done, failing.done) == (True, True)


def test_of_several_responses_in_one_stream_the_last_one_counts() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    reading = reader()
    chunks = reading.feed(created() + done(0, **call) + completed(usage=usage(9, 4)))
    chunks = [*chunks, *reading.feed(created() + text(0, "a") + completed(usage=usage(20, 1)))]
    outcome = reading.finish()
    assert outcome.usage == {"input_tokens": 20, "output_tokens": 1}
    assert outcome.complete_usage
    assert outcome.anomalies == ["several_responses"]
    assert outcome.finish_reason == "stop"
    kinds = [set(delta) for delta in deltas([*chunks, *outcome.tail])]
    assert kinds == [{"role", "content"}, {"tool_calls"}, {"tool_calls"}, {"content"}]
    # Cut in its second response, the stream has told no last count.
    reading = reader()
    reading.feed(created() + text(0, "a") + completed() + created() + text(0, "b"))
    outcome = reading.finish()
    assert (outcome.ended, outcome.complete_usage) == (False, False)


def test_a_count_before_the_end_is_an_interim_one() -> None:
    reading = reader()
    reading.feed(created(usage=usage(9, 1)) + text(0, "a"))
    outcome = reading.finish()
    assert outcome.usage == {"input_tokens": 9, "output_tokens": 1}
    assert not outcome.complete_usage
    reading.feed(completed())
    outcome = reading.finish()
    assert outcome.usage == {"input_tokens": 9, "output_tokens": 4}
    assert outcome.complete_usage


def test_an_end_without_usage_leaves_it_to_be_estimated() -> None:
    reading = reader()
    chunks = reading.feed(created() + text(0, "a") + completed(usage=None))
    outcome = reading.finish()
    assert outcome.ended
    assert not outcome.complete_usage
    assert outcome.usage == {}
    assert all(chunk.has_choices for chunk in chunks)
    assert reading.received_text() == "a"


def test_what_is_told_whole_at_the_end_of_an_item_is_told_once() -> None:
    part = {"type": "output_text", "text": "ab"}
    message = {"type": "message", "content": [part]}
    assert spoken(text(0, "a") + text(0, "b") + done(0, **message)) == [
        {"content": "a"},
        {"content": "b"},
    ]
    assert spoken(done(0, **message) + done(0, **message)) == [{"content": "ab"}]
    # Amazon's open models count the thoughts among the parts of the message.
    assert spoken(text(1, "ab", part=1) + done(1, **message)) == [{"content": "ab"}]


def test_a_call_whose_arguments_come_at_its_end_only() -> None:
    item = {"type": "function_call", "call_id": "c", "name": "f"}
    said = spoken(added(3, **item, arguments="") + done(3, **item, arguments="{}"))
    assert said == [
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": "c",
                    "type": "function",
                    "function": {"name": "f", "arguments": ""},
                }
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
    ]
    assert spoken(done(3, **item, arguments="{}")) == said


def test_a_custom_call() -> None:
    item = {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": ""}
    piece = event("response.custom_tool_call_input.delta", output_index=0, delta="x")
    assert spoken(added(0, **item) + piece + done(0, **{**item, "input": "x"})) == [
        {
            "tool_calls": [
                {"index": 0, "id": "c", "type": "custom", "custom": {"name": "f", "input": ""}}
            ]
        },
        {"tool_calls": [{"index": 0, "custom": {"input": "x"}}]},
    ]


def thought(place: int, part: int, piece: str, *, summary: bool = True) -> bytes:
    if summary:
        kind, where = "response.reasoning_summary_text.delta", {"summary_index": part}
    else:
        kind, where = "response.reasoning_text.delta", {"content_index": part}
    return event(kind, output_index=place, delta=piece, **where)


def test_thoughts_are_parted_by_a_blank_line() -> None:
    said = spoken(thought(0, 0, "a") + thought(0, 0, "b") + thought(0, 1, "c") + thought(2, 0, "d"))
    assert "".join(delta["reasoning_content"] for delta in said) == "ab\n\nc\n\nd"


def test_thoughts_are_told_in_one_form_only() -> None:
    said = spoken(thought(0, 0, "long", summary=False) + thought(0, 0, "short"))
    assert said == [{"reasoning_content": "long"}]
    item = {"type": "reasoning", "summary": [{"text": "short"}], "content": [{"text": "long"}]}
    assert spoken(done(0, **item)) == [{"reasoning_content": "short"}]
    assert spoken(thought(0, 0, "long", summary=False) + done(0, **item)) == [
        {"reasoning_content": "long"}
    ]


@pytest.mark.parametrize(
    ("item", "count"),
    [
        ({"action": {"type": "search"}, "status": "completed"}, 1),
        ({"action": "search"}, 1),
        ({}, 1),
        ({"action": {"type": "search"}, "status": "failed"}, None),
        ({"action": {"type": "open_page"}, "status": "completed"}, None),
        ({"action": {"type": "find_in_page"}}, None),
    ],
)
def test_searches_are_counted_where_nobody_tells_their_number(
    item: dict[str, Any], count: int | None
) -> None:
    reading = reader()
    reading.feed(created() + done(0, type="web_search_call", **item))
    # Known also if the stream breaks off here.
    assert reading.finish().usage.get("web_search_calls") == count
    reading.feed(text(1, "a") + completed())
    outcome = reading.finish()
    assert outcome.usage.get("web_search_calls") == count
    assert outcome.provenance.get("web_search_calls") == ("derived" if count else None)


def test_searches_are_what_the_response_says() -> None:
    reading = reader()
    search = done(0, type="web_search_call", action={"type": "search"})
    told = {"web_search": {"num_requests": 0}, "image_gen": {"input_tokens": 5}}
    reading.feed(created() + search + text(1, "a") + completed(tool_usage=told))
    outcome = reading.finish()
    assert outcome.usage["web_search_calls"] == 0
    assert outcome.provenance["web_search_calls"] == "reported"


def test_a_tool_that_was_only_offered_is_no_search() -> None:
    reading = reader()
    reading.feed(created(tools=[{"type": "web_search"}]) + text(0, "a") + completed())
    assert "web_search_calls" not in reading.finish().usage


def test_a_failure_keeps_what_was_counted() -> None:
    reading = reader()
    error = {"code": "server_error", "message": "It broke."}
    failed = {"status": "failed", "error": error, "usage": usage(9, 2)}
    reading.feed(created() + text(0, "a") + event("response.failed", response=failed))
    outcome = reading.finish()
    assert outcome.failure is not None
    assert outcome.failure.kind == "provider_error"
    assert outcome.complete_usage
    assert outcome.usage == {"input_tokens": 9, "output_tokens": 2}


@pytest.mark.parametrize(
    ("code", "kind", "told"),
    [
        ("server_error", "provider_error", None),
        ("vector_store_timeout", "provider_error", None),
        ("rate_limit_exceeded", "rate_limited", None),
        ("insufficient_quota", "credential_out_of_money", None),
        ("invalid_prompt", "bad_request", None),
        ("image_too_large", "bad_request", None),
        ("bio_policy", "bad_request", "content_filter"),
        ("misalignment_policy_violation", "bad_request", "content_filter"),
    ],
)
def test_codes_of_failures(code: str, kind: str, told: str | None) -> None:
    error = {"code": code, "message": "m", "param": None}
    for data in (
        event("error", **error),
        event("error", error={"type": "x", **error}),
        event("response.failed", response={"status": "failed", "error": error}),
    ):
        reading = reader()
        reading.feed(created() + data)
        failure = reading.finish().failure
        assert failure is not None
        assert (failure.kind, failure.code, failure.message) == (kind, told, "m")


def test_nothing_is_said_after_an_error() -> None:
    reading = reader()
    chunks = reading.feed(created() + event("error", code="server_error", message="m"))
    assert len(chunks) == 1
    assert reading.feed(text(0, "late") + completed(usage=usage(9, 5))) == []
    outcome = reading.finish()
    assert outcome.failure is not None
    # It was generated all the same, and counted.
    assert outcome.complete_usage
    assert reading.received_text() == "late"


def test_events_that_nobody_knows_are_passed_over() -> None:
    strange = event("response.audio.delta", delta="x") + event("keepalive") + event("invented")
    assert spoken(strange + text(0, "a")) == [{"content": "a"}]


def test_likelihoods_come_with_their_text() -> None:
    told = [{"token": "a", "logprob": -0.5, "top_logprobs": [{"token": "b", "logprob": -1}]}]
    piece = event("response.output_text.delta", output_index=0, delta="a", logprobs=told)
    reading = reader()
    chunk = reading.feed(created() + piece)[-1]
    assert json.loads(chunk.data)["choices"][0]["logprobs"] == {
        "content": [
            {
                "token": "a",
                "logprob": -0.5,
                "bytes": None,
                "top_logprobs": [{"token": "b", "logprob": -1, "bytes": None}],
            }
        ],
        "refusal": None,
    }


def test_a_citation_counts_from_the_start_of_the_content() -> None:
    cited = {"type": "url_citation", "start_index": 1, "end_index": 2, "title": "t", "url": "u"}
    note = event(
        "response.output_text.annotation.added", output_index=1, content_index=0, annotation=cited
    )
    (_, _, delta) = spoken(text(0, "abc") + text(1, "de") + note)
    assert delta["annotations"] == [
        {
            "type": "url_citation",
            "url_citation": {"title": "t", "url": "u", "start_index": 4, "end_index": 5},
            "index": 0,
        }
    ]


def test_a_stream_without_a_beginning_is_still_read() -> None:
    reading = reader()
    role, said = reading.feed(text(0, "a"))
    assert json.loads(role.data)["choices"][0]["delta"]["role"] == "assistant"
    assert json.loads(said.data)["model"] == "gpt-5.6-sol"


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled"])
def test_an_answer_that_is_not_finished_is_none(status: str) -> None:
    reading = Responses().reader(call(), {"content-type": "application/json"})
    reading.feed(json.dumps({"id": "resp_1", "status": status, "output": []}).encode())
    outcome = reading.finish()
    assert outcome.failure is not None
    assert outcome.failure.kind == "invalid_response"
    assert outcome.answer == b""


def test_a_whole_answer_where_a_stream_was_asked_for_keeps_its_usage() -> None:
    reading = Responses().reader(call(stream=True), {"content-type": "application/json"})
    message = {"type": "message", "content": [{"type": "output_text", "text": "a"}]}
    told = {"status": "completed", "output": [message], "usage": usage(9, 4)}
    reading.feed(json.dumps(told).encode())
    outcome = reading.finish()
    assert outcome.failure is not None
    assert outcome.complete_usage
    assert reading.received_text() == "a"
