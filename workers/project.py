"""Keeps the projections level with the log."""

from __future__ import annotations

from typing import Final

from projections.projector import BATCH_EVENTS_MAX, Projector

LINGER_S: Final = 1.0
"""Rest after a batch: events gather meanwhile, for a batch costs 20 ms of CPU however small."""
IDLE_S_FIRST: Final = 0.25
IDLE_S_MAX: Final = 1.0


class Project:
    """The step of the projecting worker."""

    def __init__(
        self,
        projector: Projector,
        *,
        linger_s: float = LINGER_S,
        idle_s_first: float = IDLE_S_FIRST,
        idle_s_max: float = IDLE_S_MAX,
    ) -> None:
        self._projector = projector
        self._linger_s = linger_s
        self._idle_s_first = idle_s_first
        self._idle_s_max = idle_s_max
        self._idle_s = idle_s_first
        self._started = False

    def anew(self) -> None:
        """Find the position again: another process has projected meanwhile."""
        self._started = False

    def __call__(self) -> float:
        if self._projector.store.site.shared:
            self._projector.follow()
        if not self._started:
            self._projector.start()
            self._projector.retry_dead_letters()
            self._started = True
        count = self._projector.step()
        if count:
            self._idle_s = self._idle_s_first
            return 0.0 if count >= BATCH_EVENTS_MAX else self._linger_s
        # Without news the rests grow, so that an idle server sleeps.
        rest_s, self._idle_s = self._idle_s, min(self._idle_s_max, self._idle_s * 2)
        return rest_s
