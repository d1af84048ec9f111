"""Requests that wait for a price: something that they used has none, and they are not written off.

Only rows without a price are read. Rows are counted by event rather than read with FINAL, which
would merge all the others too: a row that was inserted twice counts once either way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from domain.clock import parse_instant
from domain.ids import public_id
from projections.queries.billing import reach, within
from projections.rows import instant_of, micros
from projections.store.port import ProjectionStore, Value

_WAITING: Final = "status IN ('unrated', 'unrated_units') AND NOT written_off"
_STANDING: Final = "uniqExactIf(event_id, sign = 1) - uniqExactIf(event_id, sign = -1)"
"""Each event has given a row and may have taken another back: what is left of them stands."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingQuestion:
    """Which of them: past an end of the log and last rated by another book, or overdue."""

    book: str
    """The book in force; what it has left without a price, it would again."""
    after: Mapping[str, int] | None
    """Each store that is written → the last seq that is not asked for; None: none is."""
    overdue: datetime
    """Whatever ended before this is asked for too."""
    after_request: UUID | None
    """The last one of the page before."""
    limit: int


def waiting_requests(store: ProjectionStore, question: WaitingQuestion) -> Sequence[UUID]:
    """A page of requests, in the order of their ids as text."""
    sql = f"""
        SELECT request_id
        FROM (
            SELECT request_id, {_STANDING} AS standing,
                max({{everything:Bool}} OR NOT ({within()})) AS fresh,
                argMaxIf(price_book, version, sign = 1) AS last_book,
                min(toUnixTimestamp64Micro(terminal_at)) AS ended
            FROM $db.request_lines
            WHERE {_WAITING} AND toString(request_id) > {{after_request:String}}
            GROUP BY request_id
        )
        WHERE standing > 0
            AND ((last_book != {{book:String}} AND fresh)
                OR ended < {{overdue:Int64}})
        ORDER BY toString(request_id)
        LIMIT {{limit:UInt64}}
    """  # noqa: S608 - put together from our own text; values are parameters
    rows = store.query(
        sql,
        {
            "book": question.book,
            "everything": question.after is None,
            **reach(question.after or {"": 0}),
            "overdue": micros(question.overdue),
            "after_request": str(question.after_request or ""),
            "limit": question.limit,
        },
    )
    return [request for (request,) in rows]


def oldest_waiting(store: ProjectionStore) -> datetime | None:
    """When the one that has waited longest ended; None when none waits. Written-off versions of a
    request may make it look older than it is."""
    sql = f"""
        SELECT count(), min(toUnixTimestamp64Micro(terminal_at))
        FROM $db.request_lines WHERE {_WAITING}
    """  # noqa: S608 - our text
    ((count, ended),) = store.query(sql)
    return parse_instant(instant_of(ended)) if count else None


def recorded_day(store: ProjectionStore, *, back: int) -> datetime | None:
    """The midnight (UTC) that began a day with records: 0 the last such day, 1 the one before, …

    None when there are not so many. Reads when every line was recorded.
    """
    rows = store.query(
        "SELECT DISTINCT toUnixTimestamp64Micro(toDateTime64(toDate(recorded_at), 6, 'UTC')) AS day"
        " FROM $db.log_lines ORDER BY day DESC LIMIT 1 OFFSET {back:UInt64}",
        {"back": back},
    )
    return parse_instant(instant_of(rows[0][0])) if rows else None


def unrated_count(store: ProjectionStore) -> int:
    """How many wait."""
    sql = f"SELECT {_STANDING} FROM $db.request_lines WHERE {_WAITING}"  # noqa: S608 - our text
    return int(store.query(sql)[0][0])


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingCall:
    """A call that waits for a price, as it was last rated."""

    request_id: str
    account_id: str
    provider: str
    model: str
    status: str
    """`unrated`, or `unrated_units`: then only `units` have no price."""
    units: Sequence[str]
    ended_at: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingModel:
    """What a row would settle: the calls of one model at one provider."""

    provider: str
    model: str
    calls: int
    units: Sequence[str]
    """Without a price; none: nothing of the model has one."""
    oldest_ended_at: str


_CALLS: Final = f"""
    SELECT request_id, {_STANDING} AS standing, any(account_id) AS account,
        any(provider) AS its_provider, argMaxIf(model, version, sign = 1) AS its_model,
        argMaxIf(status, version, sign = 1) AS its_status,
        argMaxIf(unrated_units, version, sign = 1) AS units,
        min(toUnixTimestamp64Micro(terminal_at)) AS ended
    FROM $db.request_lines
    WHERE {_WAITING}
    GROUP BY request_id
    HAVING standing > 0
"""  # noqa: S608 - put together from our own text
"""Each call that waits, as it was last rated."""


def waiting_models(store: ProjectionStore, *, limit: int) -> Sequence[WaitingModel]:
    """Those with most calls first. Raises ProjectionUnavailable."""
    sql = f"""
        SELECT its_provider, its_model, count() AS calls, groupUniqArrayArray(units), min(ended)
        FROM ({_CALLS})
        GROUP BY its_provider, its_model
        ORDER BY calls DESC, its_provider, its_model
        LIMIT {{limit:UInt64}}
    """  # noqa: S608 - put together from our own text; values are parameters
    return [
        WaitingModel(
            provider=provider,
            model=model,
            calls=calls,
            units=sorted(units),
            oldest_ended_at=instant_of(oldest),
        )
        for provider, model, calls, units, oldest in store.query(sql, {"limit": limit})
    ]


def waiting_calls(
    store: ProjectionStore,
    *,
    provider: str | None = None,
    model: str | None = None,
    limit: int,
    offset: int = 0,
) -> Sequence[WaitingCall]:
    """The oldest first: they are written off first. Raises ProjectionUnavailable."""
    sql = f"""
        SELECT request_id, account, its_provider, its_model, its_status, units, ended
        FROM ({_CALLS})
        WHERE ({{provider:String}} = '' OR its_provider = {{provider:String}})
            AND ({{model:String}} = '' OR its_model = {{model:String}})
        ORDER BY ended, toString(request_id)
        LIMIT {{limit:UInt64}} OFFSET {{offset:UInt64}}
    """  # noqa: S608 - put together from our own text; values are parameters
    parameters: dict[str, Value] = {
        "provider": provider or "",
        "model": model or "",
        "limit": limit,
        "offset": offset,
    }
    return [
        WaitingCall(
            request_id=public_id("req", request),
            account_id=account,
            provider=its_provider,
            model=its_model,
            status=status,
            units=units,
            ended_at=instant_of(ended),
        )
        for request, account, its_provider, its_model, status, units, ended in store.query(
            sql, parameters
        )
    ]
