"""`keytoll work`: a process that does one part of what the server does by itself elsewhere."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from queue import SimpleQueue
from typing import Final

from domain.clock import SystemClock
from domain.errors import UnsafeSetup
from domain.ids import new_id
from keytoll.commands.port import Bare, Command, Console
from keytoll.logs import configure_logs
from keytoll.settings import Settings
from keytoll.wiring import Stores, jobs, open_stores
from keytoll.wiring.jobs import Job
from workers.loop import State

PARTS: Final[Mapping[str, Callable[[Stores], Sequence[Job]]]] = {
    "relay": jobs.relaying,
    "project": jobs.projecting,
    "sweep": jobs.sweeping,
    "close": jobs.closing,
}
"""Part → its jobs. Any of them may run several times: what only one may do, the others stand by."""
USES_VAULT: Final = frozenset({"sweep"})
"""The others are given no master key: whoever breaks into one can open nothing."""
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("part", choices=PARTS, help="what this process does")


def work(settings: Settings, args: argparse.Namespace, console: Console) -> int:
    """Do it until told to stop; 2 when it cannot go on, with one line that says why."""
    _check(settings, args.part)
    configure_logs(settings)
    clock, epoch = SystemClock(), new_id().hex
    with_vault = args.part in USES_VAULT
    with closing(open_stores(settings, clock, epoch=epoch, with_vault=with_vault)) as stores:
        # What rates must never pin a book that is not in the log.
        stores.prices.publish()
        failed = _until_told(stores, PARTS[args.part](stores))
    if failed is None:
        return 0
    console.complain(f"the worker {failed.name} cannot go on: {failed.error}")
    return 2


def _check(settings: Settings, part: str) -> None:
    if not settings.scaled:
        raise UnsafeSetup(
            "keytoll work needs KEYTOLL_STORE and KEYTOLL_CLICKHOUSE: without both, the workers"
            " are threads of keytoll serve"
        )
    if part == "relay" and not settings.kafka:
        raise UnsafeSetup("keytoll work relay needs KEYTOLL_KAFKA")


def _until_told(stores: Stores, part: Sequence[Job]) -> State | None:
    """Run the jobs until a signal, or until one of them fails: then its state."""
    # Only here: a command that asks a question does not wait for the Prometheus client.
    from keytoll.gauges import watch_work  # noqa: PLC0415
    from keytoll.monitor import Monitor  # noqa: PLC0415
    from keytoll.workforce import Workforce  # noqa: PLC0415

    # Its `put` may interrupt its own `get`, as a signal does.
    ends: SimpleQueue[State | None] = SimpleQueue()
    for number in SIGNALS:
        signal.signal(number, lambda *_: ends.put(None))
    workforce = Workforce([*jobs.following(stores), *part], on_failure=ends.put)
    address = stores.settings.metrics_listen
    monitor = None
    if address is not None:
        monitor = Monitor(address, watch_work(stores, workforce), workforce.why_not_ready)
    workforce.start()
    try:
        return ends.get()
    finally:
        workforce.stop()
        if monitor is not None:
            monitor.close()


COMMANDS: Final[tuple[Command, ...]] = (
    Bare("work", "do one part of the server's own work, as a process", _arguments, work),
)
