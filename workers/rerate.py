"""Rates what had no price, once the book in force has one; writes it off when that takes too long.

The tables say which requests to look at, the log alone decides: what it says was rated is not
rated again, so that a crash, a second worker or tables that lag behind change nothing. A re-rating
is the next version of the request's stream and can be stored once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from domain.clock import Clock, parse_instant
from domain.eventlog.port import Conflict, EventLog, Recorded
from domain.events.codec import decode
from domain.events.requests import PRICE_ADDED, WRITTEN_OFF, UsageRerated
from domain.usage import UNITS
from pricing.book import Books, PriceBook
from pricing.rate import Rating
from pricing.request import RatedRequest
from projections.projected import Projected
from projections.queries.unrated import (
    WaitingQuestion,
    oldest_waiting,
    recorded_day,
    waiting_requests,
)
from projections.rows import fold

LIMIT_DAYS: Final = 60
"""BILLING.md 1 and PRICES.md 3: after that many days what has no price is written off."""
PAGE: Final = 500
LOOK_S: Final = 1.0
RESCAN_S: Final = 30.0
"""Rest between two looks for calls that were routed under an earlier book and ended since."""
_EVERYTHING: Final = frozenset({"model", *UNITS})


@dataclass(frozen=True, slots=True)
class Rerated:
    """What was done to the requests that were looked at."""

    rated: int = 0
    written_off: int = 0
    left: int = 0
    """Still without a price, or settled by somebody else meanwhile."""

    def __add__(self, other: Rerated) -> Rerated:
        return Rerated(
            self.rated + other.rated,
            self.written_off + other.written_off,
            self.left + other.left,
        )


@dataclass(frozen=True, slots=True)
class _Scan:
    """A walk through all that waits, page by page."""

    book: PriceBook
    after: Mapping[str, int] | None
    """What the tables had up to here was rated by this very book before."""
    upto: Mapping[str, int]
    overdue: datetime
    last: UUID | None = None


class Rerater:
    """Walks when the book in force changes, and now and then; also the step of a worker."""

    def __init__(
        self,
        *,
        log: EventLog,
        projected: Callable[[], Projected],
        books: Books,
        clock: Clock,
        limit: timedelta = timedelta(days=LIMIT_DAYS),
    ) -> None:
        self._log = log
        self._projected = projected
        self._books = books
        self._clock = clock
        self._limit = limit
        self._done: _Scan | None = None
        self._done_at_s = 0.0
        self._scan: _Scan | None = None

    def __call__(self) -> float:
        """One page, if a walk is under way or due; the seconds to rest."""
        scan = self._scan or (self._new_scan() if self._due() else None)
        if scan is None:
            return LOOK_S
        _, self._scan = self._page(scan)
        if self._scan is not None:
            return 0.0
        self._done, self._done_at_s = scan, self._clock.monotonic_s()
        return LOOK_S

    def run(self) -> Rerated:
        """A whole walk over what the log has now, whether or not one is due."""
        self._projected().catch_up()
        scan, total = self._new_scan(), Rerated()
        while scan is not None:
            found, scan = self._page(scan)
            total += found
        return total

    def _due(self) -> bool:
        ready = any(self._projected().reached().values())
        if self._done is None or self._done.book is not self._books.current:
            return ready
        return ready and self._clock.monotonic_s() - self._done_at_s >= RESCAN_S

    def _page(self, scan: _Scan) -> tuple[Rerated, _Scan | None]:
        """What one page gave, and where the next one begins."""
        question = WaitingQuestion(
            book=scan.book.hash,
            after=scan.after,
            overdue=scan.overdue,
            after_request=scan.last,
            limit=PAGE,
        )
        requests = waiting_requests(self._projected().store, question)
        found = self._rerate(requests, scan)
        return found, replace(scan, last=requests[-1]) if len(requests) == PAGE else None

    def _new_scan(self) -> _Scan | None:
        """Under the same book, only what came into the tables since the last walk."""
        book, done = self._books.current, self._done
        return _Scan(
            book=book,
            after=done.upto if done and done.book is book else None,
            upto=self._projected().reached(),
            overdue=self._overdue(),
        )

    def _overdue(self) -> datetime:
        """What ended before this is written off: the limit is over, and the log has lived as long.

        A clock that jumps, of this machine or of one that writes, adds a single day with records:
        days on which nobody recorded anything do not count.
        """
        tables, now = self._projected().store, self._clock.now()
        overdue = now - self._limit
        oldest = oldest_waiting(tables)
        if oldest is None or oldest >= overdue:
            return overdue
        day = recorded_day(tables, back=self._limit.days)
        if day is None:
            return oldest
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return min(overdue, day + (now - midnight))

    def _rerate(self, requests: Sequence[UUID], scan: _Scan) -> Rerated:
        """Append what is decided about each. Raises StoreUnavailable."""
        appended: list[tuple[UsageRerated, Future[tuple[Recorded, ...]]]] = []
        for request in requests:
            recorded = self._log.stream(request)
            event = decide(recorded, scan.book.hash, self._books, overdue=scan.overdue)
            if event is not None:
                future = self._log.submit(event, account_id=recorded[0].account_id)
                appended.append((event, future))
        reasons = [event.reason for event, future in appended if _stored(future)]
        rated, written_off = (reasons.count(each) for each in (PRICE_ADDED, WRITTEN_OFF))
        return Rerated(rated, written_off, len(requests) - rated - written_off)


def decide(
    recorded: Sequence[Recorded], book: str, books: Books, *, overdue: datetime
) -> UsageRerated | None:
    """What comes next in a request's stream: a better rating, a write-off, or nothing.

    `book` is the hash of the one in force. Pure: the same events and the same book give the same
    answer.
    """
    state = fold((each, decode(each)) for each in recorded)
    before = None if state is None or state.written_off else state.rated(books)
    if state is None or before is None or not any(map(_lacking, _ratings(before))):
        return None

    def rerated(price_book: str, reason: str) -> UsageRerated:
        return UsageRerated(
            originator_id=recorded[0].originator_id,
            originator_version=len(recorded) + 1,
            price_book=price_book,
            reason=reason,
        )

    if parse_instant(state.terminal_at) < overdue:
        return rerated(state.book, WRITTEN_OFF)
    now = state._replace(book=book).rated(books)
    if now is not None and knows_more(now, before):
        return rerated(book, PRICE_ADDED)
    return None


def knows_more(now: RatedRequest, before: RatedRequest) -> bool:
    """Something has a price that had none, and nothing has lost one."""
    ours, theirs = map(_lacking, _ratings(now)), map(_lacking, _ratings(before))
    pairs = list(zip(ours, theirs, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def _ratings(rated: RatedRequest) -> Sequence[Rating]:
    return rated.parts or (rated.rating,)


def _lacking(rating: Rating) -> frozenset[str]:
    """What has no price: some units, or the model with all of them."""
    return _EVERYTHING if rating.at_cost is None else frozenset(rating.unrated_units)


def _stored(future: Future[tuple[Recorded, ...]]) -> bool:
    """False when somebody else took the version: the tables will bring the request here again."""
    try:
        future.result()
    except Conflict:
        return False
    return True
