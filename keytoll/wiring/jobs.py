"""The work that nobody asks for, as steps of workers: what there is, and where it is done.

Where log and tables are both shared, each part is a process of its own (`keytoll work`) and a
server only serves; else the server does all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import structlog

from domain.coordination.port import PROJECTING, RERATING, SEALING
from domain.eventlog.port import Chain
from keytoll.wiring.stores import Stores
from workers.close_months import CloseMonths
from workers.exclusive import Exclusive
from workers.follow import Follow
from workers.lease import Lease
from workers.loop import RETRY_S_MAX, Step
from workers.project import Project
from workers.project_group import Membership, ProjectGroup
from workers.relay import Relay, RelayState
from workers.relaying import Relaying

PROMPT_S: Final = 1.0
"""The longest rest after a failure of what calls depend on."""
LOOK_S: Final = 60.0

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
    relay: Callable[[], RelayState | None] | None = None
    """How far the relay has come, if this is one; None before it has begun."""
    member: Callable[[], Membership | None] | None = None
    """What this member of the group holds, if it is one; None before it has joined."""


def serving(stores: Stores) -> Sequence[Job]:
    """What a server does beside serving."""
    own = [*following(stores), _lease(stores)]
    if stores.settings.scaled:
        return [*own, Job("tables", _watch(stores))]
    return [*own, *relaying(stores), *projecting(stores), *sweeping(stores)]


def following(stores: Stores) -> Sequence[Job]:
    """Take in what other processes, or commands, recorded.

    Prices apart: a newer program may publish what this one does not have, and callers and keys
    are followed all the same.
    """
    known = Follow(stores.directory.catch_up, stores.labels.catch_up)
    return [
        Job("follow", known, retry_s_max=PROMPT_S),
        Job("prices", Follow(stores.prices.catch_up), retry_s_max=PROMPT_S),
    ]


def relaying(stores: Stores) -> Sequence[Job]:
    """Publish the log, each chain by one process at a time."""
    if not stores.settings.kafka:
        return []
    return [_relay(stores, chain) for chain in stores.log.chains()]


def projecting(stores: Stores) -> Sequence[Job]:
    """Bring the log into the tables."""
    settings = stores.settings
    if settings.grouped:
        return [_project_group(stores)]
    step = _Lazy(lambda: Project(stores.projections.projector()))
    if not settings.scaled:
        return [Job("project", step)]

    def anew() -> None:
        if step.made is not None:
            step.made.anew()

    exclusive = Exclusive(stores.locks, PROJECTING, step, on_taken=anew)
    return [Job("project", exclusive, exclusive.release)]


def sweeping(stores: Stores) -> Sequence[Job]:
    """Sign off the log and rate what had no price; end what dead processes left behind."""
    jobs = [
        _exclusive(stores, "rerate", RERATING, stores.rerater()),
        _exclusive(stores, "seal", SEALING, stores.sealer),
    ]
    if stores.settings.store:
        jobs += [
            # Each process by itself: one that is frozen must not hold up the sweep of its calls.
            Job("sweep", stores.sweeper()),
            Job("vault", stores.vault_keeper()),
        ]
    return jobs


def closing(stores: Stores) -> Sequence[Job]:
    """Close each month once it is over."""
    step = CloseMonths(
        closer=stores.closer,
        projected=stores.projections.open,
        register=stores.register,
        clock=stores.clock,
        grace_s=stores.settings.close_grace_s,
        on_refused=_log_refused,
    )
    return [Job("close", step)]


def _log_refused(refused: Mapping[str, str]) -> None:
    for account_id, reason in refused.items():
        _log.warning("month_stays_open", account=account_id or "all", reason=reason)


def _exclusive(stores: Stores, name: str, lock: str, step: Step) -> Job:
    exclusive = Exclusive(stores.locks, lock, step)
    return Job(name, exclusive, exclusive.release)


def _lease(stores: Stores) -> Job:
    """Tell the others that this process lives, so that nobody ends its calls."""
    lease = Lease(
        stores.leases,
        stores.epoch,
        lease_s=stores.settings.lease_s,
        on_lapsed=lambda: _log.warning("lease_lapsed", epoch=stores.epoch),
    )
    return Job("lease", lease, lease.release, retry_s_max=PROMPT_S)


def _watch(stores: Stores) -> Step:
    """Find the tables that others fill."""

    def step() -> float:
        stores.projections.open()
        return LOOK_S

    return step


def _relay(stores: Stores, chain: Chain) -> Job:
    from keytoll.wiring import feeds  # noqa: PLC0415 - Kafka's client is for those who use it

    def make(topic_id: str) -> Relay:
        return Relay(
            chain,
            sink=feeds.open_sink(stores.settings),
            positions=stores.truth.relayed,
            topic_id=topic_id,
            locks=stores.locks,
        )

    relay = Relaying(
        topic_id=lambda: feeds.topic_id(stores.settings), make=make, clock=stores.clock
    )
    return Job("relay", relay, relay.close, relay=relay.state)


def _project_group(stores: Stores) -> Job:
    from keytoll.wiring import feeds  # noqa: PLC0415 - Kafka's client is for those who use it

    def make() -> ProjectGroup:
        return ProjectGroup(
            feeds.feed_opener(stores.settings),
            stores.projections.group_tables(),
            clock=stores.clock,
        )

    group = _Lazy(make)
    return Job(
        "project",
        group,
        lambda: None if group.made is None else group.made.close(),
        member=lambda: None if group.made is None else group.made.membership,
    )


S = TypeVar("S", bound=Callable[[], float])


class _Lazy(Generic[S]):
    """A step that is made when it is first taken: what it needs may be heavy, or away."""

    def __init__(self, make: Callable[[], S]) -> None:
        self._make = make
        self.made: S | None = None

    def __call__(self) -> float:
        if self.made is None:
            self.made = self._make()
        return self.made()
