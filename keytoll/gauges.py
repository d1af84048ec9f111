"""What metrics and operators learn about this process, read when they ask for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Final

from api.chat.inflight import InFlight
from api.metrics import Metrics, Readings
from domain.eventlog.port import StoreUnavailable, heads_of
from keytoll.wiring import Stores
from keytoll.workforce import Workforce
from projections.projected import Projected, lag_of
from projections.queries.health import Health, health
from projections.standing import Standing, standing
from projections.store.port import ProjectionUnavailable

KEPT_S: Final = 5.0
WINDOW: Final = timedelta(hours=24)
OF_PROJECTIONS: Final = {
    "keytoll_estimate_share": "Share of the last 24 hours' calls whose usage is estimated.",
    "keytoll_unrated": "Calls with something in them that has no price yet.",
    "keytoll_lost": "Calls of the last 24 hours that a crash hid.",
    "keytoll_dead_letters": "Events that could not be projected.",
    "keytoll_conflicts": "Events that came with a second payload.",
}


class Gauges:
    """Registers itself with the metrics; the operator's pages read the same. Any thread may ask."""

    def __init__(self, stores: Stores, in_flight: InFlight, metrics: Metrics) -> None:
        self._stores = stores
        self._seen: tuple[float, Health] | None = None
        watch = metrics.watch
        watch("keytoll_log_events", "Events in the log.", partial(_events, stores))
        watch("keytoll_projection_lag_events", "Events not yet projected.", self._lag)
        watch("keytoll_open_requests", "Calls being served.", lambda: len(in_flight))
        watch("keytoll_drains", "Answers read on for absent callers.", lambda: in_flight.drains)
        for name, meaning in OF_PROJECTIONS.items():
            watch(name, meaning, partial(self._of_projections, name.removeprefix("keytoll_")))

    def standing(self) -> Standing:
        """Where everything stands, with the health of the last 24 hours."""
        stores = self._stores
        return standing(
            log=stores.log,
            projected=self._projected(),
            health=self._health(),
            register=stores.register,
            book=stores.books.current,
        )

    def _lag(self) -> float:
        projected = self._projected()
        try:
            reached = projected.reached() if projected else {}
            return sum(lag_of(self._stores.log, reached).values())
        except (ProjectionUnavailable, StoreUnavailable):
            return math.nan

    def _of_projections(self, name: str) -> float:
        """Not a number while the projections are not open: unknown is not zero."""
        found = self._health()
        return math.nan if found is None else float(getattr(found, name))

    def _projected(self) -> Projected | None:
        try:
            return self._stores.projections.opened()
        except ProjectionUnavailable:
            return None

    def _health(self) -> Health | None:
        now_s = self._stores.clock.monotonic_s()
        if self._seen is None or now_s - self._seen[0] > KEPT_S:
            try:
                since = self._stores.clock.now() - WINDOW
                self._seen = (now_s, health(self._stores.projections.store(), since=since))
            except ProjectionUnavailable:
                return None
        return self._seen[1]


def watch_work(stores: Stores, workforce: Workforce) -> Readings:
    """The figures of a process that only works."""
    readings = Readings()
    readings.watch("keytoll_log_events", "Events in the log.", partial(_events, stores))
    watch_workers(readings, workforce)
    return readings


def watch_workers(readings: Readings, workforce: Workforce) -> None:
    """What the workers of this process do."""
    readings.watch_each(
        "keytoll_worker_up",
        "Whether a worker gets on: 1, or 0 while it tries again or has failed.",
        "worker",
        lambda: {state.name: float(state.status == "running") for state in workforce.states()},
    )
    readings.watch_each(
        "keytoll_relay_backlog_events",
        "Events of a store that are not known to be in the topic.",
        "store",
        lambda: _or_nothing(workforce.backlogs),
    )
    readings.watch(
        "keytoll_consumer_lag",
        "Records of the topic that this member of the group has not read.",
        workforce.lag,
    )


def _events(stores: Stores) -> float:
    try:
        return sum(heads_of(stores.log).values())
    except StoreUnavailable:
        return math.nan


def _or_nothing(read: Callable[[], Mapping[str, float]]) -> Mapping[str, float]:
    """Nothing while the store is away: unknown is not zero."""
    try:
        return read()
    except StoreUnavailable:
        return {}
