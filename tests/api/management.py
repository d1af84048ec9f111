"""The management routes over stores in memory, and one client for each role."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
from fastapi import FastAPI

from api.auth import Access
from api.chat.routing import Router
from api.errors import install_error_handlers
from api.limits import BodyLimit
from api.providers.catalogue import PROVIDERS, Provider
from api.request_id import RequestIds
from api.routes import accounts, api_keys, models, provider_keys, routing
from domain.clock import FixedClock
from domain.credential import Outcome
from domain.directory import Directory
from domain.eventlog.memory import open_memory_log
from domain.installation import open_installation
from domain.labels.memory import MemoryLabels
from domain.ledger import Ledger
from domain.vault.envelope import LocalMasterKey
from domain.vault.memory import memory_vault
from pricing.load import shipped_books

BOOKS = shipped_books()
START = datetime(2026, 11, 1, tzinfo=UTC)
ROLES = ("caller", "owner", "finance", "auditor", "operator")


class ScriptedChecker:
    """Says of every key what the test wants, and remembers what it was asked."""

    def __init__(self) -> None:
        self.says: tuple[Outcome, str] = ("verified", "answered")
        self.asked: list[tuple[str, Mapping[str, str], str | None]] = []

    async def check(
        self, provider: Provider, fields: Mapping[str, str], model: str | None
    ) -> tuple[Outcome, str]:
        self.asked.append((provider.slug, fields, model))
        return self.says


class Management:
    """An installation with two accounts: the first, and `other` with an owner of its own."""

    def __init__(self) -> None:
        self.clock = FixedClock(START)
        self.log = open_memory_log(clock=self.clock)
        self.directory = Directory(self.log)
        self.vault = memory_vault(LocalMasterKey(bytes(32)))
        self.labels = MemoryLabels()
        self.checker = ScriptedChecker()
        self.last_used: dict[str, str] = {}
        self.ledger = Ledger(
            log=self.log,
            vault=self.vault,
            clock=self.clock,
            directory=self.directory,
            keys_max=20,
        )
        first = open_installation(self.ledger, self.directory)
        self.account_id = first.account_id
        self.secrets = {str(role): secret.reveal() for role, secret in first.api_keys.items()}
        self.other_id, keys = self.ledger.open_account(api_keys=("owner",))
        self.secrets["other"] = keys["owner"].secret.reveal()
        self.app = self._app()

    def client(self, who: str | None) -> httpx.AsyncClient:
        """A client with the API key of a role of the first account, of `other`, or with none."""
        headers = {} if who is None else {"authorization": f"Bearer {self.secrets[who]}"}
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://keytoll", headers=headers)

    async def call(
        self, who: str | None, method: str, path: str, body: object = None
    ) -> httpx.Response:
        """One request as JSON."""
        async with self.client(who) as client:
            if body is None:
                return await client.request(method, path)
            return await client.request(method, path, json=body)

    async def add_key(self, who: str = "owner", **body: Any) -> dict[str, Any]:
        """Store a provider key and return the answer."""
        sent = {"provider": "openai", "key": "sk-proj-abcdefghijkl", **body}
        response = await self.call(who, "POST", "/api/user/provider-keys", sent)
        assert response.status_code == 201, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def lines(self) -> bytes:
        """Everything that the log holds."""
        return b"\n".join(each.line for each in self.log.read(after=0, limit=10_000))

    def _app(self) -> FastAPI:
        app = FastAPI()
        access = Access(self.directory, self.clock)
        app.include_router(
            provider_keys.router(
                provider_keys.ProviderKeys(
                    access=access,
                    directory=self.directory,
                    ledger=self.ledger,
                    vault=self.vault,
                    labels=self.labels,
                    providers=PROVIDERS,
                    named_hosts=frozenset(),
                    checker=self.checker,
                    last_used=self.last_used.get,
                )
            )
        )
        app.include_router(
            api_keys.router(
                api_keys.ApiKeys(
                    access=access,
                    directory=self.directory,
                    ledger=self.ledger,
                    labels=self.labels,
                    clock=self.clock,
                    last_used=self.last_used.get,
                )
            )
        )
        app.include_router(
            routing.router(
                routing.RoutingPreferences(
                    access=access, directory=self.directory, ledger=self.ledger, slugs=PROVIDERS
                )
            )
        )
        app.include_router(
            models.router(
                models.Models(
                    access=access,
                    directory=self.directory,
                    routing=Router(PROVIDERS),
                    lists=models.ModelLists(PROVIDERS),
                    providers=PROVIDERS,
                    book=lambda: BOOKS.current,
                    clock=self.clock,
                )
            )
        )
        app.include_router(
            accounts.router(
                accounts.Accounts(
                    access=access,
                    directory=self.directory,
                    ledger=self.ledger,
                    labels=self.labels,
                    clock=self.clock,
                )
            )
        )
        install_error_handlers(app)
        app.add_middleware(BodyLimit)
        app.add_middleware(RequestIds)
        return app


@asynccontextmanager
async def opened() -> AsyncIterator[Management]:
    """An installation that is closed again."""
    world = Management()
    try:
        yield world
    finally:
        world.log.close()
