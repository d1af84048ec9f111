"""How a body is read, and who is let in."""

from __future__ import annotations

from typing import Any

import pytest

from api.chat.routes import headers_of, read_body
from api.errors import ApiError
from tests.api.chat.calls import Calls, Client, json_answer


async def read(pieces: list[Any], **headers: str) -> bytes:
    """At most ten bytes."""
    messages = list(pieces)

    async def receive() -> Any:
        return messages.pop(0)

    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await read_body(receive, named, bytes_max=10)


def piece(body: bytes, *, more: bool = False) -> Any:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_in_pieces() -> None:
    assert await read([piece(b"abc", more=True), piece(b"", more=True), piece(b"de")]) == b"abcde"
    assert await read([piece(b"a" * 10)], content_length="10") == b"a" * 10
    assert await read([{"type": "http.request"}]) == b""


@pytest.mark.parametrize(
    ("pieces", "headers"),
    [
        ([], {"content_length": "11"}),
        ([piece(b"a" * 11)], {}),
        ([piece(b"a" * 11)], {"content_length": "1"}),
        ([piece(b"a" * 9, more=True), piece(b"aa")], {}),
        ([piece(b"a" * 9, more=True), piece(b"aa", more=True)], {}),
    ],
)
async def test_one_byte_too_many(pieces: list[Any], headers: dict[str, str]) -> None:
    with pytest.raises(ApiError) as caught:
        await read(pieces, **headers)
    assert (caught.value.status, caught.value.code) == (413, "request_too_large")


async def test_a_body_that_breaks_off() -> None:
    with pytest.raises(ApiError) as caught:
        await read([piece(b"a", more=True), {"type": "http.disconnect"}])
    assert caught.value.code == "invalid_json"


def test_the_last_of_repeated_headers_counts() -> None:
    scope = {"headers": [(b"a", b"1"), (b"b", b"\xfc"), (b"a", b"2")]}
    assert headers_of(scope) == {"a": "2", "b": "ü"}


async def test_tags_of_the_account_are_for_calls_without_any(calls: Calls) -> None:
    calls.labels.set(calls.account_id, "default_tags", '{"team":"a"}')
    calls.provider.answers = [json_answer(), json_answer()]
    await calls.call()
    await calls.call(byok={"tags": {"env": "b"}})
    routed = [data["tags"] for topic, data in calls.requests() if topic == "request.routed"]
    assert routed == [{"team": "a"}, {"env": "b"}]


async def test_a_key_of_ours_may_be_limited(calls: Calls) -> None:
    issued = calls.ledger.issue_api_key(
        calls.account_id, "caller", models=["gpt-4o"], requests_per_minute=2
    )
    headers = {"authorization": f"Bearer {issued.secret.reveal()}"}
    calls.provider.answers = [json_answer()]
    refused = await calls.call(headers=headers)
    assert (refused.status, refused.json["error"]["code"]) == (403, "model_not_allowed")
    served = await calls.call(headers=headers, model="gpt-4o")
    assert served.status == 200
    limited = await calls.call(headers=headers, model="gpt-4o")
    assert (limited.status, limited.json["error"]["code"]) == (429, "rate_limit_exceeded")
    assert int(limited.headers["retry-after"]) == 30
    assert limited.headers["x-request-id"] == limited.json["error"]["request_id"]


async def test_a_limited_key_reaches_no_other_model_by_another_field(calls: Calls) -> None:
    calls.ledger.add_credential(
        calls.account_id, provider="openrouter", fields={"apiKey": "sk-or-v1-x"}, key_suffix="v1-x"
    )
    issued = calls.ledger.issue_api_key(calls.account_id, "caller", models=["a/one", "b/two"])
    limited = {"authorization": f"Bearer {issued.secret.reveal()}"}
    forced = {"x-byok-provider": "openrouter"}
    other: dict[str, Any] = {"model": "a/one", "models": ["b/two", "c/three"]}
    refused = await calls.call(headers={**limited, **forced}, **other)
    assert (refused.status, refused.json["error"]["code"]) == (403, "model_not_allowed")
    assert calls.requests() == []
    calls.provider.answers = [json_answer(), json_answer()]
    known = await calls.call(headers={**limited, **forced}, model="a/one", models=["b/two"])
    assert known.status == 200
    anybody = await calls.call(headers=forced, **other)
    assert anybody.status == 200


@pytest.mark.parametrize("what", ["suspended", "revoked"])
async def test_a_key_that_is_stopped_while_its_body_arrives(calls: Calls, what: str) -> None:
    issued = calls.ledger.issue_api_key(calls.account_id, "caller")
    body = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}'

    async def receive() -> Any:
        """All of the body but its last byte; then the key is stopped, then the rest."""
        if pieces[0]["more_body"] is False:
            if what == "suspended":
                calls.ledger.suspend_account(calls.account_id)
            else:
                calls.ledger.revoke_api_key(calls.account_id, issued.key_id)
        return pieces.pop(0)

    pieces = [piece(body[:-1], more=True), piece(body[-1:])]
    client = Client()
    key = f"Bearer {issued.secret.reveal()}".encode()
    scope = {"type": "http", "method": "POST", "headers": [(b"authorization", key)]}

    async def send(message: Any) -> None:
        client.sent.append(message)

    await calls.chat(scope, receive, send)
    code = {"suspended": "account_suspended", "revoked": "invalid_api_key"}[what]
    assert client.json["error"]["code"] == code
    assert not calls.requests()
