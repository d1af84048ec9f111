"""Keeps the projections level with the log."""

from __future__ import annotations

from typing import Final

from projections.projector import BATCH_EVENTS_MAX, Projector

LINGER_S: Final = 0.25
"""Rest after a batch: events gather meanwhile, and a batch costs nearly the same however small."""
IDLE_S_MAX: Final = 1.0


class Project:
    """The step of the projecting worker."""

    def __init__(
        self, projector: Projector, *, linger_s: float = LINGER_S, idle_s_max: float = IDLE_S_MAX
    ) -> None:
        self._projector = projector
        self._linger_s = linger_s
        self._idle_s_max = idle_s_max
        self._rest_s = linger_s
        self._retried = False

    def __call__(self) -> float:
        if not self._retried:
            self._projector.start()
            self._projector.retry_dead_letters()
            self._retried = True
        count = self._projector.step()
        if count >= BATCH_EVENTS_MAX:
            return 0.0
        # Without news the rests grow, so that an idle server sleeps.
        self._rest_s = self._linger_s if count else min(self._idle_s_max, self._rest_s * 2)
        return self._rest_s
