"""The pages about keys over stores in memory, used as a browser without scripts uses them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NoReturn, cast
from urllib.parse import urlencode

import httpx
from fastapi import FastAPI

from api.auth import Access
from api.chat.routing import Router
from api.providers.catalogue import PROVIDERS
from api.routes.api_keys import ApiKeys
from api.routes.models import ModelLists, Models
from api.routes.provider_keys import ProviderKeys
from api.routes.routing import RoutingPreferences
from api.routes.usage import UsageRoutes
from api.web import api_keys, keys, models, start
from api.web.operations import Operations
from api.web.pages import Pages
from api.web.session import COOKIE, Sessions
from domain.labels.memory import MemoryLabels
from projections.store.port import ProjectionUnavailable
from tests.api.management import BOOKS, Management


def _not_open() -> NoReturn:
    raise ProjectionUnavailable("the projections are not open yet")


class Front:
    """Pages, and whoever looks at them. The projections are away, so nothing is counted."""

    def __init__(self, world: Management) -> None:
        self.world = world
        access = Access(world.directory, world.clock)
        self.sessions = Sessions(
            access, world.directory, world.clock, world.vault.keyed_hash, MemoryLabels()
        )
        operations = cast(
            Operations,
            SimpleNamespace(
                provider_keys=ProviderKeys(
                    access=access,
                    directory=world.directory,
                    ledger=world.ledger,
                    vault=world.vault,
                    labels=world.labels,
                    providers=PROVIDERS,
                    named_hosts=frozenset(),
                    checker=world.checker,
                    last_used=world.last_used.get,
                ),
                routing=RoutingPreferences(
                    access=access,
                    directory=world.directory,
                    ledger=world.ledger,
                    slugs=PROVIDERS.keys(),
                ),
                api_keys=ApiKeys(
                    access=access,
                    directory=world.directory,
                    ledger=world.ledger,
                    labels=world.labels,
                    clock=world.clock,
                    last_used=world.last_used.get,
                ),
                models=Models(
                    access=access,
                    directory=world.directory,
                    routing=Router(PROVIDERS),
                    lists=ModelLists(PROVIDERS),
                    providers=PROVIDERS,
                    book=lambda: BOOKS.current,
                    clock=world.clock,
                ),
                usage=UsageRoutes(
                    access=access,
                    directory=world.directory,
                    log=world.log,
                    books=BOOKS,
                    projected=_not_open,
                    clock=world.clock,
                ),
            ),
        )
        pages = Pages(self.sessions)
        self.app = FastAPI()
        for each in (api_keys, keys, models, start):
            self.app.include_router(each.router(pages, operations))

    async def get(self, who: str | None, path: str, *, htmx: bool = False) -> httpx.Response:
        """One page, or what htmx would get."""
        async with self._client(who, htmx=htmx) as client:
            return await client.get(path)

    async def post(
        self,
        who: str,
        path: str,
        fields: Mapping[str, str] | None = None,
        *,
        htmx: bool = False,
        csrf: str | None = None,
    ) -> httpx.Response:
        """One form, with the csrf word of the session unless another is given."""
        async with self._client(who, htmx=htmx) as client:
            session = self.sessions.open(client.cookies[COOKIE])
            assert session is not None
            sent = {"csrf": session.csrf if csrf is None else csrf, **(fields or {})}
            return await client.post(
                path,
                content=urlencode(sent),
                headers={"content-type": "application/x-www-form-urlencoded"},
            )

    def keys_of(self, slug: str) -> list[Any]:
        """The stored keys of a provider, in the account's order."""
        held = self.world.directory.credentials(self.world.account_id)
        return [each for each in held if each.provider == slug]

    def _client(self, who: str | None, *, htmx: bool) -> httpx.AsyncClient:
        cookies = {}
        if who is not None:
            cookies[COOKIE] = self.sessions.sign_in(self.world.secrets[who])
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app, raise_app_exceptions=False),
            base_url="http://keytoll",
            cookies=cookies,
            headers={"hx-request": "true"} if htmx else {},
        )


def card(page: str, slug: str) -> str:
    """The card of one provider."""
    found = re.search(rf'<article class="card provider" id="card-{slug}".*?</article>', page, re.S)
    assert found, page
    return found[0]
