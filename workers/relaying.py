"""Relays to the topic as it is now: brokers may be replaced while a relay runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from domain.clock import Clock
from domain.eventlog.feed import FeedUnavailable
from workers.relay import Relay, RelayState

LOOK_S: Final = 30.0
"""Between two looks whether the topic is still the same one."""


class Relaying:
    """The step of a worker: a relay, made anew whenever the topic has another id.

    A topic that was made again holds nothing yet. A relay that went on there from its old position
    would leave out what the old topic held, and projectors that were behind would wait for it for
    ever. Positions are kept by the topic's id, so the new one is filled from the beginning.
    """

    def __init__(
        self, *, topic_id: Callable[[], str], make: Callable[[str], Relay], clock: Clock
    ) -> None:
        self._topic_id = topic_id
        self._make = make
        self._clock = clock
        self._known: str | None = None
        self._relay: Relay | None = None
        self._look_at_s = 0.0

    def __call__(self) -> float:
        """One batch. Raises what a relay raises, and FeedMisconfigured."""
        relay = self._current()
        try:
            return relay()
        except FeedUnavailable:
            self._look_at_s = 0.0  # the brokers that come back may be others
            raise

    def state(self) -> RelayState | None:
        """As of now; None before the topic was found. Raises StoreUnavailable."""
        return None if self._relay is None else self._relay.state()

    def close(self) -> None:
        """Let another process relay."""
        relay, self._relay = self._relay, None
        if relay is not None:
            relay.close()

    def _current(self) -> Relay:
        now_s = self._clock.monotonic_s()
        if self._relay is None or now_s >= self._look_at_s:
            found = self._topic_id()
            self._look_at_s = now_s + LOOK_S
            if self._relay is None or found != self._known:
                self.close()
                self._known, self._relay = found, self._make(found)
        return self._relay
