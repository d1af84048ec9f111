"""The work that nobody asks for, as steps of workers: what there is, and where it is done.

A process of its own does each part where log and tables are both shared (`keytoll work`); else
the server does all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from domain.coordination.port import PROJECTING, RERATING, SEALING
from keytoll.wiring.stores import Stores
from workers.exclusive import Exclusive
from workers.follow import Follow
from workers.lease import Lease
from workers.loop import RETRY_S_MAX, Step
from workers.project import Project

PROMPT_S: Final = 1.0
"""The longest rest after a failure of what calls depend on."""

_log = structlog.get_logger("keytoll.workers")


def _nothing() -> None:
    """Nothing is held."""


@dataclass(frozen=True, slots=True)
class Job:
    """A step, and what it lets go of when it is done no more."""

    name: str
    step: Step
    release: Callable[[], None] = _nothing
    retry_s_max: float = RETRY_S_MAX


def serving(stores: Stores) -> Sequence[Job]:
    """What a server does beside serving."""
    jobs = [_follow(stores), _lease(stores)]
    if stores.settings.scaled:
        return [*jobs, _watch(stores)]
    return [*jobs, *projecting(stores), *sweeping(stores)]


def projecting(stores: Stores) -> Sequence[Job]:
    """Bring the log into the tables."""
    step = _Opened(lambda: Project(stores.projections.open()))
    if not stores.settings.scaled:
        return [Job("project", step)]
    return [_exclusive(stores, "project", PROJECTING, step)]


def sweeping(stores: Stores) -> Sequence[Job]:
    """Sign off the log, and rate what had no price."""
    return [
        _exclusive(stores, "rerate", RERATING, stores.rerater()),
        _exclusive(stores, "seal", SEALING, stores.sealer),
    ]


def _exclusive(stores: Stores, name: str, lock: str, step: Step) -> Job:
    exclusive = Exclusive(stores.locks, lock, step)
    return Job(name, exclusive, exclusive.release)


def _follow(stores: Stores) -> Job:
    """Take in what other processes, or commands, recorded."""
    return Job("follow", Follow(stores.directory.catch_up), retry_s_max=PROMPT_S)


def _lease(stores: Stores) -> Job:
    """Tell the others that this process lives, so that nobody ends its calls."""
    lease = Lease(
        stores.leases,
        stores.epoch,
        lease_s=stores.settings.lease_s,
        on_lapsed=lambda: _log.warning("lease_lapsed", epoch=stores.epoch),
    )
    return Job("lease", lease, lease.release, retry_s_max=PROMPT_S)


def _watch(stores: Stores) -> Job:
    """Find the tables that others fill."""

    def step() -> float:
        stores.projections.open()
        return 60.0

    return Job("tables", step)


class _Opened:
    """A step that is made when it is first taken: what it needs may be heavy, or away."""

    def __init__(self, make: Callable[[], Step]) -> None:
        self._make = make
        self._step: Step | None = None

    def __call__(self) -> float:
        if self._step is None:
            self._step = self._make()
        return self._step()
