"""Events as they lie in the log, for people and programs outside: the stored bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from uuid import UUID

from domain.clock import instant_text
from domain.eventlog.history import ends_of, history
from domain.eventlog.port import EventLog
from domain.events.requests import TERMINAL_VERSION
from domain.invoice import Period


def export_events(
    log: EventLog,
    *,
    account_id: str | None = None,
    period: Period | None = None,
    until: Mapping[str, int] | None = None,
) -> Iterator[bytes]:
    """Stored lines, each with its line end, by store (oldest first) and seq.

    A period selects the whole streams of the requests that have a terminal event, a correction or
    a re-rating in it, and the streams of their accounts. Without one, everything is given, or all
    that belongs to the account. `until` (store id → seq) ends each store there; without it the
    export ends where the log ended when it began.
    """
    ends = ends_of(log, until=until)
    if period is None:
        for row in history(log, until=ends):
            if account_id is None or row.account_id == account_id:
                yield row.line + b"\n"
        return
    requests, accounts = _selected(log, account_id, period, ends)
    for row in history(log, until=ends):
        stream = row.topic.partition(".")[0]
        if (stream == "request" and row.originator_id in requests) or (
            stream == "account" and row.account_id in accounts
        ):
            yield row.line + b"\n"


def _selected(
    log: EventLog, account_id: str | None, period: Period, ends: Mapping[str, int]
) -> tuple[set[UUID], set[str]]:
    """The requests on which something was decided in the period, and their accounts."""
    start, end = instant_text(period.start), instant_text(period.end)
    requests: set[UUID] = set()
    accounts: set[str] = set()
    for row in history(log, until=ends):
        if (
            start <= row.recorded_at < end
            and row.originator_version >= TERMINAL_VERSION
            and row.topic.startswith("request.")
            and account_id in {None, row.account_id}
        ):
            requests.add(row.originator_id)
            if row.account_id is not None:
                accounts.add(row.account_id)
    return requests, accounts
