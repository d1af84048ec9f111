"""Sessions: whoever holds a token is known, and nobody else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from api.errors import ApiError
from api.web.session import SESSION_S, TICKET_S, Sessions
from domain.labels.memory import MemoryLabels
from domain.labels.port import Labels
from domain.labels.postgres import PostgresLabels
from domain.vault.envelope import LocalMasterKey
from domain.vault.memory import memory_vault
from tests.api.test_auth import Desk, desk

__all__ = ["desk"]

VAULT = memory_vault(LocalMasterKey(bytes(32)))


def sessions_over(desk: Desk, labels: Labels) -> Sessions:
    return Sessions(desk.access, desk.directory, desk.clock, VAULT.keyed_hash, labels)


@pytest.fixture
def labels() -> MemoryLabels:
    return MemoryLabels()


@pytest.fixture
def sessions(desk: Desk, labels: MemoryLabels) -> Sessions:
    return sessions_over(desk, labels)


@pytest.mark.parametrize("role", ["owner", "caller", "finance", "auditor", "operator"])
def test_the_holder_of_a_key_is_known_by_the_token(
    desk: Desk, sessions: Sessions, role: str
) -> None:
    session = sessions.open(sessions.sign_in(desk.secrets[role]))
    assert session is not None
    assert session.caller == desk.caller(role)


def test_a_token_holds_nothing_of_the_key(desk: Desk, sessions: Sessions) -> None:
    token = sessions.sign_in(desk.secrets["owner"])
    assert desk.secrets["owner"].removeprefix("kt_")[:10] not in token


def test_each_session_is_another(desk: Desk, sessions: Sessions) -> None:
    first, second = (sessions.sign_in(desk.secrets["owner"]) for _ in range(2))
    one, other = sessions.open(first), sessions.open(second)
    assert one is not None
    assert other is not None
    assert one.csrf != other.csrf


@pytest.mark.parametrize("at", [0, 10, 40, 55, -1])
def test_a_changed_token_is_nobody_s(desk: Desk, sessions: Sessions, at: int) -> None:
    token = sessions.sign_in(desk.secrets["owner"])
    changed = list(token)
    changed[at] = "0" if changed[at] != "0" else "1"
    assert sessions.open("".join(changed)) is None


@pytest.mark.parametrize(
    "token", [None, "", "...", "a.b.c.d", "key_1.9.ü.x", "x" * 1000, "é.1.2.3"]
)
def test_nonsense_is_nobody_s(sessions: Sessions, token: str | None) -> None:
    assert sessions.open(token) is None


def test_a_session_ends_after_half_a_day(desk: Desk, sessions: Sessions) -> None:
    token = sessions.sign_in(desk.secrets["owner"])
    desk.clock.advance(timedelta(seconds=SESSION_S - 1))
    assert sessions.open(token) is not None
    desk.clock.advance(timedelta(seconds=2))
    assert sessions.open(token) is None


def test_a_revoked_key_ends_its_sessions(desk: Desk, sessions: Sessions) -> None:
    token = sessions.sign_in(desk.secrets["owner"])
    desk.ledger.revoke_api_key(desk.account_id, desk.ids["owner"])
    desk.directory.catch_up()
    assert sessions.open(token) is None


def test_a_suspended_account_has_no_pages(desk: Desk, sessions: Sessions) -> None:
    token = sessions.sign_in(desk.secrets["owner"])
    desk.ledger.suspend_account(desk.account_id)
    desk.directory.catch_up()
    with pytest.raises(ApiError) as caught:
        sessions.open(token)
    assert caught.value.code == "account_suspended"


def test_signing_out_ends_this_session_only(desk: Desk, sessions: Sessions) -> None:
    first, second = (sessions.sign_in(desk.secrets["owner"]) for _ in range(2))
    session = sessions.open(first)
    assert session is not None
    sessions.sign_out(session)
    assert sessions.open(first) is None
    assert sessions.open(second) is not None


def test_a_ticket_works_once(desk: Desk, sessions: Sessions) -> None:
    ticket = sessions.ticket(desk.ids["operator"])
    token = sessions.redeem(ticket)
    session = sessions.open(token)
    assert session is not None
    assert session.caller.role == "operator"
    assert sessions.redeem(ticket) is None


def test_a_ticket_grows_old(desk: Desk, sessions: Sessions) -> None:
    ticket = sessions.ticket(desk.ids["owner"])
    desk.clock.advance(timedelta(seconds=TICKET_S + 1))
    assert sessions.redeem(ticket) is None


def test_what_is_over_is_dropped(desk: Desk, sessions: Sessions, labels: MemoryLabels) -> None:
    for _ in range(3):
        session = sessions.open(sessions.sign_in(desk.secrets["owner"]))
        assert session is not None
        sessions.sign_out(session)
        sessions.ticket(desk.ids["owner"])
    desk.clock.advance(timedelta(seconds=SESSION_S + 1))
    sessions.ticket(desk.ids["owner"])
    last = sessions.open(sessions.sign_in(desk.secrets["owner"]))
    assert last is not None
    sessions.sign_out(last)
    assert list(labels.get("pages-signed-out")) == [last.nonce]
    assert len(labels.get("pages-tickets")) == 1


def test_a_ticket_is_kept_as_its_hash(desk: Desk, sessions: Sessions, labels: MemoryLabels) -> None:
    ticket = sessions.ticket(desk.ids["owner"])
    assert ticket not in str(labels.get("pages-tickets"))


@pytest.mark.services
def test_tickets_and_sign_outs_hold_in_every_process(desk: Desk, postgres_dsn: str) -> None:
    both = [PostgresLabels(postgres_dsn) for _ in range(2)]
    one, other = (sessions_over(desk, labels) for labels in both)
    ticket = one.ticket(desk.ids["owner"])
    token = other.redeem(ticket)
    assert one.redeem(ticket) is None
    assert other.redeem(ticket) is None
    session = one.open(token)
    assert session is not None
    one.sign_out(session)
    assert one.open(token) is None
    both[1].catch_up()
    assert other.open(token) is None
    for labels in both:
        labels.close()


@pytest.mark.parametrize("given", ["kt_" + "x" * 43, "", "sk-ant-1"])
def test_a_wrong_key_signs_nobody_in(sessions: Sessions, given: str) -> None:
    with pytest.raises(ApiError) as caught:
        sessions.sign_in(given)
    assert caught.value.status == 401
