"""Ends the requests of dead processes, so that every request has its terminal event."""

from __future__ import annotations

from typing import cast

from domain.eventlog.port import Conflict, EventLog
from domain.events.codec import decode
from domain.events.requests import TERMINAL_VERSION, RequestFailed, RequestRouted


def sweep(log: EventLog, *, epoch: str) -> int:
    """Write RequestFailed(process_lost) for every open request of another epoch; say how many.

    In the embedded mode only one process owns the store, so any other epoch is dead. Whether such
    a call left us and what it used is unknown: nothing is billed, reports count it as lost.
    """
    lost = 0
    for request in log.open_requests():
        routed = cast(RequestRouted, decode(log.stream(request)[0]))
        if routed.owner == epoch:
            continue
        event = RequestFailed(
            originator_id=request, originator_version=TERMINAL_VERSION, failure="process_lost"
        )
        try:
            log.submit(event, account_id=routed.account_id).result()
        except Conflict:
            continue  # it came to life and settled itself
        lost += 1
    return lost
