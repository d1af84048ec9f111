"""`Idempotency-Key`: the same key never reaches a provider twice."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.gate import TollGate, asking, new_name


def call(gate: TollGate, key: str, behaviour: str, name: str, **body: Any) -> httpx.Response:
    return gate.post(behaviour, name=name, headers={"idempotency-key": key}, **body)


def refused(answer: httpx.Response) -> tuple[str, str]:
    """(code, the request that has the key)."""
    assert answer.status_code == 409, answer.text
    assert answer.headers["x-should-retry"] == "false"
    error = answer.json()["error"]
    return error["code"], error["details"]["request_id"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_key_serves_once(gate: TollGate, stream: bool) -> None:
    name, key = new_name(), f"once-{stream}"
    first = call(gate, key, "plain", name, stream=stream)
    assert first.status_code == 200
    again = call(gate, key, "plain", name, stream=stream)
    assert refused(again) == ("idempotency_key_reused", first.headers["x-request-id"])
    assert gate.upstream.call(name).state == "whole"
    assert len(gate.program.tagged(name)) == 1


def test_while_the_first_is_being_served(gate: TollGate) -> None:
    name = new_name()
    plans = gate.upstream.reached["head"]
    with ThreadPoolExecutor() as pool:
        first = pool.submit(call, gate, "in-progress", "hold-head", name)
        gate.upstream.wait_at("head", plans + 1)
        second = call(gate, "in-progress", "plain", name)
        gate.upstream.open_gate("head")
        served = first.result(30)
    assert served.status_code == 200
    assert refused(second) == ("request_in_progress", served.headers["x-request-id"])
    assert gate.upstream.call(name).state == "whole"


@pytest.mark.parametrize("behaviour", ["status-429", "status-400", "status-404", "status-503"])
def test_a_call_that_generated_nothing_releases_its_key(gate: TollGate, behaviour: str) -> None:
    failing, name, key = new_name(), new_name(), f"released-{behaviour}"
    assert call(gate, key, behaviour, failing).status_code >= 400
    assert call(gate, key, behaviour, new_name()).status_code >= 400
    served = call(gate, key, "plain", name)
    assert served.status_code == 200
    code, holder = refused(call(gate, key, "plain", new_name()))
    assert (code, holder) == ("idempotency_key_reused", served.headers["x-request-id"])


@pytest.mark.parametrize("behaviour", ["status-500", "cut-before-head", "cut", "error-inside"])
def test_a_call_that_may_have_generated_keeps_its_key(gate: TollGate, behaviour: str) -> None:
    failing, key = new_name(), f"kept-{behaviour}"
    broken = call(gate, key, behaviour, failing)
    assert broken.status_code == 502
    code, holder = refused(call(gate, key, "plain", new_name()))
    assert (code, holder) == ("idempotency_key_reused", broken.headers["x-request-id"])


def test_refusals_of_ours_do_not_use_a_key_up(gate: TollGate) -> None:
    assert call(gate, "ours", "plain", new_name(), n=0).status_code == 400
    assert call(gate, "ours", "plain", new_name()).status_code == 200


def test_at_the_same_instant(gate: TollGate) -> None:
    """Sixteen callers with one key: one is served, fifteen are told so."""
    for round_number in range(4):
        name, ready = new_name(), threading.Barrier(16)
        body = asking("plain", name)
        headers = {"idempotency-key": f"instant-{round_number}"}

        def one(
            body: Any = body, headers: Any = headers, ready: threading.Barrier = ready
        ) -> httpx.Response:
            with gate.program.client() as client:
                client.get("/healthz")
                ready.wait(20)
                return client.post("/api/v1/chat/completions", json=body, headers=headers)

        with ThreadPoolExecutor(16) as pool:
            answers = [each.result(30) for each in [pool.submit(one) for _ in range(16)]]
        (served,) = [answer for answer in answers if answer.status_code == 200]
        others = {refused(answer)[1] for answer in answers if answer is not served}
        assert others == {served.headers["x-request-id"]}
        assert gate.upstream.call(name).state == "whole"
        assert len(gate.program.tagged(name)) == 1


def test_accounts_do_not_share_keys(gate: TollGate) -> None:
    with gate.program.client("operator") as operator:
        opened = operator.post("/api/v1/accounts", json={"name": "other"})
    assert opened.status_code == 201, opened.text
    other_key = opened.json()["api_keys"]["owner"]
    assert call(gate, "shared", "plain", new_name()).status_code == 200
    with gate.program.client(None) as other:
        other.headers["authorization"] = f"Bearer {other_key}"
        stored = other.post(
            "/api/user/provider-keys",
            json={"provider": "openai", "key": "sk-otherotherother", "validate": False},
        )
        assert stored.status_code == 201
        answer = other.post(
            "/api/v1/chat/completions",
            json=asking("plain", new_name()),
            headers={"idempotency-key": "shared"},
        )
    assert answer.status_code == 200


def test_a_key_must_be_plain(gate: TollGate) -> None:
    answer = call(gate, "a b", "plain", new_name())
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Idempotency-Key")
