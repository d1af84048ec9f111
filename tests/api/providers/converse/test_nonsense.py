"""Well-formed nonsense in place of Converse's answers: nothing is raised, nothing is made up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from api.providers.converse.dialect import Converse
from api.providers.port import Outcome
from domain.usage import check_usage
from tests.api.providers.converse.calls import NOVA, call
from tests.api.providers.converse.frames import frame

_NAMES = (
    *("contentBlockIndex", "delta", "start", "toolUse", "toolUseId", "name", "input", "type"),
    *("text", "reasoningContent", "reasoningText", "signature", "redactedContent", "stopReason"),
    *("usage", "inputTokens", "outputTokens", "totalTokens", "cacheReadInputTokens", "ttl"),
    *("cacheWriteInputTokens", "cacheDetails", "serviceTier", "performanceConfig", "latency"),
    *("additionalModelResponseFields", "output_tokens_details", "thinking_tokens", "message"),
    *("output", "content", "citationsContent", "toolResult"),
)
_KINDS = (
    *("messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop"),
    *("messageStop", "metadata", "unheardOf"),
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**13) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=5)
    ),
    max_leaves=25,
)
HEADERS = {"content-type": "application/json"}


def sane(outcome: Outcome) -> None:
    check_usage(outcome.usage)
    assert outcome.usage.keys() == outcome.provenance.keys()
    json.dumps([outcome.context, outcome.anomalies, outcome.usage_raw])
    for text in outcome.usage_raw:
        assert isinstance(json.loads(text), dict)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(_KINDS), _JSON), max_size=8))
def test_frames_of_nonsense(events: list[tuple[str, Any]]) -> None:
    reader = Converse().reader(call(NOVA, stream=True), {})
    for kind, payload in events:
        for chunk in reader.feed(frame(kind, payload)):
            ChatCompletionChunk.model_validate_json(chunk.data)
    outcome = reader.finish()
    sane(outcome)
    assert reader.received_text() == "" or outcome.generated


@settings(max_examples=200, deadline=None)
@given(
    kind=st.text(max_size=12),
    payload=_JSON,
    message=st.sampled_from(["exception", "error"]),
)
def test_exceptions_of_nonsense(kind: str, payload: Any, message: str) -> None:
    reader = Converse().reader(call(NOVA, stream=True), {})
    reader.feed(frame(kind, payload, message))
    failure = reader.finish().failure
    assert failure is not None
    assert 0 < len(failure.message) <= 500


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from(_NAMES), _JSON, max_size=6), st.lists(_JSON, max_size=4))
def test_bodies_of_nonsense(found: dict[str, Any], content: list[Any]) -> None:
    for body in (found, {**found, "output": {"message": {"content": content}}}):
        reader = Converse().reader(call(NOVA), HEADERS)
        reader.feed(json.dumps(body).encode())
        outcome = reader.finish()
        sane(outcome)
        assert reader.received_text() == "" or outcome.generated
        assert bool(outcome.answer) == (outcome.failure is None)
        if outcome.answer:
            ChatCompletion.model_validate_json(outcome.answer)


@pytest.mark.parametrize("depth", [200, 300, 2000])
@pytest.mark.parametrize("name", ["toolUse", "text", "usage"])
def test_depths_that_nobody_can_write_again(depth: int, name: str) -> None:
    deep = "[" * depth + "]" * depth
    block = {
        "toolUse": f'{{"toolUse":{{"toolUseId":"a","name":"b","input":{{"c":{deep}}}}}}}',
        "text": f'{{"text":{deep}}}',
        "usage": '{"text":"a"}',
    }[name]
    usage = f'{{"inputTokens":1,"outputTokens":2,"x":{deep if name == "usage" else 0}}}'
    data = f'{{"output":{{"message":{{"content":[{block}]}}}},"usage":{usage}}}'.encode()
    reader = Converse().reader(call(NOVA), HEADERS)
    reader.feed(data)
    outcome = reader.finish()
    sane(outcome)
    assert bool(outcome.answer) == (outcome.failure is None)
    reader.received_text()
