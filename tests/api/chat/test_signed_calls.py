"""A call to Bedrock on its whole way: signed at the call's instant, priced by the key's region."""

from __future__ import annotations

import json

import httpx

from tests.api.chat.calls import START, Calls, ScriptedBody
from tests.api.providers.converse.calls import ACCESS, SONNET
from tests.api.providers.converse.frames import frame

USAGE = {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18}


def add_key(calls: Calls) -> None:
    calls.ledger.add_credential(
        calls.account_id, provider="aws", fields=ACCESS, key_suffix=ACCESS["accessKeyId"][-4:]
    )


async def test_a_whole_answer(calls: Calls) -> None:
    add_key(calls)
    message = {"role": "assistant", "content": [{"text": "hello"}]}
    found = {"output": {"message": message}, "stopReason": "end_turn", "usage": USAGE}
    calls.provider.answers = [httpx.Response(200, json=found)]
    client = await calls.call(model=f"aws/{SONNET}", service_tier="flex")

    (request,) = calls.provider.requests
    assert request.headers["x-amz-date"] == START.strftime("%Y%m%dT%H%M%SZ")
    assert request.url.host == "bedrock-runtime.eu-west-1.amazonaws.com"
    assert request.url.raw_path == f"/model/{SONNET}/converse".encode()
    assert client.json["choices"][0]["message"]["content"] == "hello"
    assert client.json["x_keytoll"]["model"] == SONNET
    (_, routed), (topic, reported) = calls.requests()
    assert (routed["api"], routed["upstream_model"]) == ("bedrock.converse", SONNET)
    assert topic == "request.usage-reported"
    assert reported["model"] is None
    assert reported["context"] == {"region": "eu-west-1", "service_tier": "flex"}
    assert reported["usage_raw"] == [json.dumps(USAGE, separators=(",", ":"))]


async def test_a_stream_of_frames(calls: Calls) -> None:
    add_key(calls)
    frames = [
        frame("messageStart", {"role": "assistant"}),
        frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "hello"}}),
        frame("messageStop", {"stopReason": "end_turn"}),
        frame("metadata", {"usage": USAGE, "serviceTier": {"type": "default"}}),
    ]
    headers = {"content-type": "application/vnd.amazon.eventstream"}
    body = ScriptedBody(frames)
    calls.provider.answers = [httpx.Response(200, headers=headers, stream=body)]
    client = await calls.call(model=f"aws/{SONNET}", stream=True, service_tier="flex")

    *events, end = client.body.split(b"\n\n")[:-1]
    assert end == b"data: [DONE]"
    last = json.loads(events[-1].removeprefix(b"data: "))
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["x_keytoll"]["status"] == "priced"
    (_, _), (_, reported) = calls.requests()
    # The answer says that it was served as everybody's is, whatever was asked for.
    assert reported["context"] == {"region": "eu-west-1", "service_tier": "default"}
    assert reported["usage"]["input_tokens"] == 11


async def test_a_throttled_stream(calls: Calls) -> None:
    add_key(calls)
    frames = [
        frame("messageStart", {"role": "assistant"}),
        frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "hel"}}),
        frame("throttlingException", {"message": "Slow down."}, "exception"),
    ]
    headers = {"content-type": "application/vnd.amazon.eventstream"}
    calls.provider.answers = [httpx.Response(200, headers=headers, stream=ScriptedBody(frames))]
    client = await calls.call(model=f"aws/{SONNET}", stream=True)

    last = json.loads(client.body.rstrip().rpartition(b"data: ")[2])
    assert last["error"]["code"] == "provider_rate_limited"
    assert last["error"]["message"] == "Slow down."
    assert b"[DONE]" not in client.body
    (_, _), (topic, estimated) = calls.requests()
    assert (topic, estimated["reason"]) == ("request.usage-estimated", "cut_off")
    assert estimated["context"] == {"region": "eu-west-1"}
