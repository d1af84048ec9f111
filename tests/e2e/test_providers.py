"""Every provider's row, from the client's call to the upstream's own count (issue: all providers).

The scripted upstream speaks as the provider does and counts by itself; what it received is held
against the provider's own schema.
"""

from __future__ import annotations

import json
import random
from typing import Any, Final

import httpx
import pytest

from tests.e2e.gate import TollGate, asking, new_name, sse
from tests.e2e.plan import CACHED, CITY, REASONED, TEXT, Ask, Plan
from tests.e2e.program import Json
from tests.e2e.script import plain
from tests.e2e.voices import VOICES

ADDITIVE: Final = {"anthropic", "aws"}
"""They do not tell how much of the output was thought."""
WEATHER: Final = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
CALLED: Final = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city":"Ulm"}'},
}

pytestmark = pytest.mark.parametrize("provider", sorted(VOICES))


def check_books(gate: TollGate, provider: str, name: str, *, receipt: Json | None) -> Json:
    """Event, receipt and the upstream's book tell the same; the request had the provider's form."""
    event = gate.program.settled(name)
    served = gate.upstream.call(name)
    used = event["data"]["usage"]
    assert event["topic"] == "request.usage-reported", event
    assert used["input_tokens"] == served.prompt_tokens
    assert used["cached_input_tokens"] == CACHED
    assert used["output_tokens"] == served.completion_tokens
    if provider not in ADDITIVE:
        assert used["reasoning_tokens"] == REASONED
    assert event["data"]["delivered"] == "all"
    assert event["data"]["anomalies"] == []
    (ask,) = [each for each in gate.upstream.asks if each.name == name]
    assert ask.voice.problems(ask) == []
    if receipt is not None:
        assert receipt["provider"] == provider
        assert receipt["usage_source"] == "provider"
        assert receipt["usage"]["input_tokens"] == served.prompt_tokens
        assert receipt["usage"]["output_tokens"] == served.completion_tokens
        assert receipt["key_suffix"] == "0001"
    return event


def chunks_of(answer: httpx.Response) -> list[Json]:
    *events, last = sse(answer)
    assert last == "[DONE]"
    return [json.loads(event) for event in events]


def text_of(chunks: list[Json]) -> str:
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


def test_json(gate: TollGate, provider: str) -> None:
    name = new_name()
    answer = gate.post("plain", name=name, provider=provider)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["object"] == "chat.completion"
    assert found["choices"][0]["message"]["content"] == TEXT
    assert found["choices"][0]["finish_reason"] == "stop"
    served = gate.upstream.call(name)
    assert found["usage"]["prompt_tokens"] == served.prompt_tokens
    assert found["usage"]["completion_tokens"] == served.completion_tokens
    check_books(gate, provider, name, receipt=found["x_keytoll"])


@pytest.mark.parametrize("wants_usage", [False, True])
def test_stream(gate: TollGate, provider: str, wants_usage: bool) -> None:
    name = new_name()
    more: Json = {"stream_options": {"include_usage": True}} if wants_usage else {}
    answer = gate.post("plain", name=name, provider=provider, stream=True, **more)
    chunks = chunks_of(answer)
    assert text_of(chunks) == TEXT
    assert "x_keytoll" in chunks[-1]
    served = gate.upstream.call(name)
    if wants_usage:
        assert chunks[-1]["choices"] == []
        assert chunks[-1]["usage"]["prompt_tokens"] == served.prompt_tokens
        assert chunks[-1]["usage"]["completion_tokens"] == served.completion_tokens
    else:
        assert all(chunk["choices"] for chunk in chunks)
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    check_books(gate, provider, name, receipt=chunks[-1]["x_keytoll"])


def test_tools(gate: TollGate, provider: str) -> None:
    name = new_name()
    answer = gate.post("plain", name=name, provider=provider, tools=[WEATHER])
    assert answer.status_code == 200, answer.text
    choice = answer.json()["choices"][0]
    (called,) = choice["message"]["tool_calls"]
    assert called["type"] == "function"
    assert called["id"]
    assert called["function"]["name"] == "weather"
    assert json.loads(called["function"]["arguments"]) == {"city": "Ulm"}
    assert choice["finish_reason"] == "tool_calls"
    check_books(gate, provider, name, receipt=answer.json()["x_keytoll"])


def test_tools_streamed(gate: TollGate, provider: str) -> None:
    name = new_name()
    chunks = chunks_of(
        gate.post("plain", name=name, provider=provider, stream=True, tools=[WEATHER])
    )
    calls = [
        call
        for chunk in chunks
        for choice in chunk["choices"]
        for call in choice["delta"].get("tool_calls") or []
    ]
    assert {call["index"] for call in calls} == {0}
    assert calls[0]["function"]["name"] == "weather"
    assert calls[0]["id"]
    said = "".join(call["function"].get("arguments") or "" for call in calls)
    assert json.loads(said) == json.loads("".join(CITY))
    reasons = [c["finish_reason"] for chunk in chunks for c in chunk["choices"]]
    assert [reason for reason in reasons if reason][-1] == "tool_calls"
    check_books(gate, provider, name, receipt=chunks[-1]["x_keytoll"])


def test_a_conversation_with_tools_goes_back(gate: TollGate, provider: str) -> None:
    name = new_name()
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How is Ulm?"},
        {"role": "assistant", "content": None, "tool_calls": [CALLED]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
        {"role": "user", "content": f"plain {name}"},
    ]
    body = {**asking("plain", name, provider=provider), "messages": messages}
    with gate.program.client() as client:
        answer = client.post("/api/v1/chat/completions", json={**body, "tools": [WEATHER]})
    assert answer.status_code == 200, answer.text
    check_books(gate, provider, name, receipt=answer.json()["x_keytoll"])


def test_settings_that_everybody_knows(gate: TollGate, provider: str) -> None:
    name = new_name()
    answer = gate.post(
        "plain", name=name, provider=provider, temperature=0.5, max_tokens=50, stream=True
    )
    check_books(gate, provider, name, receipt=chunks_of(answer)[-1]["x_keytoll"])


@pytest.mark.parametrize("stream", [False, True])
def test_bytes_cut_anywhere(gate: TollGate, provider: str, stream: bool) -> None:
    dice = random.Random(f"{provider}{stream}")

    def in_pieces(ask: Ask) -> Plan:
        plan = plain(ask, "")
        whole = b"".join(piece for piece in plan.pieces if isinstance(piece, bytes))
        places = sorted(dice.sample(range(1, len(whole)), k=20))
        bounds = zip([0, *places], [*places, len(whole)], strict=True)
        pieces: list[Any] = []
        for start, end in bounds:
            pieces += [whole[start:end], 0.001]
        plan.pieces = pieces
        return plan

    name = new_name()
    gate.upstream.plans[name] = in_pieces
    answer = gate.post("plain", name=name, provider=provider, stream=stream)
    if stream:
        assert text_of(chunks_of(answer)) == TEXT
    else:
        assert answer.json()["choices"][0]["message"]["content"] == TEXT
    check_books(gate, provider, name, receipt=None)


@pytest.mark.parametrize("stream", [False, True])
def test_cut_off_in_the_middle(gate: TollGate, provider: str, stream: bool) -> None:
    name = new_name()
    answer = gate.post("cut", name=name, provider=provider, stream=stream)
    event = gate.program.settled(name)
    assert gate.upstream.call(name).state == "cut"
    if not stream:
        assert answer.status_code == 502
        assert answer.headers["x-should-retry"] == "false"
        return
    *events, last = sse(answer)
    assert json.loads(last)["error"]["code"] in {"provider_unreachable", "provider_error"}
    assert text_of([json.loads(each) for each in events]) == TEXT[: len(text_of_events(events))]
    assert event["topic"] == "request.usage-estimated"
    assert event["data"]["usage"]["output_tokens"] > 0


def text_of_events(events: list[str]) -> str:
    return text_of([json.loads(each) for each in events])


@pytest.mark.parametrize("stream", [False, True])
def test_no_usage_told(gate: TollGate, provider: str, stream: bool) -> None:
    name = new_name()
    answer = gate.post("silent", name=name, provider=provider, stream=stream)
    assert answer.status_code == 200, answer.text
    event = gate.program.settled(name)
    assert event["topic"] == "request.usage-estimated"
    assert event["data"]["reason"] == "not_reported"
    assert event["data"]["usage"]["output_tokens"] > 0
    assert event["data"]["usage"]["input_tokens"] > 0


REFUSALS: Final = [
    ("status-400", 400, "provider_bad_request"),
    ("status-403", 403, "provider_forbidden"),
    ("status-404", 404, "model_not_found"),
    ("status-429", 429, "provider_rate_limited"),
    ("status-500", 502, "provider_error"),
    ("status-503", 503, "provider_overloaded"),
]
OWN_REFUSALS: Final = {("together", "status-403"): (403, "context_length_exceeded")}
"""Together says 403 when the input is too long (PROVIDERS.md 1.6)."""


@pytest.mark.parametrize(("behaviour", "status", "code"), REFUSALS)
def test_refusals(gate: TollGate, provider: str, behaviour: str, status: int, code: str) -> None:
    name = new_name()
    answer = gate.post(behaviour, name=name, provider=provider)
    told = int(behaviour.removeprefix("status-"))
    error = answer.json()["error"]
    assert error["provider"] == provider
    assert error["request_id"] == answer.headers["x-request-id"]
    event = gate.program.settled(name)
    assert event["topic"] == "request.failed"
    assert event["data"]["upstream_status"] == told
    expected = OWN_REFUSALS.get((provider, behaviour), (status, code))
    assert (answer.status_code, error["code"]) == expected


def test_an_error_inside_a_stream(gate: TollGate, provider: str) -> None:
    name = new_name()
    answer = gate.post("error-inside", name=name, provider=provider, stream=True)
    *_, last = sse(answer)
    found = json.loads(last)
    assert found["error"]["message"]
    assert found["error"]["provider"] == provider
    assert gate.program.settled(name)["topic"] == "request.usage-estimated"
