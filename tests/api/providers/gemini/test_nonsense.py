"""Well-formed answers that make no sense: nothing raises, nothing is billed that was not said."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from api.providers.gemini.dialect import Gemini
from domain.usage import check_usage
from tests.api.providers.gemini.calls import call

_NAMES = (
    *("candidates", "content", "parts", "text", "thought", "thoughtSignature", "functionCall"),
    *("name", "args", "id", "partialArgs", "jsonPath", "stringValue", "nullValue", "willContinue"),
    *("inlineData", "mimeType", "data", "finishReason", "finishMessage", "index", "error"),
    *("groundingMetadata", "groundingChunks", "groundingSupports", "webSearchQueries", "segment"),
    *("groundingChunkIndices", "web", "uri", "startIndex", "endIndex", "logprobsResult"),
    *("chosenCandidates", "topCandidates", "token", "logProbability", "promptFeedback"),
    *("blockReason", "usageMetadata", "promptTokenCount", "candidatesTokenCount", "modality"),
    *("thoughtsTokenCount", "totalTokenCount", "promptTokensDetails", "tokenCount", "tool"),
    *("cachedContentTokenCount", "billedToolCalls", "successfulToolCallCount", "trafficType"),
    *("serviceTier", "modelVersion", "responseId"),
)
_ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**13)
    | st.floats(allow_nan=False)
    | st.sampled_from(["STOP", "$.a[0]", "image/png", "AUDIO", "", "é", "GOOGLE_SEARCH"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=5)
    ),
    max_leaves=6,
)
_PARTS = st.lists(st.dictionaries(st.sampled_from(_NAMES), _ANY, max_size=4), max_size=3)
_CANDIDATES = st.lists(
    st.fixed_dictionaries(
        {"content": st.fixed_dictionaries({"parts": _PARTS})},
        optional=dict.fromkeys(
            ("index", "finishReason", "finishMessage", "groundingMetadata", "logprobsResult"), _ANY
        ),
    ),
    max_size=2,
)
_RESPONSES = st.lists(
    _ANY
    | st.fixed_dictionaries(
        {"candidates": _CANDIDATES},
        optional={"usageMetadata": st.dictionaries(st.sampled_from(_NAMES), _ANY, max_size=5)},
    ),
    max_size=4,
)


@settings(max_examples=250, deadline=None)
@given(responses=_RESPONSES, stream=st.booleans(), choices=st.integers(1, 2))
def test_nonsense_raises_nothing(responses: list[Any], stream: bool, choices: int) -> None:
    texts = [json.dumps(response).encode() for response in responses]
    data = b"".join(b"data: %s\r\n\r\n" % text for text in texts) if stream else b"".join(texts[:1])
    reader = Gemini().reader(call(stream=stream, n=choices), {})
    chunks = list(reader.feed(data))
    outcome = reader.finish()
    assert outcome == reader.finish()
    for chunk in [*chunks, *outcome.tail]:
        json.loads(chunk.data)
    check_usage(outcome.usage)
    assert outcome.usage.keys() == outcome.provenance.keys()
    json.dumps([outcome.context, outcome.anomalies, outcome.usage_raw, outcome.finish_reason])
    reader.received_text()
    if not stream:
        assert bool(outcome.answer) == (outcome.failure is None)
