"""The trail over HTTP: pages, filters, states, and who may look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.auth import Access
from api.errors import install_error_handlers
from api.routes import audit
from api.routes.audit import EventFilter, Trail
from domain.directory import Directory
from domain.eventlog.history import history
from domain.eventlog.port import Recorded
from domain.eventlog.sqlite import begin_new_store, open_sqlite_log
from domain.events.codec import canonical, line_hash, read_line
from domain.ids import public_id
from domain.installation import open_installation
from domain.ledger import Ledger
from domain.vault.envelope import LocalMasterKey
from domain.vault.memory import memory_vault
from tests.projections.world import World, account_id


class Audited:
    """An installation whose trail is read."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()
        self.directory = Directory(self.world.log)
        self.ledger = Ledger(
            log=self.world.log,
            vault=memory_vault(LocalMasterKey(bytes(32))),
            clock=self.world.clock,
            directory=self.directory,
        )
        first = open_installation(self.ledger, self.directory)
        self.account = first.account_id
        self.secrets = {str(role): key.reveal() for role, key in first.api_keys.items()}
        self.app = FastAPI()
        access = Access(self.directory, self.world.clock)
        trail = Trail(self.world.log, self.directory, self.world.books)
        self.app.include_router(audit.router(access=access, trail=trail))
        install_error_handlers(self.app)

    async def get(self, path: str, role: str = "auditor", **query: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app)
        headers = {"authorization": f"Bearer {self.secrets[role]}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://keytoll", headers=headers
        ) as client:
            return await client.get(f"/api/v1/audit{path}", params=query)

    async def pages(self, **query: Any) -> list[dict[str, Any]]:
        """All events, by following `next`."""
        events: list[dict[str, Any]] = []
        after = None
        while True:
            more: dict[str, Any] = {} if after is None else {"after": after}
            answer = (await self.get("/events", **query, **more)).json()
            events += answer["events"]
            after = answer["next"]
            if after is None:
                return events


def newest(audited: Audited, limit: int, **given: str) -> list[dict[str, Any]]:
    """All events the other way round, by following `next`."""
    trail = Trail(audited.world.log, audited.directory, audited.world.books)
    wanted = EventFilter(**{"account": None, "stream": None, "topic": None, **given})
    events: list[dict[str, Any]] = []
    before = None
    while True:
        page = trail.newest(before, limit, wanted)
        assert len(page["events"]) <= limit
        events += page["events"]
        before = page["next"]
        if before is None:
            return events


@pytest.fixture
def audited() -> Audited:
    return Audited()


async def test_pages_give_every_event_once_with_its_hash(audited: Audited) -> None:
    for _ in range(5):
        audited.world.call(audited.account)
    lines = {each.seq: each.line for each in audited.world.log.read(after=0, limit=1000)}
    for limit in (1, 3, 1000):
        events = await audited.pages(limit=limit)
        assert [event["seq"] for event in events] == sorted(lines)
        for event in events:
            given = event.pop("hash")
            assert canonical(event) == lines[event["seq"]]
            assert given == line_hash(lines[event["seq"]])


async def test_pages_go_through_the_stores_that_a_restored_log_continues(tmp_path: Path) -> None:
    path, world = tmp_path / "events.sqlite", World()
    world.log = log = open_sqlite_log(path, store_id="store-1", clock=world.clock)
    account = account_id("a")
    world.call(account)
    request = world.routed(account)
    log.seal().result()
    log.close()
    begin_new_store(path, store_id="store-2")
    world.log = log = open_sqlite_log(path, clock=world.clock)
    audited = Audited(world)
    world.failed(request, account)
    log.seal().result()
    try:
        places = [(each.store_id, each.seq) for each in history(log)]
        assert {store for store, _ in places} == {"store-1", "store-2"}
        for limit in (1, 4, 1000):
            events = await audited.pages(limit=limit)
            assert [(event["store_id"], event["seq"]) for event in events] == places
            own = await audited.pages(stream=public_id("req", request), limit=limit)
            assert [event["originator_version"] for event in own] == [1, 2]
            assert [event["seq"] for event in newest(audited, limit)] == [
                seq for _, seq in reversed(places)
            ]
            back = newest(audited, limit, stream=public_id("req", request))
            assert [event["originator_version"] for event in back] == [2, 1]
        answer = (await audited.get("/checkpoints", limit=1)).json()
        assert [each["store_id"] for each in answer["checkpoints"]] == ["store-1"]
        answer = (await audited.get("/checkpoints", after=answer["next"])).json()
        assert [each["store_id"] for each in answer["checkpoints"]] == ["store-2"]
    finally:
        log.close()


async def test_filters(audited: Audited) -> None:
    request = audited.world.call(audited.account)
    other = audited.world.open_account("other")
    audited.world.call(other)
    assert {e["account_id"] for e in await audited.pages(account=other)} == {other}
    assert {e["topic"] for e in await audited.pages(topic="request.routed", limit=1)} == {
        "request.routed"
    }
    assert len(await audited.pages(topic="request")) == 4
    assert {e["account_id"] for e in newest(audited, 1, account=other)} == {other}
    assert len(newest(audited, 3, topic="request")) == 4
    found = await audited.pages(stream=public_id("req", request), limit=1)
    assert [event["originator_version"] for event in found] == [1, 2]


async def test_a_request_and_the_state_it_leads_to(audited: Audited) -> None:
    request = audited.world.routed(audited.account)
    path = f"/requests/{public_id('req', request)}"
    assert (await audited.get(path)).json()["state"] == "open"
    audited.world.failed(request, audited.account)
    assert (await audited.get(path)).json()["state"] == "failed"
    audited.world.corrected(request, audited.account, input_tokens=1000, output_tokens=100)
    answer = (await audited.get(path)).json()
    assert answer["state"] == "settled"
    assert answer["at_cost_usd"] == "0.0028"  # 1000 × 2 + 100 × 8 per million
    assert [event["originator_version"] for event in answer["events"]] == [1, 2, 3]


async def test_a_credential_and_its_history(audited: Audited) -> None:
    view = audited.ledger.add_credential(
        audited.account, provider="openai", fields={"apiKey": "sk-secret-Zx9Q"}, key_suffix="Zx9Q"
    )
    audited.ledger.remove_credential(audited.account, view.credential_id)
    answer = await audited.get(f"/credentials/{view.credential_id}")
    assert answer.json()["state"]["status"] == "removed"
    assert [event["topic"] for event in answer.json()["events"]] == [
        "credential.key-added",
        "credential.key-removed",
    ]
    assert "sk-secret" not in answer.text


async def test_checkpoints_are_the_seals(audited: Audited) -> None:
    seals: list[Recorded] = []
    for _ in range(3):
        audited.world.call(audited.account)
        seals.append(*audited.world.log.seal().result())
    first = (await audited.get("/checkpoints", limit=2)).json()
    rest = (await audited.get("/checkpoints", limit=2, after=first["next"])).json()
    found = first["checkpoints"] + rest["checkpoints"]
    assert [each["seq"] for each in found] == [seal.seq for seal in seals]
    assert [each["root"] for each in found] == [read_line(s.line)["data"]["root"] for s in seals]
    assert rest["next"] is None
    trail = Trail(audited.world.log, audited.directory, audited.world.books)
    assert [each.seq for each in trail.newest_checkpoints(2)] == [seals[2].seq, seals[1].seq]
    assert [each.seq for each in trail.all_checkpoints()] == [seal.seq for seal in seals]


@pytest.mark.parametrize(
    ("path", "query", "param"),
    [
        ("/events", {"after": "elsewhere:1"}, "after"),
        ("/events", {"after": "store-1:-1"}, "after"),
        ("/events", {"limit": 0}, "limit"),
        ("/events", {"topic": "Request"}, "topic"),
        ("/events", {"stream": "req_x"}, "stream"),
        ("/checkpoints", {"limit": 1001}, "limit"),
    ],
)
async def test_a_wrong_parameter_is_named(
    audited: Audited, path: str, query: dict[str, Any], param: str
) -> None:
    answer = await audited.get(path, **query)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


async def test_what_is_not_there_is_404(audited: Audited) -> None:
    account = audited.account.removeprefix("acc_")
    for path in (
        f"/requests/req_{account}",
        f"/requests/req_{'0' * 32}",
        f"/credentials/cred_{'0' * 32}",
    ):
        assert (await audited.get(path)).status_code == 404
    assert (await audited.get("/requests/nonsense")).status_code == 400


@pytest.mark.parametrize("role", ["caller", "owner", "finance"])
async def test_only_auditors_and_operators_look(audited: Audited, role: str) -> None:
    for path in ("/events", "/checkpoints", f"/requests/req_{'0' * 32}"):
        answer = await audited.get(path, role=role)
        assert answer.json()["error"]["code"] == "role_not_allowed"
    assert (await audited.get("/events", role="operator")).status_code == 200
