"""Makes the end of a request durable, also when somebody else has ended it meanwhile.

A sweep ends the requests of a process that it takes for dead. When that process was only frozen or
cut off, what it knows of the usage bills the call after all: as a correction of the sweep's event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields

from domain.eventlog.port import Conflict, EventLog, Recorded
from domain.events.base import Event
from domain.events.codec import decode
from domain.events.requests import (
    TERMINAL_VERSION,
    RequestFailed,
    UsageCorrected,
    UsageEstimated,
    UsageReported,
)


async def store_ending(log: EventLog, event: Event, *, account_id: str) -> None:
    """Return once the end of the request is durable, by this event or by another.

    Raises StoreUnavailable; calling again with the same event is safe then, also if it was stored.
    """
    try:
        await log.append(event, account_id=account_id)
    except Conflict:
        if not isinstance(event, UsageReported | UsageEstimated):
            return
        stream = await asyncio.to_thread(log.stream, event.originator_id)
        if _taken_for_lost(stream):
            # Version 3 is taken if this was stored before, or if a better correction was.
            with suppress(Conflict):
                await log.append(_late(event), account_id=account_id)


def _taken_for_lost(stream: Sequence[Recorded]) -> bool:
    """A sweep ended the request; else version 2 is the very event that was to be stored."""
    ending = decode(stream[TERMINAL_VERSION - 1])
    return isinstance(ending, RequestFailed) and ending.failure == "process_lost"


def _late(event: UsageReported | UsageEstimated) -> UsageCorrected:
    known = {
        f.name: getattr(event, f.name) for f in fields(UsageCorrected) if hasattr(event, f.name)
    }
    return UsageCorrected(
        **{
            **known,
            "originator_version": TERMINAL_VERSION + 1,
            "replaces": TERMINAL_VERSION,
            "reason": "late_report",
        }
    )
