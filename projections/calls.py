"""Every call as one line: its receipt, and when it was routed and ended. From the log alone."""

from __future__ import annotations

from collections.abc import Iterator

from domain.clock import instant_text
from domain.directory import Directory
from domain.eventlog.history import history
from domain.eventlog.port import EventLog
from domain.events.base import JsonObject
from domain.events.requests import TERMINAL_VERSION
from domain.invoice import Period
from pricing.book import Books
from projections.trail import request_state, request_trail


def exported_calls(
    log: EventLog,
    books: Books,
    directory: Directory,
    *,
    account_id: str | None,
    period: Period | None,
) -> Iterator[JsonObject]:
    """In the order in which they ended; with a period, those whose terminal event is in it."""
    start = instant_text(period.start) if period else ""
    end = instant_text(period.end) if period else "~"
    for ended in history(log, streams={"request"}):
        if ended.originator_version != TERMINAL_VERSION or not start <= ended.recorded_at < end:
            continue
        if account_id not in {None, ended.account_id}:
            continue
        recorded = log.stream(ended.originator_id)
        state = request_state(recorded)
        if state is None:
            continue
        shown = request_trail(recorded, state, books, directory)
        del shown["events"]
        yield {
            **shown,
            "account_id": state.routed.account_id,
            "api_key_id": state.routed.api_key_id,
            "tags": state.routed.tags,
            "routed_at": recorded[0].recorded_at,
            "ended_at": ended.recorded_at,
        }
