"""Two processes on one Postgres: what is decided in one holds in the other within two seconds."""

from __future__ import annotations

import base64
import json
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from domain.clock import SystemClock
from domain.directory import STALE_S
from keytoll.settings import Settings
from keytoll.wiring import Stores, open_stores
from tests.e2e.gate import TollGate
from tests.e2e.program import KEYS, Json, Program
from tests.e2e.upstream import ScriptedUpstream

pytestmark = pytest.mark.services

LEASE_S = 3
ANSWER_S = 0.5
"""What a refused call may take besides, on a busy machine."""


@pytest.fixture
def settings(postgres_dsn: str) -> dict[str, str]:
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    return {
        "KEYTOLL_STORE": postgres_dsn,
        "KEYTOLL_MASTER_KEY": key,
        "KEYTOLL_LEASE_S": str(LEASE_S),
    }


@pytest.fixture
def gate(
    tmp_path: Path, upstream: ScriptedUpstream, settings: dict[str, str]
) -> Iterator[TollGate]:
    program = Program(tmp_path, upstreams=upstream.base_urls(), settings=settings)
    program.init()
    program.start()
    stored = {slug: program.store_key(slug, KEYS[slug]) for slug in ("openai", "anthropic")}
    gate = TollGate(program, upstream, stored)
    yield gate
    gate.end()


@pytest.fixture
def other(gate: TollGate, settings: dict[str, str], tmp_path: Path) -> Iterator[Stores]:
    """This process, over the same database."""
    environment = {**settings, "KEYTOLL_DATA": str(tmp_path / "other")}
    opened = open_stores(Settings.from_environment(environment), SystemClock(), epoch="other")
    yield opened
    opened.close()


def until(wanted: str, found: Callable[[], str]) -> float:
    """Seconds until that is found."""
    began_s = time.monotonic()
    while (now := found()) != wanted:
        assert time.monotonic() - began_s < 30, f"{now}, never {wanted}"
        time.sleep(0.02)
    return time.monotonic() - began_s


def test_what_one_process_decides_holds_in_the_other(gate: TollGate, other: Stores) -> None:
    ledger, account = other.ledger, gate.program.account_id

    def code(provider: str = "openai") -> str:
        answer = gate.post("plain", provider=provider)
        return "ok" if answer.status_code == 200 else answer.json()["error"]["code"]

    assert (code(), code("anthropic")) == ("ok", "ok")
    ledger.suspend_account(account)
    assert until("account_suspended", code) < STALE_S + ANSWER_S
    ledger.resume_account(account)
    until("ok", code)

    ledger.remove_credential(account, gate.credentials["anthropic"])
    gone = "no_credential_for_provider"
    assert until(gone, lambda: code("anthropic")) < STALE_S + ANSWER_S

    def key_in_use() -> str:
        assert code() == "ok"
        return gate.upstream.keys[-1]

    fields = {"apiKey": "sk-proj-e2eOpenAi0002"}
    ledger.rotate_credential(account, gate.credentials["openai"], fields=fields, key_suffix="0002")
    assert until(fields["apiKey"], key_in_use) < STALE_S + ANSWER_S
    assert key_in_use() == fields["apiKey"]

    key_id = next(k.key_id for k in other.directory.api_keys(account) if k.role == "owner")
    ledger.revoke_api_key(account, key_id)
    assert until("invalid_api_key", code) < STALE_S + ANSWER_S


@contextmanager
def held_call(gate: TollGate) -> Iterator[Future[httpx.Response]]:
    """A call whose answer stops in the middle until the block ends."""
    upstream = gate.upstream
    upstream.close_gate("first")
    standing = upstream.reached["first"]
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(gate.post, "hold-first")
        try:
            upstream.wait_at("first", standing + 1)
            yield call
        finally:
            upstream.open_gate("first")
    upstream.close_gate("first")


def swept(other: Stores, request: UUID) -> None:
    """The other process looks until it has found the request lost."""
    sweeper, began_s = other.sweeper(), time.monotonic()
    while request in other.log.open_requests():
        assert time.monotonic() - began_s < 10 * LEASE_S, "never swept"
        time.sleep(min(sweeper(), 0.5))


def events(other: Stores, request: UUID) -> list[Json]:
    return [json.loads(each.line) for each in other.log.stream(request)]


def test_a_process_that_was_only_frozen_bills_what_was_used(gate: TollGate, other: Stores) -> None:
    with held_call(gate) as call:
        (request,) = other.log.open_requests()
        gate.program.process.send_signal(signal.SIGSTOP)
        try:
            swept(other, request)
        finally:
            gate.program.process.send_signal(signal.SIGCONT)
    assert call.result().status_code == 200
    routed, lost, late = events(other, request)
    assert routed["topic"] == "request.routed"
    assert lost["data"]["failure"] == "process_lost"
    assert late["topic"] == "request.usage-corrected"
    assert (late["data"]["replaces"], late["data"]["reason"]) == (2, "late_report")
    served = gate.upstream.served[-1]
    assert late["data"]["usage"]["output_tokens"] == served.completion_tokens
    assert gate.post("plain").status_code == 200


def test_the_calls_of_a_killed_process_end_as_lost(gate: TollGate, other: Stores) -> None:
    with held_call(gate) as call:
        (request,) = other.log.open_requests()
        gate.program.kill()
        swept(other, request)
    assert isinstance(call.exception(), httpx.TransportError)
    _, lost = events(other, request)
    assert (lost["topic"], lost["data"]["failure"]) == ("request.failed", "process_lost")
    gate.program.start()
    assert gate.post("plain").status_code == 200
    assert len(events(other, request)) == 2
