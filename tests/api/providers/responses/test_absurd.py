"""Answers that nobody should give, read as Responses: nothing raises, nothing depends on cuts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.providers.port import Chunk, Outcome
from api.providers.responses.dialect import Responses
from domain.usage import check_usage
from tests.api.providers.responses.calls import call

_MEMBERS = (
    *("type", "output_index", "content_index", "summary_index", "item", "item_id", "delta"),
    *("response", "id", "model", "status", "output", "usage", "error", "code", "message"),
    *("input_tokens", "output_tokens", "total_tokens", "input_tokens_details", "cached_tokens"),
    *("cache_write_tokens", "output_tokens_details", "reasoning_tokens", "content", "summary"),
    *("text", "refusal", "annotation", "annotations", "logprobs", "top_logprobs", "token"),
    *("call_id", "name", "arguments", "input", "encrypted_content", "action", "tool_usage"),
    *("web_search", "num_requests", "service_tier", "created_at", "incomplete_details", "reason"),
)
_WORDS = (
    *("message", "reasoning", "function_call", "custom_tool_call", "web_search_call"),
    *("output_text", "refusal", "url_citation", "completed", "incomplete", "failed", "rs_1", ""),
)
_TYPES = (
    *("response.created", "response.completed", "response.incomplete", "response.failed"),
    *("response.output_item.added", "response.output_item.done", "error", "keepalive"),
    *("response.output_text.delta", "response.refusal.delta", "response.reasoning_text.delta"),
    *("response.reasoning_summary_text.delta", "response.function_call_arguments.delta"),
    *("response.custom_tool_call_input.delta", "response.output_text.annotation.added"),
)
_ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**13) | st.floats() | st.sampled_from(_WORDS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_MEMBERS), inner, max_size=6)
    ),
    max_leaves=30,
)
_OBJECTS = st.dictionaries(st.sampled_from(_MEMBERS), _ANY, max_size=8)
_EVENTS = st.lists(
    st.builds(lambda kind, more: {**more, "type": kind}, st.sampled_from(_TYPES), _OBJECTS),
    max_size=8,
)


def read(data: bytes, size: int, *, stream: bool) -> tuple[list[Chunk], Outcome, str]:
    headers = {} if stream else {"content-type": "application/json"}
    reader = Responses().reader(call(stream=stream), headers)
    chunks: list[Chunk] = []
    for at in range(0, len(data), size):
        chunks.extend(reader.feed(data[at : at + size]))
    outcome = reader.finish()
    return [*chunks, *outcome.tail], outcome, reader.received_text()


def check(data: bytes, *, stream: bool) -> None:
    chunks, outcome, text = read(data, len(data) or 1, stream=stream)
    assert read(data, 7, stream=stream) == (chunks, outcome, text)
    check_usage(outcome.usage)
    assert outcome.usage.keys() == outcome.provenance.keys()
    json.dumps([outcome.context, outcome.anomalies, outcome.usage_raw])
    assert sum(chunk.finished and chunk.has_choices for chunk in chunks) <= 1
    if text:
        assert outcome.generated
    if outcome.failure is None and outcome.answer:
        json.loads(outcome.answer)


@settings(max_examples=300, deadline=None)
@given(events=_EVENTS)
def test_absurd_streams(events: list[dict[str, Any]]) -> None:
    check(b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events), stream=True)


@settings(max_examples=200, deadline=None)
@given(body=_OBJECTS)
def test_absurd_bodies(body: dict[str, Any]) -> None:
    check(json.dumps(body).encode(), stream=False)


def _deep() -> Any:
    found: Any = "x"
    for _ in range(400):
        found = {"a": [found]}
    return found


_WRONG: tuple[Any, ...] = (_deep(), [], {}, -1, 2**64 - 1, 2**70, 1e300, True)


@pytest.mark.parametrize("wrong", _WRONG, ids=lambda wrong: type(wrong).__name__)
def test_members_of_another_kind(wrong: Any) -> None:
    likely = {"token": wrong, "logprob": wrong, "bytes": wrong, "top_logprobs": wrong}
    cited = {"type": "url_citation", "title": wrong, "url": wrong, "start_index": wrong}
    part = {"type": wrong, "text": "a", "logprobs": [likely], "annotations": [cited, wrong]}
    items = [
        {"type": "message", "content": [part, wrong]},
        {"type": "reasoning", "summary": [{"text": wrong}], "encrypted_content": wrong},
        {"type": "function_call", "call_id": wrong, "name": wrong, "arguments": wrong},
        {"type": "web_search_call", "action": wrong, "status": wrong},
        {"type": "web_search_call", "action": {"type": wrong}},
        {"type": wrong},
    ]
    response = {
        "id": wrong,
        "model": wrong,
        "created_at": wrong,
        "service_tier": wrong,
        "tool_usage": {"web_search": wrong},
        "output": items,
        "usage": {"input_tokens": wrong},
    }
    check(json.dumps({**response, "status": "completed"}).encode(), stream=False)
    events: list[dict[str, Any]] = [
        {"type": wrong, "response": wrong, "error": wrong},
        {"type": "response.output_text.delta", "delta": "a", "logprobs": [likely]},
        {"type": "response.output_text.delta", "delta": wrong, "output_index": wrong},
        {"type": "response.output_text.annotation.added", "annotation": cited},
        *({"type": "response.output_item.done", "item": item} for item in items),
        {"type": "response.completed", "response": response},
    ]
    for number in range(len(events)):
        kept = events[number:]
        check(b"".join(b"data: %s\n\n" % json.dumps(e).encode() for e in kept), stream=True)
