"""What a caller is told when something fails, and what the books say about it."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any

import openai
import pytest

from tests.e2e.gate import MODELS, TollGate, asking, new_name, sse
from tests.e2e.program import KEYS

PROVIDERS = pytest.mark.parametrize("provider", ["openai", "anthropic"])

REFUSALS = [
    ("status-400", 400, "provider_bad_request", "bad_request"),
    ("status-context", 400, "context_length_exceeded", "bad_request"),
    ("status-403", 403, "provider_forbidden", "forbidden_not_auth"),
    ("status-404", 404, "model_not_found", "not_found"),
    ("status-429", 429, "provider_rate_limited", "rate_limited"),
    ("status-quota", 402, "provider_insufficient_quota", "credential_out_of_money"),
    ("status-500", 502, "provider_error", "provider_error"),
    ("status-503", 503, "provider_overloaded", "overloaded"),
    ("status-529", 503, "provider_overloaded", "overloaded"),
    ("cut-before-head", 502, None, "provider_error"),
    ("error-inside", 502, "provider_error", "provider_error"),
    ("not-json", 502, "provider_invalid_response", "invalid_response"),
]


@PROVIDERS
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("behaviour", "status", "code", "failure"), REFUSALS)
def test_an_upstream_that_refuses(
    gate: TollGate,
    provider: str,
    stream: bool,
    behaviour: str,
    status: int,
    code: str | None,
    failure: str,
) -> None:
    if behaviour == "error-inside" and stream:
        pytest.skip("has its own test: the stream has begun by then")
    name = new_name()
    answer = gate.post(behaviour, provider=provider, name=name, stream=stream)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert code is None or error["code"] == code
    assert error["request_id"] == answer.headers["x-request-id"]
    assert error["provider"] == provider
    assert answer.json()["x_keytoll"]["fee_usd"] == "0"
    if status == 502:
        assert answer.headers["x-should-retry"] == "false"
    event = gate.program.settled(name)
    assert event["topic"] == "request.failed"
    assert event["data"]["failure"] == failure


def test_retry_after_is_passed_on(gate: TollGate) -> None:
    client = gate.sdk()
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(
            model=MODELS["openai"], messages=[{"role": "user", "content": "status-429"}]
        )
    assert caught.value.response.headers["retry-after"] == "17"
    assert caught.value.code == "provider_rate_limited"


def test_the_sdk_raises_what_openai_would(gate: TollGate) -> None:
    client = gate.sdk()
    kinds: list[tuple[str, type[openai.APIStatusError]]] = [
        ("status-404", openai.NotFoundError),
        ("status-context", openai.BadRequestError),
        ("status-403", openai.PermissionDeniedError),
        ("status-500", openai.InternalServerError),
    ]
    for behaviour, kind in kinds:
        with pytest.raises(kind):
            client.chat.completions.create(
                model=MODELS["openai"], messages=[{"role": "user", "content": behaviour}]
            )


def test_the_sdk_does_not_repeat_what_may_have_been_billed(gate: TollGate) -> None:
    name = new_name()
    client = gate.sdk().with_options(max_retries=2)
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(
            model=MODELS["openai"], messages=[{"role": "user", "content": f"status-500 {name}"}]
        )
    assert gate.upstream.call(name).state == "refused"


@PROVIDERS
def test_a_refused_provider_key(gate: TollGate, provider: str) -> None:
    prefix = {"openai": "sk-", "anthropic": "sk-ant-"}[provider]
    secret = prefix + "REFUSEDkeyREFUSEDkey7Zq4"
    credential = gate.program.store_key(provider, secret)
    name = new_name()
    answer = gate.post(
        "echo-key",
        provider=provider,
        name=name,
        headers={"x-byok-credential": credential},
    )
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert error["code"] == "provider_credential_rejected"
    assert error["provider"] == provider
    assert error["details"]["key_suffix"] == "7Zq4"
    assert secret not in answer.text
    assert "org-A1b2C3d4E5f6" not in answer.text
    assert gate.program.settled(name)["data"]["failure"] == "credential_invalid"
    wait_for_status(gate, credential, "rejected")
    # Named, it is tried again, and recovers.
    again = gate.post("plain", provider=provider, headers={"x-byok-credential": credential})
    assert again.status_code == 200
    wait_for_status(gate, credential, "verified")
    with gate.program.client() as client:
        assert client.delete(f"/api/user/provider-keys/{credential}").status_code == 200


def wait_for_status(gate: TollGate, credential: str, status: str) -> None:
    """What a call has shown about a key is recorded right after the call."""
    deadline = time.monotonic() + 5
    with gate.program.client() as client:
        while True:
            keys = client.get("/api/user/provider-keys").json()["keys"]
            if next(k for k in keys if k["id"] == credential)["status"] == status:
                return
            assert time.monotonic() < deadline, keys
            time.sleep(0.01)


@PROVIDERS
def test_an_error_inside_a_stream(gate: TollGate, provider: str) -> None:
    name = new_name()
    answer = gate.post("error-inside", provider=provider, name=name, stream=True)
    assert answer.status_code == 200
    events = sse(answer)
    assert "[DONE]" not in events
    last = json.loads(events[-1])
    assert last["error"]["code"] in {"provider_error", "provider_overloaded"}
    receipt = last["x_keytoll"]
    assert all("x_keytoll" not in event for event in events[:-1])
    event = gate.program.settled(name)
    assert event["topic"] == "request.usage-estimated"
    assert receipt["usage_source"] == "estimate"
    assert receipt["usage"]["output_tokens"] == event["data"]["usage"]["output_tokens"] > 0
    if provider == "anthropic":  # message_start has told the input
        assert event["data"]["usage"]["input_tokens"] == gate.upstream.call(name).prompt_tokens
        assert event["data"]["provenance"]["output_tokens"] == "estimated"


@PROVIDERS
def test_a_stream_that_breaks_off(gate: TollGate, provider: str) -> None:
    name = new_name()
    answer = gate.post("cut", provider=provider, name=name, stream=True)
    events = sse(answer)
    assert "[DONE]" not in events
    assert json.loads(events[-1])["error"]["code"] == "provider_error"
    assert json.loads(events[-1])["x_keytoll"]["usage_source"] == "estimate"
    event = gate.program.settled(name)
    assert (event["topic"], event["data"]["reason"]) == ("request.usage-estimated", "cut_off")
    assert event["data"]["delivered"] == "part"


@PROVIDERS
def test_a_body_that_breaks_off(gate: TollGate, provider: str) -> None:
    name = new_name()
    answer = gate.post("cut", provider=provider, name=name)
    assert answer.status_code == 502
    assert answer.headers["x-should-retry"] == "false"
    assert gate.program.settled(name)["topic"] == "request.failed"


BAD_BODIES: list[tuple[bytes, int, str, str | None]] = [
    (b"", 400, "invalid_json", None),
    (b"{", 400, "invalid_json", None),
    (b"[]", 400, "invalid_json", None),
    (b'{"model": "gpt-4o-mini"}', 400, "missing_required_parameter", "messages"),
    (b'{"messages": [{"role": "user"}]}', 400, "missing_required_parameter", "model"),
    (b'{"model": "gpt-4o-mini", "messages": []}', 400, "invalid_parameter_value", "messages"),
    (
        b'{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x"}], "n": 0}',
        400,
        "invalid_parameter_value",
        "n",
    ),
    (
        b'{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x"}], "byok": 1}',
        400,
        "invalid_parameter_value",
        "byok",
    ),
]


@pytest.mark.parametrize(("body", "status", "code", "param"), BAD_BODIES)
def test_a_body_that_makes_no_sense(
    gate: TollGate, body: bytes, status: int, code: str, param: str | None
) -> None:
    with gate.program.client() as client:
        answer = client.post("/api/v1/chat/completions", content=body)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert error["request_id"] == answer.headers["x-request-id"]


def test_byok(gate: TollGate) -> None:
    def refused(**byok: Any) -> tuple[int, str, str | None]:
        answer = gate.post("plain", provider="openai", byok=byok)
        error = answer.json()["error"]
        return answer.status_code, error["code"], error["param"]

    assert refused(enabled=False) == (400, "byok_required", "byok.enabled")
    assert refused(provider="nobody")[:2] == (400, "unknown_provider")
    assert refused(credential="cred_" + "0" * 32)[0] == 404
    assert refused(tags={"a b": "c"})[:2] == (400, "invalid_parameter_value")
    assert refused(tags={str(n): "c" for n in range(9)})[:2] == (400, "invalid_parameter_value")


def test_a_provider_without_a_key(gate: TollGate) -> None:
    with gate.program.client() as client:
        path = f"/api/user/provider-keys/{gate.credentials['hyperbolic']}"
        assert client.delete(path).status_code == 200
    try:
        answer = gate.post("plain", provider="hyperbolic")
    finally:
        gate.credentials["hyperbolic"] = gate.program.store_key("hyperbolic", KEYS["hyperbolic"])
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "no_credential_for_provider"
    assert gate.post("plain", provider="hyperbolic").status_code == 200


def test_headers_do_the_same_and_the_body_wins(gate: TollGate) -> None:
    name = new_name()
    body = asking("plain", name)
    del body["byok"]
    headers = {
        "x-byok-provider": "anthropic",
        "x-use-byok": "true",
        "x-keytoll-tags": f"call={name}, env=prod",
    }
    with gate.program.client() as client:
        answer = client.post("/api/v1/chat/completions", json=body, headers=headers)
        assert answer.status_code == 200
        assert answer.json()["x_keytoll"]["provider"] == "anthropic"
        (events,) = gate.program.tagged(name)
        assert events[0]["data"]["tags"] == {"call": name, "env": "prod"}
        name = new_name()
        answer = client.post(
            "/api/v1/chat/completions", json=asking("plain", name), headers=headers
        )
        assert answer.json()["x_keytoll"]["provider"] == "openai"
        (events,) = gate.program.tagged(name)
        assert events[0]["data"]["tags"] == {"call": name}
        refused = client.post(
            "/api/v1/chat/completions", json=body, headers={"x-use-byok": "false"}
        )
    assert refused.json()["error"]["code"] == "byok_required"


def test_byok_stays_here_and_everything_else_goes_on(gate: TollGate) -> None:
    name = new_name()
    gate.post(
        "plain",
        name=name,
        metadata={"team": "a"},
        user="u1",
        seed=7,
        some_new_field=[1, {"a": None}],
    )
    sent = gate.upstream.bodies[gate.upstream.served.index(gate.upstream.call(name))]
    assert "byok" not in sent
    assert sent["metadata"] == {"team": "a"}
    assert sent["some_new_field"] == [1, {"a": None}]
    assert "stream_options" not in sent


def test_a_model_chooses_its_provider(gate: TollGate) -> None:
    def ask(model: str, name: str) -> Any:
        body = {**asking("plain", name), "model": model, "byok": {"tags": {"call": name}}}
        with gate.program.client() as client:
            return client.post("/api/v1/chat/completions", json=body)

    name = new_name()
    receipt = ask("claude-sonnet-4-5", name).json()["x_keytoll"]
    assert receipt["provider"] == "anthropic"
    name = new_name()
    receipt = ask("openai/gpt-4o-mini", name).json()["x_keytoll"]
    assert (receipt["provider"], receipt["model"]) == ("openai", "gpt-4o-mini")
    assert receipt["requested_model"] == "openai/gpt-4o-mini"
    assert gate.upstream.call(name).model == "gpt-4o-mini"
    name = new_name()
    receipt = ask("openai/not-in-any-book", name).json()["x_keytoll"]
    assert (receipt["status"], receipt["fee_usd"]) == ("unrated", None)
    refused = ask("not-in-any-book", new_name())
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "no_credential_for_model"


def test_too_large(gate: TollGate) -> None:
    """Refused on what the caller declares, before a byte of the body is read."""
    connection = http.client.HTTPConnection(gate.program.base_url.removeprefix("http://"))
    connection.putrequest("POST", "/api/v1/chat/completions")
    connection.putheader("authorization", f"Bearer {gate.program.api_keys['owner']}")
    connection.putheader("content-length", str(33_554_433))
    connection.endheaders()
    answer = connection.getresponse()
    error = json.loads(answer.read())["error"]
    connection.close()
    assert (answer.status, error["code"]) == (413, "request_too_large")


def test_paths_and_methods(gate: TollGate) -> None:
    with gate.program.client() as client:
        got = client.get("/api/v1/chat/completions")
        assert (got.status_code, got.json()["error"]["code"]) == (405, "method_not_allowed")
        lost = client.post("/api/v1/chat/nothing", json={})
        assert (lost.status_code, lost.json()["error"]["code"]) == (404, "not_found")


def test_roles(gate: TollGate) -> None:
    for role, status in {"owner": 200, "caller": 200, "finance": 403, "auditor": 403}.items():
        with gate.program.client(role) as client:
            answer = client.post("/v1/chat/completions", json=asking("plain", new_name()))
        assert answer.status_code == status
        if status == 403:
            assert answer.json()["error"]["code"] == "role_not_allowed"
