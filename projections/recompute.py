"""Issued invoices, made anew from the log alone and compared: no table is asked.

The same rules as `queries/invoice_lines.py`, read a second way: request by request, as of a cutoff.
(A third reading, which shares no code with the program, is in tests/recompute.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from domain.clock import parse_instant
from domain.eventlog.history import history
from domain.eventlog.port import EventLog, Recorded, bases_of
from domain.events.base import JsonObject
from domain.events.codec import decode
from domain.events.requests import TERMINAL_VERSION, RequestRouted
from domain.invoice import Period
from domain.invoice_register import InvoiceRegister, IssuedInvoice
from domain.invoice_series import InvoiceIssued
from domain.money import RATE_PLACES, ZERO, Money, decimal_of
from pricing.book import Books
from pricing.invoice import COUNTS, Line, LineKey, bill, key_of
from pricing.request import RatedRequest
from projections.batch import cutoff_position
from projections.rows import RequestState, fold


@dataclass(frozen=True, slots=True)
class Recomputed:
    """What was compared, and each difference as a sentence."""

    invoices: Sequence[str]
    """Numbers, in the order of issue."""
    differences: Sequence[str]


def recompute(
    log: EventLog,
    books: Books,
    register: InvoiceRegister,
    period: Period,
    *,
    account_id: str | None = None,
) -> Recomputed:
    """Compare the invoices whose periods lie within a period with what the log gives."""
    register.catch_up()
    bases = bases_of(log)
    documents = [
        each
        for each in _documents(register, bases, account_id)
        if period.start <= each.invoice.period.start and each.invoice.period.end <= period.end
    ]
    changed = {
        row.originator_id
        for row in history(log, streams={"request"})
        if row.originator_version > TERMINAL_VERSION
    }
    _add_calls(log, books, documents, bases, changed)
    for request in changed:
        recorded = log.stream(request)
        for document in documents:
            document.add_changed(recorded, books, bases)
    found = [difference for each in documents for difference in each.differences()]
    return Recomputed([each.invoice.number for each in documents], found)


@dataclass(slots=True)
class _Document:
    """An invoice being made anew."""

    invoice: IssuedInvoice
    event: InvoiceIssued
    cutoff: int
    """As a position in the log, which counts through all of its stores."""
    earlier: Sequence[_Document]
    """Those issued before to the same account, sandbox or not, in their order."""
    lines: dict[LineKey, Line] = field(default_factory=dict)

    def takes(self, routed: RequestRouted) -> bool:
        """The call is of the same account and kind."""
        same = routed.account_id == self.invoice.account_id
        return same and routed.sandbox == self.invoice.sandbox

    def covers(self, state: RequestState) -> bool:
        """The call ended in the period."""
        period, ended = self.invoice.period, parse_instant(state.terminal_at)
        return period.start <= ended < period.end

    def add(self, rated: RatedRequest) -> None:
        """A call of the period."""
        self._line(key_of(rated)).add(
            requests=1, usage=rated.usage, at_cost=rated.at_cost, fee=rated.fee
        )

    def add_changed(
        self, recorded: Sequence[Recorded], books: Books, bases: Mapping[str, int]
    ) -> None:
        """A call that was corrected or rated again: as it was at the cutoff, or, where its period
        was closed before, what that differs from what was billed."""
        now = _state_at(recorded, bases, self.cutoff)
        rated = None if now is None else now.rated(books)
        if now is None or rated is None or not self.takes(now.routed):
            return
        if self.covers(now):
            self.add(rated)
            return
        closed = next((each for each in self.earlier if each.covers(now)), None)
        if closed is None:
            return
        then = _state_at(recorded, bases, self.earlier[-1].cutoff)
        if then != now:
            self._adjust(closed.invoice, rated, None if then is None else then.rated(books))

    def differences(self) -> Iterator[str]:
        """Where the invoice says something else, a sentence each."""
        before = self.earlier[-1].event.carried_out if self.earlier else "0"
        made = bill(
            (line for line in self.lines.values() if _says_something(line)),
            carried_in=Money.parse(before),
            tax_rate=decimal_of(self.event.tax_rate, places=RATE_PLACES, what="tax_rate"),
        ).as_json()
        said = {_name(line): line for line in self.event.lines}
        found = {_name(line): line for line in made.pop("lines")}
        for name in sorted(said.keys() ^ found.keys()):
            side = "says" if name in said else "lacks"
            yield f"{self.invoice.number} {side} a line that the log decides otherwise: {name}"
        for name in sorted(said.keys() & found.keys()):
            yield from self._unequal(said[name], found[name], f" of {name}")
        yield from self._unequal(vars(self.event), made, "")

    def _unequal(self, said: JsonObject, found: JsonObject, where: str) -> Iterator[str]:
        for name, value in found.items():
            stated = said.get(name)
            # A count that nobody reported and one that was taken back are both nothing.
            if stated != value and not (name in COUNTS and (stated or 0) == (value or 0)):
                yield f"{self.invoice.number}: {name}{where} is {stated}, the log gives {value}"

    def _adjust(self, closed: IssuedInvoice, now: RatedRequest, then: RatedRequest | None) -> None:
        key = replace(
            key_of(now),
            kind="adjustment",
            service_period=str(closed.period),
            adjusts=closed.invoice_id,
        )
        units = now.usage.keys() | (then.usage.keys() if then else set())
        usage = {u: now.usage.get(u, 0) - (then.usage.get(u, 0) if then else 0) for u in units}
        self._line(key).add(
            requests=0 if then else 1,
            usage=usage,
            at_cost=_difference(now.at_cost, then.at_cost if then else None),
            fee=_difference(now.fee, then.fee if then else None),
        )

    def _line(self, key: LineKey) -> Line:
        return self.lines.setdefault(key, Line(key))


def _documents(
    register: InvoiceRegister, bases: Mapping[str, int], account_id: str | None
) -> list[_Document]:
    documents: list[_Document] = []
    for invoice in register.all(account_id=account_id):
        same = (invoice.account_id, invoice.sandbox)
        documents.append(
            _Document(
                invoice,
                register.issued(invoice)[0],
                cutoff_position(invoice.cutoff, bases),
                [d for d in documents if (d.invoice.account_id, d.invoice.sandbox) == same],
            )
        )
    return documents


def _add_calls(
    log: EventLog,
    books: Books,
    documents: Sequence[_Document],
    bases: Mapping[str, int],
    changed: set[UUID],
) -> None:
    """Every call that ended once and for all, to the document of its period."""
    accounts = {each.invoice.account_id for each in documents}
    running: dict[UUID, RequestState] = {}
    for row in history(log, streams={"request"}):
        if row.account_id not in accounts or row.originator_id in changed:
            continue
        event = decode(row)
        if isinstance(event, RequestRouted):
            running[row.originator_id] = RequestState.began(event, row.recorded_at)
            continue
        state = running.pop(row.originator_id).after(event, row.recorded_at)
        rated = state.rated(books)
        if rated is None:
            continue
        for document in documents:
            within = bases[row.store_id] + row.seq <= document.cutoff
            if within and document.takes(state.routed) and document.covers(state):
                document.add(rated)


def _state_at(
    recorded: Sequence[Recorded], bases: Mapping[str, int], position: int
) -> RequestState | None:
    """The state of a request as of a position; None while it had not ended."""
    state = fold(
        (each, decode(each)) for each in recorded if bases[each.store_id] + each.seq <= position
    )
    return state if state is not None and state.terminal_at else None


def _difference(now: Money | None, then: Money | None) -> Money | None:
    if now is None and then is None:
        return None
    return (now or ZERO) - (then or ZERO)


def _says_something(line: Line) -> bool:
    """Where nothing has changed there is nothing to adjust."""
    amounts = (line.at_cost, line.fee)
    changed = any(line.counts.values()) or any(each not in {None, ZERO} for each in amounts)
    return line.key.kind == "usage" or line.requests != 0 or changed


def _name(line: JsonObject) -> str:
    """What tells a line from the others, for people."""
    names = ("kind", "provider", "model", "rule", "reference_provider", "reference_model")
    more = ("markup_rate", "usage_source", "price_rows", "service_period", "adjusts")
    return " ".join(str(line[name]) for name in (*names, *more) if line.get(name) is not None)
