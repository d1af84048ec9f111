"""Closing a period (BILLING.md 4): wait, check, freeze, sum, round once, take the next number.

Closing twice gives the same invoices; dying anywhere leaves either nothing or a whole invoice,
because the invoice and the remainder it carries become durable together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Final, cast
from uuid import UUID

from domain.account import Account
from domain.clock import Clock, instant_text, parse_instant
from domain.errors import DomainError
from domain.eventlog.port import Conflict, EventLog, Recorded
from domain.events.base import Event, JsonObject
from domain.events.codec import decode
from domain.events.store import LogSealed, StoreOpened, store_stream
from domain.ids import public_id
from domain.invoice import Period, invoice_stream
from domain.invoice_register import InvoiceRegister, IssuedInvoice
from domain.invoice_series import ENTITY, InvoiceIssued, series_of
from domain.repository import Repository
from projections.closing import Obstacles, too_early
from projections.invoicing import CannotClose, Computed, compute, load_account
from projections.projected import Projected
from projections.queries.invoice_lines import Billable, InvoiceQuestion, billables

TRIES: Final = 10
GRACE_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Closed:
    """What a closing gave: invoices (issued now or before), and who could not be closed."""

    invoices: Sequence[IssuedInvoice]
    refused: dict[str, str] = field(default_factory=dict)
    """Account → what keeps its period open."""


@dataclass(frozen=True, slots=True)
class _Seal:
    """The frozen end of the log."""

    seq: int
    size: int
    root: str
    recorded_at: datetime

    @classmethod
    def of(cls, recorded: Recorded) -> _Seal:
        event = decode(recorded)
        if not isinstance(event, LogSealed):
            raise CannotClose(f"seq {recorded.seq} is not a seal")
        return cls(recorded.seq, event.size, event.root, parse_instant(recorded.recorded_at))


class Closer:
    """Closes periods of one store, one at a time."""

    def __init__(
        self,
        *,
        log: EventLog,
        projected: Projected,
        register: InvoiceRegister,
        seal: Callable[[], Recorded],
        clock: Clock,
        entity: str = ENTITY,
    ) -> None:
        self._log = log
        self._projected = projected
        self._register = register
        self._seal = seal
        self._clock = clock
        self._entity = entity
        self._accounts = Repository(log)
        self._lock = Lock()

    def close(
        self, period: Period, *, account_id: str | None = None, grace_s: float = GRACE_S
    ) -> Closed:
        """Issue the invoices of a period, for one account or for all.

        Raises CannotClose when nobody's period can be closed yet, PeriodOverlaps when a part of
        the named account's period was closed before.
        """
        early = too_early(period, now=self._clock.now(), grace=timedelta(seconds=grace_s))
        if early is not None:
            raise CannotClose(early)
        with self._lock:
            return self._close(period, account_id)

    def _close(self, period: Period, account_id: str | None) -> Closed:
        if account_id is not None:
            load_account(self._accounts, account_id)
        seal = self._freeze(period)
        issued = self._issued(period, account_id)
        obstacles = Obstacles.of(period, log=self._log, store=self._projected.store)
        refused: dict[str, str] = {}
        for each in billables(
            self._projected.store, period, cutoff=self._cutoff(seal), account_id=account_id
        ):
            try:
                if (each.account_id, each.sandbox) not in issued:
                    for obstacle in obstacles.before(each.account_id):
                        raise CannotClose(obstacle)
                    invoice = self._issue(period, each, seal)
                    issued[each.account_id, each.sandbox] = invoice
            except DomainError as error:
                if isinstance(error, Conflict) or account_id is not None:
                    raise
                refused[each.account_id] = str(error)
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

    def _freeze(self, period: Period) -> _Seal:
        """Write the seal whose seq is the cutoff, and wait until the tables have passed it."""
        seal = _Seal.of(self._seal())
        if seal.recorded_at < period.end:
            raise CannotClose("the clock of the log has not passed the period's end")
        if self._projected.catch_up()[self._log.store_id] < seal.seq:
            raise CannotClose("the projections have not reached the seal")
        return seal

    def _issue(self, period: Period, whose: Billable, seal: _Seal) -> IssuedInvoice:
        """One invoice. Overtaken by another closer, everything is decided anew."""
        for _ in range(TRIES):
            # The account first: whoever issues an invoice to it from now on changes its version.
            account = load_account(self._accounts, whose.account_id)
            self._register.catch_up()
            known = self._register.closing(whose.account_id, period, sandbox=whose.sandbox)
            if known is not None:
                return known
            question = InvoiceQuestion(
                account_id=whose.account_id,
                sandbox=whose.sandbox,
                period=period,
                cutoff=self._cutoff(seal),
            )
            computed = compute(self._projected.store, question, account)
            try:
                self._append(account, question, computed, seal)
            except Conflict:
                seal = self._freeze(period)
                continue
            self._register.catch_up()
        invoice = self._register.closing(whose.account_id, period, sandbox=whose.sandbox)
        if invoice is None:
            raise CannotClose(f"{whose.account_id} changed {TRIES} times while it was being closed")
        return invoice

    def _cutoff(self, seal: _Seal) -> dict[str, int]:
        return {self._log.store_id: seal.seq}

    def _ended_cutoff(self) -> dict[str, int]:
        """The stores that a restored log continues have ended, and count whole."""
        return {store.store_id: store.head() for store in self._log.earlier()}

    def _append(
        self, account: Account, question: InvoiceQuestion, computed: Computed, seal: _Seal
    ) -> None:
        series = series_of(
            entity=self._entity, year=self._clock.now().year, sandbox=question.sandbox
        )
        version = self._register.next_version(series)
        stream: UUID = invoice_stream(
            question.account_id, question.period, sandbox=question.sandbox
        )
        invoice_id = public_id("inv", stream)
        figures = computed.bill.as_json()
        event = InvoiceIssued(
            originator_id=series.stream,
            originator_version=version,
            invoice_id=invoice_id,
            number=series.number(version),
            account_id=question.account_id,
            sandbox=question.sandbox,
            start=instant_text(question.period.start),
            end=instant_text(question.period.end),
            currency=account.currency,
            cutoff={**self._ended_cutoff(), **self._cutoff(seal)},
            price_books=computed.books,
            merkle={
                **_ended_roots(self._log),
                self._log.store_id: {"size": seal.size, "root": seal.root},
            },
            tax_rate=account.tax_rate,
            tax_note=account.tax_note,
            **figures,
        )
        account.carry_remainder(
            invoice_id=invoice_id, sandbox=question.sandbox, amount=figures["carried_out"]
        )
        carried = [cast("Event", each) for each in account.collect_events()]
        self._log.submit(event, *carried, account_id=question.account_id).result()


def _ended_roots(log: EventLog) -> dict[str, JsonObject]:
    """Size and root of the stores that a log continues, as the next store of each has said."""
    roots: dict[str, JsonObject] = {}
    for store in (*log.earlier(), log) if log.earlier() else ():
        for recorded in log.stream(store_stream(store.store_id)):
            event = decode(recorded)
            if isinstance(event, StoreOpened) and event.continues is not None:
                said = event.continues
                roots[said["store_id"]] = {"size": said["size"], "root": said["root"]}
    return roots
