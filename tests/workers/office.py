"""Somebody who writes the invoices of a small world."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from domain.coordination.memory import MemoryLocks
from domain.eventlog.port import Recorded
from domain.events.base import JsonObject
from domain.invoice import Period
from domain.invoice_register import InvoiceRegister
from projections.invoicing import Invoices
from projections.projector import Projector
from projections.queries.filters import Filters
from projections.queries.usage import UsageQuestion, groups_of, usage_report
from projections.store.port import ProjectionStore
from tests.projections.world import START, World
from workers.close import Closer

NOVEMBER: Final = Period(START, datetime(2026, 12, 1, tzinfo=UTC))
DECEMBER: Final = Period(datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))


class Office:
    """A world with somebody in it who writes the invoices."""

    def __init__(self, tables: ProjectionStore, world: World | None = None) -> None:
        self.world = world or World()
        self.tables = tables
        self.projector = Projector(log=self.world.log, store=tables, books=self.world.books)
        self.register = InvoiceRegister(self.world.log)
        self.invoices = Invoices(
            log=self.world.log, register=self.register, projected=self.projector
        )
        self.closer = self.another_closer()

    def another_closer(self) -> Closer:
        return Closer(
            log=self.world.log,
            projected=self.projector,
            register=InvoiceRegister(self.world.log),
            seal=self.seal,
            locks=MemoryLocks(),
            clock=self.world.clock,
        )

    def seal(self) -> Sequence[Recorded]:
        return self.world.log.seal().result()

    def go_to(self, instant: datetime) -> None:
        self.world.clock.advance(instant - self.world.clock.now())

    def live_to(self, instant: datetime) -> None:
        """Go there through days on each of which something is recorded."""
        while self.world.clock.now() + timedelta(days=1) < instant:
            self.world.tick(days=1)
            self.seal()
        self.go_to(instant)
        self.seal()

    def close(self, period: Period, **given: Any) -> list[JsonObject]:
        closed = self.closer.close(period, grace_s=0, **given)
        assert not closed.refused
        self.register.catch_up()
        return [self.invoices.show(invoice.invoice_id) for invoice in closed.invoices]

    def report(self, period: Period, account: str, **given: Any) -> JsonObject:
        self.projector.catch_up()
        question = UsageQuestion(
            start=period.start,
            end=period.end,
            group_by=groups_of(given.pop("group_by", "")),
            filters=Filters(account=account, **given),
        )
        return usage_report(self.tables, question, as_of=self.projector.reached())


def total(lines: list[JsonObject], name: str) -> Decimal:
    return sum((Decimal(line[name]) for line in lines if line[name] is not None), Decimal(0))


def assert_adds_up(invoice: JsonObject) -> None:
    lines = invoice["lines"]
    assert total(lines, "fee_usd") == Decimal(invoice["fee_usd_exact"])
    assert total(lines, "amount") == Decimal(invoice["subtotal"])
    due = Decimal(invoice["fee_usd_exact"]) + Decimal(invoice["carried_in"])
    assert due == Decimal(invoice["subtotal"]) + Decimal(invoice["carried_out"])
    assert Decimal(invoice["total"]) == Decimal(invoice["subtotal"]) + Decimal(invoice["tax"])
