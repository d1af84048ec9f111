"""The exact sums of a period that is to be billed (BILLING.md 4).

Two parts: usage that ended in the period, and adjustments: what has changed about periods that
were closed before. As of a cutoff, so the same question has the same answer for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from domain.invoice import Period
from domain.money import Money
from pricing.invoice import COUNTS, Kind, Line, LineKey
from projections.queries.billing import BILLED_LINES, ENDED_WITHIN, reach
from projections.rows import micros
from projections.store.port import ProjectionStore, Row, Value

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_KEY: Final = (
    *("provider", "model", "markup_rate", "usage_source"),
    *("reference_provider", "reference_model", "rule", "price_rows"),
)
_AMOUNTS: Final = ("at_cost_usd", "fee_usd")
_SUMS: Final = (
    "sum(sign) AS requests",
    *(f"sum(sign * toInt64(ifNull({unit}, 0))) AS sum_{unit}" for unit in COUNTS),
    *(
        f"sum(sign * toDecimal256(ifNull({name}, toDecimal128(0, 24)), 24)) AS sum_{name}"
        for name in _AMOUNTS
    ),
    *(f"countIf(isNotNull({name})) AS known_{name}" for name in (*COUNTS, *_AMOUNTS)),
)
_SUMMED: Final = (
    "requests",
    *(f"sum_{name}" for name in (*COUNTS, *_AMOUNTS)),
    *(f"known_{name}" for name in (*COUNTS, *_AMOUNTS)),
)
_ACCOUNTS: Final = "AND l.account_id IN {accounts:Array(String)}"
_WHOSE: Final = "l.account_id, l.sandbox"


_Whose = tuple[str, bool]
"""Account and sandbox."""
_Found = tuple[_Whose, Line]


@dataclass(frozen=True, slots=True)
class Billable:
    """An account with something in a period, or with adjustments that wait for an invoice."""

    account_id: str
    sandbox: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class InvoiceQuestion:
    """Whose document, over which period, as of which cutoff."""

    account_id: str
    sandbox: bool
    period: Period
    cutoff: Mapping[str, int]
    """Each store that is written → the last seq that counts."""


class Drawn(NamedTuple):
    """What a document is computed from."""

    lines: list[Line]
    """Exact."""
    books: list[str]
    """The books that the effective prices come from."""


def billables(
    store: ProjectionStore,
    period: Period,
    *,
    cutoff: Mapping[str, int],
    account_id: str | None = None,
) -> Sequence[Billable]:
    """Who gets a document when the period is closed; calls that only failed count too, because a
    late report of one must find its period closed to become an adjustment."""
    only = "AND l.account_id = {account:String}" if account_id else ""
    sql = f"""
        SELECT DISTINCT l.account_id, l.sandbox FROM ({BILLED_LINES} {only}) AS l
        WHERE (true {ENDED_WITHIN}) OR (late AND billed_in = '')
        ORDER BY l.account_id, l.sandbox
    """  # noqa: S608 - put together from our own text; values are parameters
    parameters: dict[str, Value] = {
        "account": account_id or "",
        "start": micros(period.start),
        "end": micros(period.end),
        **reach(cutoff),
    }
    return [Billable(account, bool(sandbox)) for account, sandbox in store.query(sql, parameters)]


def unbilled_months(store: ProjectionStore, *, cutoff: Mapping[str, int]) -> Sequence[datetime]:
    """The first instants of all months with requests that ended in them and are on no invoice."""
    sql = f"""
        SELECT DISTINCT toUnixTimestamp64Micro(toDateTime64(toStartOfMonth(terminal_at), 6, 'UTC'))
        FROM ({BILLED_LINES}) AS l
        WHERE billed_in = '' AND NOT late
    """  # noqa: S608 - put together from our own text; values are parameters
    return sorted(_instant(since) for (since,) in store.query(sql, reach(cutoff)))


def draw(store: ProjectionStore, questions: Sequence[InvoiceQuestion]) -> list[Drawn]:
    """What each of the documents is computed from; all are of one period and cutoff.

    The store is asked as often for many as for one.
    """
    if not questions:
        return []
    first = questions[0]
    parameters: dict[str, Value] = {
        "accounts": sorted({each.account_id for each in questions}),
        "start": micros(first.period.start),
        "end": micros(first.period.end),
        **reach(first.cutoff),
    }
    drawn = {(each.account_id, each.sandbox): Drawn([], []) for each in questions}
    for found in (_usage(store, parameters), _adjustments(store, parameters)):
        for whose, line in found:
            if whose in drawn:
                drawn[whose].lines.append(line)
    for whose, book in _books(store, parameters):
        if whose in drawn:
            drawn[whose].books.append(book)
    return [drawn[each.account_id, each.sandbox] for each in questions]


def _books(store: ProjectionStore, parameters: Mapping[str, Value]) -> Iterator[tuple[_Whose, str]]:
    sql = f"""
        SELECT DISTINCT {_WHOSE}, argMaxIf(price_book, version, sign = 1) AS book
        FROM ({BILLED_LINES} {_ACCOUNTS}) AS l
        WHERE state = 'settled' AND ((true {ENDED_WITHIN}) OR (late AND billed_in = ''))
        GROUP BY {_WHOSE}, request_id ORDER BY book
    """  # noqa: S608 - put together from our own text; values are parameters
    for account, sandbox, book in store.query(sql, parameters):
        yield (account, bool(sandbox)), str(book)


def _usage(store: ProjectionStore, parameters: Mapping[str, Value]) -> Iterator[_Found]:
    sql = f"""
        SELECT {_WHOSE}, {", ".join((*_KEY, *_SUMS))}
        FROM ({BILLED_LINES} {_ACCOUNTS} {ENDED_WITHIN}) AS l
        WHERE state = 'settled'
        GROUP BY {_WHOSE}, {", ".join(_KEY)}
        HAVING requests != 0
    """  # noqa: S608 - put together from our own text; values are parameters
    for account, sandbox, *row in store.query(sql, parameters):
        line = _line(tuple(row[: len(_KEY)]), tuple(row[len(_KEY) :]), "usage")
        yield (account, bool(sandbox)), line


def _adjustments(store: ProjectionStore, parameters: Mapping[str, Value]) -> Iterator[_Found]:
    """Per request the difference between now and what was billed, under the key of now.

    Rows past every earlier cutoff are exactly what no invoice has billed yet.
    """
    of_requests = f"""
        SELECT {_WHOSE}, argMaxIf(({", ".join(_KEY)}), version, sign = 1) AS k,
            own.4 AS adjusts, own.1 AS own_start, own.2 AS own_end,
            {", ".join(_SUMS)}
        FROM ({BILLED_LINES} {_ACCOUNTS}) AS l
        WHERE late AND billed_in = '' AND state = 'settled'
        GROUP BY {_WHOSE}, request_id, adjusts, own_start, own_end
    """  # noqa: S608 - put together from our own text; values are parameters
    sql = f"""
        SELECT {_WHOSE}, {", ".join(f"k.{n}" for n in range(1, len(_KEY) + 1))},
            adjusts, toUnixTimestamp64Micro(own_start), toUnixTimestamp64Micro(own_end),
            {", ".join(f"sum({name})" for name in _SUMMED)}
        FROM ({of_requests}) AS l
        GROUP BY {_WHOSE}, k, adjusts, own_start, own_end
    """  # noqa: S608 - put together from our own text; values are parameters
    for account, sandbox, *row in store.query(sql, parameters):
        key, (adjusts, start, end) = row[: len(_KEY)], row[len(_KEY) : len(_KEY) + 3]
        service = Period(_instant(start), _instant(end))
        sums = tuple(row[len(_KEY) + 3 :])
        # Where nothing has changed there is nothing to say.
        if any(sums[: 1 + len(COUNTS) + len(_AMOUNTS)]):
            line = _line(tuple(key), sums, "adjustment", service=str(service), adjusts=adjusts)
            yield (account, bool(sandbox)), line


def _line(
    key: Row, sums: Row, kind: Kind, *, service: str | None = None, adjusts: str | None = None
) -> Line:
    provider, model, markup_rate, source, ref_provider, ref_model, rule, price_rows = key
    names = (*COUNTS, *_AMOUNTS)
    values = dict(zip(names, sums[1 : 1 + len(names)], strict=True))
    known = dict(zip(names, sums[1 + len(names) :], strict=True))
    amounts = {name: Money(values[name]) if known[name] else None for name in _AMOUNTS}
    return Line(
        LineKey(
            provider=provider,
            model=model,
            markup_rate=markup_rate,
            usage_source=source,
            reference_provider=ref_provider or None,
            reference_model=ref_model or None,
            rule=rule or None,
            price_rows=tuple(price_rows),
            kind=kind,
            service_period=service,
            adjusts=adjusts,
        ),
        requests=sums[0],
        counts={unit: values[unit] for unit in COUNTS if known[unit]},
        at_cost=amounts["at_cost_usd"],
        fee=amounts["fee_usd"],
    )


def _instant(since: int) -> datetime:
    return _EPOCH + timedelta(microseconds=since)
