"""Single requests, newest first, page by page (API.md 5)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from domain.clock import instant_text
from domain.errors import BadValue
from domain.events.base import JsonObject
from domain.ids import public_id
from domain.money import text_of
from projections.queries.billing import BILLED_EVENTS, ENDED_WITHIN, reach, within
from projections.queries.filters import Filters
from projections.rows import COUNTS, micros
from projections.store.port import ProjectionStore, Row, Value

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 1000
_SCANNED: Final = 2
"""Lines looked at for each request of a page: most requests have one, a corrected one two."""

_CURSOR: Final = re.compile(r"(\d{1,18})-([0-9a-f]{32})")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TEXTS: Final = (
    *("account_id", "api_key_id", "credential_id", "provider", "api", "requested_model"),
    *("model", "state", "status", "usage_source", "price_book", "markup_rate"),
)
_OPTIONAL: Final = ("attempt_of", "failure", "finish_reason", "delivered")
_PLAIN: Final = (
    *("stream", "sandbox", "tags", "first_byte_ms", "total_ms", "tries"),
    *("unrated_units", "written_off"),
)
_REFERENCE: Final = ("rule", "reference_provider", "reference_model", "price_rows")
_INSTANTS: Final = ("routed_at", "terminal_at", "billed_start", "billed_end")
_SELECTED: Final = (
    *("request_id", *_TEXTS, *_OPTIONAL, *_PLAIN, *_REFERENCE),
    *("at_cost_usd", "fee_usd", "billed_in", *COUNTS),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestsQuestion:
    """Which requests: ended in a half-open period, after a cursor of an earlier page."""

    start: datetime
    end: datetime
    filters: Filters = field(default_factory=Filters)
    after: str | None = None
    limit: int = LIMIT_DEFAULT

    def __post_init__(self) -> None:
        if not self.start < self.end:
            raise BadValue("'to' must be after 'from'", param="to")
        if not 1 <= self.limit <= LIMIT_MAX:
            raise BadValue(f"limit must be 1 to {LIMIT_MAX}", param="limit")
        if self.after is not None and not _CURSOR.fullmatch(self.after):
            raise BadValue("after must be the 'next' of an earlier page", param="after")


def request_list(
    store: ProjectionStore, question: RequestsQuestion, *, as_of: Mapping[str, int]
) -> JsonObject:
    """One page, and the cursor of the next one (None on the last)."""
    rows = _page(store, question, as_of)
    shown = [_shown(row) for row in rows[: question.limit]]
    more = len(rows) > question.limit
    return {
        "from": instant_text(question.start),
        "to": instant_text(question.end),
        "requests": shown,
        "next": _cursor(rows[question.limit - 1]) if more else None,
        "as_of": dict(as_of),
    }


def _page(
    store: ProjectionStore, question: RequestsQuestion, as_of: Mapping[str, int]
) -> Sequence[Row]:
    """The rows of a page and one more, if there is one.

    First the newest requests that have any line that fits, in a narrow scan; then what is in force
    of these, exactly. A line that an event took back fits without its request: then go on.
    """
    after, found = question.after, list[Row]()
    while len(found) <= question.limit:
        candidates = _candidates(store, replace(question, after=after), as_of)
        if not candidates:
            break
        found.extend(_in_force(store, question, as_of, [request for request, _ in candidates]))
        request, ended = candidates[-1]
        after = f"{ended}-{request.hex}"
    return found


def _candidates(
    store: ProjectionStore, question: RequestsQuestion, as_of: Mapping[str, int]
) -> Sequence[tuple[UUID, int]]:
    """Requests with a line that fits and when they ended, in the order of the list."""
    conditions, parameters = question.filters.sql()
    keyset = ""
    match = _CURSOR.fullmatch(question.after or "")
    if match:
        keyset = (
            "AND (toUnixTimestamp64Micro(terminal_at), toString(request_id)) <"
            " ({at:Int64}, {request:String})"
        )
        parameters |= {"at": int(match[1]), "request": str(UUID(match[2]))}
    sql = f"""
        SELECT request_id, toUnixTimestamp64Micro(terminal_at)
        FROM $db.request_lines AS l
        WHERE sign = 1 AND {within("l.")}
            {conditions} {ENDED_WITHIN} {keyset}
        ORDER BY terminal_at DESC, toString(request_id) DESC
        LIMIT {{limit:UInt64}}
    """  # noqa: S608 - put together from our own text; values are parameters
    parameters |= _period(question, as_of) | {"limit": _SCANNED * question.limit + 1}
    return list(dict.fromkeys((request, ended) for request, ended in store.query(sql, parameters)))


def _in_force(
    store: ProjectionStore,
    question: RequestsQuestion,
    as_of: Mapping[str, int],
    requests: Sequence[UUID],
) -> Sequence[Row]:
    """The latest version of each of these requests, if it fits, in the order of the list."""
    conditions, parameters = question.filters.sql()
    events = store.query(
        "SELECT DISTINCT event_id FROM $db.request_lines"
        " WHERE request_id IN {requests:Array(UUID)}",
        {"requests": [str(request) for request in requests]},
    )
    parameters |= _period(question, as_of) | {"events": [str(event) for (event,) in events]}
    instants = ", ".join(f"toUnixTimestamp64Micro({name})" for name in _INSTANTS)
    # The latest version of a request speaks for it, also where a filter names what it was before:
    # a filter comes after the window function.
    lines = BILLED_EVENTS.replace("l.*", "l.*, max(version) OVER (PARTITION BY request_id) AS last")
    sql = f"""
        SELECT {", ".join(_SELECTED)}, {instants}
        FROM ({lines} {ENDED_WITHIN}) AS l
        WHERE sign = 1 AND version = last {conditions}
        ORDER BY terminal_at DESC, toString(request_id) DESC
    """  # noqa: S608 - put together from our own text; values are parameters
    return store.query(sql, parameters)


def _period(question: RequestsQuestion, as_of: Mapping[str, int]) -> dict[str, Value]:
    return {
        **reach(as_of),
        "start": micros(question.start),
        "end": micros(question.end),
    }


def _shown(row: Row) -> JsonObject:
    cells = dict(zip((*_SELECTED, *_INSTANTS), row, strict=True))
    rule = cells["rule"]
    billed = None
    if cells["billed_in"]:
        billed = {
            "invoice_id": cells["billed_in"],
            "start": _instant(cells["billed_start"]),
            "end": _instant(cells["billed_end"]),
        }
    return {
        "request_id": public_id("req", cells["request_id"]),
        **{name: cells[name] for name in _TEXTS},
        **{name: cells[name] or None for name in _OPTIONAL},
        **{name: cells[name] for name in _PLAIN},
        "routed_at": _instant(cells["routed_at"]),
        "ended_at": _instant(cells["terminal_at"]),
        "usage": {unit: cells[unit] for unit in COUNTS if cells[unit] is not None},
        "at_cost_usd": _amount(cells["at_cost_usd"]),
        "fee_usd": _amount(cells["fee_usd"]),
        "reference": {
            "rule": rule,
            "provider": cells["reference_provider"],
            "model": cells["reference_model"],
            "price_rows": cells["price_rows"],
        }
        if rule
        else None,
        "billed_in": billed,
    }


def _cursor(row: Row) -> str:
    cells = dict(zip((*_SELECTED, *_INSTANTS), row, strict=True))
    return f"{cells['terminal_at']}-{cells['request_id'].hex}"


def _instant(since: int) -> str:
    return instant_text(_EPOCH + timedelta(microseconds=since))


def _amount(value: Decimal | None) -> str | None:
    return None if value is None else text_of(value)
