"""What the tables know about single requests beyond what has become of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from domain.clock import instant_text
from domain.ids import public_id
from projections.queries.billing import BILLED_EVENTS, reach
from projections.store.port import ProjectionStore

OPEN_MAX: Final = 20
_LOOKED_AT: Final = 5_000
"""Events at the end of the log; a call that has run while more came is in its own page only."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a call that was made more than once."""

    request_id: str
    provider: str
    model: str
    state: str
    failure: str
    ended_at: str


@dataclass(frozen=True, slots=True)
class Billed:
    """An invoice that holds the request, or an adjustment of it."""

    invoice_id: str
    number: str
    issued_at: str


def attempts(store: ProjectionStore, account_id: str, first: UUID) -> Sequence[Attempt]:
    """All requests of the call that began with this one, in their order, as far as they ended."""
    rows = store.query(
        """
        SELECT request_id, provider, model, state, failure, toUnixTimestamp64Micro(terminal_at)
        FROM $db.request_lines
        WHERE account_id = {account:String} AND sign = 1
            AND (attempt_of = {first:String} OR request_id = {uuid:UUID})
        ORDER BY terminal_at, version DESC, toString(request_id)
        LIMIT 1 BY request_id
        """,
        {"account": account_id, "first": public_id("req", first), "uuid": str(first)},
    )
    return [
        Attempt(public_id("req", request), provider, model, state, failure, _instant(at))
        for request, provider, model, state, failure, at in rows
    ]


def open_requests(
    store: ProjectionStore, account_id: str | None, *, as_of: Mapping[str, int]
) -> Sequence[UUID]:
    """Requests that were routed among the newest events and that none of these has ended, the
    newest first."""
    found = [
        row
        for at, seq in as_of.items()
        for row in _open_in(store, account_id, store_id=at, seq=seq)
    ]
    found.sort(key=lambda row: row[1], reverse=True)
    return [request for request, _ in found[:OPEN_MAX]]


def _open_in(
    store: ProjectionStore, account_id: str | None, *, store_id: str, seq: int
) -> Sequence[tuple[UUID, int]]:
    """The same of one store, each with when it was routed."""
    rows = store.query(
        """
        SELECT originator_id, toUnixTimestamp64Micro(max(recorded_at)) FROM $db.log_lines
        WHERE store_id = {store:String} AND seq > {after:Int64} AND seq <= {seq:Int64}
            AND startsWith(topic, 'request.')
            AND ({account:String} = '' OR account_id = {account:String})
        GROUP BY originator_id HAVING max(originator_version) = 1
        ORDER BY max(seq) DESC LIMIT {limit:UInt64}
        """,
        {
            "store": store_id,
            "after": max(seq - _LOOKED_AT, 0),
            "seq": seq,
            "account": account_id or "",
            "limit": OPEN_MAX,
        },
    )
    return [(request, routed_at) for request, routed_at in rows]


def billed(
    store: ProjectionStore, account_id: str, events: Sequence[UUID], *, as_of: Mapping[str, int]
) -> Sequence[Billed]:
    """The invoices that hold lines of these events, in the order of issue."""
    sql = f"""
        SELECT DISTINCT invoice_id, number, toUnixTimestamp64Micro(issued_at)
        FROM $db.closed_periods FINAL
        WHERE account_id = {{account:String}}
            AND invoice_id IN (SELECT billed_in FROM ({BILLED_EVENTS}) WHERE billed_in != '')
        ORDER BY issued_at, invoice_id
    """  # noqa: S608 - put together from our own text; values are parameters
    rows = store.query(
        sql,
        {**reach(as_of), "account": account_id, "events": [str(event) for event in events]},
    )
    return [Billed(invoice, number, _instant(at)) for invoice, number, at in rows]


def _instant(since: int) -> str:
    return instant_text(_EPOCH + timedelta(microseconds=since))
