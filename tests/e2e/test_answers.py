"""The answer byte by byte: what is held, what is stripped, what is spliced in (API.md 3)."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.e2e.conftest import Opened
from tests.e2e.gate import TollGate, asking, new_name, sse
from tests.e2e.plan import Ask, Gate
from tests.e2e.program import Json
from tests.e2e.script import parts_of, streamed, whole
from tests.e2e.voices import OPENAI

PROVIDERS = pytest.mark.parametrize("provider", ["openai", "anthropic"])


def test_a_json_answer_is_the_providers_own_bytes(gate: TollGate) -> None:
    name = new_name()
    sent: list[bytes] = []

    def plan(ask: Ask) -> Any:
        sent.append(OPENAI.whole(ask))
        return whole(sent[0])

    gate.upstream.plans[name] = plan
    body = gate.post("plain", name=name).content
    receipt = body.index(b',"x_keytoll":')
    assert body[:receipt] + b"}\n" == sent[0]
    json.loads(body)


@PROVIDERS
@pytest.mark.parametrize("stream", [False, True])
def test_no_receipt(gate: TollGate, provider: str, stream: bool) -> None:
    by_header = gate.post(
        "plain", provider=provider, stream=stream, headers={"x-keytoll-receipt": "off"}
    )
    by_body = gate.post("plain", provider=provider, stream=stream, byok={"receipt": False})
    for answer in (by_header, by_body):
        assert answer.status_code == 200
        assert "x_keytoll" not in answer.text
        if stream:
            assert sse(answer)[-1] == "[DONE]"
    both = gate.post(
        "plain",
        provider=provider,
        stream=stream,
        byok={"receipt": True},
        headers={"x-keytoll-receipt": "off"},
    )
    assert "x_keytoll" in both.text


def test_no_receipt_for_an_api_key(gate: TollGate) -> None:
    with gate.program.client() as owner:
        issued = owner.post("/api/user/api-keys", json={"role": "caller", "receipt": False})
        assert issued.status_code == 201
        headers = {"authorization": "", "x-api-key": issued.json()["secret"]}
        body = asking("plain", new_name())
        silent = owner.post("/api/v1/chat/completions", json=body, headers=headers)
        assert silent.status_code == 200
        assert "x_keytoll" not in silent.text
        asked = owner.post(
            "/api/v1/chat/completions",
            json=asking("plain", new_name()),
            headers={**headers, "x-keytoll-receipt": "on"},
        )
        assert "x_keytoll" in asked.text


@PROVIDERS
def test_usage_is_asked_for_and_kept_from_those_who_did_not(gate: TollGate, provider: str) -> None:
    name = new_name()
    events = sse(gate.post("plain", provider=provider, name=name, stream=True))
    assert events.pop() == "[DONE]"
    chunks = [json.loads(event) for event in events]
    assert all(chunk["choices"] for chunk in chunks)
    assert not any(chunk.get("usage") for chunk in chunks)
    assert [i for i, chunk in enumerate(chunks) if "x_keytoll" in chunk] == [len(chunks) - 1]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    if provider == "openai":
        sent = gate.upstream.bodies[gate.upstream.served.index(gate.upstream.call(name))]
        assert sent["stream_options"] == {"include_usage": True}


@PROVIDERS
def test_a_silent_provider_is_estimated(gate: TollGate, provider: str) -> None:
    for stream in (False, True):
        name = new_name()
        answer = gate.post("silent", provider=provider, name=name, stream=stream)
        receipt = json.loads(sse(answer)[-2])["x_keytoll"] if stream else answer.json()["x_keytoll"]
        assert receipt["usage_source"] == "estimate"
        event = gate.program.settled(name)
        assert (event["topic"], event["data"]["reason"]) == (
            "request.usage-estimated",
            "not_reported",
        )
        assert receipt["usage"]["output_tokens"] == event["data"]["usage"]["output_tokens"] > 0
        assert event["data"]["method"]


def test_a_silent_provider_and_a_caller_who_wants_usage(gate: TollGate) -> None:
    answer = gate.post("silent", stream=True, stream_options={"include_usage": True})
    last = json.loads(sse(answer)[-2])
    assert last["choices"] == []
    assert last["usage"]["prompt_tokens"] == last["x_keytoll"]["usage"]["input_tokens"] > 0
    assert last["usage"]["completion_tokens"] == last["x_keytoll"]["usage"]["output_tokens"] > 0


def test_only_the_last_of_repeated_usages_counts(gate: TollGate) -> None:
    for asked in (True, False):
        name = new_name()
        options = {"include_usage": True} if asked else None
        answer = gate.post("repeated", name=name, stream=True, stream_options=options)
        receipt = json.loads(sse(answer)[-2])["x_keytoll"]
        served = gate.upstream.call(name)
        assert receipt["usage"]["output_tokens"] == served.completion_tokens
        assert gate.program.settled(name)["topic"] == "request.usage-reported"


@PROVIDERS
def test_a_stream_without_its_last_word(gate: TollGate, provider: str) -> None:
    """Everything was said and the provider closed in order: the answer is whole."""
    name = new_name()
    events = sse(gate.post("no-done", provider=provider, name=name, stream=True))
    assert events[-1] == "[DONE]"
    assert json.loads(events[-2])["x_keytoll"]["usage_source"] == "provider"
    served = gate.upstream.call(name)
    usage = gate.program.settled(name)["data"]["usage"]
    assert usage["output_tokens"] == served.completion_tokens


def test_nobody_else_writes_our_receipt(gate: TollGate) -> None:
    answer = gate.post("foreign-receipt")
    assert answer.text.count("x_keytoll") == 1
    assert answer.json()["x_keytoll"]["fee_usd"] != "0"
    events = sse(gate.post("foreign-receipt", stream=True))
    assert [n for n, event in enumerate(events) if "x_keytoll" in event] == [len(events) - 2]
    off = gate.post("foreign-receipt", headers={"x-keytoll-receipt": "off"})
    assert "x_keytoll" not in off.text


@PROVIDERS
@pytest.mark.parametrize("stream", [False, True])
def test_a_giant_answer(gate: TollGate, provider: str, stream: bool) -> None:
    name = new_name()
    answer = gate.post("giant", provider=provider, name=name, stream=stream)
    assert answer.status_code == 200
    assert answer.text.count("0123456789abcdef") == 256 * 1024
    served = gate.upstream.call(name)
    assert gate.program.settled(name)["data"]["usage"]["output_tokens"] == served.completion_tokens


@PROVIDERS
def test_the_finish_waits_for_the_books(gate: TollGate, provider: str) -> None:
    """No chunk that ends the answer leaves before the end of the upstream was read."""
    name = new_name()

    def plan(ask: Ask) -> Any:
        said, finish, tail = parts_of(ask)
        return streamed(ask, *said, *finish, Gate(name), *tail)

    gate.upstream.plans[name] = plan
    seen = ""
    with (
        gate.program.client() as client,
        client.stream(
            "POST",
            "/api/v1/chat/completions",
            json=asking("plain", name, provider=provider, stream=True),
        ) as answer,
    ):
        gate.upstream.wait_at(name, 1)
        texts = answer.iter_text()
        while "word11" not in seen:
            seen += next(texts)
        assert '"stop"' not in seen
        assert len(gate.program.tagged(name)[0]) == 1
        gate.upstream.open_gate(name)
        seen += "".join(texts)
    assert seen.endswith("data: [DONE]\n\n")
    assert seen.count('"finish_reason":"stop"') + seen.count('"finish_reason": "stop"') == 1
    receipt = json.loads(seen.split("\n\n")[-3].removeprefix("data: "))["x_keytoll"]
    assert receipt["request_id"] == answer.headers["x-request-id"]


def test_each_chunk_leaves_as_it_comes(gate: TollGate) -> None:
    """The first words are there long before the last."""
    arrived: list[float] = []
    with (
        gate.program.client() as client,
        client.stream(
            "POST", "/api/v1/chat/completions", json=asking("slow", new_name(), stream=True)
        ) as answer,
    ):
        for text in answer.iter_text():
            if "word" in text:
                arrived.append(time.monotonic())
    assert len(arrived) > 6
    assert arrived[-1] - arrived[0] > 0.1


def test_a_bare_stream_gets_a_chunk_for_its_receipt(gate: TollGate) -> None:
    """No choice ever finishes, and the stream ends with [DONE]: a chunk of ours carries it."""
    name = new_name()

    def plan(ask: Ask) -> Any:
        choice = {"index": 0, "delta": {"content": "hello"}, "finish_reason": None}
        return streamed(ask, OPENAI.chunk(ask, [choice]), b"data: [DONE]\n\n")

    gate.upstream.plans[name] = plan
    events = sse(gate.post("plain", name=name, stream=True))
    assert events[-1] == "[DONE]"
    made: Json = json.loads(events[-2])
    assert made["choices"] == [{"index": 0, "delta": {}, "finish_reason": None}]
    assert made["id"] == gate.upstream.call(name).id
    assert made["x_keytoll"]["usage_source"] == "estimate"


def test_pages_of_named_origins_may_call(open_gate: Opened) -> None:
    gate = open_gate({"KEYTOLL_CORS_ORIGINS": "https://app.example"})
    for origin, allowed in (("https://app.example", True), ("https://evil.example", False)):
        for stream in (False, True):
            answer = gate.post("plain", stream=stream, headers={"origin": origin})
            assert answer.status_code == 200
            assert (answer.headers.get("access-control-allow-origin") == origin) is allowed
            assert len(answer.headers.get_list("x-request-id")) == 1
            assert answer.headers["x-request-id"] in answer.text
        with gate.program.client(None) as browser:
            asked = {"origin": origin, "access-control-request-method": "POST"}
            preflight = browser.options("/api/v1/chat/completions", headers=asked)
        assert (preflight.status_code == 200) is allowed


def test_the_sdk_lists_models(gate: TollGate) -> None:
    models = {model.id: model for model in gate.sdk("caller").models.list()}
    assert {"gpt-4o-mini", "claude-sonnet-4-5", "sandbox/echo"} <= models.keys()
    extra = models["gpt-4o-mini"].model_extra or {}
    (openai,) = [each for each in extra["providers"] if each["slug"] == "openai"]
    assert openai["pricing"]["input"] == "0.15"


def test_no_page_may_call_unless_its_origin_is_named(gate: TollGate) -> None:
    answer = gate.post("plain", headers={"origin": "https://app.example"})
    assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.slow
def test_usage_that_comes_after_ten_silent_seconds(gate: TollGate) -> None:
    """The answer is closed on an estimate; the report that still comes corrects it."""
    name = new_name()
    began = time.monotonic()
    answer = gate.post("late-usage", name=name, stream=True)
    assert 9 < time.monotonic() - began < 11.4
    receipt = json.loads(sse(answer)[-2])["x_keytoll"]
    assert receipt["usage_source"] == "estimate"
    _, estimated, corrected = gate.program.events_of(receipt["request_id"], count=3)
    assert estimated["topic"] == "request.usage-estimated"
    assert corrected["topic"] == "request.usage-corrected"
    assert (corrected["data"]["replaces"], corrected["data"]["reason"]) == (2, "late_report")
    served = gate.upstream.call(name)
    assert corrected["data"]["usage"]["output_tokens"] == served.completion_tokens
