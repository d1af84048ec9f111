"""Closes each month by itself once it is over, as far as nothing stands in the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from domain.clock import Clock
from domain.errors import DomainError
from domain.invoice import Period, month_of
from domain.invoice_register import InvoiceRegister
from projections.projected import Projected
from projections.queries.invoice_lines import unbilled_months
from workers.close import Closer
from workers.loop import INFRASTRUCTURE

LOOK_S: Final = 60.0
RETRY_S: Final = 900.0
"""Until those are tried again whose month could not be closed."""
EVERYBODY: Final = ""


class CloseMonths:
    """The step of a worker. Any number of them may run: a month is closed once."""

    def __init__(
        self,
        *,
        closer: Callable[[], Closer],
        projected: Callable[[], Projected],
        register: InvoiceRegister,
        clock: Clock,
        grace_s: float,
        on_refused: Callable[[Mapping[str, str]], object] = lambda _: None,
        retry_s: float = RETRY_S,
    ) -> None:
        """`grace_s`: how long a month must be over. `on_refused` is told of each try that left
        somebody's month open: account (or EVERYBODY) → why."""
        self._closer = closer
        self._projected = projected
        self._register = register
        self._clock = clock
        self._grace = timedelta(seconds=grace_s)
        self._on_refused = on_refused
        self._retry_s = retry_s
        self._closed: Period | None = None
        self._again_s = -math.inf

    def __call__(self) -> float:
        """Close what is due. Raises StoreUnavailable and ProjectionUnavailable, nothing else."""
        last = _month_over(self._clock.now() - self._grace)
        if last == self._closed or self._clock.monotonic_s() < self._again_s:
            return LOOK_S
        refused: dict[str, str] = {}
        for month in self._open_months(last):
            refused |= self._close(month)
        if refused:
            self._again_s = self._clock.monotonic_s() + self._retry_s
            self._on_refused(refused)
        else:
            self._closed = last
        return LOOK_S

    def _open_months(self, last: Period) -> Sequence[Period]:
        """Those with calls that no invoice holds, and the last one for its adjustments."""
        projected = self._projected()
        found = unbilled_months(projected.store, cutoff=projected.catch_up())
        before = {month_of(each) for each in found if each < last.start}
        return sorted({*before, last}, key=lambda month: month.start)

    def _close(self, month: Period) -> dict[str, str]:
        """Account → why its month stays open."""
        try:
            refused = dict(self._closer().close(month, grace_s=self._grace.total_seconds()).refused)
        except INFRASTRUCTURE:
            raise
        except DomainError as error:
            return {EVERYBODY: str(error)}
        for account_id in list(refused):
            rest = self._rest(month, account_id)
            if rest is not None:
                refused.pop(account_id)
                refused |= self._close_rest(rest, account_id)
        return refused

    def _rest(self, month: Period, account_id: str) -> Period | None:
        """What is open of a month that was closed in part, by hand; None unless it was."""
        closed = self._register.closed_until(account_id)
        if closed is None or not month.start < closed < month.end:
            return None
        return Period(closed, month.end)

    def _close_rest(self, rest: Period, account_id: str) -> dict[str, str]:
        try:
            grace_s = self._grace.total_seconds()
            self._closer().close(rest, account_id=account_id, grace_s=grace_s)
        except INFRASTRUCTURE:
            raise
        except DomainError as error:
            return {account_id: str(error)}
        return {}


def _month_over(instant: datetime) -> Period:
    """The last month that has ended by an instant."""
    return month_of(datetime(instant.year, instant.month, 1, tzinfo=UTC) - timedelta(days=1))
