"""What calls and checks teach about stored keys."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.gate import TollGate, asking, new_name
from tests.e2e.plan import Ask, Gate, Plan
from tests.e2e.program import Json
from tests.e2e.script import refusal


def shown(gate: TollGate, credential: str) -> Json:
    with gate.program.client() as owner:
        listed = owner.get("/api/user/provider-keys").json()["keys"]
    (found,) = [each for each in listed if each["id"] == credential]
    return dict(found)


def checks(gate: TollGate, credential: str) -> list[str]:
    """The outcome of every check in the log."""
    return [
        line["data"]["outcome"]
        for line in gate.program.lines()
        if line["topic"] == "credential.key-checked"
        and credential.endswith(line["originator_id"].replace("-", ""))
    ]


def forget(gate: TollGate, credential: str) -> None:
    with gate.program.client() as owner:
        assert owner.delete(f"/api/user/provider-keys/{credential}").status_code == 200


def hold_then_refuse(ask: Ask) -> Plan:
    plan = refusal(ask, 401, "invalid_request_error", "invalid_api_key", "Incorrect API key.")
    plan.before_head = Gate("refusals")
    return plan


def calls(gate: TollGate, credential: str, number: int) -> Any:
    """So many calls with one key that all stand at the gate; gives their futures."""
    gate.upstream.close_gate("refusals")
    before = gate.upstream.reached["refusals"]
    pool = ThreadPoolExecutor(number)
    futures = []
    for _ in range(number):
        name = new_name()
        gate.upstream.plans[name] = hold_then_refuse
        headers = {"x-byok-credential": credential}
        futures.append(pool.submit(gate.post, "plain", name=name, headers=headers))
    gate.upstream.wait_at("refusals", before + number)
    pool.shutdown(wait=False)
    return futures


def test_a_run_of_refusals_is_one_event(gate: TollGate) -> None:
    credential = gate.program.store_key("openai", "sk-parallel-refusals-1")
    futures = calls(gate, credential, 8)
    gate.upstream.open_gate("refusals")
    for future in futures:
        error = future.result(30).json()["error"]
        assert error["code"] == "provider_credential_rejected"
        assert error["details"]["key_suffix"] == "ls-1"
    assert shown(gate, credential)["status"] == "rejected"
    assert checks(gate, credential) == ["rejected"]
    forget(gate, credential)


def test_a_key_that_was_rotated_meanwhile_is_not_blamed(gate: TollGate) -> None:
    credential = gate.program.store_key("openai", "sk-rotated-before-1")
    (future,) = calls(gate, credential, 1)
    with gate.program.client() as owner:
        path = f"/api/user/provider-keys/{credential}"
        assert owner.patch(path, json={"key": "sk-rotated-after-22"}).status_code == 200
    gate.upstream.open_gate("refusals")
    assert future.result(30).json()["error"]["details"]["key_suffix"] == "re-1"
    assert (shown(gate, credential)["status"], checks(gate, credential)) == ("unverified", [])
    forget(gate, credential)


def test_a_rejected_key_is_passed_over_and_recovers_where_it_is_named(gate: TollGate) -> None:
    credential = gate.program.store_key("openai", "sk-recovers-later-1")
    (future,) = calls(gate, credential, 1)
    gate.upstream.open_gate("refusals")
    assert future.result(30).status_code == 401
    body = asking("plain", new_name())
    with gate.program.client() as owner:
        told = owner.get("/api/v1/models", params={"explain": body["model"]}).json()
        reasons = {each["credential_id"]: each["reason"] for each in told["considered"]}
        assert reasons[credential] == "rejected"
        named = owner.post(
            "/api/v1/chat/completions", json=body, headers={"x-byok-credential": credential}
        )
    assert named.status_code == 200
    deadline = time.monotonic() + 5
    while shown(gate, credential)["status"] != "verified":  # good news does not delay an answer
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert checks(gate, credential) == ["rejected", "verified"]
    forget(gate, credential)


@pytest.mark.parametrize(
    ("key", "valid", "status"),
    [("sk-good-good-good", True, "verified"), ("sk-bad-bad-revoked", False, "rejected")],
)
def test_checked_on_save_and_on_demand(gate: TollGate, key: str, valid: bool, status: str) -> None:
    served = len(gate.upstream.served)
    credential = gate.program.store_key("openai", key, validate=True)
    assert shown(gate, credential)["status"] == status
    with gate.program.client() as owner:
        path = "/api/user/provider-keys/validate"
        stored = owner.post(path, json={"id": credential}).json()
        given = owner.post(path, json={"provider": "openai", "key": key}).json()
    assert (stored["valid"], stored["status"]) == (valid, status)
    assert given == stored
    assert checks(gate, credential) == [status]
    assert len(gate.upstream.served) == served  # nothing was generated
    forget(gate, credential)
