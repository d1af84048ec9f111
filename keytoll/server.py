"""`keytoll serve`: one process that serves calls, projects them and carries out commands."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import socket
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import structlog
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.auth import Access, RateLimiter
from api.chat.estimate import Estimator
from api.chat.exchange import Gateway
from api.chat.inflight import InFlight
from api.chat.keys import OpenKeys
from api.chat.routes import ChatCompletions
from api.chat.routing import Router
from api.last_used import LastUsed
from api.metrics import Metrics
from api.providers.catalogue import PROVIDERS, Provider
from api.providers.http import Timeouts, Upstream
from api.providers.probe import KeyProbe
from api.routes import (
    accounts,
    api_keys,
    audit,
    invoices,
    models,
    provider_keys,
    routing,
    usage,
)
from api.routes import (
    health as health_routes,
)
from api.routes.accounts import Accounts
from api.routes.api_keys import ApiKeys
from api.routes.audit import Trail
from api.routes.invoices import InvoiceRoutes
from api.routes.provider_keys import ProviderKeys
from api.routes.usage import UsageRoutes
from domain.credential import Outcome as KeyOutcome
from domain.directory import CredentialView
from domain.errors import UnsafeSetup
from keytoll import PROGRAM, VERSION
from keytoll.control import ControlServer, RunCommand
from keytoll.sandbox.server import SandboxServer
from keytoll.setting import Address
from keytoll.wiring import Stores
from projections.queries.health import Health, health
from projections.store.port import ProjectionUnavailable
from workers.loop import State, Worker
from workers.project import Project

REFERENCE: Final = "same-provider-first"
"""The free-model rule in force (PRICES.md 2)."""
BACKLOG: Final = 2048
FOLLOW_S: Final = 1.0
HEALTH_KEPT_S: Final = 5.0
HEALTH_GAUGES: Final = {
    "estimate_share": "Share of calls of the last 24 hours whose usage is estimated, 0 to 1.",
    "unrated": "Calls of the last 24 hours without a price.",
    "lost": "Calls of the last 24 hours that a crash hid.",
    "dead_letters": "Events that could not be projected.",
    "conflicts": "Events that came with a second payload.",
}

_log = structlog.get_logger("keytoll.server")


class Server:
    """Everything that runs while `keytoll serve` runs. Make it inside the event loop."""

    def __init__(self, stores: Stores, *, run_command: RunCommand) -> None:
        settings = stores.settings
        self._stores = stores
        self._settings = settings
        self._metrics = Metrics()
        self._sandbox = SandboxServer(
            stores.clock, host=settings.sandbox_listen.host, port=settings.sandbox_listen.port
        )
        self._in_flight = InFlight(
            stores.log,
            per_account_max=settings.account_calls_max,
            drains_max=settings.drains_max,
            calls_max=settings.calls_max,
        )
        self._control = ControlServer(settings.data, run_command)
        self._workers = (
            Worker("project", self._project, on_change=_log_worker),
            Worker("seal", stores.sealer, on_change=_log_worker),
        )
        self._project_step: Project | None = None
        self._health_seen: tuple[float, Health] | None = None
        self._watch()
        self._stop = asyncio.Event()
        self._ready = False

    async def run(self, listener: socket.socket, *, started: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT, then end in order. `started` is called once ready."""
        stores, settings = self._stores, self._settings
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        base_urls = dict(settings.upstreams)
        if settings.sandbox:
            await self._sandbox.start()
            base_urls.setdefault("sandbox", self._sandbox.base_url)
        upstream = Upstream(
            named_urls=base_urls.values(), answer_bytes_max=settings.answer_bytes_max
        )
        await asyncio.wrap_future(stores.log.opened(epoch=stores.epoch, program=PROGRAM))
        book = stores.books.current
        await asyncio.to_thread(stores.ledger.publish_price_book, book.hash, rows=book.rows)
        estimator = await asyncio.to_thread(Estimator.load)
        app = self._app(upstream, estimator, base_urls)
        web = _Web(
            uvicorn.Config(
                app,
                loop="none",
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=True,
                timeout_keep_alive=75,
                backlog=BACKLOG,
            )
        )
        serving = loop.create_task(web.serve(sockets=[listener]))
        following = loop.create_task(self._follow())
        for worker in self._workers:
            worker.start()
        await self._control.start()
        self._ready = True
        await web.listening.wait()
        started()
        try:
            await asyncio.wait(
                {loop.create_task(self._stop.wait()), serving},
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            _log.info("stopping", calls_in_flight=len(self._in_flight))
            await self._in_flight.stop(limit_s=settings.shutdown_timeout_s)
            following.cancel()
            await self._control.stop()
            for worker in self._workers:
                await asyncio.to_thread(worker.stop)
            web.should_exit = True
            await serving
            await upstream.aclose()
            await self._sandbox.stop()

    def stop(self) -> None:
        """End in order, as a signal would."""
        self._stop.set()

    def _app(self, upstream: Upstream, estimator: Estimator, base_urls: dict[str, str]) -> FastAPI:
        stores, settings = self._stores, self._settings
        providers = self._providers(base_urls)
        access = Access(stores.directory, stores.clock)
        router = Router(providers)
        last_used = LastUsed(stores.clock)
        gateway = Gateway(
            log=stores.log,
            keys=OpenKeys(stores.vault, stores.clock),
            book=lambda: stores.books.current,
            estimator=estimator,
            upstream=upstream,
            base_urls=base_urls,
            in_flight=self._in_flight,
            metrics=self._metrics,
            remember_key=self._remember_key,
            clock=stores.clock,
            epoch=stores.epoch,
            reference=REFERENCE,
            drain_s=settings.drain_timeout_s,
        )
        chat = ChatCompletions(
            gateway,
            access=access,
            limiter=RateLimiter(stores.clock),
            directory=stores.directory,
            router=router,
            keyed_hash=lambda text: stores.vault.keyed_hash("idempotency", text),
            last_used=last_used,
            body_bytes_max=settings.body_bytes_max,
        )
        routers = [
            provider_keys.router(
                ProviderKeys(
                    access=access,
                    directory=stores.directory,
                    ledger=stores.ledger,
                    vault=stores.vault,
                    labels=stores.labels,
                    providers=providers,
                    named_hosts=_hosts(settings.upstreams.values()),
                    checker=KeyProbe(upstream, base_urls),
                    last_used=last_used.of,
                )
            ),
            accounts.router(
                Accounts(
                    access=access,
                    directory=stores.directory,
                    ledger=stores.ledger,
                    labels=stores.labels,
                    clock=stores.clock,
                )
            ),
            api_keys.router(
                ApiKeys(
                    access=access,
                    directory=stores.directory,
                    ledger=stores.ledger,
                    labels=stores.labels,
                    clock=stores.clock,
                    last_used=last_used.of,
                )
            ),
            routing.router(
                access=access,
                directory=stores.directory,
                ledger=stores.ledger,
                slugs=providers.keys(),
            ),
            health_routes.router(ready=self._why_not_ready, metrics=self._metrics),
            usage.router(
                UsageRoutes(
                    access=access,
                    directory=stores.directory,
                    log=stores.log,
                    books=stores.books,
                    projector=stores.projections.projector,
                    clock=stores.clock,
                )
            ),
            invoices.router(
                InvoiceRoutes(
                    access=access, invoices=lambda: stores.invoices(stores.projections.projector())
                )
            ),
            audit.router(access=access, trail=Trail(stores.log, stores.directory, stores.books)),
            models.router(
                access=access,
                directory=stores.directory,
                routing=router,
                providers=providers,
                book=lambda: stores.books.current,
                clock=stores.clock,
            ),
        ]
        return create_app(
            chat=chat, routers=routers, version=VERSION, cors_origins=settings.cors_origins
        )

    def _providers(self, base_urls: dict[str, str]) -> dict[str, Provider]:
        """The rows of the catalogue as this installation uses them; fills in their addresses."""
        settings = self._settings
        timeouts = Timeouts(
            connect_s=settings.connect_timeout_s,
            first_byte_s=settings.first_byte_timeout_s,
            idle_s=settings.silence_timeout_s,
            total_s=settings.answer_timeout_s,
        )
        providers = {
            slug: replace(row, timeouts=timeouts)
            for slug, row in PROVIDERS.items()
            if settings.sandbox or not row.sandbox
        }
        for slug, row in providers.items():
            base_urls.setdefault(slug, row.base_url)
        return providers

    async def _remember_key(
        self, credential: CredentialView, outcome: KeyOutcome, reason: str
    ) -> None:
        await asyncio.to_thread(
            self._stores.ledger.check_credential,
            credential.account_id,
            credential.credential_id,
            outcome,
            reason,
            secret_version=credential.secret_version,
        )

    async def _follow(self) -> None:
        """Keep the directory level with the log, whoever writes to it."""
        while True:
            await asyncio.sleep(FOLLOW_S)
            await asyncio.to_thread(self._stores.directory.catch_up)

    def _project(self) -> float:
        """The projecting worker's step; the first one opens the engine, which takes a while."""
        if self._project_step is None:
            self._project_step = Project(self._stores.projections.open())
        return self._project_step()

    def _watch(self) -> None:
        """Gauges that are read when the metrics are asked for."""
        stores, watch = self._stores, self._metrics.watch
        watch("keytoll_log_events", "Events in the log.", stores.log.head)
        watch("keytoll_projection_lag_events", "Events not yet projected.", self._lag)
        watch("keytoll_open_requests", "Calls being served.", lambda: len(self._in_flight))
        watch("keytoll_drains", "Answers read on for callers that left.", self._drains)
        for name, meaning in HEALTH_GAUGES.items():
            watch(f"keytoll_{name}", meaning, partial(self._health, name))

    def _lag(self) -> float:
        try:
            position = self._stores.projections.projector().position
        except ProjectionUnavailable:
            position = 0
        return self._stores.log.head() - max(position, 0)

    def _drains(self) -> float:
        return self._in_flight.drains

    def _health(self, name: str) -> float:
        """A figure of the last 24 hours; not a number while the projections are not open."""
        now_s = self._stores.clock.monotonic_s()
        if self._health_seen is None or now_s - self._health_seen[0] > HEALTH_KEPT_S:
            try:
                since = self._stores.clock.now() - timedelta(hours=24)
                found = health(self._stores.projections.store(), since=since)
            except ProjectionUnavailable:
                return math.nan
            self._health_seen = (now_s, found)
        return float(getattr(self._health_seen[1], name))

    def _why_not_ready(self) -> str | None:
        if self._in_flight.stopping:
            return "stopping"
        if self._in_flight.store_failing:
            return "events cannot be stored"
        return None if self._ready else "starting"


class _Web(uvicorn.Server):
    """Leaves signals to `Server`, which settles the running calls before the sockets close."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _log_worker(state: State) -> None:
    say = _log.info if state.error is None else _log.error
    say("worker", worker=state.name, status=state.status, error=state.error)


def _hosts(urls: Iterable[str]) -> frozenset[str]:
    return frozenset(urlsplit(url).hostname or "" for url in urls)


def listen(address: Address) -> socket.socket:
    """The listening socket. Raises UnsafeSetup when the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise UnsafeSetup(f"cannot listen on {address}: {error.strerror}") from None
