"""Two processes on one Postgres: what is decided in one holds in the other within two seconds."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from domain.clock import SystemClock
from domain.directory import STALE_S
from keytoll.settings import Settings
from keytoll.wiring import Stores, open_stores
from tests.e2e.gate import TollGate
from tests.e2e.program import KEYS, Program
from tests.e2e.upstream import ScriptedUpstream

pytestmark = pytest.mark.services

ANSWER_S = 0.5
"""What a refused call may take besides, on a busy machine."""


@pytest.fixture
def settings(postgres_dsn: str) -> dict[str, str]:
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    return {"KEYTOLL_STORE": postgres_dsn, "KEYTOLL_MASTER_KEY": key}


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
