"""The pages about invoices and the trail over real projections, read without a browser."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlencode

import httpx
from fastapi import FastAPI

from api.routes.audit import Trail
from api.routes.invoices import InvoiceRoutes
from api.routes.provider_keys import ProviderKeys
from api.web import audit, invoices, settling
from api.web.operations import Operations
from api.web.pages import Pages
from api.web.session import COOKIE, Sessions
from api.web.verification import Verification
from domain.coordination.memory import MemoryLocks
from domain.eventlog.verify import Report, StoreState
from domain.labels.memory import MemoryLabels
from domain.receivables import Receivables
from domain.vault.envelope import LocalMasterKey
from domain.vault.memory import memory_vault
from projections.credit_notes import CreditNotes
from projections.invoicing import Invoices
from tests.api.routes.reports import Reports

SOUND = Report(
    events=3,
    stores=(StoreState("store-1", 3, "ab" * 32, 1),),
    open_requests=0,
    checkpoints=1,
    findings=(),
    findings_total=0,
)


class Papers:
    """Opens pages as a role."""

    def __init__(self, reports: Reports) -> None:
        self.reports = reports
        self.labels = MemoryLabels()
        self.verify: Callable[[Callable[[int], None]], Report] = lambda _: SOUND
        world = reports.world
        vault = memory_vault(LocalMasterKey(bytes(32)))
        self.sessions = Sessions(
            reports.access, reports.directory, world.clock, vault.keyed_hash, MemoryLabels()
        )
        self.verification = Verification(self._verify, world.clock)
        keys = ProviderKeys(
            access=reports.access,
            directory=reports.directory,
            ledger=cast(Any, None),
            vault=vault,
            labels=self.labels,
            providers={},
            named_hosts=frozenset(),
            checker=cast(Any, None),
            last_used=lambda _: None,
        )
        self.routes = InvoiceRoutes(
            access=reports.access,
            invoices=lambda: Invoices(
                log=world.log, register=reports.register, projected=reports.ready()
            ),
            credit_notes=CreditNotes(reports.register),
            receivables=Receivables(
                log=world.log,
                register=reports.register,
                locks=MemoryLocks(),
                clock=world.clock,
            ),
            clock=world.clock,
            grace_s=60,
        )
        operations = SimpleNamespace(
            provider_keys=keys,
            invoices=self.routes,
            trail=Trail(world.log, reports.directory, world.books),
            verification=self.verification,
        )
        pages = Pages(self.sessions)
        self.app = FastAPI()
        for each in (invoices, settling, audit):
            self.app.include_router(each.router(pages, cast(Operations, operations)))

    async def get(self, who: str | None, path: str, *, part: bool = False) -> httpx.Response:
        """One page, or the part of it that htmx asks for."""
        async with self._client(who, part=part) as client:
            return await client.get(path)

    async def text(self, who: str, path: str, *, part: bool = False) -> str:
        """What a page says, which must be there."""
        response = await self.get(who, path, part=part)
        assert response.status_code == 200, response.text
        return words_of(response.text)

    async def post(
        self,
        who: str,
        path: str,
        *,
        form: Mapping[str, str] | None = None,
        csrf: str | None = None,
        part: bool = False,
    ) -> httpx.Response:
        """One form, with the csrf word of the session unless another is given."""
        async with self._client(who, part=part) as client:
            session = self.sessions.open(client.cookies[COOKIE])
            assert session is not None
            fields = {**(form or {}), "csrf": session.csrf if csrf is None else csrf}
            return await client.post(path, content=urlencode(fields))

    def _verify(self, on_page: Callable[[int], None]) -> Report:
        return self.verify(on_page)

    def _client(self, who: str | None, *, part: bool) -> httpx.AsyncClient:
        cookies = {}
        if who is not None:
            cookies[COOKIE] = self.sessions.sign_in(self.reports.secrets[who])
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app, raise_app_exceptions=False),
            base_url="http://keytoll",
            cookies=cookies,
            headers={"hx-request": "true"} if part else {},
        )


def words_of(page: str) -> str:
    """The text of a page, without tags."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())
