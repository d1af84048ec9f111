"""What a period would have cost by another price book: rated from the log, nothing is changed.

The calls are those that ended in the period, with the usage that counts of each as of now. Their
events say more than the tables do (service class, parts, a provider's own figure), so the amounts
are the exact ones that re-rating would give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

from domain.clock import instant_text
from domain.eventlog.past import seq_at
from domain.eventlog.port import EventLog, LogReader, Recorded, stores_of
from domain.events.base import JsonObject
from domain.events.codec import decode
from domain.events.requests import TERMINAL_VERSION, RequestFailed, RequestRouted
from domain.invoice import Period
from domain.money import ZERO, Money
from pricing.book import Books, PriceBook
from pricing.request import RatedRequest, rate_request
from projections.rows import RequestState, fold, micros
from projections.store.port import ProjectionStore

PAGE: Final = 2_000
_TICK: Final = timedelta(microseconds=1)

Rate = Callable[[RequestState], RatedRequest | None]


def as_rated(books: Books) -> Rate:
    """By the effective book of each call, as it is billed."""
    return lambda state: state.rated(books)


def by_book(book: PriceBook) -> Rate:
    """All by one book."""
    return lambda state: (
        None if state.used is None else rate_request(state.routed, state.used, book)
    )


@dataclass(slots=True)
class Side:
    """The sums of one of two ratings."""

    at_cost: Money = ZERO
    fee: Money = ZERO
    unrated: int = 0
    """Calls without a price, or with a unit without one."""

    def add(self, rated: RatedRequest) -> None:
        self.at_cost += rated.at_cost or ZERO
        self.fee += rated.fee or ZERO
        self.unrated += rated.status in {"unrated", "unrated_units"}

    def as_json(self) -> JsonObject:
        return {
            "at_cost_usd": str(self.at_cost),
            "fee_usd": str(self.fee),
            "unrated_requests": self.unrated,
        }


@dataclass(slots=True)
class Compared:
    """The calls of one model at one provider, rated twice."""

    requests: int = 0
    changed: int = 0
    """Calls whose amount is another one."""
    first: Side = field(default_factory=Side)
    second: Side = field(default_factory=Side)

    def add(self, first: RatedRequest, second: RatedRequest) -> None:
        self.requests += 1
        self.changed += first.at_cost != second.at_cost
        self.first.add(first)
        self.second.add(second)

    def __iadd__(self, other: Compared) -> Compared:
        self.requests += other.requests
        self.changed += other.changed
        for mine, its in ((self.first, other.first), (self.second, other.second)):
            mine.at_cost += its.at_cost
            mine.fee += its.fee
            mine.unrated += its.unrated
        return self

    def as_json(self, first: str, second: str) -> JsonObject:
        """For machines, with the names of the two ratings."""
        return {
            "requests": self.requests,
            "changed_requests": self.changed,
            first: self.first.as_json(),
            second: self.second.as_json(),
            "fee_difference_usd": str(self.second.fee - self.first.fee),
        }


Group = tuple[str, str]
"""Provider, and the name of the model in the first of the two ratings."""


def compared(states: Iterable[RequestState], first: Rate, second: Rate) -> Mapping[Group, Compared]:
    """Rate every call twice and sum by provider and model."""
    groups: dict[Group, Compared] = {}
    for state in states:
        one, other = first(state), second(state)
        if one is not None and other is not None:
            groups.setdefault((one.provider, one.model), Compared()).add(one, other)
    return dict(sorted(groups.items()))


def total(groups: Iterable[Compared]) -> Compared:
    """The sum of all groups."""
    whole = Compared()
    for group in groups:
        whole += group
    return whole


def settled_within(
    log: EventLog, store: ProjectionStore, period: Period, *, account_id: str | None = None
) -> Iterator[RequestState]:
    """The calls that ended in a period, as they stand now; failed ones are left out.

    The store must be level with the log. Raises ProjectionUnavailable.
    """
    changed = _changed(store, period, account_id)
    for reader in stores_of(log):
        yield from _of_store(log, reader, period, account_id, changed)
    for request in changed:
        state = fold((each, decode(each)) for each in log.stream(request))
        if state is not None and state.used is not None:
            yield state


def _of_store(
    log: EventLog,
    reader: LogReader,
    period: Period,
    account_id: str | None,
    changed: frozenset[UUID],
) -> Iterator[RequestState]:
    """Those that ended in the store and never changed afterwards."""
    running: dict[UUID, RequestState] = {}
    for row in _recorded_within(reader, period):
        if row.originator_id in changed or account_id not in {None, row.account_id}:
            continue
        event = decode(row)
        if isinstance(event, RequestRouted):
            running[row.originator_id] = RequestState.began(event, row.recorded_at)
            continue
        state = running.pop(row.originator_id, None)
        if state is None:  # it left before the period began
            state = fold((each, decode(each)) for each in log.stream(row.originator_id)[:1])
        if state is not None and not isinstance(event, RequestFailed):
            yield state.after(event, row.recorded_at)


def _recorded_within(reader: LogReader, period: Period) -> Iterator[Recorded]:
    """First and terminal events of requests, recorded in the period."""
    end = instant_text(period.end)
    after = seq_at(reader, period.start - _TICK)
    while page := reader.read(after=after, limit=PAGE, streams={"request"}):
        for row in page:
            if row.recorded_at >= end:
                return
            if row.originator_version <= TERMINAL_VERSION:
                yield row
        after = page[-1].seq


def _changed(store: ProjectionStore, period: Period, account_id: str | None) -> frozenset[UUID]:
    """The calls that ended in the period and were corrected or re-rated since."""
    rows = store.query(
        """
        SELECT DISTINCT request_id FROM $db.request_lines
        WHERE version > {terminal:UInt32}
            AND toUnixTimestamp64Micro(terminal_at) >= {start:Int64}
            AND toUnixTimestamp64Micro(terminal_at) < {end:Int64}
            AND ({account:String} = '' OR account_id = {account:String})
        """,
        {
            "terminal": TERMINAL_VERSION,
            "start": micros(period.start),
            "end": micros(period.end),
            "account": account_id or "",
        },
    )
    return frozenset(request for (request,) in rows)
