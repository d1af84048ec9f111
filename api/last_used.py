"""When keys were last used by this process: a help for people, not a record (the events are)."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from domain.clock import Clock, instant_text

KEPT_MAX: Final = 100_000


class LastUsed:
    """Public id of a credential or an API key → instant of its last call."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._used: dict[str, datetime] = {}

    def mark(self, *public_ids: str) -> None:
        """They are used now."""
        now = self._clock.now()
        if len(self._used) >= KEPT_MAX:
            self._used.clear()
        for public_id in public_ids:
            self._used[public_id] = now

    def of(self, public_id: str) -> str | None:
        """The instant, or None if this process has not seen a call with it."""
        used = self._used.get(public_id)
        return None if used is None else instant_text(used)
