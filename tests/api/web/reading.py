"""The pages about usage and calls over real projections, read without a browser."""

from __future__ import annotations

import html
import re
from typing import Any, cast

import httpx
from fastapi import FastAPI

from api.routes.provider_keys import ProviderKeys
from api.routes.usage import UsageRoutes
from api.web import call, usage
from api.web.operations import Operations
from api.web.pages import Pages
from api.web.session import COOKIE, Sessions
from domain.labels.memory import MemoryLabels
from domain.vault.envelope import LocalMasterKey
from domain.vault.memory import memory_vault
from tests.api.routes.reports import Reports


class Reader:
    """Opens pages as a role."""

    def __init__(self, reports: Reports) -> None:
        self.reports = reports
        self.labels = MemoryLabels()
        vault = memory_vault(LocalMasterKey(bytes(32)))
        access = reports.access
        clock = reports.world.clock
        self.sessions = Sessions(access, reports.directory, clock, vault.keyed_hash, MemoryLabels())
        routes = UsageRoutes(
            access=access,
            directory=reports.directory,
            log=reports.world.log,
            books=reports.world.books,
            projected=reports.ready,
            clock=clock,
        )
        keys = ProviderKeys(
            access=access,
            directory=reports.directory,
            ledger=cast(Any, None),
            vault=vault,
            labels=self.labels,
            providers={},
            named_hosts=frozenset(),
            checker=cast(Any, None),
            last_used=lambda _: None,
        )
        # The pages about usage read through these two only.
        operations = cast(Operations, _Two(routes, keys))
        pages = Pages(self.sessions)
        self.app = FastAPI()
        self.app.include_router(usage.router(pages, operations))
        self.app.include_router(call.router(pages, operations))

    async def get(self, who: str | None, path: str, *, part: bool = False) -> httpx.Response:
        """One page, or the part of it that htmx asks for."""
        cookies = {}
        if who is not None:
            cookies[COOKIE] = self.sessions.sign_in(self.reports.secrets[who])
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=transport,
            base_url="http://keytoll",
            cookies=cookies,
            headers={"hx-request": "true"} if part else {},
        ) as client:
            return await client.get(path)

    async def text(self, who: str, path: str, *, part: bool = False) -> str:
        """The page, which must be there."""
        response = await self.get(who, path, part=part)
        assert response.status_code == 200, response.text
        return response.text


class _Two:
    def __init__(self, routes: UsageRoutes, keys: ProviderKeys) -> None:
        self.usage = routes
        self.provider_keys = keys


def cells(page: str, table: str) -> list[list[str]]:
    """The rows of a table by its id; of an amount all digits, which are in its title."""
    found = re.search(rf'<table id="{table}".*?</table>', page, re.DOTALL)
    assert found, page
    return [
        [_cell(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
        for row in re.findall(r"<tr>(.*?)</tr>", found[0], re.DOTALL)
    ]


def _cell(inner: str) -> str:
    amount = re.search(r'title="([^"]*) USD"', inner)
    text = amount[1] if amount else re.sub(r"<[^>]*>", "", inner)
    return html.unescape(text).strip()
