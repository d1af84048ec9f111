"""`Idempotency-Key`: the same key from the same account never reaches a provider twice in 24 h.

The request's id is derived from account, key and attempt, so the event log's own primary key
refuses a second run, in one process or in many; there is no table to keep in step.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from api.chat.failures import NO_RETRY
from api.errors import ApiError
from domain.clock import parse_instant
from domain.eventlog.port import EventLog, Recorded
from domain.events.codec import decode
from domain.events.requests import RequestFailed, generated_nothing
from domain.ids import derived_id, public_id

KEPT_FOR: Final = timedelta(hours=24)
ATTEMPTS_MAX: Final = 100


def request_id(log: EventLog, *, account_id: str, hashed_key: str, now: datetime) -> UUID:
    """The id under which this key may run. Raises ApiError 409 when it must not."""
    for attempt in range(ATTEMPTS_MAX):
        candidate = derived_id("request", account_id, hashed_key, str(attempt))
        events = log.stream(candidate)
        if not events:
            return candidate
        if not _released(events, now):
            raise taken(candidate, in_progress=len(events) == 1)
    raise taken(candidate, in_progress=False)


def taken(request: UUID, *, in_progress: bool) -> ApiError:
    """The 409 for a key that is in use."""
    code = "request_in_progress" if in_progress else "idempotency_key_reused"
    shown = public_id("req", request)
    said = (
        "is being served."
        if in_progress
        else "was served; its answer is not kept, but its receipt is: GET"
        f" /api/v1/usage/requests/{shown}"
    )
    return ApiError(
        409,
        code,
        f"A request with this Idempotency-Key {said}",
        param="Idempotency-Key",
        details={"request_id": shown},
        headers=NO_RETRY,
    )


def _released(events: Sequence[Recorded], now: datetime) -> bool:
    if now - parse_instant(events[0].recorded_at) > KEPT_FOR:
        return True
    last = decode(events[-1])
    return isinstance(last, RequestFailed) and generated_nothing(last)
