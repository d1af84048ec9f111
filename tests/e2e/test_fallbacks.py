"""Several keys of one account, and an upstream that answers each as its name says."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Opened, opened_gate
from tests.e2e.gate import TollGate, new_name, sse
from tests.e2e.program import Json
from tests.e2e.upstream import ScriptedUpstream, Served

ELSEWHERE = [
    ("echo-key", "credential_invalid"),
    ("status-quota", "credential_out_of_money"),
    ("status-403", "forbidden_not_auth"),
    ("status-404", "not_found"),
    ("status-429", "rate_limited"),
    ("status-503", "overloaded"),
    ("status-529", "overloaded"),
    ("status-500", "provider_error"),
]
FINAL = [
    ("status-400", "bad_request"),
    ("status-context", "bad_request"),
    ("cut-before-head", "provider_error"),
    ("not-json", "invalid_response"),
]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TollGate]:
    """A program whose account consents."""
    with ScriptedUpstream() as upstream:
        gate = opened_gate(tmp_path_factory.mktemp("fallbacks"), upstream)
        consent(gate)
        yield gate
        gate.end()


def consent(gate: TollGate, *, fallbacks: bool = True) -> None:
    with gate.program.client() as owner:
        routing = {"providers": [], "fallbacks": fallbacks, "on_disconnect": None}
        assert owner.put("/api/user/routing", json=routing).status_code == 200


@contextmanager
def keys(gate: TollGate, *behaviours: str) -> Iterator[list[str]]:
    """The account's openai keys, in this order and before any other."""
    stored: list[str] = []
    with gate.program.client() as owner:
        for place, behaviour in enumerate(behaviours, start=1):
            key = f"sk-e2e{random.randbytes(6).hex()}--{behaviour}"
            identity = gate.program.store_key("openai", key)
            path = f"/api/user/provider-keys/{identity}"
            assert owner.patch(path, json={"position": place}).status_code == 200
            stored.append(identity)
    yield stored
    with gate.program.client() as owner:
        for identity in stored:
            assert owner.delete(f"/api/user/provider-keys/{identity}").status_code == 200


def call(gate: TollGate, name: str, *, fallbacks: bool = True, **body: Any) -> httpx.Response:
    byok = {"provider": None, "disableFallbacks": not fallbacks}
    return gate.post("as-key", name=name, byok=byok, **body)


def served(gate: TollGate, name: str) -> list[Served]:
    return [each for each in gate.upstream.served if each.name == name]


def books_of(gate: TollGate, name: str) -> list[tuple[Json, Json]]:
    """(routed, terminal event) of every attempt, first to last; they and the upstream agree."""
    streams = sorted(gate.program.tagged(name), key=lambda events: events[0]["seq"])
    assert all(len(events) == 2 for events in streams), streams
    pairs = [(events[0], events[1]) for events in streams]
    assert sum(ended["data"]["tries"] for _, ended in pairs) == len(served(gate, name))
    billed = [ended for _, ended in pairs if "usage" in ended["data"]]
    assert len(billed) <= 1
    first, *others = ("req_" + routed["originator_id"].replace("-", "") for routed, _ in pairs)
    for routed, _ in pairs[1:]:
        assert routed["data"]["attempt_of"] == first
        assert routed["data"]["tags"] == pairs[0][0]["data"]["tags"]
    assert pairs[0][0]["data"]["attempt_of"] is None
    assert len(set(others)) == len(others)
    return pairs


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("behaviour", "failure"), ELSEWHERE)
def test_the_next_key_serves(own: TollGate, behaviour: str, failure: str, stream: bool) -> None:
    name = new_name()
    with keys(own, behaviour, "plain") as (_, good):
        answer = call(own, name, stream=stream)
    assert answer.status_code == 200, answer.text
    if stream:
        assert sse(answer)[-1] == "[DONE]"
    (_, failed), (routed, reported) = books_of(own, name)
    assert failed["data"]["failure"] == failure
    assert failed["data"]["tries"] == 1
    assert reported["topic"] == "request.usage-reported"
    assert reported["data"]["usage"]["output_tokens"] == served(own, name)[1].completion_tokens
    assert routed["data"]["credential_id"] == good
    identity = "req_" + routed["originator_id"].replace("-", "")
    assert answer.headers["x-request-id"] == identity
    with own.program.client() as owner:
        receipt = owner.get(f"/api/v1/usage/requests/{identity}").json()
    first = "req_" + failed["originator_id"].replace("-", "")
    assert (receipt["attempt_of"], receipt["state"]) == (first, "settled")


@pytest.mark.parametrize(("behaviour", "failure"), FINAL)
def test_some_failures_end_the_call(own: TollGate, behaviour: str, failure: str) -> None:
    name = new_name()
    with keys(own, behaviour, "plain"):
        assert call(own, name).status_code >= 400
    ((_, failed),) = books_of(own, name)
    assert failed["data"]["failure"] == failure


@pytest.mark.parametrize("behaviour", [behaviour for behaviour, _ in ELSEWHERE])
def test_without_the_caller_s_word_nothing_else_is_tried(own: TollGate, behaviour: str) -> None:
    name = new_name()
    with keys(own, behaviour, "plain") as (bad, _):
        assert call(own, name, fallbacks=False).status_code >= 400
    ((routed, _),) = books_of(own, name)
    assert routed["data"]["credential_id"] == bad


def test_a_stream_that_has_begun_is_never_begun_again(own: TollGate) -> None:
    name = new_name()
    with keys(own, "error-inside", "plain"):
        answer = call(own, name, stream=True)
    assert "word0" in answer.text
    ((_, ended),) = books_of(own, name)
    assert ended["topic"] == "request.usage-estimated"


def test_the_refused_key_is_marked_once_and_then_passed_over(own: TollGate) -> None:
    with keys(own, "echo-key", "plain") as (bad, good):
        for _ in range(3):
            name = new_name()
            assert call(own, name).status_code == 200
        ((routed, _),) = books_of(own, name)
        assert routed["data"]["credential_id"] == good
        with own.program.client() as owner:
            listed = owner.get("/api/user/provider-keys").json()["keys"]
        (shown,) = [each for each in listed if each["id"] == bad]
        assert (shown["status"], shown["status_reason"]) == ("rejected", "refused_by_provider")
    checks = [
        line["data"]["outcome"]
        for line in own.program.lines()
        if line["topic"] == "credential.key-checked"
        and bad.endswith(line["originator_id"].replace("-", ""))
    ]
    assert checks == ["rejected"]


def test_metrics_count_attempts_and_tries(own: TollGate) -> None:
    def counted(metric: str) -> float:
        with own.program.client() as owner:
            lines = owner.get("/metrics").text.splitlines()
        found = [each for each in lines if each.startswith(f'{metric}{{provider="openai"}}')]
        return float(found[0].rsplit(" ", 1)[1]) if found else 0.0

    before = counted("keytoll_fallbacks_total"), counted("keytoll_retries_total")
    with keys(own, "status-quota", "plain"):
        call(own, new_name())
    name = new_name()
    with keys(own, "status-503"):
        call(own, name, fallbacks=False)
    after = counted("keytoll_fallbacks_total"), counted("keytoll_retries_total")
    assert (after[0] - before[0], after[1] - before[1]) == (1, 2)
    ((_, failed),) = books_of(own, name)
    assert failed["data"]["tries"] == 3


def test_whatever_the_keys_do_there_is_one_generation_at_most(own: TollGate) -> None:
    """Every failure in every place: what may have been generated is the last thing tried."""
    dice = random.Random(20261123)
    choices = [
        *(behaviour for behaviour, _ in ELSEWHERE + FINAL),
        *("plain", "cut", "error-inside", "silent", "no-done"),
    ]
    for _ in range(25):
        name, behaviours = new_name(), dice.choices(choices, k=3)
        with keys(own, *behaviours):
            call(own, name, stream=dice.random() < 0.5)
        generated = [each for each in served(own, name) if each.completion_tokens]
        assert len(generated) <= 1, behaviours
        if generated:
            assert served(own, name)[-1] is generated[0]
        books_of(own, name)


@pytest.mark.slow
@pytest.mark.parametrize("point", ["between-attempts", "next-attempt-recorded"])
def test_killed_between_two_attempts(open_gate: Opened, point: str) -> None:
    gate = open_gate()
    consent(gate)
    name = new_name()
    with keys(gate, "status-quota", "plain"):
        gate.program.stop()
        gate.program.entry = ["-m", "tests.e2e.killable"]
        gate.program.environment |= {
            "E2E_KILL_POINT": point,
            "E2E_KILL_PASSAGE": "1",
            "E2E_KILL_DELAY_US": "0",
        }
        gate.program.start()
        headers = {"idempotency-key": "killed"}
        with pytest.raises(httpx.TransportError):
            call(gate, name, headers=headers)
        assert gate.program.process.wait(10) == -signal.SIGKILL
        gate.program.entry = ["-m", "keytoll"]
        gate.program.start()
        failures = [ended["data"]["failure"] for _, ended in settled(gate, name)]
        again = call(gate, new_name(), headers=headers)
    if point == "between-attempts":
        # Nothing was generated and nothing is under way: the key is free.
        assert failures == ["credential_out_of_money"]
        assert again.status_code == 200
    else:
        # Whether the second attempt had left is unknown: nobody asks for it a second time.
        assert failures == ["credential_out_of_money", "process_lost"]
        assert (again.status_code, again.json()["error"]["code"]) == (409, "idempotency_key_reused")
    assert [each.state for each in served(gate, name)] == ["refused"]
    assert gate.program.command("verify", "--json").returncode == 0


def settled(gate: TollGate, name: str) -> list[tuple[Json, Json]]:
    streams = sorted(gate.program.tagged(name), key=lambda events: events[0]["seq"])
    assert all(len(events) == 2 for events in streams), streams
    return [(events[0], events[1]) for events in streams]
