"""All invoices that were issued, in memory, following the log: few fields each, no documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock
from typing import Final
from uuid import UUID

from domain.clock import parse_instant
from domain.errors import DomainError
from domain.eventlog.follow import Follower
from domain.eventlog.port import EventLog, Recorded, stores_of
from domain.events.codec import decode
from domain.ids import public_id
from domain.invoice import InvoiceNotFound, InvoicePaid, InvoiceVoided, Period, Status
from domain.invoice_series import CreditNoteIssued, InvoiceIssued, Series

_STREAMS: Final = frozenset({"invoice"})


class PeriodOverlaps(DomainError):
    """Part of the period was closed before; nothing is billed twice."""


@dataclass(frozen=True, slots=True)
class IssuedInvoice:
    """What closing and listing need to know of an invoice."""

    invoice_id: str
    number: str
    account_id: str
    sandbox: bool
    period: Period
    cutoff: dict[str, int]
    store_id: str
    seq: int
    status: Status = "open"


@dataclass(frozen=True, slots=True)
class CreditNote:
    """A credit note, and when it was recorded."""

    event: CreditNoteIssued
    issued_at: str


class InvoiceRegister:
    """Looks up invoices. Any thread may read; `catch_up` takes in what was appended since."""

    def __init__(self, log: EventLog) -> None:
        self._lock = Lock()
        self._follower = Follower(log, streams=_STREAMS)
        self._stores = stores_of(log)
        self._invoices: dict[str, IssuedInvoice] = {}
        self._of_account: dict[str, list[str]] = {}
        self._credit_notes: dict[str, list[CreditNote]] = {}
        self._numbers: dict[UUID, int] = {}

    def catch_up(self) -> None:
        """Apply the log up to its present end."""
        with self._lock:
            for recorded in self._follower.news():
                self._apply(recorded)

    def all(
        self, *, account_id: str | None = None, sandbox: bool | None = None
    ) -> Sequence[IssuedInvoice]:
        """In the order of issue."""
        if account_id is None:
            found = list(self._invoices.values())
        else:
            found = [self._invoices[each] for each in tuple(self._of_account.get(account_id, ()))]
        return [invoice for invoice in found if sandbox in {None, invoice.sandbox}]

    def get(self, name: str) -> IssuedInvoice:
        """By id or by number. Raises InvoiceNotFound."""
        invoice = self._invoices.get(name)
        invoice = invoice or next((each for each in self.all() if each.number == name), None)
        if invoice is None:
            raise InvoiceNotFound("there is no invoice with this id (inv_…) or number")
        return invoice

    def closed_until(self, account_id: str) -> datetime | None:
        """Where the account's last closed period ends, sandbox or not; None before the first."""
        ends = (invoice.period.end for invoice in self.all(account_id=account_id))
        return max(ends, default=None)

    def closing(self, account_id: str, period: Period, *, sandbox: bool) -> IssuedInvoice | None:
        """The invoice that closed exactly this period, or None while all of it is open.

        Raises PeriodOverlaps when a part of it was closed.
        """
        for invoice in self.all(account_id=account_id, sandbox=sandbox):
            if invoice.period == period:
                return invoice
            if invoice.period.overlaps(period):
                raise PeriodOverlaps(
                    f"{invoice.number} has closed {invoice.period} of {account_id},"
                    f" which overlaps {period}: name a period outside it"
                )
        return None

    def credit_notes(self, invoice_id: str) -> Sequence[CreditNote]:
        """Those on one invoice, in the order of issue."""
        return tuple(self._credit_notes.get(invoice_id, ()))

    def credit_note(self, number: str) -> CreditNote:
        """By its number. Raises InvoiceNotFound."""
        for notes in list(self._credit_notes.values()):
            for note in notes:
                if note.event.number == number:
                    return note
        raise InvoiceNotFound("there is no credit note with this number")

    def next_version(self, series: Series) -> int:
        """The number that the series' next document takes."""
        return self._numbers.get(series.stream, 0) + 1

    def issued(self, invoice: IssuedInvoice) -> tuple[InvoiceIssued, str]:
        """The event that holds the whole document, and when it was recorded."""
        store = next(each for each in self._stores if each.store_id == invoice.store_id)
        recorded = store.read(after=invoice.seq - 1, limit=1)[0]
        event = decode(recorded)
        if not isinstance(event, InvoiceIssued):
            raise InvoiceNotFound(f"seq {invoice.seq} does not hold {invoice.number}")
        return event, recorded.recorded_at

    def _apply(self, recorded: Recorded) -> None:
        event = decode(recorded)
        if isinstance(event, InvoiceIssued | CreditNoteIssued):
            self._numbers[recorded.originator_id] = recorded.originator_version
        if isinstance(event, InvoiceIssued):
            self._invoices[event.invoice_id] = IssuedInvoice(
                invoice_id=event.invoice_id,
                number=event.number,
                account_id=event.account_id,
                sandbox=event.sandbox,
                period=Period(parse_instant(event.start), parse_instant(event.end)),
                cutoff=event.cutoff,
                store_id=recorded.store_id,
                seq=recorded.seq,
            )
            self._of_account.setdefault(event.account_id, []).append(event.invoice_id)
        elif isinstance(event, CreditNoteIssued):
            note = CreditNote(event, recorded.recorded_at)
            self._credit_notes.setdefault(event.invoice_id, []).append(note)
        elif isinstance(event, InvoicePaid | InvoiceVoided):
            self._settle(recorded.originator_id, event)

    def _settle(self, invoice: UUID, event: InvoicePaid | InvoiceVoided) -> None:
        invoice_id = public_id("inv", invoice)
        known = self._invoices.get(invoice_id)
        if known is not None:
            status: Status = "paid" if isinstance(event, InvoicePaid) else "void"
            self._invoices[invoice_id] = replace(known, status=status)
