"""What becomes of an issued invoice: it is paid, voided, or credited in part or whole.

A payment lies in the invoice's stream, a credit note in that of its series, so their versions do
not keep an invoice from being voided and credited at the same moment: one decision at a time does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from domain.clock import Clock
from domain.coordination.port import SETTLING, Locks, held
from domain.credit_note import REASON_CHARS_MAX, credit_of
from domain.errors import BadValue
from domain.eventlog.port import Conflict, EventLog
from domain.events.base import PlainEvent
from domain.events.codec import decode
from domain.ids import parse_id
from domain.invoice import InvoiceSettled, pay, void
from domain.invoice_register import CreditNote, InvoiceRegister, IssuedInvoice
from domain.invoice_series import ENTITY, CreditNoteIssued, series_of
from domain.money import Money

TRIES: Final = 10
WAIT_S: Final = 10
"""How long a decision waits for another one."""

T = TypeVar("T")


class Receivables:
    """Decides on fresh state; a decision overtaken by another is made again.

    Each method raises Busy when another process decides for long.
    """

    def __init__(
        self,
        *,
        log: EventLog,
        register: InvoiceRegister,
        locks: Locks,
        clock: Clock,
        entity: str = ENTITY,
    ) -> None:
        self._log = log
        self._locks = locks
        self._register = register
        self._clock = clock
        self._entity = entity

    def pay(self, name: str, *, reference: str = "") -> IssuedInvoice:
        """The money for an invoice (its id or number) arrived. Raises InvoiceSettled."""
        said = _checked(reference, "reference")

        def attempt(invoice: IssuedInvoice) -> None:
            identity = parse_id("inv", invoice.invoice_id)
            self._submit(invoice, pay(identity, self._own_events(invoice), reference=said))

        self._decide(name, attempt)
        return self._register.get(name)

    def void(self, name: str, *, reason: str) -> IssuedInvoice:
        """The document holds no longer. Raises InvoiceSettled, also when it was credited."""
        said = _checked(reason, "reason")

        def attempt(invoice: IssuedInvoice) -> None:
            if self._register.credit_notes(invoice.invoice_id):
                raise InvoiceSettled(f"{invoice.number} has a credit note: credit the rest of it")
            identity = parse_id("inv", invoice.invoice_id)
            self._submit(invoice, void(identity, self._own_events(invoice), reason=said))

        self._decide(name, attempt)
        return self._register.get(name)

    def credit(
        self,
        name: str,
        *,
        reason: str,
        amount: Money | None = None,
        amounts: Mapping[int, Money] | None = None,
    ) -> CreditNote:
        """Give back an amount, amounts of lines, or all that is left (`credit_of`).

        Raises InvoiceSettled for a voided invoice, NothingToCredit, BadValue.
        """
        said = _checked(reason, "reason")
        if not said:
            raise BadValue("a credit note is issued for a reason", param="reason")

        def attempt(invoice: IssuedInvoice) -> str:
            if invoice.status == "void":
                raise InvoiceSettled(f"{invoice.number} is void: nothing is owed on it")
            issued, _ = self._register.issued(invoice)
            notes = self._register.credit_notes(invoice.invoice_id)
            series = series_of(
                entity=self._entity, year=self._clock.now().year, sandbox=invoice.sandbox
            )
            version = self._register.next_version(series)
            credit = credit_of(
                issued, [note.event for note in notes], amount=amount, amounts=amounts
            )
            number = series.number(version)
            self._submit(
                invoice,
                CreditNoteIssued(
                    originator_id=series.stream,
                    originator_version=version,
                    number=number,
                    invoice_id=invoice.invoice_id,
                    account_id=invoice.account_id,
                    sandbox=invoice.sandbox,
                    currency=issued.currency,
                    reason=said,
                    lines=credit.lines,
                    subtotal=str(credit.subtotal),
                    tax=str(credit.tax),
                    total=str(credit.total),
                    tax_rate=issued.tax_rate,
                ),
            )
            return number

        return self._register.credit_note(self._decide(name, attempt))

    def _decide(self, name: str, attempt: Callable[[IssuedInvoice], T]) -> T:
        with held(self._locks, SETTLING, wait_s=WAIT_S):
            return self._decided(name, attempt)

    def _decided(self, name: str, attempt: Callable[[IssuedInvoice], T]) -> T:
        for last in (False,) * (TRIES - 1) + (True,):
            self._register.catch_up()
            try:
                result = attempt(self._register.get(name))
            except Conflict:
                if last:
                    raise
            else:
                self._register.catch_up()
                return result
        raise AssertionError("unreachable")

    def _own_events(self, invoice: IssuedInvoice) -> list[PlainEvent]:
        stream = self._log.stream(parse_id("inv", invoice.invoice_id))
        return [event for event in map(decode, stream) if isinstance(event, PlainEvent)]

    def _submit(self, invoice: IssuedInvoice, event: PlainEvent) -> None:
        self._log.submit(event, account_id=invoice.account_id).result()


def _checked(text: str, param: str) -> str:
    said = text.strip()
    if len(said) > REASON_CHARS_MAX or not said.isprintable():
        raise BadValue(f"{param} is one line of at most {REASON_CHARS_MAX} characters", param=param)
    return said
