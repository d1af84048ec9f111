"""Another credential, the same credential once more, or neither: what follows a refusal."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from domain.account import Routing
from domain.credential import OUTCOMES
from tests.api.chat.calls import (
    DONE,
    USAGE,
    Calls,
    Client,
    chunk,
    json_answer,
    stream_answer,
    until,
)

FALL_BACK: dict[str, Any] = {"byok": {"disableFallbacks": False}}
HELLO = chunk({"role": "assistant", "content": "hello"})
Answer = httpx.Response | BaseException


def refusal(status: int, code: str | None = None, **headers: str) -> httpx.Response:
    error = {"message": "no", "code": code}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json={"error": error}, headers=named)


def inside(kind: str) -> httpx.Response:
    """Status 200, and an error as the first event of the stream."""
    error = json.dumps({"error": {"message": "no", "type": kind}}).encode()
    return stream_answer(b"data: " + error + b"\n\n")


@pytest.fixture
def two(calls: Calls) -> Calls:
    """A second openai key, and the account's consent."""
    calls.ledger.add_credential(
        calls.account_id,
        provider="openai",
        fields={"apiKey": "sk-second99"},
        key_suffix="nd99",
    )
    calls.ledger.prefer_routing(calls.account_id, Routing(fallbacks=True))
    return calls


def keys_used(calls: Calls) -> list[str]:
    return [request.headers["authorization"][-4:] for request in calls.provider.requests]


def routed_and_ended(calls: Calls) -> list[list[tuple[str, dict[str, Any]]]]:
    """The events of each request, requests in the order of their routing."""
    streams: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for each in calls.log.read(after=0, limit=1_000, streams={"request"}):
        line = json.loads(each.line)
        identity = "req_" + line["originator_id"].replace("-", "")
        streams.setdefault(identity, []).append((each.topic, {**line["data"], "id": identity}))
    return list(streams.values())


SERVED_ELSEWHERE = [
    (refusal(401, "invalid_api_key"), "credential_invalid"),
    (refusal(402), "credential_out_of_money"),
    (refusal(429, "insufficient_quota"), "credential_out_of_money"),
    (refusal(403), "forbidden_not_auth"),
    (refusal(404, "model_not_found"), "not_found"),
    (refusal(429), "rate_limited"),
    (refusal(503), "overloaded"),
    (refusal(529), "overloaded"),
    (refusal(500), "provider_error"),
    (httpx.ConnectError("no route"), "unreachable"),
    (httpx.ConnectTimeout("no answer"), "unreachable"),
]
FINAL: list[tuple[Answer, str]] = [
    (refusal(400), "bad_request"),
    (refusal(403, "content_filter"), "forbidden_not_auth"),
    (refusal(408), "overloaded"),
    (refusal(502), "provider_error"),
    (refusal(504), "overloaded"),
    (httpx.ReadTimeout("silence"), "timeout"),
    (httpx.ReadError("torn"), "provider_error"),
    (httpx.Response(200, content=b"<html>"), "invalid_response"),
]


@pytest.mark.parametrize(("first", "failure"), SERVED_ELSEWHERE)
@pytest.mark.parametrize("stream", [False, True])
async def test_another_credential_serves(
    two: Calls, first: Answer, failure: str, stream: bool
) -> None:
    good = stream_answer(HELLO, chunk({}, "stop"), chunk(None, usage=USAGE), DONE)
    two.provider.answers = [first, good if stream else json_answer()]
    client = await two.call(stream=stream, **FALL_BACK)
    assert client.status == 200
    assert keys_used(two) == ["efgh", "nd99"]
    (lost, failed), (served, reported) = routed_and_ended(two)
    assert (lost[1]["attempt_of"], served[1]["attempt_of"]) == (None, lost[1]["id"])
    assert (failed[0], failed[1]["failure"], failed[1]["tries"]) == ("request.failed", failure, 1)
    assert (reported[0], reported[1]["usage"]["output_tokens"]) == ("request.usage-reported", 7)
    assert client.headers["x-request-id"] == served[1]["id"]
    assert b'"key_suffix":"nd99"' in client.body
    assert served[1]["id"].encode() in client.body
    assert len(two.in_flight) == 0


@pytest.mark.parametrize(("first", "failure"), FINAL)
async def test_what_may_have_been_generated_or_is_the_request_s_fault_ends_the_call(
    two: Calls, first: Answer, failure: str
) -> None:
    two.provider.answers = [first]
    client = await two.call(**FALL_BACK)
    assert client.status >= 400
    ((_, failed),) = routed_and_ended(two)
    assert failed[1]["failure"] == failure
    assert client.json["x_keytoll"]["request_id"] == failed[1]["id"]


async def test_an_overload_that_is_told_before_the_first_word(two: Calls) -> None:
    good = stream_answer(HELLO, chunk({}, "stop"), chunk(None, usage=USAGE), DONE)
    two.provider.answers = [inside("overloaded_error"), good]
    client = await two.call(stream=True, **FALL_BACK)
    assert client.body.startswith(b"data: ")
    assert b"overloaded" not in client.body
    assert keys_used(two) == ["efgh", "nd99"]


async def test_never_after_a_byte_was_sent(two: Calls) -> None:
    error = json.dumps({"error": {"message": "no", "type": "overloaded_error"}}).encode()
    two.provider.answers = [stream_answer(HELLO, b"data: " + error + b"\n\n")]
    client = await two.call(stream=True, **FALL_BACK)
    assert keys_used(two) == ["efgh"]
    assert b"hello" in client.body
    assert b"provider_overloaded" in client.body
    (_, ended), *others = routed_and_ended(two)
    assert (ended[0], others) == ("request.usage-estimated", [])


NO_CONSENT: list[tuple[str, dict[str, Any], bool]] = [
    ("the caller says nothing", {}, True),
    ("the caller fails fast", {"byok": {"disableFallbacks": True}}, True),
    ("the account says no", FALL_BACK, False),
    ("a provider is forced", {"byok": {"disableFallbacks": False, "provider": "openai"}}, True),
]


@pytest.mark.parametrize(("body", "account"), [case[1:] for case in NO_CONSENT])
async def test_only_with_both_consents(two: Calls, body: dict[str, Any], account: bool) -> None:
    two.ledger.prefer_routing(two.account_id, Routing(fallbacks=account))
    two.provider.answers = [refusal(401, "invalid_api_key")]
    client = await two.call(**body)
    assert (client.status, client.json["error"]["code"]) == (401, "provider_credential_rejected")
    assert client.json["error"]["details"]["key_suffix"] == "efgh"
    assert len(routed_and_ended(two)) == 1


async def test_a_forced_credential_is_the_only_one(two: Calls) -> None:
    first = two.directory.credentials(two.account_id)[0]
    two.provider.answers = [refusal(401)]
    byok = {"disableFallbacks": False, "credential": first.credential_id}
    assert (await two.call(byok=byok)).status == 401
    assert len(two.provider.requests) == 1


async def test_when_all_fail_the_last_one_speaks(two: Calls) -> None:
    two.provider.answers = [refusal(401, "invalid_api_key"), refusal(402)]
    client = await two.call(**FALL_BACK)
    assert (client.status, client.json["error"]["code"]) == (402, "provider_insufficient_quota")
    (_, _), (last, _) = routed_and_ended(two)
    assert client.json["error"]["request_id"] == last[1]["id"] == client.headers["x-request-id"]
    assert client.json["x_keytoll"]["request_id"] == last[1]["id"]
    assert two.remembered == [("openai", "rejected")]


async def test_the_number_of_attempts_is_bounded(two: Calls) -> None:
    for number in range(4):
        two.ledger.add_credential(
            two.account_id,
            provider="openai",
            fields={"apiKey": f"sk-more000{number}"},
            key_suffix=f"000{number}",
        )
    two.provider.answers = [refusal(402) for _ in range(9)]
    assert (await two.call(**FALL_BACK)).status == 402
    assert keys_used(two) == ["efgh", "nd99", "0000", "0001"]
    firsts = [stream[0][1]["attempt_of"] for stream in routed_and_ended(two)]
    assert firsts[0] is None
    assert len(set(firsts[1:])) == 1


async def test_a_key_of_ours_stays_within_its_models(two: Calls) -> None:
    """The same model has another id elsewhere, which this key is not for; the requested one is."""
    issued = two.ledger.issue_api_key(two.account_id, "caller", models=["gpt-4o-mini"])
    headers = {"authorization": f"Bearer {issued.secret.reveal()}"}
    two.provider.answers = [refusal(402), json_answer()]
    assert (await two.call(headers=headers, **FALL_BACK)).status == 200
    two.ledger.revoke_api_key(two.account_id, issued.key_id)


async def test_whoever_is_stopped_meanwhile_gets_no_second_attempt(two: Calls) -> None:
    issued = two.ledger.issue_api_key(two.account_id, "caller")

    async def revoke() -> None:
        two.ledger.revoke_api_key(two.account_id, issued.key_id)

    two.provider.on_request = revoke
    two.provider.answers = [refusal(402)]
    headers = {"authorization": f"Bearer {issued.secret.reveal()}"}
    assert (await two.call(headers=headers, **FALL_BACK)).status == 402
    assert len(two.provider.requests) == 1


async def test_a_credential_that_was_rejected_meanwhile_is_passed_over(two: Calls) -> None:
    second = two.directory.credentials(two.account_id)[-1]

    async def reject() -> None:
        assert "rejected" in OUTCOMES
        two.ledger.check_credential(two.account_id, second.credential_id, "rejected", "by_hand")

    two.provider.on_request = reject
    two.provider.answers = [refusal(402)]
    assert (await two.call(**FALL_BACK)).status == 402
    assert len(two.provider.requests) == 1


async def test_a_caller_who_has_left_is_not_tried_for_again(two: Calls) -> None:
    gate = asyncio.Event()
    two.provider.on_request = gate.wait
    two.provider.answers = [refusal(402)]
    client = Client()
    task = asyncio.create_task(two.call(client, **FALL_BACK))
    await until(lambda: len(two.provider.requests) == 1)
    client.left.set()
    await until(lambda: two.in_flight.drains == 1)
    gate.set()
    await asyncio.wait_for(task, 5)
    assert len(two.provider.requests) == 1
    assert len(routed_and_ended(two)) == 1


@pytest.mark.parametrize("what", ["stopping", "sick"])
async def test_no_attempt_begins_when_the_process_ends_or_cannot_record(
    two: Calls, what: str
) -> None:
    async def end() -> None:
        two.in_flight.stopping = what == "stopping"
        two.store.sick = what == "sick"

    two.provider.on_request = end
    two.provider.answers = [refusal(402)]
    client = await two.call(**FALL_BACK)
    assert client.status == 402
    assert len(two.provider.requests) == 1
    two.store.sick = False
    await until(lambda: len(two.requests()) == 2)


async def test_the_key_of_a_repeated_call_follows_its_attempts(two: Calls) -> None:
    headers = {"idempotency-key": "k"}
    two.provider.answers = [refusal(429), json_answer()]
    served = await two.call(headers=headers, **FALL_BACK)
    assert served.status == 200
    again = await two.call(headers=headers, **FALL_BACK)
    assert (again.status, again.json["error"]["code"]) == (409, "idempotency_key_reused")
    assert again.json["error"]["details"]["request_id"] == served.headers["x-request-id"]
    hashes = {stream[0][1]["idempotency"] for stream in routed_and_ended(two)}
    assert len(hashes) == 1
    assert None not in hashes


async def test_a_repetition_meanwhile_is_told_to_wait(two: Calls) -> None:
    told: list[Client] = []

    async def repeat() -> None:
        two.provider.on_request = None
        told.append(await two.call(headers={"idempotency-key": "k"}))

    two.provider.on_request = repeat
    two.provider.answers = [refusal(402), json_answer()]
    client = await two.call(headers={"idempotency-key": "k"}, **FALL_BACK)
    assert told[0].json["error"]["code"] == "request_in_progress"
    assert client.status == 200
    assert len(two.provider.requests) == 2


async def test_a_rival_with_the_same_key_between_two_attempts(two: Calls) -> None:
    """Whoever takes the key's next place serves; the other says what it was told itself."""
    rivals: list[Client] = []

    async def come() -> None:
        two.provider.answers = [json_answer()]
        rivals.append(await two.call(headers={"idempotency-key": "k"}))

    two.on_remember = come
    two.provider.answers = [refusal(401)]
    client = await two.call(headers={"idempotency-key": "k"}, **FALL_BACK)
    assert (client.status, rivals[0].status) == (401, 200)
    assert client.headers["x-request-id"] != rivals[0].headers["x-request-id"]
    assert len(two.provider.requests) == 2
    assert len(routed_and_ended(two)) == 2


@pytest.mark.parametrize(
    ("answer", "tries"),
    [
        (refusal(503), 3),
        (refusal(529), 3),
        (refusal(429), 3),
        (refusal(429, retry_after="0"), 3),
        (refusal(429, retry_after="17"), 1),
        (refusal(429, retry_after="soon"), 1),
        (refusal(429, "insufficient_quota"), 1),
        (refusal(401), 1),
        (refusal(500), 1),
        (refusal(502), 1),
        (refusal(504), 1),
        (httpx.ConnectError("no route"), 3),
        (httpx.ReadTimeout("silence"), 1),
        (httpx.ReadError("torn"), 1),
    ],
)
async def test_the_same_key_is_asked_again_only_at_the_door(
    calls: Calls, answer: Answer, tries: int
) -> None:
    def repeated() -> Answer:
        if isinstance(answer, BaseException):
            return answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    calls.provider.answers = [repeated() for _ in range(9)]
    assert (await calls.call()).status >= 400
    assert len(calls.provider.requests) == tries
    ((_, failed),) = routed_and_ended(calls)
    assert failed[1]["tries"] == tries
    first, *others = calls.provider.requests
    assert all(other.content == first.content for other in others)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_that_passes_at_the_second_try(calls: Calls, stream: bool) -> None:
    good = stream_answer(HELLO, chunk({}, "stop"), chunk(None, usage=USAGE), DONE)
    calls.provider.answers = [refusal(503), good if stream else json_answer()]
    assert (await calls.call(stream=stream)).status == 200
    ((_, reported),) = routed_and_ended(calls)
    assert (reported[0], reported[1]["tries"]) == ("request.usage-reported", 2)
    assert reported[1]["upstream_status"] == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_who_leaves_while_we_wait_is_not_asked_for_again(
    calls: Calls, stream: bool
) -> None:
    """Also where the answer would have been read on: there is none yet."""
    calls.provider.answers = [refusal(503, retry_after="1")]
    client = Client()
    task = asyncio.create_task(calls.call(client, stream=stream))
    await until(lambda: len(calls.provider.requests) == 1)
    await asyncio.sleep(0.05)
    client.left.set()
    async with asyncio.timeout(5):
        await task
    assert len(calls.provider.requests) == 1
    ((_, failed),) = routed_and_ended(calls)
    assert (failed[1]["failure"], failed[1]["tries"]) == ("overloaded", 1)
