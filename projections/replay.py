"""State rebuilt from the log alone, as of any position; and the live state, to compare it with.

The replayed totals are summed here, in Python, from the events; the live ones come from the
tables. Both have one shape, so that they can be compared value by value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from domain.directory import AccountView, Directory
from domain.eventlog.history import history
from domain.eventlog.port import EventLog
from domain.events.base import JsonObject
from domain.events.codec import decode
from domain.events.requests import RequestRouted
from domain.invoice_register import InvoiceRegister
from domain.money import ZERO, Money
from pricing.book import Books
from projections.projected import Projected
from projections.queries.filters import Filters
from projections.queries.usage import UsageQuestion, usage_report
from projections.rows import COUNTS, RequestState, fold
from projections.store.port import ProjectionStore
from projections.trail import credential_state

TRIES: Final = 5
BEGINNING: Final = datetime(2000, 1, 1, tzinfo=UTC)
END: Final = datetime(2200, 1, 1, tzinfo=UTC)
SMALL_STREAMS: Final = frozenset({"account", "credential", "invoice"})
TALLIES: Final = (
    "requests",
    "failed_requests",
    "lost_requests",
    "estimated_requests",
    "unrated_requests",
    "written_off_requests",
)


def replayed_state(log: EventLog, books: Books, *, account_id: str | None = None) -> JsonObject:
    """What the events of a log (or of a PastLog) lead to."""
    directory, register = Directory(log), InvoiceRegister(log)
    directory.catch_up()
    register.catch_up()
    totals = _replayed_totals(log, books, account_id)
    return _state(directory, register, totals, account_id)


def live_state(
    log: EventLog,
    projected: Projected,
    directory: Directory,
    register: InvoiceRegister,
    *,
    account_id: str | None = None,
) -> tuple[dict[str, int], JsonObject]:
    """What memory and tables say now, and how far into each store that is; all at one place."""
    for _ in range(TRIES):
        reached = projected.catch_up()
        directory.catch_up()
        register.catch_up()
        state = _state(
            directory, register, _live_totals(projected.store, reached, account_id), account_id
        )
        if not _news(log, reached):
            break  # else an account, a key or an invoice moved on meanwhile: look again
    return reached, state


def _news(log: EventLog, reached: Mapping[str, int]) -> bool:
    """An account, a key or an invoice has moved on since."""
    return any(
        chain.written.read(after=reached[chain.written.store_id], limit=1, streams=SMALL_STREAMS)
        for chain in log.chains()
    )


def differences(
    replayed: JsonObject, live: JsonObject, where: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """(place, replayed, live) of every value that is not the same."""
    for name in sorted(replayed.keys() | live.keys()):
        place = f"{where}.{name}" if where else name
        ours, theirs = replayed.get(name), live.get(name)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            yield from differences(ours, theirs, place)
        elif ours != theirs:
            yield place, ours, theirs


def _state(
    directory: Directory,
    register: InvoiceRegister,
    totals: dict[str, JsonObject],
    account_id: str | None,
) -> JsonObject:
    accounts = [a for a in directory.accounts() if account_id in {None, a.account_id}]
    return {
        "accounts": {a.account_id: _account(a, directory) for a in accounts},
        "credentials": {
            credential.credential_id: credential_state(credential)
            for credential in directory.all_credentials()
            if account_id in {None, credential.account_id}
        },
        "totals": {name: totals[name] for name in sorted(totals)},
        "invoices": {
            invoice.number: {
                "invoice_id": invoice.invoice_id,
                "account_id": invoice.account_id,
                "period": str(invoice.period),
                "status": invoice.status,
                "total": register.issued(invoice)[0].total,
            }
            for invoice in register.all(account_id=account_id)
        },
    }


def _account(view: AccountView, directory: Directory) -> JsonObject:
    return {
        "version": view.version,
        "suspended": view.suspended,
        "markups": [[m.effective_from, m.rate] for m in view.markups],
        "tax_rate": view.tax_rate,
        "routing": {
            "providers": list(view.routing.providers),
            "fallbacks": view.routing.fallbacks,
            "on_disconnect": view.routing.on_disconnect,
        },
        "api_keys": {
            key.key_id: {"role": key.role, "revoked": key.revoked}
            for key in directory.api_keys(view.account_id)
        },
    }


@dataclass(slots=True)
class _Total:
    """Sums over the requests of one account, sandbox or not."""

    tallies: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TALLIES, 0))
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    at_cost: Money = ZERO
    fee: Money = ZERO

    def add(self, state: RequestState, books: Books, sign: int) -> None:
        """Count a request in (1) or out again (−1), as its state is."""
        rated = state.rated(books)
        failure = state.failed.failure if state.failed is not None and rated is None else None
        said = {
            "requests": True,
            "failed_requests": rated is None,
            "lost_requests": failure == "process_lost",
            "estimated_requests": rated is not None and rated.usage_source == "estimate",
            "unrated_requests": rated is not None and rated.status == "unrated",
            "written_off_requests": state.written_off,
        }
        for name, true in said.items():
            self.tallies[name] += sign * true
        if rated is None:
            return
        for unit in COUNTS:
            self.counts[unit] += sign * rated.usage.get(unit, 0)
        for amount, name in ((rated.at_cost, "at_cost"), (rated.fee, "fee")):
            if amount is not None:
                before: Money = getattr(self, name)
                setattr(self, name, before + amount if sign > 0 else before - amount)

    def shown(self) -> JsonObject:
        return {
            **self.tallies,
            **self.counts,
            "at_cost_usd": str(self.at_cost),
            "fee_usd": str(self.fee),
        }


def _replayed_totals(log: EventLog, books: Books, account_id: str | None) -> dict[str, JsonObject]:
    totals: dict[str, _Total] = {}
    running: dict[UUID, RequestState] = {}
    # A restored log continues others, in which requests were served too.
    for recorded in history(log, streams={"request"}):
        if account_id not in {None, recorded.account_id}:
            continue
        event = decode(recorded)
        if isinstance(event, RequestRouted):
            running[recorded.originator_id] = RequestState.began(event, recorded.recorded_at)
            continue
        before = running.pop(recorded.originator_id, None)
        settled = before is None
        if before is None:  # a correction: what it corrects is read again
            earlier = log.stream(recorded.originator_id)[: recorded.originator_version - 1]
            before = fold([(each, decode(each)) for each in earlier])
        if before is None:
            raise LookupError(f"seq {recorded.seq}: the request was never routed")
        total = totals.setdefault(_name(before.routed), _Total())
        if settled:
            total.add(before, books, -1)
        total.add(before.after(event, recorded.recorded_at), books, 1)
    return {name: total.shown() for name, total in totals.items()}


def _name(routed: RequestRouted) -> str:
    return f"{routed.account_id}/sandbox" if routed.sandbox else routed.account_id


def _live_totals(
    tables: ProjectionStore, reached: Mapping[str, int], account_id: str | None
) -> dict[str, JsonObject]:
    question = UsageQuestion(
        start=BEGINNING,
        end=END,
        group_by=("account", "sandbox"),
        filters=Filters(account=account_id),
    )
    totals = {}
    for row in usage_report(tables, question, as_of=reached)["rows"]:
        name = f"{row['account']}/sandbox" if row["sandbox"] else row["account"]
        totals[name] = {unit: row[unit] for unit in (*TALLIES, *COUNTS)}
        # A group in which nothing has a price shows no amount; its sum is still nothing.
        totals[name] |= {unit: row[unit] or "0" for unit in ("at_cost_usd", "fee_usd")}
    return totals
