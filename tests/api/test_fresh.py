"""A view of the log that is too old decides nothing; one that can catch up does so first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from threading import Event

import httpx
import pytest
from fastapi import APIRouter

from api import auth
from api.app import create_app
from api.auth import Access
from api.chat.keys import OpenKeys
from domain.clock import FixedClock
from domain.directory import STALE_S, Directory
from domain.eventlog.log import StoredLog
from domain.eventlog.memory import open_memory_log
from domain.eventlog.port import CorruptLog, StoreUnavailable
from domain.ledger import Ledger
from domain.vault.envelope import LocalMasterKey
from domain.vault.memory import memory_vault
from domain.vault.port import SecretNotFound
from tests.api.chat.calls import START, Calls, Client, opened_calls


class SickDirectory(Directory):
    """Cannot be caught up while `sick`, and takes its time while it is `held`."""

    sick: Exception | None = None
    held: Event | None = None
    looks = 0

    def catch_up(self) -> None:
        self.looks += 1
        if self.held is not None:
            self.held.wait(10)
        if self.sick is not None:
            raise self.sick
        super().catch_up()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(START)


@pytest.fixture
def log(clock: FixedClock) -> Iterator[StoredLog]:
    log = open_memory_log(clock=clock)
    yield log
    log.close()


@pytest.fixture
def directory(log: StoredLog, clock: FixedClock) -> SickDirectory:
    directory = SickDirectory(log, clock)
    directory.catch_up()
    directory.looks = 0
    return directory


def pass_s(clock: FixedClock, seconds: float) -> None:
    clock.advance(timedelta(seconds=seconds))


def test_the_age_of_a_view_counts_from_before_its_last_look(
    log: StoredLog, clock: FixedClock
) -> None:
    """What was recorded while the log was read may be missing."""

    class Slow(Directory):
        def _apply(self, recorded: object) -> None:
            pass_s(clock, 3)

    directory = Slow(log, clock)
    assert directory.age_s() == float("inf")
    Ledger(
        log=log,
        vault=memory_vault(LocalMasterKey(bytes(32))),
        clock=clock,
        directory=Directory(log, clock),
    ).open_account()
    directory.catch_up()
    assert directory.age_s() == 3


async def test_a_young_view_is_not_looked_after(
    directory: SickDirectory, clock: FixedClock
) -> None:
    pass_s(clock, STALE_S)
    await Access(directory, clock).fresh()
    assert directory.looks == 0


async def test_an_old_view_is_caught_up_once_for_all_who_wait(
    directory: SickDirectory, clock: FixedClock
) -> None:
    access = Access(directory, clock)
    pass_s(clock, STALE_S + 0.001)
    await asyncio.gather(*(access.fresh() for _ in range(20)))
    assert directory.looks == 1
    assert not access.stale


@pytest.mark.parametrize("error", [StoreUnavailable("away"), CorruptLog("seq 7")])
async def test_an_old_view_that_cannot_catch_up_refuses(
    directory: SickDirectory, clock: FixedClock, error: Exception
) -> None:
    access = Access(directory, clock)
    directory.sick = error
    pass_s(clock, STALE_S + 0.001)
    with pytest.raises(StoreUnavailable, match="too old"):
        await access.fresh()
    directory.sick = None
    await access.fresh()


async def test_nobody_waits_long_for_a_look_that_hangs(
    directory: SickDirectory, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "CATCH_UP_S", 0.05)
    access = Access(directory, clock)
    directory.held = Event()
    pass_s(clock, STALE_S + 0.001)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await access.fresh()
    directory.held.set()
    assert access._catching_up is not None
    await access._catching_up
    assert directory.looks == 1
    await access.fresh()


async def test_calls_are_refused_by_a_view_that_is_too_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with opened_calls() as calls:

        def away() -> int:
            raise StoreUnavailable("away")

        monkeypatch.setattr(calls.directory, "catch_up", away)
        monkeypatch.setattr(calls.directory, "age_s", lambda: STALE_S + 1)
        client = await calls.call()
        assert client.status == 503
        assert client.json["error"]["code"] == "store_unavailable"
        assert calls.provider.requests == []


async def test_a_key_that_was_revoked_elsewhere_while_the_body_came_is_refused() -> None:
    async with opened_calls() as calls:
        elsewhere = Directory(calls.log)
        elsewhere.catch_up()
        key = next(k for k in elsewhere.api_keys(calls.account_id) if k.role == "owner")
        ledger = Ledger(
            log=calls.log,
            vault=memory_vault(LocalMasterKey(bytes(32))),
            clock=calls.clock,
            directory=elsewhere,
        )
        client = await slow_call(calls, lambda: ledger.revoke_api_key(calls.account_id, key.key_id))
        assert client.json["error"]["code"] == "invalid_api_key"


async def slow_call(calls: Calls, meanwhile: object) -> Client:
    """A call during whose body something happens, and more time passes than a view may age."""
    client = Client()
    messages = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.request", "body": b"}"},
    ]

    async def receive() -> object:
        if len(messages) == 1:
            assert callable(meanwhile)
            await asyncio.to_thread(meanwhile)
            calls.directory._level_s -= STALE_S + 1
        return messages.pop(0)

    async def send(message: dict[str, object]) -> None:
        client.sent.append(message)

    headers = [(b"authorization", f"Bearer {calls.secret}".encode())]
    scope = {"type": "http", "method": "POST", "headers": headers}
    await calls.chat(scope, receive, send)  # type: ignore[arg-type]
    return client


async def test_every_route_but_those_of_operators_waits_for_a_fresh_view() -> None:
    async with opened_calls() as calls:
        routes, always = APIRouter(), APIRouter()

        async def stale() -> None:
            raise StoreUnavailable("too old")

        @routes.get("/keys")
        @always.get("/healthz")
        def answer() -> str:
            return "ok"

        app = create_app(
            chat=calls.chat, routers=[routes], always=[always], fresh=stale, version="1"
        )
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            assert (await client.get("/healthz")).status_code == 200
            refused = await client.get("/keys")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_unavailable")


async def test_an_opened_secret_is_not_served_once_it_was_rotated_or_removed(
    log: StoredLog, clock: FixedClock
) -> None:
    """In this process, after it has followed what another one recorded."""
    vault = memory_vault(LocalMasterKey(bytes(32)))
    here, there = Directory(log, clock), Directory(log, clock)
    ledger = Ledger(log=log, vault=vault, clock=clock, directory=there)
    account_id, _ = ledger.open_account()
    added = ledger.add_credential(
        account_id, provider="openai", fields={"apiKey": "sk-old"}, key_suffix="old"
    )
    here.catch_up()
    keys = OpenKeys(vault, clock)
    (view,) = here.credentials(account_id)
    assert await keys.open(view) == {"apiKey": "sk-old"}
    ledger.rotate_credential(
        account_id, added.credential_id, fields={"apiKey": "sk-new"}, key_suffix="new"
    )
    here.catch_up()
    (view,) = here.credentials(account_id)
    assert await keys.open(view) == {"apiKey": "sk-new"}
    ledger.remove_credential(account_id, added.credential_id)
    here.catch_up()
    assert here.credentials(account_id) == ()
    pass_s(clock, 61)
    with pytest.raises(SecretNotFound):
        await keys.open(view)
