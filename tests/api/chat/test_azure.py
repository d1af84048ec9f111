"""Calls to Azure, from the caller's body to the event and the receipt."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from api.providers.catalogue import PROVIDERS, parse_key
from tests.api.chat.calls import DONE, USAGE, Calls, chunk, json_answer, opened_calls, stream_answer

KEY = {"endpoint": "https://acme.openai.azure.com", "apiKey": "0123456789abcdef"}
LISTED = {"big": "gpt-4o", "small": "gpt-4o-mini"}


@pytest.fixture
async def calls() -> AsyncIterator[Calls]:
    async with opened_calls() as calls:
        for slug, more in (
            ("azure", {"apiVersion": "2024-10-21", "deploymentName": "small"}),
            ("azure-responses", {"apiVersion": "v1"}),
        ):
            fields = parse_key(PROVIDERS[slug], {**KEY, **more, "deployments": LISTED})
            calls.ledger.add_credential(
                calls.account_id, provider=slug, fields=fields, key_suffix="cdef"
            )
        yield calls


def response(**more: str) -> httpx.Response:
    message = {"type": "message", "content": [{"type": "output_text", "text": "hello"}]}
    usage = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
    found = {"id": "resp_1", "status": "completed", "output": [message], "usage": usage}
    return httpx.Response(200, json={**found, **more})


async def test_the_answer_says_which_model_is_paid_for(calls: Calls) -> None:
    calls.provider.answers.append(json_answer(model="gpt-4o-2024-08-06"))
    client = await calls.call(model="azure/small")
    (sent,) = calls.provider.requests
    assert sent.url.path == "/openai/deployments/small/chat/completions"
    assert sent.headers["api-key"] == KEY["apiKey"]
    (_, routed), (_, reported) = calls.requests()
    assert routed["upstream_model"] == "small"
    assert reported["model"] == "gpt-4o-2024-08-06"
    assert reported["context"] == {"deployment_model": "gpt-4o-mini"}
    receipt = client.json["x_keytoll"]
    assert receipt["reference"]["model"] == "gpt-4o-2024-08-06"
    assert receipt["status"] == "priced"


async def test_where_it_names_the_deployment_the_credential_says_what_that_serves(
    calls: Calls,
) -> None:
    calls.provider.answers.append(response(model="big"))
    client = await calls.call(model="azure-responses/big")
    (sent,) = calls.provider.requests
    assert sent.url.path == "/openai/v1/responses"
    assert json.loads(sent.content)["model"] == "big"
    (_, (_, reported)) = calls.requests()
    assert reported["model"] == "big"
    assert reported["context"] == {"deployment_model": "gpt-4o"}
    receipt = client.json["x_keytoll"]
    assert (receipt["status"], receipt["reference"]["model"]) == ("priced", "gpt-4o")
    assert client.json["choices"][0]["message"]["content"] == "hello"


async def test_a_model_finds_the_deployment_that_serves_it(calls: Calls) -> None:
    calls.provider.answers.append(json_answer(model="gpt-4o-2024-08-06"))
    await calls.call(model="gpt-4o", byok={"provider": "azure"})
    assert calls.provider.requests[0].url.path == "/openai/deployments/big/chat/completions"


async def test_a_prompt_that_the_filter_refuses_costs_nothing(calls: Calls) -> None:
    error = {
        "code": "content_filter",
        "message": "The response was filtered.",
        "param": "prompt",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
    }
    calls.provider.answers.append(httpx.Response(400, json={"error": error}))
    client = await calls.call(model="azure/small")
    assert client.status == 400
    assert client.json["error"]["code"] == "content_filter"
    assert client.json["error"]["message"] == "The response was filtered."
    assert client.json["x_keytoll"]["usage_source"] == "none"
    (_, (topic, failed)) = calls.requests()
    assert topic == "request.failed"
    assert failed["failure"] == "bad_request"


async def test_what_the_filter_says_is_not_for_the_caller(calls: Calls) -> None:
    checked: dict[str, object] = {"index": 0, "finish_reason": None, "content_filter_results": {}}
    late = b"data: " + json.dumps({"id": "", "model": "", "choices": [checked]}).encode() + b"\n\n"
    calls.provider.answers.append(
        stream_answer(
            chunk(None, prompt_filter_results=[{"prompt_index": 0}], id="", model=""),
            chunk({"role": "assistant", "content": "hello"}),
            chunk({}, "stop"),
            late,
            chunk(None, usage=USAGE),
            DONE,
        )
    )
    client = await calls.call(
        model="azure/small", stream=True, stream_options={"include_usage": True}
    )
    *events, end = client.body.decode().strip().split("\n\n")
    told = [json.loads(event.removeprefix("data: ")) for event in events]
    assert end == "data: [DONE]"
    assert [bool(each["choices"]) for each in told] == [True, True, False]
    assert all("delta" in choice for each in told for choice in each["choices"])
    assert told[-1]["usage"]["total_tokens"] == 18
    assert told[-1]["x_keytoll"]["usage"]["input_tokens"] == 11
