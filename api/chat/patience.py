"""How long one request waits to be sent again to the same provider (decision 0040).

Only what was refused at the door is sent again, a few times and within two seconds: a caller who
fails fast is told soon, and no SDK's own retries are multiplied into a storm.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

from api.chat.failures import Refusal

Jitter = Callable[[], float]
"""A number from 0 to 1, so that those who were refused together do not come back together."""

TRIES_MAX: Final = 3
WITHIN_S: Final = 2.0
"""From the first sending to the last."""
FIRST_WAIT_S: Final = 0.2
"""Doubles with each try; half of it is left to chance."""


def wait_s(
    refusal: Refusal, *, tries: int, elapsed_s: float, now: datetime, jitter: Jitter
) -> float | None:
    """Seconds until the same request may be sent again, after `tries` of them; None: never."""
    if not refusal.again or tries >= TRIES_MAX:
        return None
    own_s = FIRST_WAIT_S * 2 ** (tries - 1) * (0.5 + jitter() / 2)
    asked_s = 0.0
    if refusal.retry_after is not None:
        told = retry_after_s(refusal.retry_after, now)
        if told is None:
            return None
        asked_s = told
    pause_s = max(own_s, asked_s)
    return pause_s if elapsed_s + pause_s <= WITHIN_S else None


def retry_after_s(text: str, now: datetime) -> float | None:
    """Seconds that a `Retry-After` header asks for (RFC 9110, 10.2.3); None if it says neither
    seconds nor a date."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
