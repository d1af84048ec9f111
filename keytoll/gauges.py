"""What metrics and operators learn about this process, read when they ask for it."""

from __future__ import annotations

import math
from datetime import timedelta
from functools import partial
from typing import Final

from api.chat.inflight import InFlight
from api.metrics import Metrics
from keytoll.wiring import Stores
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
        watch("keytoll_log_events", "Events in the log.", stores.log.head)
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
        return sum(lag_of(self._stores.log, projected.reached() if projected else {}).values())

    def _of_projections(self, name: str) -> float:
        """Not a number while the projections are not open: unknown is not zero."""
        found = self._health()
        return math.nan if found is None else float(getattr(found, name))

    def _projected(self) -> Projected | None:
        try:
            return self._stores.projections.projector()
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
