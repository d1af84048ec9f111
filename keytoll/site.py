"""Puts the web application together: every route, and what it is given."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from api import web
from api.app import Application, create_app
from api.auth import Access, RateLimiter
from api.chat.estimate import Estimator
from api.chat.gateway import Gateway
from api.chat.inflight import InFlight
from api.chat.keys import OpenKeys
from api.chat.routes import ChatCompletions
from api.chat.routing import Router
from api.last_used import LastUsed
from api.metrics import Metrics
from api.providers.catalogue import AS_SET, PROVIDERS, Provider
from api.providers.http import Upstream
from api.providers.port import Timeouts
from api.providers.probe import KeyProbe
from api.routes import (
    accounts,
    api_keys,
    audit,
    health,
    invoices,
    models,
    provider_keys,
    routing,
    usage,
)
from api.routes.accounts import Accounts
from api.routes.api_keys import ApiKeys
from api.routes.audit import Trail
from api.routes.invoices import InvoiceRoutes
from api.routes.models import ModelLists, Models
from api.routes.provider_keys import ProviderKeys
from api.routes.routing import RoutingPreferences
from api.routes.usage import UsageRoutes
from api.web.desk import Desk, WorkerState
from api.web.drift import DriftCheck
from api.web.operations import Operations
from api.web.pages import Pages
from api.web.session import Sessions
from api.web.verification import Verification
from domain.credential import Outcome
from domain.directory import CredentialView
from domain.eventlog.port import bases_of
from domain.eventlog.raw import verify_stored
from domain.eventlog.verify import Report
from keytoll import VERSION
from keytoll.comparison import compare, last_comparison
from keytoll.distribution import Distribution
from keytoll.settings import Settings
from keytoll.status import places_of
from keytoll.wiring import Stores, kept_checkpoints
from keytoll.wiring.places import log_places
from projections.credit_notes import CreditNotes
from projections.published_books import PublishedBooks
from projections.standing import Standing, StorePlace
from projections.store.port import ProjectionUnavailable

REFERENCE: Final = "same-provider-first"
"""The free-model rule in force (docs/pricing.md)."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """What the routes of one server share."""

    stores: Stores
    sessions: Sessions
    upstream: Upstream
    estimator: Estimator
    base_urls: Mapping[str, str]
    in_flight: InFlight
    metrics: Metrics
    why_not_ready: Callable[[], str | None]
    standing: Callable[[], Standing]
    workers: Callable[[], Sequence[WorkerState]]
    distributed: Callable[[], Distribution | None] = lambda: None
    """The newest look at how far events have come over Kafka."""
    shares_port: bool = False
    """Others serve on the same port, so nobody could tell whose figures are read there."""

    def application(self) -> Application:
        """The application, ready to be served."""
        stores, settings = self.stores, self.stores.settings
        access = Access(stores.directory, stores.clock)
        providers = offered_providers(settings)
        router = Router(providers)
        last_used = LastUsed(stores.clock)
        chat = ChatCompletions(
            self._gateway(last_used),
            access=access,
            limiter=RateLimiter(stores.clock),
            directory=stores.directory,
            labels=stores.labels,
            router=router,
            keyed_hash=lambda text: stores.vault.keyed_hash("idempotency", text),
            body_bytes_max=settings.body_bytes_max,
        )
        operations = self._operations(access, router, last_used)
        pages = Pages(self.sessions, public_url=settings.public_url, version=VERSION)
        return create_app(
            chat=chat,
            always=[health.router(ready=self.why_not_ready, metrics=self._exposed())],
            fresh=access.fresh,
            routers=[
                models.router(operations.models),
                provider_keys.router(operations.provider_keys),
                api_keys.router(operations.api_keys),
                accounts.router(operations.accounts),
                routing.router(operations.routing),
                usage.router(operations.usage),
                invoices.router(operations.invoices),
                audit.router(access=access, trail=operations.trail),
                *web.routers(pages, operations),
            ],
            version=VERSION,
            cors_origins=settings.cors_origins,
            answer_error=pages.answer,
        )

    def _exposed(self) -> Metrics | None:
        return None if self.shares_port else self.metrics

    def _gateway(self, last_used: LastUsed) -> Gateway:
        stores = self.stores
        return Gateway(
            log=stores.log,
            keys=OpenKeys(stores.vault, stores.clock),
            book=lambda: stores.books.current,
            estimator=self.estimator,
            upstream=self.upstream,
            base_urls=self.base_urls,
            in_flight=self.in_flight,
            metrics=self.metrics,
            last_used=last_used,
            remember_key=self._remember_key,
            clock=stores.clock,
            jitter=random.random,
            epoch=stores.epoch,
            reference=REFERENCE,
            drain_s=stores.settings.drain_timeout_s,
        )

    def _models(self, access: Access, router: Router, providers: Mapping[str, Provider]) -> Models:
        return Models(
            access=access,
            directory=self.stores.directory,
            routing=router,
            lists=ModelLists(providers),
            providers=providers,
            book=lambda: self.stores.books.current,
            clock=self.stores.clock,
        )

    def _operations(self, access: Access, router: Router, last_used: LastUsed) -> Operations:
        """What the JSON routes and the pages do, once for both."""
        stores, providers = self.stores, offered_providers(self.stores.settings)
        return Operations(
            models=self._models(access, router, providers),
            provider_keys=ProviderKeys(
                access=access,
                directory=stores.directory,
                ledger=stores.ledger,
                vault=stores.vault,
                labels=stores.labels,
                providers=providers,
                named_hosts=_hosts(stores.settings.upstreams.values()),
                checker=KeyProbe(self.upstream, self.base_urls, stores.clock),
                last_used=last_used.of,
            ),
            routing=RoutingPreferences(
                access=access,
                directory=stores.directory,
                ledger=stores.ledger,
                slugs=providers.keys(),
            ),
            api_keys=ApiKeys(
                access=access,
                directory=stores.directory,
                ledger=stores.ledger,
                labels=stores.labels,
                clock=stores.clock,
                last_used=last_used.of,
            ),
            accounts=Accounts(
                access=access,
                directory=stores.directory,
                ledger=stores.ledger,
                labels=stores.labels,
                clock=stores.clock,
            ),
            usage=UsageRoutes(
                access=access,
                directory=stores.directory,
                log=stores.log,
                books=stores.books,
                projected=stores.projections.opened,
                clock=stores.clock,
            ),
            invoices=InvoiceRoutes(
                access=access,
                invoices=lambda: stores.invoices(stores.projections.opened()),
                credit_notes=CreditNotes(stores.register),
                receivables=stores.receivables,
                clock=stores.clock,
                grace_s=stores.settings.close_grace_s,
            ),
            trail=Trail(stores.log, stores.directory, stores.books),
            verification=Verification(self._verify, stores.clock),
            desk=self._desk(),
        )

    def _desk(self) -> Desk:
        stores = self.stores
        return Desk(
            standing=self.standing,
            workers=self.workers,
            places=self._places,
            consumer_lag=self._consumer_lag,
            last_drift=lambda: last_comparison(stores),
            drift=DriftCheck(self._drift, stores.clock),
            published=PublishedBooks(stores.log),
            add_prices=lambda given: stores.prices.add(lambda book: stores.additions(given, book)),
            unrated_days=stores.settings.unrated_days,
            reference=REFERENCE,
        )

    def _verify(self, on_page: Callable[[int], None]) -> Report:
        settings = self.stores.settings
        return verify_stored(
            *log_places(settings), checkpoints=kept_checkpoints(settings), on_page=on_page
        )

    def _places(self) -> Sequence[StorePlace]:
        try:
            return places_of(self.stores, self.stores.projections.opened(), self.distributed())
        except ProjectionUnavailable:
            return places_of(self.stores, None, self.distributed())

    def _consumer_lag(self) -> int | None:
        distributed = self.distributed()
        return None if distributed is None else distributed.consumer_lag

    def _drift(self) -> tuple[int, Sequence[str]]:
        compared, bases = compare(self.stores), bases_of(self.stores.log)
        return sum(bases[at] + seq for at, seq in compared.as_of.items()), compared.found

    async def _remember_key(
        self, credential: CredentialView, outcome: Outcome, reason: str
    ) -> None:
        await asyncio.to_thread(
            self.stores.ledger.check_credential,
            credential.account_id,
            credential.credential_id,
            outcome,
            reason,
            secret_version=credential.secret_version,
        )


def offered_providers(settings: Settings) -> dict[str, Provider]:
    """The rows of the catalogue as this installation offers them."""
    timeouts = Timeouts(
        connect_s=settings.connect_timeout_s,
        first_byte_s=settings.first_byte_timeout_s,
        idle_s=settings.silence_timeout_s,
        total_s=settings.answer_timeout_s,
    )
    return {
        slug: replace(row, timeouts=timeouts) if row.timeouts is AS_SET else row
        for slug, row in PROVIDERS.items()
        if settings.sandbox or not row.sandbox
    }


def base_urls(settings: Settings, *, sandbox: str | None) -> dict[str, str]:
    """Slug → what stands before the provider's own path: as set, else as catalogued."""
    own = {"sandbox": sandbox} if sandbox else {}
    rows = {slug: row.base_url for slug, row in offered_providers(settings).items()}
    return {**rows, **own, **settings.upstreams}


def _hosts(urls: Iterable[str]) -> frozenset[str]:
    return frozenset(urlsplit(url).hostname or "" for url in urls)
