"""Time, as an argument. Nothing else in the program reads a clock for a business fact."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from domain.errors import BadValue

_INSTANT: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})")
_DAY_LENGTH: Final = len("2026-11-23")


class Clock(Protocol):
    """Where instants and durations come from."""

    def now(self) -> datetime:
        """The current instant, in UTC."""

    def monotonic_s(self) -> float:
        """Seconds of a clock that never runs backwards; only differences mean something."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return time.monotonic()


class FixedClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._monotonic_s = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def advance(self, by: timedelta) -> None:
        """Move both clocks; a negative step sets only the wall clock back."""
        self._now += by
        self._monotonic_s += max(0.0, by.total_seconds())


def instant_text(instant: datetime) -> str:
    """RFC 3339 in UTC with six decimals and Z; as text it sorts as in time."""
    text = instant.astimezone(UTC).isoformat(timespec="microseconds")
    return text.removesuffix("+00:00") + "Z"


def parse_instant(text: str, *, param: str | None = None) -> datetime:
    """Read RFC 3339 with an offset (or a bare day, its midnight in UTC).

    Raises BadValue, naming `param`.
    """
    if len(text) == _DAY_LENGTH and re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        text += "T00:00:00Z"
    try:
        if not _INSTANT.fullmatch(text):
            raise ValueError
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadValue(
            f"{text[:40]!r} is not an RFC 3339 instant such as 2026-11-01T00:00:00Z", param=param
        ) from None
