"""An installation with calls behind the routes of usage and invoices, and the real projections."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.auth import Access
from api.errors import install_error_handlers
from api.routes import invoices, usage
from domain.coordination.memory import MemoryLocks
from domain.directory import Directory
from domain.installation import open_installation
from domain.invoice import Period
from domain.invoice_register import InvoiceRegister
from domain.ledger import Ledger
from domain.receivables import Receivables
from domain.vault.envelope import LocalMasterKey
from domain.vault.memory import memory_vault
from projections.credit_notes import CreditNotes
from projections.invoicing import Invoices
from projections.projector import Projector
from projections.store.port import ProjectionStore, ProjectionUnavailable
from tests.projections.world import START, World
from workers.close import Closer

NOVEMBER = "from=2026-11-01&to=2026-12-01"


class Reports:
    """An installation with two accounts and some calls, and a client for each role."""

    def __init__(self, tables: ProjectionStore) -> None:
        self.world = World()
        log, clock = self.world.log, self.world.clock
        self.directory = Directory(log)
        vault = memory_vault(LocalMasterKey(bytes(32)))
        ledger = Ledger(log=log, vault=vault, clock=clock, directory=self.directory)
        first = open_installation(ledger, self.directory)
        self.account = first.account_id
        self.secrets = {str(role): secret.reveal() for role, secret in first.api_keys.items()}
        self.other, keys = ledger.open_account(api_keys=("owner",))
        self.secrets["other"] = keys["owner"].secret.reveal()
        self.caller_key = next(
            key.key_id for key in self.directory.api_keys(self.account) if key.role == "caller"
        )
        self.projector = Projector(log=log, store=tables, books=self.world.books)
        self.register = InvoiceRegister(log)
        self.open = True
        self.access = Access(self.directory, clock)
        self.app = self._app()

    def ready(self) -> Projector:
        if not self.open:
            raise ProjectionUnavailable("the projections are not open yet")
        return self.projector

    async def get(self, who: str, path: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.secrets[who]}"}
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://keytoll", headers=headers
        ) as client:
            return await client.get(path)

    async def json(self, who: str, path: str) -> Any:
        response = await self.get(who, path)
        assert response.status_code == 200, response.text
        return response.json()

    async def refusal(self, who: str, path: str) -> tuple[int, str, str | None]:
        response = await self.get(who, path)
        error = response.json()["error"]
        return response.status_code, error["code"], error["param"]

    def close_november(self) -> None:
        end = datetime(2026, 12, 1, tzinfo=UTC)
        self.world.clock.advance(end - self.world.clock.now())
        closer = Closer(
            log=self.world.log,
            projected=self.projector,
            register=self.register,
            seal=lambda: self.world.log.seal().result(),
            locks=MemoryLocks(),
            clock=self.world.clock,
        )
        assert not closer.close(Period(START, end), grace_s=0).refused
        self.projector.catch_up()

    def _app(self) -> FastAPI:
        app, access = FastAPI(), self.access
        app.include_router(
            usage.router(
                usage.UsageRoutes(
                    access=access,
                    directory=self.directory,
                    log=self.world.log,
                    books=self.world.books,
                    projected=self.ready,
                    clock=self.world.clock,
                )
            )
        )

        def read() -> Invoices:
            return Invoices(log=self.world.log, register=self.register, projected=self.ready())

        made = invoices.InvoiceRoutes(
            access=access,
            invoices=read,
            credit_notes=CreditNotes(self.register),
            receivables=Receivables(
                log=self.world.log,
                register=self.register,
                locks=MemoryLocks(),
                clock=self.world.clock,
            ),
            clock=self.world.clock,
            grace_s=3600,
        )
        app.include_router(invoices.router(made))
        install_error_handlers(app)
        return app


@pytest.fixture
def reports(tables: ProjectionStore) -> Reports:
    made = Reports(tables)
    world = made.world
    for day in range(3):
        world.call(made.account, tags={"team": "red"} if day else {})
        world.call(made.account, provider="anthropic", model="claude-x")
        world.call(made.other)
        world.tick(days=1)
    made.projector.catch_up()
    return made
