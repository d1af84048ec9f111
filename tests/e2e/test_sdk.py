"""The official OpenAI SDK against the running program, for each provider."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.e2e.gate import MODELS, TollGate, new_name
from tests.e2e.plan import TEXT
from tests.e2e.program import Json

pytestmark = pytest.mark.parametrize("provider", ["openai", "anthropic", "sandbox"])
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhg"
    "GAWjR9awAAAABJRU5ErkJggg=="
)


def create(client: openai.OpenAI, provider: str, name: str, **options: Any) -> Any:
    return client.chat.completions.create(
        model=MODELS[provider],
        messages=options.pop("messages", [{"role": "user", "content": f"plain {name}"}]),
        extra_body={"byok": {"provider": provider, "tags": {"call": name}}},
        **options,
    )


def receipt_of(found: ChatCompletion | ChatCompletionChunk) -> Json:
    assert found.model_extra is not None
    receipt: Json = found.model_extra["x_keytoll"]
    return receipt


def check_books(gate: TollGate, provider: str, name: str, receipt: Json) -> None:
    """Receipt, event and upstream tell the same."""
    event = gate.program.settled(name)
    assert event["topic"] == "request.usage-reported"
    used = event["data"]["usage"]
    shown = receipt["usage"]
    assert (shown["input_tokens"], shown["output_tokens"]) == (
        used["input_tokens"],
        used["output_tokens"],
    )
    assert receipt["usage_source"] == "provider"
    assert receipt["status"] == "priced"
    assert receipt["credential_id"] == gate.credentials[provider]
    assert receipt["key_suffix"] == "0001"
    assert receipt["sandbox"] is (provider == "sandbox")
    if provider != "sandbox":
        served = gate.upstream.call(name)
        assert served.state == "whole"
        assert used["input_tokens"] == served.prompt_tokens
        assert used["output_tokens"] == served.completion_tokens
        assert event["data"]["upstream_id"] == served.id


def test_chat(gate: TollGate, provider: str) -> None:
    name = new_name()
    answer = create(gate.sdk(), provider, name)
    assert answer.choices[0].message.content == (f"plain {name}" if provider == "sandbox" else TEXT)
    assert answer.choices[0].finish_reason == "stop"
    receipt = receipt_of(answer)
    assert answer.usage.prompt_tokens == receipt["usage"]["input_tokens"]
    assert answer.usage.completion_tokens == receipt["usage"]["output_tokens"]
    check_books(gate, provider, name, receipt)


def test_stream(gate: TollGate, provider: str) -> None:
    name = new_name()
    chunks = list(create(gate.sdk(), provider, name, stream=True))
    said = "".join(c.choices[0].delta.content or "" for c in chunks)
    assert said == (f"plain {name}" if provider == "sandbox" else TEXT)
    assert all(chunk.choices for chunk in chunks)
    assert all(chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert not any("x_keytoll" in (chunk.model_extra or {}) for chunk in chunks[:-1])
    check_books(gate, provider, name, receipt_of(chunks[-1]))


def test_stream_with_usage(gate: TollGate, provider: str) -> None:
    name = new_name()
    chunks = list(
        create(gate.sdk(), provider, name, stream=True, stream_options={"include_usage": True})
    )
    assert chunks[-1].choices == []
    assert not any("x_keytoll" in (chunk.model_extra or {}) for chunk in chunks[:-1])
    receipt = receipt_of(chunks[-1])
    assert chunks[-1].usage.prompt_tokens == receipt["usage"]["input_tokens"]
    assert chunks[-1].usage.completion_tokens == receipt["usage"]["output_tokens"]
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    check_books(gate, provider, name, receipt)


def test_tools(gate: TollGate, provider: str) -> None:
    name = new_name()
    answer = create(gate.sdk(), provider, name, tools=[WEATHER], tool_choice="required")
    (called,) = answer.choices[0].message.tool_calls
    assert called.function.name == "weather"
    assert answer.choices[0].finish_reason == "tool_calls"
    if provider != "sandbox":
        assert called.function.arguments.replace(" ", "") == '{"city":"Ulm"}'
    check_books(gate, provider, name, receipt_of(answer))


def test_tools_stream(gate: TollGate, provider: str) -> None:
    name = new_name()
    chunks = list(
        create(gate.sdk(), provider, name, tools=[WEATHER], tool_choice="required", stream=True)
    )
    calls = [call for chunk in chunks for call in (chunk.choices[0].delta.tool_calls or [])]
    assert calls[0].function.name == "weather"
    if provider != "sandbox":
        assert "".join(c.function.arguments or "" for c in calls) == '{"city":"Ulm"}'
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    check_books(gate, provider, name, receipt_of(chunks[-1]))


def test_a_conversation_with_tools_goes_back(gate: TollGate, provider: str) -> None:
    name = new_name()
    called = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city":"Ulm"}'},
    }
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How is Ulm?"},
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
        {"role": "user", "content": f"plain {name}"},
    ]
    answer = create(gate.sdk(), provider, name, messages=messages)
    assert answer.choices[0].finish_reason == "stop"
    check_books(gate, provider, name, receipt_of(answer))


def test_image(gate: TollGate, provider: str) -> None:
    name = new_name()
    content = [
        {"type": "text", "text": f"plain {name}"},
        {"type": "image_url", "image_url": {"url": PIXEL}},
    ]
    answer = create(gate.sdk(), provider, name, messages=[{"role": "user", "content": content}])
    check_books(gate, provider, name, receipt_of(answer))
    if provider != "sandbox":
        sent = str(gate.upstream.bodies[gate.upstream.served.index(gate.upstream.call(name))])
        assert PIXEL.partition(",")[2] in sent


def test_raw_response(gate: TollGate, provider: str) -> None:
    name = new_name()
    raw = gate.sdk().chat.completions.with_raw_response.create(
        model=MODELS[provider],
        messages=[{"role": "user", "content": f"plain {name}"}],
        extra_body={"byok": {"provider": provider, "tags": {"call": name}}},
    )
    assert raw.request_id == raw.headers["x-request-id"]
    assert receipt_of(raw.parse())["request_id"] == raw.request_id
    (events,) = gate.program.tagged(name)
    assert raw.request_id == "req_" + events[0]["originator_id"].replace("-", "")


async def test_async_client(gate: TollGate, provider: str) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{gate.program.base_url}/v1",
        api_key=gate.program.api_keys["caller"],
        max_retries=0,
    ) as client:
        whole, streamed = new_name(), new_name()
        answer = await create(client, provider, whole)  # type: ignore[arg-type]
        stream = await create(client, provider, streamed, stream=True)  # type: ignore[arg-type]
        chunks = [chunk async for chunk in stream]
    check_books(gate, provider, whole, receipt_of(answer))
    check_books(gate, provider, streamed, receipt_of(chunks[-1]))


def test_a_wrong_key_of_ours(gate: TollGate, provider: str) -> None:
    client = gate.sdk().with_options(api_key="kt_" + "x" * 43)
    with pytest.raises(openai.AuthenticationError) as caught:
        create(client, provider, new_name())
    assert caught.value.code == "invalid_api_key"
    assert caught.value.request_id is not None
    assert caught.value.request_id.startswith("req_")


def test_choices(gate: TollGate, provider: str) -> None:
    name = new_name()
    if provider == "anthropic":
        with pytest.raises(openai.BadRequestError) as caught:
            create(gate.sdk(), provider, name, n=2)
        assert caught.value.code == "unsupported_parameter"
        assert caught.value.param == "n"
        return
    answer = create(gate.sdk(), provider, name, n=2)
    assert [choice.index for choice in answer.choices] == [0, 1]
    check_books(gate, provider, name, receipt_of(answer))
    name = new_name()
    chunks = list(create(gate.sdk(), provider, name, n=2, stream=True))
    assert {chunk.choices[0].index for chunk in chunks} == {0, 1}
    ends = [chunk for chunk in chunks if chunk.choices[0].finish_reason]
    assert ends == chunks[-2:]
    check_books(gate, provider, name, receipt_of(chunks[-1]))
