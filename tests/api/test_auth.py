from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from api.auth import Access, Caller, RateLimiter
from api.errors import ApiError
from domain.clock import FixedClock
from domain.directory import Directory
from domain.eventlog.log import StoredLog
from domain.eventlog.memory import open_memory_log
from domain.ledger import Ledger
from domain.vault.envelope import LocalMasterKey
from domain.vault.memory import memory_vault

START = datetime(2026, 11, 1, tzinfo=UTC)
ROLES = ("owner", "caller", "finance", "auditor", "operator")


class Desk:
    """One account with a key of each role, and the access to it."""

    def __init__(self, log: StoredLog, clock: FixedClock) -> None:
        self.clock = clock
        self.directory = Directory(log)
        self.ledger = Ledger(
            log=log,
            vault=memory_vault(LocalMasterKey(bytes(32))),
            clock=clock,
            directory=self.directory,
        )
        self.access = Access(self.directory, clock)
        self.account_id, keys = self.ledger.open_account(
            api_keys=("owner", "caller", "finance", "auditor", "operator")
        )
        self.secrets = {str(role): key.secret.reveal() for role, key in keys.items()}
        self.ids = {str(role): key.key_id for role, key in keys.items()}

    def caller(self, role: str) -> Caller:
        return self.access.caller({"x-api-key": self.secrets[role]})


@pytest.fixture
def desk() -> Iterator[Desk]:
    clock = FixedClock(START)
    log = open_memory_log(clock=clock)
    yield Desk(log, clock)
    log.close()


@pytest.mark.parametrize("role", ROLES)
def test_a_key_is_known_by_either_header(desk: Desk, role: str) -> None:
    secret = desk.secrets[role]
    expected = Caller(
        account_id=desk.account_id,
        key_id=desk.ids[role],
        role=role,
        requests_per_minute=None,
        models=None,
        receipt=True,
    )
    for headers in (
        {"authorization": f"Bearer {secret}"},
        {"authorization": f"bearer   {secret} "},
        {"x-api-key": secret},
        {"authorization": "Basic dXNlcjpwYXNz", "x-api-key": secret},
        {"authorization": f"Bearer {secret}", "x-api-key": "kt_other"},
    ):
        assert desk.access.caller(headers) == expected


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Basic dXNlcjpwYXNz"},
        {"x-api-key": " "},
        {"x-api-key": "sk-ant-someones-own-key"},
        {"authorization": "Bearer sk-someones-own-key"},
        {"x-api-key": "kt_" + "A" * 43},
        {"x-api-key": "kt_" + "A" * 100_000},
        {"x-api-key": "kt_\xff\xfe"},
    ],
)
def test_anything_else_is_turned_away_without_being_repeated(
    desk: Desk, headers: dict[str, str]
) -> None:
    with pytest.raises(ApiError) as raised:
        desk.access.caller(headers)
    error = raised.value
    assert (error.status, error.code, error.type) == (
        401,
        "invalid_api_key",
        "authentication_error",
    )
    assert error.headers["www-authenticate"] == "Bearer"
    assert "own-key" not in error.message
    assert "AAAA" not in error.message


def test_a_key_that_was_valid_but_for_one_letter(desk: Desk) -> None:
    secret = desk.secrets["owner"]
    wrong = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    for given in (wrong, secret[:-1], secret + "A", secret.upper(), secret[3:]):
        with pytest.raises(ApiError):
            desk.access.caller({"x-api-key": given})


def test_a_revoked_key_is_turned_away_at_once(desk: Desk) -> None:
    assert desk.caller("caller")
    desk.ledger.revoke_api_key(desk.account_id, desk.ids["caller"])
    with pytest.raises(ApiError) as raised:
        desk.caller("caller")
    assert raised.value.code == "invalid_api_key"


@pytest.mark.parametrize("role", ROLES)
def test_suspension_stops_the_account_but_not_the_installation(desk: Desk, role: str) -> None:
    desk.ledger.suspend_account(desk.account_id)
    if role in {"finance", "auditor", "operator"}:
        assert desk.caller(role).role == role
        return
    with pytest.raises(ApiError) as raised:
        desk.caller(role)
    assert (raised.value.status, raised.value.code) == (403, "account_suspended")
    desk.ledger.resume_account(desk.account_id)
    assert desk.caller(role)


def test_what_a_key_is_limited_to_comes_with_the_caller(desk: Desk) -> None:
    issued = desk.ledger.issue_api_key(
        desk.account_id, "caller", requests_per_minute=7, models=["a", "b"], receipt=False
    )
    caller = desk.access.caller({"x-api-key": issued.secret.reveal()})
    assert (caller.requests_per_minute, caller.models, caller.receipt) == (
        7,
        frozenset({"a", "b"}),
        False,
    )


def test_a_role_is_required(desk: Desk) -> None:
    desk.access.require(desk.caller("owner"), "caller", "owner")
    with pytest.raises(ApiError) as raised:
        desk.access.require(desk.caller("finance"), "caller", "owner")
    assert (raised.value.status, raised.value.code) == (403, "role_not_allowed")
    assert "caller or owner" in raised.value.message


def test_a_request_is_about_an_account_that_the_caller_may_see(desk: Desk) -> None:
    other, _ = desk.ledger.open_account()
    for role in ROLES:
        caller = desk.caller(role)
        assert desk.access.account_for(caller, None) == desk.account_id
        assert desk.access.account_for(caller, desk.account_id) == desk.account_id
        if caller.sees_all_accounts:
            assert desk.access.account_for(caller, other) == other
        else:
            with pytest.raises(ApiError) as raised:
                desk.access.account_for(caller, other)
            assert raised.value.status == 404
        with pytest.raises(ApiError) as raised:
            desk.access.account_for(caller, "acc_" + "0" * 32)
        assert raised.value.status == 404


# Requests per minute


def limited(limit: int | None, key_id: str = "key_1") -> Caller:
    return Caller(
        account_id="acc_1",
        key_id=key_id,
        role="caller",
        requests_per_minute=limit,
        models=None,
        receipt=True,
    )


def test_a_minutes_worth_may_be_used_at_once_and_refills_evenly() -> None:
    clock = FixedClock(START)
    limiter = RateLimiter(clock)
    for _ in range(6):
        limiter.check(limited(6))
    with pytest.raises(ApiError) as raised:
        limiter.check(limited(6))
    error = raised.value
    assert (error.status, error.code, error.type) == (
        429,
        "rate_limit_exceeded",
        "rate_limit_error",
    )
    assert error.headers == {"retry-after": "10", "x-should-retry": "true"}
    clock.advance(timedelta(seconds=9))
    with pytest.raises(ApiError) as raised:
        limiter.check(limited(6))
    assert raised.value.headers["retry-after"] == "1"
    clock.advance(timedelta(seconds=1))
    limiter.check(limited(6))
    with pytest.raises(ApiError):
        limiter.check(limited(6))


def test_being_refused_costs_nothing_and_silence_saves_at_most_a_minutes_worth() -> None:
    clock = FixedClock(START)
    limiter = RateLimiter(clock)
    limiter.check(limited(1))
    for _ in range(100):
        with pytest.raises(ApiError):
            limiter.check(limited(1))
    clock.advance(timedelta(hours=5))
    limiter.check(limited(1))
    with pytest.raises(ApiError):
        limiter.check(limited(1))


def test_keys_are_limited_apart_and_some_not_at_all() -> None:
    limiter = RateLimiter(FixedClock(START))
    limiter.check(limited(1, "key_1"))
    limiter.check(limited(1, "key_2"))
    for _ in range(1_000):
        limiter.check(limited(None, "key_3"))


def test_a_lowered_limit_holds_at_once() -> None:
    limiter = RateLimiter(FixedClock(START))
    limiter.check(limited(1_000))
    limiter.check(limited(2))
    limiter.check(limited(2))
    with pytest.raises(ApiError):
        limiter.check(limited(2))


def test_a_wall_clock_set_back_gives_nothing_away() -> None:
    clock = FixedClock(START)
    limiter = RateLimiter(clock)
    limiter.check(limited(1))
    clock.advance(timedelta(hours=-3))
    with pytest.raises(ApiError) as raised:
        limiter.check(limited(1))
    assert raised.value.headers["retry-after"] == "60"


def test_the_number_of_buckets_is_bounded() -> None:
    limiter = RateLimiter(FixedClock(START))
    for number in range(20_100):
        limiter.check(limited(1, f"key_{number}"))
    assert len(limiter._buckets) == 20_000
