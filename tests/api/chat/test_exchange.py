"""One call and its books, when the store, the provider or the caller misbehaves."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from domain.credential import CredentialNotFound
from domain.events.requests import RequestFailed
from tests.api.chat.calls import (
    DONE,
    USAGE,
    Calls,
    Client,
    ScriptedBody,
    chunk,
    json_answer,
    stream_answer,
    until,
)

WORDS = (chunk({"role": "assistant", "content": ""}), chunk({"content": "hello"}))
FINISH = chunk({}, "stop")


def receipt_of(client: Client) -> dict[str, object]:
    last = client.body.split(b"\n\n")[-3].removeprefix(b"data: ")
    found: dict[str, object] = json.loads(last)["x_keytoll"]
    return found


async def stored(calls: Calls, count: int) -> None:
    await until(lambda: len(calls.requests()) >= count)


async def test_a_store_that_takes_nothing_keeps_the_call_here(calls: Calls) -> None:
    calls.store.sick = True
    client = await calls.call()
    assert (client.status, client.json["error"]["code"]) == (503, "store_unavailable")
    assert calls.provider.requests == []
    calls.store.sick = False
    calls.provider.answers = [json_answer()]
    assert (await calls.call()).status == 200


async def fall_sick(calls: Calls) -> None:
    calls.store.sick = True


async def test_a_terminal_event_that_cannot_be_stored(calls: Calls) -> None:
    calls.provider.on_request = lambda: fall_sick(calls)
    calls.provider.answers = [json_answer()]
    client = await calls.call()
    assert client.status == 200
    receipt = client.json["x_keytoll"]
    assert (receipt["status"], receipt["fee_usd"]) == ("pending", None)
    assert receipt["usage"]["output_tokens"] == 7
    refused = await calls.call()
    assert (refused.status, refused.json["error"]["code"]) == (503, "store_unavailable")
    assert len(calls.provider.requests) == 1
    assert [topic for topic, _ in calls.requests()] == ["request.routed"]

    calls.store.sick = False
    calls.provider.on_request = None
    await stored(calls, 2)
    topic, data = calls.requests()[1]
    assert (topic, data["usage"]["output_tokens"]) == ("request.usage-reported", 7)
    calls.provider.answers = [json_answer()]
    await until(lambda: not calls.in_flight.store_failing)
    assert (await calls.call()).json["x_keytoll"]["status"] == "priced"


async def test_a_stream_whose_terminal_event_cannot_be_stored(calls: Calls) -> None:
    calls.provider.on_request = lambda: fall_sick(calls)
    calls.provider.answers = [stream_answer(*WORDS, FINISH, chunk(None, usage=USAGE), DONE)]
    client = await calls.call(stream=True)
    assert client.body.endswith(DONE)
    assert receipt_of(client)["status"] == "pending"
    calls.store.sick = False
    await stored(calls, 2)
    assert calls.requests()[1][0] == "request.usage-reported"


async def test_a_sweep_that_took_a_call_for_dead_is_corrected(calls: Calls) -> None:
    async def sweep() -> None:
        (routed,) = calls.log.read(after=0, limit=99, streams={"request"})
        lost = RequestFailed(
            originator_id=routed.originator_id, originator_version=2, failure="process_lost"
        )
        await calls.log.append(lost, account_id=calls.account_id)

    calls.provider.on_request = sweep
    calls.provider.answers = [json_answer()]
    client = await calls.call()
    assert client.status == 200
    _, (lost, _), (corrected, data) = calls.requests()
    assert (lost, corrected) == ("request.failed", "request.usage-corrected")
    assert (data["replaces"], data["usage"]["output_tokens"]) == (2, 7)


async def test_nothing_is_routed_twice_under_one_key(calls: Calls) -> None:
    calls.provider.answers = [json_answer()]
    headers = {"idempotency-key": "k"}
    first, second = await asyncio.gather(calls.call(headers=headers), calls.call(headers=headers))
    served, refused = sorted((first, second), key=lambda client: client.status)
    assert (served.status, refused.status) == (200, 409)
    assert refused.json["error"]["details"]["request_id"] == served.headers["x-request-id"]
    assert len(calls.provider.requests) == 1


async def test_a_provider_that_cannot_be_reached_releases_the_key(calls: Calls) -> None:
    calls.provider.answers = [*(httpx.ConnectError("no route") for _ in range(3)), json_answer()]
    headers = {"idempotency-key": "k"}
    refused = await calls.call(headers=headers)
    assert (refused.status, refused.json["error"]["code"]) == (502, "provider_unreachable")
    assert "x-should-retry" not in refused.headers
    assert (await calls.call(headers=headers)).status == 200


async def test_the_secret_leaves_only_for_the_provider(calls: Calls) -> None:
    calls.provider.answers = [json_answer()]
    client = await calls.call()
    (request,) = calls.provider.requests
    assert request.headers["authorization"] == "Bearer sk-abcdefgh"
    assert b"sk-abcdefgh" not in client.body
    assert all(b"sk-abcdefgh" not in each.line for each in calls.log.read(after=0, limit=99))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_is_not_told_the_key_by_an_error(calls: Calls, stream: bool) -> None:
    """Whatever the key looks like, and whether it comes as a status or inside the answer."""
    key = "abcdefgh"  # of sk-abcdefgh; no pattern knows it without its beginning
    error = {"message": f"nobody has {key}", "type": "server_error"}
    inside = chunk({"content": "x"}) + b"data: " + json.dumps({"error": error}).encode() + b"\n\n"
    for answer in (
        httpx.Response(400, json={"error": error}, headers={"retry-after": key}),
        stream_answer(inside) if stream else httpx.Response(200, json={"error": error}),
    ):
        calls.provider.answers = [answer]
        client = await calls.call(stream=stream)
        assert b"nobody has [redacted]" in client.body
        assert key not in repr(client.sent)


@pytest.mark.parametrize("stream", [False, True])
async def test_routed_is_durable_before_the_request_leaves(calls: Calls, stream: bool) -> None:
    seen: list[int] = []

    async def look() -> None:
        seen.append(len(calls.requests()))

    calls.provider.on_request = look
    calls.provider.answers = [stream_answer(*WORDS, FINISH, DONE) if stream else json_answer()]
    await calls.call(stream=stream)
    assert seen == [1]


async def test_the_last_chunk_is_sent_only_when_the_call_is_settled(calls: Calls) -> None:
    end = asyncio.Event()
    calls.provider.answers = [stream_answer(*WORDS, FINISH, end, chunk(None, usage=USAGE), DONE)]
    client = Client()
    task = asyncio.create_task(calls.call(client, stream=True))
    await until(lambda: b"hello" in client.body)
    await asyncio.sleep(0.05)
    assert b'"stop"' not in client.body
    end.set()
    await task
    assert b'"stop"' in client.body
    assert receipt_of(client)["fee_usd"] is not None


async def test_a_caller_who_leaves_a_stream_closes_the_line_upstream(calls: Calls) -> None:
    never = asyncio.Event()
    answer = stream_answer(*WORDS, never)
    calls.provider.answers = [answer]
    client = Client()
    task = asyncio.create_task(calls.call(client, stream=True))
    await until(lambda: b"hello" in client.body)
    client.left.set()
    async with asyncio.timeout(5):
        await task
    assert isinstance(answer.stream, ScriptedBody)
    assert answer.stream.closed
    topic, data = calls.requests()[1]
    assert (topic, data["reason"]) == ("request.usage-estimated", "disconnected")
    assert data["delivered"] == "part"
    assert len(calls.in_flight) == 0


async def test_only_so_many_are_drained(calls: Calls) -> None:
    """drains_max is 2: of three JSON callers who leave, the third is cut short."""
    gates = [asyncio.Event() for _ in range(3)]
    body = json_answer().content
    clients = [Client() for _ in gates]
    for gate in gates:
        pieces = (body[:30], gate, body[30:])
        calls.provider.answers.append(
            httpx.Response(
                200, headers={"content-type": "application/json"}, stream=ScriptedBody(pieces)
            )
        )
    tasks = [asyncio.create_task(calls.call(client)) for client in clients]
    await until(lambda: len(calls.provider.requests) == 3)
    async with asyncio.timeout(5):
        for client in clients:
            client.left.set()
            await asyncio.sleep(0.02)
        assert calls.in_flight.drains == 2
        for gate in gates:
            gate.set()
        await asyncio.gather(*tasks)
    topics = sorted(topic for topic, _ in calls.requests() if topic != "request.routed")
    assert topics == ["request.failed", "request.usage-reported", "request.usage-reported"]
    assert calls.in_flight.drains == 0


async def test_an_account_may_only_run_so_many_at_once(calls: Calls) -> None:
    gate = asyncio.Event()
    calls.provider.on_request = gate.wait
    calls.provider.answers = [json_answer() for _ in range(4)]
    tasks = [asyncio.create_task(calls.call()) for _ in range(4)]
    await until(lambda: len(calls.provider.requests) == 4)
    async with asyncio.timeout(5):
        refused = await calls.call()
        assert (refused.status, refused.json["error"]["code"]) == (429, "rate_limit_exceeded")
        gate.set()
        assert [client.status for client in await asyncio.gather(*tasks)] == [200] * 4


async def test_a_bug_of_ours_still_ends_the_request(calls: Calls) -> None:
    calls.provider.answers = [RuntimeError("a bug")]
    client = await calls.call()
    assert (client.status, client.json["error"]["code"]) == (500, "internal_error")
    topic, data = calls.requests()[1]
    assert (topic, data["failure"]) == ("request.failed", "internal_error")
    assert len(calls.in_flight) == 0


async def test_keys_are_judged_by_calls(calls: Calls) -> None:
    calls.provider.answers = [
        json_answer(),
        httpx.Response(401, json={"error": {"message": "no", "code": "invalid_api_key"}}),
    ]
    await calls.call()
    await calls.call()
    assert calls.remembered == [("openai", "verified"), ("openai", "rejected")]


async def test_a_key_that_goes_while_its_call_runs_does_not_hurt_the_call(calls: Calls) -> None:
    calls.forgetful = CredentialNotFound("gone")
    calls.provider.answers = [json_answer()]
    client = await calls.call()
    assert client.status == 200
    assert [topic for topic, _ in calls.requests()] == [
        "request.routed",
        "request.usage-reported",
    ]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_bug_after_the_end_changes_nothing(calls: Calls, stream: bool) -> None:
    calls.forgetful = RuntimeError("a bug")
    good = stream_answer(*WORDS, FINISH, chunk(None, usage=USAGE), DONE)
    calls.provider.answers = [good if stream else json_answer()]
    client = await calls.call(stream=stream)
    assert client.status == 200
    assert b"internal_error" not in client.body
    assert [topic for topic, _ in calls.requests()] == ["request.routed", "request.usage-reported"]
    assert sum(not message.get("more_body", True) for message in client.sent) == 1


async def test_a_call_that_slips_in_while_the_program_stops(calls: Calls) -> None:
    """It was accepted a moment before; the stop has been waited for without it."""

    def stop() -> None:
        calls.in_flight.stopping = True

    calls.store.before_write = stop
    calls.provider.on_request = asyncio.Event().wait  # an answer that never comes
    async with asyncio.timeout(5):
        client = await calls.call()
    assert (client.status, client.json["error"]["code"]) == (503, "shutting_down")
    topic, data = calls.requests()[1]
    assert (topic, data["failure"]) == ("request.failed", "cancelled_before_answer")
    assert (data["tries"], calls.provider.requests) == (0, [])
    assert (await calls.call()).status == 503
    assert len(calls.requests()) == 2


async def test_many_calls_at_once_do_not_share_a_place(calls: Calls) -> None:
    calls.provider.answers = [json_answer() for _ in range(12)]
    opened = asyncio.Event()
    calls.provider.on_request = opened.wait  # nobody is answered while places are taken
    running = [asyncio.create_task(calls.call()) for _ in range(12)]
    refused = asyncio.as_completed(running, timeout=10)
    for _ in range(8):
        await next(refused)
    opened.set()
    clients = await asyncio.gather(*running)
    statuses = sorted(client.status for client in clients)
    assert statuses == [200] * 4 + [429] * 8
    assert len(calls.requests()) == 8
    assert (await calls.call()).status == 200
