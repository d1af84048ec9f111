"""What keeps a period from being closed (BILLING.md 4): for the closer, and for who asks why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.clock import instant_text, parse_instant
from domain.eventlog.port import EventLog
from domain.invoice import Period
from projections.projected import Projected, lag_of
from projections.queries.health import (
    conflicts_by_account,
    dead_letters_by_account,
    doubled_accounts,
)
from projections.queries.invoice_lines import billables
from projections.store.port import ProjectionStore


@dataclass(frozen=True, slots=True)
class Wait:
    """One reason for which a period stays open; `account_id` None: for everybody."""

    account_id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Obstacles:
    """What stands in the way of closing a period for single accounts."""

    open_requests: Mapping[str, int]
    dead_letters: Mapping[str, int]
    conflicts: Mapping[str, int]
    """Account → events; "" for those that nobody can be told from, and that concern everybody."""

    @classmethod
    def of(cls, period: Period, *, log: EventLog, store: ProjectionStore) -> Obstacles:
        """As it is now. Reads every line's hash."""
        doubled = dict.fromkeys(doubled_accounts(store), 1)
        return cls(
            open_requests(log, period),
            dead_letters_by_account(store),
            {**doubled, **conflicts_by_account(store)},
        )

    def before(self, account_id: str) -> list[str]:
        """Whole sentences' worth, one for each kind; empty when the account can be closed."""
        counts = {
            "requests that have not ended": self.open_requests.get(account_id, 0),
            "events that could not be read": _concerning(self.dead_letters, account_id),
            "events with two payloads": _concerning(self.conflicts, account_id),
        }
        return [f"{account_id} has {count} {what}" for what, count in counts.items() if count]


def _concerning(counts: Mapping[str, int], account_id: str) -> int:
    return counts.get(account_id, 0) + counts.get("", 0)


def too_early(period: Period, *, now: datetime, grace: timedelta) -> str | None:
    """Why a period cannot be over yet; None once it and its grace time are."""
    if now >= period.end + grace:
        return None
    return f"the period ends at {instant_text(period.end)}; it can be closed" + (
        f" {grace.total_seconds():g} seconds later" if grace else " from then on"
    )


def open_requests(log: EventLog, period: Period) -> dict[str, int]:
    """Account → its requests that left before the period's end and have not ended."""
    found: dict[str, int] = {}
    for request in log.open_requests():
        for routed in log.stream(request)[:1]:
            if parse_instant(routed.recorded_at) < period.end and routed.account_id:
                found[routed.account_id] = found.get(routed.account_id, 0) + 1
    return found


def waits(
    period: Period,
    *,
    log: EventLog,
    projected: Projected,
    now: datetime,
    grace: timedelta,
    account_id: str | None = None,
) -> Sequence[Wait]:
    """Everything that a close of the period, now, would wait for; empty when it would not."""
    found = []
    early = too_early(period, now=now, grace=grace)
    if early is not None:
        found.append(Wait(None, early))
    reached = projected.reached()
    behind = sum(lag_of(log, reached).values())
    if behind > 0:
        found.append(Wait(None, f"the projections are {behind} events behind the log"))
    obstacles = Obstacles.of(period, log=log, store=projected.store)
    billed = billables(projected.store, period, cutoff=reached, account_id=account_id)
    # An account whose only call is still open has nothing to bill yet, and is waited for too.
    waiting = {each.account_id for each in billed} | obstacles.open_requests.keys()
    for each in sorted(waiting if account_id is None else waiting & {account_id}):
        found += [Wait(each, reason) for reason in obstacles.before(each)]
    return found
