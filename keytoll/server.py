"""`keytoll serve`: a process that serves calls, and does whatever work no other process does."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Final

import structlog
import uvicorn

from api.auth import Access
from api.chat.estimate import Estimator
from api.chat.inflight import InFlight
from api.metrics import Metrics
from api.providers.http import Upstream
from api.web.session import Sessions
from domain.directory import STALE_S
from keytoll import PROGRAM
from keytoll.control import ControlServer, RunCommand
from keytoll.distribution import DistributionWatch
from keytoll.gauges import Gauges, watch_workers
from keytoll.heads import BoundedHeads
from keytoll.listener import BACKLOG
from keytoll.monitor import Monitor
from keytoll.sandbox.server import SandboxServer
from keytoll.site import Site, base_urls
from keytoll.wiring import Stores, jobs
from keytoll.wiring.jobs import Job
from keytoll.workforce import Workforce

COLLECT_EVERY: Final = 20_000
"""New objects between two looks for garbage cycles."""
SWITCH_S: Final = 0.001
CLOSE_S: Final = 3
"""How long answers that are complete may still be read when the server stops."""

_log = structlog.get_logger("keytoll.server")


class Server:
    """Everything that runs while `keytoll serve` runs. Make it inside the event loop."""

    def __init__(self, stores: Stores, *, run_command: RunCommand, life: int | None = None) -> None:
        """`life`: a descriptor that becomes readable when the parent of this process is gone."""
        settings = stores.settings
        self._stores = stores
        self._life = life
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
        self._gauges = Gauges(stores, self._in_flight, self._metrics)
        # Where nothing lies in the data folder, commands open the stores by themselves.
        self._control = None if settings.scaled else ControlServer(settings.data, run_command)
        self._distribution = DistributionWatch(stores)
        self._workers = Workforce(self._jobs())
        watch_workers(self._metrics, self._workers)
        self._stop = asyncio.Event()
        self._ready = False

    async def run(self, listener: socket.socket, *, started: Callable[[Sessions], None]) -> None:
        """Serve until SIGTERM, SIGINT or `stop`, then end in order.

        `started` is told once calls are taken; it may hand out tickets to the pages.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        if self._life is not None:
            loop.add_reader(self._life, self._parent_gone, loop)
        sandbox = None
        if self._stores.settings.sandbox:
            await self._sandbox.start()
            sandbox = self._sandbox.base_url
        urls = base_urls(self._stores.settings, sandbox=sandbox)
        upstream = Upstream(
            named_urls=[*self._stores.settings.upstreams.values(), *([sandbox] if sandbox else [])],
            answer_bytes_max=self._stores.settings.answer_bytes_max,
        )
        await self._announce()
        site = self._site(upstream, urls, await asyncio.to_thread(Estimator.load))
        monitor = self._monitor()
        web = _Web(_web_config(site))
        serving = loop.create_task(web.serve(sockets=[listener]))
        self._workers.start()
        if self._control is not None:
            await self._control.start()
        self._ready = True
        await web.listening.wait()
        _favour_calls()
        started(site.sessions)
        stopping = loop.create_task(self._stop.wait())
        try:
            await asyncio.wait({stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            _log.info("stopping", calls_in_flight=len(self._in_flight))
            stopping.cancel()
            await self._in_flight.stop(limit_s=self._stores.settings.shutdown_timeout_s)
            if self._control is not None:
                await self._control.stop()
            await asyncio.to_thread(self._workers.stop)
            web.should_exit = True
            await serving
            await upstream.aclose()
            await self._sandbox.stop()
            if monitor is not None:
                await asyncio.to_thread(monitor.close)

    def stop(self) -> None:
        """End in order, as a signal would."""
        self._stop.set()

    def _site(self, upstream: Upstream, urls: Mapping[str, str], estimator: Estimator) -> Site:
        stores = self._stores
        return Site(
            stores=stores,
            sessions=Sessions(
                Access(stores.directory, stores.clock),
                stores.directory,
                stores.clock,
                stores.vault.keyed_hash,
                stores.labels,
            ),
            upstream=upstream,
            estimator=estimator,
            base_urls=urls,
            in_flight=self._in_flight,
            metrics=self._metrics,
            distributed=lambda: self._distribution.latest,
            shares_port=self._life is not None,
            why_not_ready=self._why_not_ready,
            standing=self._gauges.standing,
            workers=self._workers.states,
        )

    async def _announce(self) -> None:
        """Say that this process writes now, and in the log by which price book it rates."""
        stores = self._stores
        lease_s = stores.settings.lease_s
        await asyncio.to_thread(stores.leases.renew, stores.epoch, for_s=lease_s)
        await asyncio.wrap_future(stores.log.opened(epoch=stores.epoch, program=PROGRAM))
        await asyncio.to_thread(stores.prices.publish)

    def _jobs(self) -> Sequence[Job]:
        own = jobs.serving(self._stores)
        if not self._stores.settings.kafka:
            return own
        return [*own, Job("distribution", self._distribution)]

    def _monitor(self) -> Monitor | None:
        address = self._stores.settings.metrics_listen
        return None if address is None else Monitor(address, self._metrics, self._why_not_ready)

    def _parent_gone(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._life is not None:
            loop.remove_reader(self._life)
        _log.error("parent_gone")
        self.stop()

    def _why_not_ready(self) -> str | None:
        if self._in_flight.stopping:
            return "stopping"
        if self._stores.directory.age_s() > STALE_S:
            return "the event log does not answer"
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


def _web_config(site: Site) -> uvicorn.Config:
    return uvicorn.Config(
        site.application(),
        loop="none",
        http=BoundedHeads,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=True,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=CLOSE_S,
        backlog=BACKLOG,
    )


def _favour_calls() -> None:
    """Tune the interpreter once everything is there.

    What start-up made stays for good, and calls leave few cycles behind: looking through all of it
    every few thousand calls cost a tenth of their CPU time. And while a batch is projected, the
    event loop gets its turn after a millisecond, not five.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY)
    sys.setswitchinterval(SWITCH_S)
