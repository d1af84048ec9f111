"""`Idempotency-Key`: the same key from the same account never reaches a provider twice in 24 h.

The ids of a key's requests form a chain: each is derived from account, key and place, and so is
that of every attempt of one call. The event log's own primary key refuses a second run of any
place, in one process or in many; there is no table to keep in step. The last place taken decides:
if its request generated nothing, the next place is free (decision 0041).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from api.chat.failures import NO_RETRY
from api.errors import ApiError
from domain.clock import Clock, parse_instant
from domain.eventlog.port import EventLog, Recorded
from domain.events.codec import decode
from domain.events.requests import RequestFailed, generated_nothing
from domain.ids import derived_id, ordered_id, public_id

KEPT_FOR: Final = timedelta(hours=24)
PLACES_MAX: Final = 100


class RequestIds:
    """The ids of one call's attempts; under an Idempotency-Key, places of its chain."""

    def __init__(
        self, log: EventLog, clock: Clock, *, account_id: str, hashed_key: str | None
    ) -> None:
        self._log = log
        self._clock = clock
        self._account_id = account_id
        self._hashed_key = hashed_key
        self._place = 0

    async def first(self, fresh: UUID) -> UUID:
        """The id of the first attempt: `fresh`, unless an Idempotency-Key decides.

        Raises ApiError 409 when the key must not run.
        """
        if self._hashed_key is None:
            return fresh
        return await asyncio.to_thread(self._free, self._hashed_key)

    def following(self) -> UUID:
        """The id of the next attempt. If somebody else has taken the place meanwhile, appending
        to it raises Conflict."""
        if self._hashed_key is None:
            return ordered_id(self._clock.now())
        self._place += 1
        return self._id(self._hashed_key, self._place)

    def _free(self, hashed_key: str) -> UUID:
        last: tuple[UUID, Sequence[Recorded]] | None = None
        for place in range(PLACES_MAX):
            candidate = self._id(hashed_key, place)
            events = self._log.stream(candidate)
            if not events and (last is None or _released(last[1], self._clock.now())):
                self._place = place
                return candidate
            if not events:
                break
            last = candidate, events
        assert last is not None  # noqa: S101 - the first place is free or taken
        raise taken(last[0], in_progress=len(last[1]) == 1)

    def _id(self, hashed_key: str, place: int) -> UUID:
        return derived_id("request", self._account_id, hashed_key, str(place))


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
