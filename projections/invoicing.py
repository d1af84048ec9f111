"""Invoices to read: those issued, from the log; and what closing now would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.account import Account, AccountNotFound
from domain.errors import BadValue, DomainError
from domain.eventlog.port import EventLog
from domain.events.base import JsonObject
from domain.ids import parse_id
from domain.invoice import InvoiceNotFound, Period
from domain.invoice_register import InvoiceRegister, IssuedInvoice
from domain.money import RATE_PLACES, Money, decimal_of
from domain.repository import Repository
from pricing.invoice import Bill, bill
from projections.closing import Wait, waits
from projections.documents import draft_document, issued_document
from projections.projected import Projected
from projections.queries.invoice_lines import (
    Drawn,
    InvoiceQuestion,
    billables,
    draw,
)


@dataclass(frozen=True, slots=True)
class Computed:
    """The figures of one document, whether or not it will be issued."""

    bill: Bill
    books: list[str]


def compute(drawn: Drawn, account: Account, *, sandbox: bool) -> Computed:
    """The one computation behind drafts and issued invoices."""
    return Computed(
        bill(
            drawn.lines,
            carried_in=Money.parse(account.remainder(sandbox=sandbox)),
            tax_rate=decimal_of(account.tax_rate, places=RATE_PLACES, what="tax_rate"),
        ),
        drawn.books,
    )


def load_account(accounts: Repository, account_id: str) -> Account:
    """Raises AccountNotFound."""
    try:
        account = accounts.get(Account, parse_id("acc", account_id))
    except BadValue:
        account = None
    if account is None:
        raise AccountNotFound(f"there is no account {account_id[:40]}")
    return account


class Invoices:
    """Reads invoices for the API, the pages and the commands."""

    def __init__(self, *, log: EventLog, register: InvoiceRegister, projected: Projected) -> None:
        self._log = log
        self._register = register
        self._projected = projected
        self._accounts = Repository(log)

    def list(
        self, *, account_id: str | None = None, period: Period | None = None, limit: int = 100
    ) -> Sequence[JsonObject]:
        """Documents, newest first; with a period, those that lie within it."""
        self._register.catch_up()
        found = [
            invoice
            for invoice in self._register.all(account_id=account_id)
            if period is None
            or (period.start <= invoice.period.start and invoice.period.end <= period.end)
        ]
        return [self._document(invoice) for invoice in reversed(found[-limit:])]

    def show(self, invoice_id: str, *, account_id: str | None = None) -> JsonObject:
        """One document. Raises InvoiceNotFound, also when it is of another account."""
        self._register.catch_up()
        invoice = self._register.get(invoice_id)
        if account_id not in {None, invoice.account_id}:
            raise InvoiceNotFound("there is no such invoice")
        return self._document(invoice)

    def drafts(self, period: Period, *, account_id: str | None = None) -> Sequence[JsonObject]:
        """What closing the period now would give: the invoice itself where it is closed already.

        Raises PeriodOverlaps, ProjectionUnavailable.
        """
        cutoff = self._projected.catch_up()
        self._register.catch_up()
        found = billables(self._projected.store, period, cutoff=cutoff, account_id=account_id)
        return [
            self._draft(period, each.account_id, sandbox=each.sandbox, cutoff=cutoff)
            for each in found
        ]

    def running(self, month: Period, *, account_id: str | None = None) -> Sequence[JsonObject]:
        """Drafts of what is still open of a month: from where each account was last closed."""
        cutoff = self._projected.catch_up()
        self._register.catch_up()
        found = billables(self._projected.store, month, cutoff=cutoff, account_id=account_id)
        drafts: list[JsonObject] = []
        for each in dict.fromkeys(billable.account_id for billable in found):
            rest = self.rest(month, each)
            if rest is not None:
                drafts += self.drafts(rest, account_id=each)
        return drafts

    def rest(self, month: Period, account_id: str) -> Period | None:
        """The part of a month that was not closed for an account yet; None when all of it was."""
        closed = self._register.closed_until(account_id)
        if closed is None or closed <= month.start:
            return month
        return Period(closed, month.end) if closed < month.end else None

    def waits(
        self, period: Period, *, now: datetime, grace: timedelta, account_id: str | None = None
    ) -> Sequence[Wait]:
        """What a close of the period, now, would wait for."""
        return waits(
            period,
            log=self._log,
            projected=self._projected,
            now=now,
            grace=grace,
            account_id=account_id,
        )

    def _draft(
        self, period: Period, account_id: str, *, sandbox: bool, cutoff: dict[str, int]
    ) -> JsonObject:
        issued = self._register.closing(account_id, period, sandbox=sandbox)
        if issued is not None:
            return self._document(issued)
        account = load_account(self._accounts, account_id)
        question = InvoiceQuestion(
            account_id=account_id, sandbox=sandbox, period=period, cutoff=cutoff
        )
        (drawn,) = draw(self._projected.store, [question])
        computed = compute(drawn, account, sandbox=sandbox)
        return draft_document(
            computed.bill,
            account_id=account_id,
            sandbox=sandbox,
            period=period,
            currency=account.currency,
            tax_rate=account.tax_rate,
            tax_note=account.tax_note,
            cutoff=cutoff,
            books=computed.books,
        )

    def _document(self, invoice: IssuedInvoice) -> JsonObject:
        event, issued_at = self._register.issued(invoice)
        return issued_document(event, issued_at=issued_at, status=invoice.status)


class CannotClose(DomainError):
    """The period cannot be closed yet; the message says what is missing."""
