"""Closing a period (BILLING.md 4): wait, check, freeze, sum, round once, take the next number.

Closing twice gives the same invoices, in whatever processes and at the same time: a number is
taken once, and who did not get it decides anew. The lock only spares them the wasted work.

Dying anywhere leaves nothing, or a whole invoice. Where the account lives in the store that holds
the invoices, the remainder that it carries becomes durable with it. Else the invoice comes first,
and whoever bills the account next carries over what is owed before anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from threading import Lock
from typing import Final, cast

from domain.account import Account
from domain.clock import Clock, instant_text
from domain.coordination.port import CLOSING, Busy, Held, Locks, held
from domain.errors import DomainError
from domain.eventlog.port import Conflict, EventLog, Recorded, StoreUnavailable
from domain.events.base import Event
from domain.ids import public_id
from domain.invoice import Period, invoice_stream
from domain.invoice_register import InvoiceRegister, IssuedInvoice
from domain.invoice_series import ENTITY, InvoiceIssued, series_of
from domain.repository import Repository
from projections.closing import Obstacles, too_early
from projections.invoicing import CannotClose, Computed, compute, load_account
from projections.projected import Projected
from projections.queries.invoice_lines import (
    Billable,
    Drawn,
    InvoiceQuestion,
    billables,
    draw,
)
from projections.store.port import ProjectionUnavailable
from workers.frozen import Frozen

TRIES: Final = 10
GRACE_S: Final = 3600.0
WAIT_S: Final = 60.0
"""How long a close waits for another one."""
DRAWN_AT_ONCE: Final = 500
"""Accounts that the tables are asked about at once: a question about one takes as long."""
_FOR_ALL: Final = (Busy, Conflict, StoreUnavailable, ProjectionUnavailable)
"""What keeps every account's period open, not one's."""


@dataclass(frozen=True, slots=True)
class Closed:
    """What a closing gave: invoices (issued now or before), and who could not be closed."""

    invoices: Sequence[IssuedInvoice]
    refused: dict[str, str] = field(default_factory=dict)
    """Account → what keeps its period open."""


class Closer:
    """Closes periods, one at a time."""

    def __init__(
        self,
        *,
        log: EventLog,
        projected: Projected,
        register: InvoiceRegister,
        seal: Callable[[], Sequence[Recorded]],
        locks: Locks,
        clock: Clock,
        entity: str = ENTITY,
    ) -> None:
        """`seal` writes a seal into each chain of the log."""
        self._log = log
        self._projected = projected
        self._register = register
        self._seal = seal
        self._locks = locks
        self._clock = clock
        self._entity = entity
        self._accounts = Repository(log)
        self._lock = Lock()

    def close(
        self, period: Period, *, account_id: str | None = None, grace_s: float = GRACE_S
    ) -> Closed:
        """Issue the invoices of a period, for one account or for all.

        Raises CannotClose when nobody's period can be closed yet, PeriodOverlaps when a part of
        the named account's period was closed before, Busy when another process closes for long.
        """
        early = too_early(period, now=self._clock.now(), grace=timedelta(seconds=grace_s))
        if early is not None:
            raise CannotClose(early)
        with self._lock, held(self._locks, CLOSING, wait_s=WAIT_S) as lock:
            return self._close(period, account_id, lock)

    def _close(self, period: Period, account_id: str | None, lock: Held) -> Closed:
        if account_id is not None:
            load_account(self._accounts, account_id)
        frozen = self._freeze(period)
        issued = self._issued(period, account_id)
        for known in issued.values():
            # A close that died may have left the remainder behind.
            if not self._with_invoices(known.account_id):
                self._settled(known.account_id)
        obstacles = Obstacles.of(period, log=self._log, store=self._projected.store)
        refused: dict[str, str] = {}
        found = billables(
            self._projected.store, period, cutoff=frozen.cutoff, account_id=account_id
        )
        waiting = [each for each in found if (each.account_id, each.sandbox) not in issued]
        for question, drawn in self._drawn(period, waiting, frozen):
            try:
                for obstacle in obstacles.before(question.account_id):
                    raise CannotClose(obstacle)
                if not lock.still():
                    raise Busy("another process closes periods now")
                invoice = self._issue(question, drawn, frozen)
                issued[question.account_id, question.sandbox] = invoice
            except DomainError as error:
                if isinstance(error, _FOR_ALL) or account_id is not None:
                    raise
                refused[question.account_id] = str(error)
        return Closed(sorted(issued.values(), key=lambda invoice: invoice.seq), refused)

    def _issued(
        self, period: Period, account_id: str | None
    ) -> dict[tuple[str, bool], IssuedInvoice]:
        self._register.catch_up()
        return {
            (invoice.account_id, invoice.sandbox): invoice
            for invoice in self._register.all(account_id=account_id)
            if invoice.period == period
        }

    def _freeze(self, period: Period) -> Frozen:
        """Write the seals whose seqs are the cutoff, and wait until the tables have passed them."""
        frozen = Frozen.by(self._seal())
        if frozen.since < period.end:
            raise CannotClose("the clock of the log has not passed the period's end")
        reached = self._projected.catch_up()
        for store_id, seq in frozen.cutoff.items():
            if reached[store_id] < seq:
                raise CannotClose(f"the projections have not reached the seal of {store_id}")
        return frozen

    def _drawn(
        self, period: Period, whose: Sequence[Billable], frozen: Frozen
    ) -> Iterator[tuple[InvoiceQuestion, Drawn]]:
        """What their documents are computed from: the same, however early one asks."""
        for first in range(0, len(whose), DRAWN_AT_ONCE):
            questions = [
                InvoiceQuestion(
                    account_id=each.account_id,
                    sandbox=each.sandbox,
                    period=period,
                    cutoff=frozen.cutoff,
                )
                for each in whose[first : first + DRAWN_AT_ONCE]
            ]
            yield from zip(questions, draw(self._projected.store, questions), strict=True)

    def _issue(self, question: InvoiceQuestion, drawn: Drawn, frozen: Frozen) -> IssuedInvoice:
        """One invoice. Overtaken by another closer, everything is decided anew."""
        account_id, period, sandbox = question.account_id, question.period, question.sandbox
        for _ in range(TRIES):
            account = self._settled(account_id)
            known = self._register.closing(account_id, period, sandbox=sandbox)
            if known is not None:
                return known
            if not self._billed_since(question):
                try:
                    self._append(
                        account, question, compute(drawn, account, sandbox=sandbox), frozen
                    )
                except Conflict:
                    pass
                else:
                    continue
            frozen = self._freeze(period)
            self._check(period, account_id)
            question = replace(question, cutoff=frozen.cutoff)
            (drawn,) = draw(self._projected.store, [question])
        self._settled(account_id)
        invoice = self._register.closing(account_id, period, sandbox=sandbox)
        if invoice is None:
            raise CannotClose(f"{account_id} changed {TRIES} times while it was being closed")
        return invoice

    def _billed_since(self, question: InvoiceQuestion) -> bool:
        """An invoice that the tables did not show yet may hold the adjustments of this one."""
        return any(
            invoice.seq > question.cutoff.get(invoice.store_id, invoice.seq)
            for invoice in self._register.all(
                account_id=question.account_id, sandbox=question.sandbox
            )
        )

    def _check(self, period: Period, account_id: str) -> None:
        """What came up to the new seal may be in the way, where nothing was before."""
        obstacles = Obstacles.of(period, log=self._log, store=self._projected.store)
        for obstacle in obstacles.before(account_id):
            raise CannotClose(obstacle)

    def _settled(self, account_id: str) -> Account:
        """The account, once every invoice issued to it has carried over its remainder."""
        for _ in range(TRIES):
            # The account first: whoever issues an invoice to it from now on takes the number that
            # the register tells us, or changes the account's version.
            account = load_account(self._accounts, account_id)
            self._register.catch_up()
            for invoice in self._register.all(account_id=account_id):
                if not account.has_carried(invoice.invoice_id):
                    event, _ = self._register.issued(invoice)
                    _carry(account, event)
            owed = [cast("Event", each) for each in account.collect_events()]
            if not owed:
                return account
            try:
                self._log.submit(*owed, account_id=account_id).result()
            except Conflict:
                continue
        raise CannotClose(f"{account_id} changed {TRIES} times while it was being settled")

    def _append(
        self, account: Account, question: InvoiceQuestion, computed: Computed, frozen: Frozen
    ) -> None:
        event = self._event(account, question, computed, frozen)
        if not self._with_invoices(question.account_id):
            self._log.submit(event, account_id=question.account_id).result()
            return  # the remainder follows in `_settled`, whoever comes to it
        _carry(account, event)
        carried = [cast("Event", each) for each in account.collect_events()]
        self._log.submit(event, *carried, account_id=question.account_id).result()

    def _with_invoices(self, account_id: str) -> bool:
        """The account's events and the invoices are in one store."""
        first, *_ = self._log.chains()
        return self._log.home(account_id) == first.written.store_id

    def _event(
        self, account: Account, question: InvoiceQuestion, computed: Computed, frozen: Frozen
    ) -> InvoiceIssued:
        # By the time of the log and not of this machine: all closers then mean the same series.
        series = series_of(entity=self._entity, year=frozen.since.year, sandbox=question.sandbox)
        version = self._register.next_version(series)
        stream = invoice_stream(question.account_id, question.period, sandbox=question.sandbox)
        cutoff, merkle = frozen.of_home(self._log, question.account_id)
        return InvoiceIssued(
            originator_id=series.stream,
            originator_version=version,
            invoice_id=public_id("inv", stream),
            number=series.number(version),
            account_id=question.account_id,
            sandbox=question.sandbox,
            start=instant_text(question.period.start),
            end=instant_text(question.period.end),
            currency=account.currency,
            cutoff=cutoff,
            price_books=computed.books,
            merkle=merkle,
            tax_rate=account.tax_rate,
            tax_note=account.tax_note,
            **computed.bill.as_json(),
        )


def _carry(account: Account, issued: InvoiceIssued) -> None:
    account.carry_remainder(
        invoice_id=issued.invoice_id, sandbox=issued.sandbox, amount=issued.carried_out
    )
