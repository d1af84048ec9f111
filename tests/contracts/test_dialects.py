"""Every dialect against every case under tests/golden/dialects, whole and cut at many places.

A case is a folder: `case.json` (the client's call, the answer's headers), `answer` (the provider's
bytes) and `expect.json` (the upstream body, the outcome, and the chunks or the answer for the
client). `KEYTOLL_GOLDEN=write pytest tests/contracts/test_dialects.py` rewrites the last one; read
the difference.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from anthropic.types.message_create_params import (
    MessageCreateParamsNonStreaming,
    MessageCreateParamsStreaming,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter

from api.providers.catalogue import PROVIDERS
from api.providers.port import ChatCall, Chunk, Dialect, Headers, Outcome, Reader, UpstreamRequest
from domain.usage import check_usage
from tests.api.providers.converse.calls import complaints
from tests.instants import AT

FOLDER = Path(__file__).parent.parent / "golden" / "dialects"
CASES = sorted(path.parent for path in FOLDER.glob("*/*/case.json"))
KEY = {"apiKey": "sk-test-0123456789"}
KEYS: dict[str, dict[str, str]] = {
    "aws": {**KEY, "region": "eu-west-1"},
    "azure": {**KEY, "apiVersion": "2024-10-21", "deploymentName": "prod"},
    "azure-responses": {**KEY, "apiVersion": "v1"},
}
"""Slug → the fields of a credential that has more of them than a key."""
END = re.compile(
    rb'_reason":"|"(?:finish|stop)Reason"|"type":"response\.(?:completed|incomplete|failed)"'
)
"""Where an answer says why it ends."""
CALLABLE = [row.slug for row in PROVIDERS.values() if row.dialect is not None]


class Case:
    """One recorded exchange."""

    def __init__(self, folder: Path) -> None:
        told = json.loads((folder / "case.json").read_text())
        body = told["call"]
        self.folder = folder
        self.slug = folder.parent.name
        self.body: dict[str, Any] = body
        self.call = ChatCall(
            body=body,
            model=body["model"],
            stream=body.get("stream", False),
            wants_usage=False,
            choices=body.get("n", 1),
            at=AT,
        )
        self.headers: Headers = told.get("headers", {})
        self.answer = (folder / "answer").read_bytes()

    @property
    def dialect(self) -> Dialect:
        dialect = PROVIDERS[self.slug].dialect
        assert dialect is not None
        return dialect

    def request(self, base_url: str) -> UpstreamRequest:
        return self.dialect.request(self.call, KEYS.get(self.slug, KEY), base_url)

    def read(self, pieces: Iterable[bytes]) -> tuple[Reader, list[Chunk], Outcome]:
        reader = self.dialect.reader(self.call, self.headers)
        chunks = [chunk for piece in pieces for chunk in reader.feed(piece)]
        outcome = reader.finish()
        return reader, [*chunks, *outcome.tail], outcome

    def found(self, pieces: Iterable[bytes]) -> dict[str, Any]:
        reader, chunks, outcome = self.read(pieces)
        request = self.request("https://upstream.test/base")
        found: dict[str, Any] = {
            "request": json.loads(request.body),
            "outcome": {
                name: getattr(outcome, name)
                for name in (
                    *("usage", "provenance", "usage_raw", "complete_usage", "model", "context"),
                    *("parts", "finish_reason", "upstream_id", "anomalies", "ended", "generated"),
                )
            },
            "received": reader.received_text(),
        }
        if outcome.provider_cost is not None:
            found["provider_cost"] = outcome.provider_cost
        if outcome.failure is not None:
            found["failure"] = [outcome.failure.kind, outcome.failure.message]
        if self.call.stream:
            found["chunks"] = [
                [chunk.data.decode(), chunk.has_choices, chunk.finished] for chunk in chunks
            ]
        else:
            found["answer"] = outcome.answer.decode()
        return found


@pytest.fixture(params=CASES, ids=lambda path: f"{path.parent.name}-{path.name}")
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def pieces_of(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def test_a_case_ends_as_expected(case: Case) -> None:
    found = case.found([case.answer])
    path = case.folder / "expect.json"
    if os.environ.get("KEYTOLL_GOLDEN") == "write":
        path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    assert found == json.loads(path.read_text())


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 333])
def test_cutting_the_bytes_changes_nothing(case: Case, size: int) -> None:
    assert case.found(pieces_of(case.answer, size)) == case.found([case.answer])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_cutting_anywhere_changes_nothing(data: st.DataObject) -> None:
    case = Case(data.draw(st.sampled_from(CASES)))
    places = data.draw(st.lists(st.integers(0, len(case.answer)), max_size=8).map(sorted))
    bounds = [0, *places, len(case.answer)]
    cut = [case.answer[a:b] for a, b in pairwise(bounds)]
    assert case.found(cut) == case.found([case.answer])


def test_reading_may_be_asked_about_at_any_time(case: Case) -> None:
    reader = case.dialect.reader(case.call, case.headers)
    chunks: list[Chunk] = []
    for piece in pieces_of(case.answer, 50):
        chunks.extend(reader.feed(piece))
        if b"\n\n" in piece or not case.call.stream:
            # Asking between two events: what is told then must not change what comes.
            reader.received_text()
    first, again = reader.finish(), reader.finish()
    assert first == again
    assert [*chunks, *again.tail] == case.read([case.answer])[1]


def test_usage_always_fits_together(case: Case) -> None:
    for end in range(0, len(case.answer), 29):
        outcome = case.read([case.answer[:end]])[2]
        check_usage(outcome.usage)
        for part in outcome.parts:
            check_usage(part["usage"])
        assert outcome.usage.keys() == outcome.provenance.keys()
        for text in outcome.usage_raw:
            assert isinstance(json.loads(text), dict)


def test_a_cut_stream_never_claims_to_be_complete(case: Case) -> None:
    _, _, whole = case.read([case.answer])
    if not case.call.stream or not whole.complete_usage:
        pytest.skip("this case has no final report to lose")
    end = END.search(case.answer)
    assert end is not None
    outcome = case.read([case.answer[: end.start()]])[2]
    assert not outcome.complete_usage
    assert not outcome.ended


def test_raw_usage_is_cut_out_of_the_answer(case: Case) -> None:
    outcome = case.read([case.answer])[2]
    for text in outcome.usage_raw:
        assert text.encode() in case.answer


def test_the_client_gets_what_the_sdk_understands(case: Case) -> None:
    _, chunks, outcome = case.read([case.answer])
    for chunk in chunks:
        assert b"\n" not in chunk.data
        told = _without_tier(chunk.data)
        read = ChatCompletionChunk.model_validate(told)
        assert bool(read.choices) == chunk.has_choices
        assert "x_keytoll" not in told
    if outcome.answer:
        told = _without_tier(outcome.answer)
        ChatCompletion.model_validate(told)
        assert "x_keytoll" not in told


def _without_tier(data: bytes) -> dict[str, Any]:
    """Tiers have names of their own at every provider, and the SDK does not look at them."""
    told: dict[str, Any] = json.loads(data)
    told.pop("service_tier", None)
    return told


def test_finished_is_told_once_all_choices_are(case: Case) -> None:
    _, chunks, _ = case.read([case.answer])
    finished: set[int] = set()
    for chunk in chunks:
        for choice in json.loads(chunk.data)["choices"]:
            if choice["finish_reason"]:
                finished.add(choice["index"])
        assert chunk.finished == (len(finished) == case.call.choices)


def test_the_key_is_in_a_header_and_nowhere_else(case: Case) -> None:
    request = case.request("https://upstream.test/base/")
    assert request.url.startswith("https://upstream.test/base/")
    assert "//" not in request.url.removeprefix("https://")
    assert KEY["apiKey"] not in request.url
    assert KEY["apiKey"].encode() not in request.body
    assert sum(KEY["apiKey"] in value for value in request.headers.values()) == 1
    assert all(name == name.lower() for name in request.headers)
    assert KEY["apiKey"] not in repr(request)


def test_the_client_s_body_is_left_alone(case: Case) -> None:
    before = json.dumps(case.body)
    case.request("https://upstream.test")
    assert json.dumps(case.body) == before


@pytest.mark.parametrize("folder", [path for path in CASES if path.parent.name == "anthropic"])
def test_requests_to_anthropic_have_its_types(folder: Path) -> None:
    case = Case(folder)
    body = case.found([])["request"]
    wanted: TypeAdapter[Any] = TypeAdapter(
        MessageCreateParamsStreaming if case.call.stream else MessageCreateParamsNonStreaming
    )
    read = wanted.validate_python(body)
    for turn in read["messages"]:
        content = turn["content"]
        assert isinstance(content, str) or list(content)
    list(read.get("tools", ()))


@pytest.mark.parametrize("folder", [path for path in CASES if path.parent.name == "aws"])
def test_requests_to_bedrock_fit_its_service_model(folder: Path) -> None:
    case = Case(folder)
    body = case.found([])["request"]
    assert not complaints(body, case.call.model, stream=case.call.stream)


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=400), stream=st.booleans(), slug=st.sampled_from(CALLABLE))
@example(data=b"data: [DONE]\n\n", stream=True, slug="openai")
@example(data=b"data:[DONE]", stream=True, slug="openai")
def test_garbage_is_an_invalid_response(data: bytes, stream: bool, slug: str) -> None:
    dialect = PROVIDERS[slug].dialect
    assert dialect is not None
    call = ChatCall(body={}, model="m", stream=stream, wants_usage=False, choices=1, at=AT)
    reader = dialect.reader(call, {})
    assert not list(reader.feed(data))
    outcome = reader.finish()
    assert outcome.usage == {}
    assert not outcome.generated
    if data or not stream:
        assert outcome.failure is not None
        assert outcome.failure.kind == "invalid_response"
    reader.received_text()


_NAMES = (
    *("type", "index", "delta", "message", "usage", "choices", "content", "id", "model", "error"),
    *("input_tokens", "output_tokens", "prompt_tokens", "completion_tokens", "total_tokens"),
    *("prompt_tokens_details", "cached_tokens", "audio_tokens", "cache_creation", "iterations"),
    *("content_block", "text", "finish_reason", "stop_reason", "tool_calls", "function"),
    *("service_tier", "stop_details", "cache_read_input_tokens", "cache_creation_input_tokens"),
    *("completion_tokens_details", "reasoning_tokens", "signature", "partial_json", "input"),
)
_ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**13) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(_NAMES),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)
_TYPES = (
    *("message_start", "content_block_start", "content_block_delta", "content_block_stop"),
    *("message_delta", "message_stop", "error", "message"),
)


@settings(max_examples=300, deadline=None)
@given(
    objects=st.lists(_ANY_JSON, max_size=6),
    types=st.lists(st.sampled_from(_TYPES), min_size=6, max_size=6),
    stream=st.booleans(),
    slug=st.sampled_from(CALLABLE),
)
def test_well_formed_nonsense_raises_nothing(
    objects: list[Any], types: list[str], stream: bool, slug: str
) -> None:
    dialect = PROVIDERS[slug].dialect
    assert dialect is not None
    typed = [
        {**found, "type": kind} if isinstance(found, dict) else found
        for found, kind in zip(objects, types, strict=False)
    ]
    texts = [json.dumps(found).encode() for found in typed]
    call = ChatCall(body={}, model="m", stream=stream, wants_usage=False, choices=1, at=AT)
    data = b"".join(b"data: %s\n\n" % text for text in texts) if stream else b"".join(texts[:1])
    reader = dialect.reader(call, {})
    reader.feed(data)
    outcome = reader.finish()
    check_usage(outcome.usage)
    for part in outcome.parts:
        check_usage(part["usage"])
    json.dumps([outcome.context, outcome.parts, outcome.anomalies, outcome.usage_raw])
    reader.received_text()


@settings(max_examples=150, deadline=None)
@given(status=st.integers(300, 599), body=st.binary(max_size=300) | _ANY_JSON.map(json.dumps))
def test_any_error_body_has_a_meaning(status: int, body: bytes | str) -> None:
    raw = body.encode() if isinstance(body, str) else body
    for slug in CALLABLE:
        dialect = PROVIDERS[slug].dialect
        assert dialect is not None
        failure = dialect.failure(status, {}, raw)
        assert failure.status == status
        assert 0 < len(failure.message) <= 500


def test_every_callable_provider_has_a_case() -> None:
    assert {folder.parent.name for folder in CASES} == set(CALLABLE)
