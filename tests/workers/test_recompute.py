"""Invoices made anew from the log alone: they agree, and a false one is found out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.events.codec import decode
from domain.invoice import Period
from domain.invoice_register import InvoiceRegister
from domain.invoice_series import InvoiceIssued
from projections.recompute import Recomputed, recompute
from projections.store.port import ProjectionStore
from tests.workers.office import DECEMBER, NOVEMBER, Office

YEARS = Period(datetime(2026, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))


@pytest.fixture
def office(tables: ProjectionStore) -> Office:
    """Two months of two accounts, with every kind of ending and of later change, both closed."""
    office = Office(tables)
    world = office.world
    ours, theirs = world.open_account("ours", tax="0.19"), world.open_account("theirs")
    for account in (ours, theirs):
        world.call(account, usage={"input_tokens": 40_001, "output_tokens": 7})
        world.call(account, provider="sandbox", model="echo")
        world.estimated(world.routed(account), account, input_tokens=50, output_tokens=9)
        world.failed(world.routed(account), account, "rate_limited")
    settled = world.call(ours)
    world.corrected(settled, ours, input_tokens=30, output_tokens=3)
    again, unpriced = world.call(ours), world.call(ours, model="new-x")
    lost = world.routed(theirs)
    world.failed(lost, theirs)
    office.go_to(NOVEMBER.end)
    office.close(NOVEMBER)
    world.corrected(again, ours, input_tokens=300_000, output_tokens=20)
    world.rerated(unpriced, ours)
    world.corrected(settled, ours, version=4, input_tokens=30, output_tokens=3)
    world.corrected(lost, theirs, input_tokens=1000, output_tokens=100)
    world.call(ours)
    office.go_to(DECEMBER.end)
    office.close(DECEMBER)
    # What comes after the last cutoff changes no document that was issued.
    world.corrected(again, ours, version=4, input_tokens=1, output_tokens=1)
    return office


def of(office: Office, period: Period, **given: Any) -> Recomputed:
    world = office.world
    return recompute(world.log, world.books, InvoiceRegister(world.log), period, **given)


def test_every_digit_agrees(office: Office) -> None:
    done = of(office, YEARS)
    assert done.differences == []
    assert len(done.invoices) == 6
    assert len(of(office, NOVEMBER).invoices) == 4
    account = office.register.all()[0].account_id
    chosen = of(office, DECEMBER, account_id=account)
    assert (len(chosen.invoices), chosen.differences) == (1, [])


@pytest.mark.parametrize("field", ["fee_usd_exact", "carried_in", "subtotal", "total"])
def test_a_false_figure_is_named(
    office: Office, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    register = InvoiceRegister(office.world.log)
    register.catch_up()
    first = register.all()[0]
    event, at = register.issued(first)
    changed: dict[str, Any] = {field: "7.5"}

    def falsified(self: InvoiceRegister, invoice: Any) -> tuple[InvoiceIssued, str]:
        if invoice != first:
            return _issued(self, invoice)
        return replace(event, **changed), at

    _issued = InvoiceRegister.issued
    monkeypatch.setattr(InvoiceRegister, "issued", falsified)
    (found,) = of(office, NOVEMBER).differences
    assert found.startswith(f"{first.number}: {field} is 7.5, the log gives ")


def test_a_false_line_is_named(office: Office) -> None:
    """An invoice that was written with one call too many."""
    world = office.world
    issued = [
        decode(row)
        for row in world.log.read(after=0, limit=1000, streams={"invoice"})
        if row.topic == "invoice.issued"
    ]
    last = issued[-1]
    assert isinstance(last, InvoiceIssued)
    line = {**last.lines[0], "requests": 99}
    false = replace(
        last,
        originator_version=last.originator_version + 1,
        number=last.number[:-6] + f"{last.originator_version + 1:06d}",
        invoice_id="inv_" + "0" * 32,
        start="2027-02-01T00:00:00.000000Z",
        end="2027-03-01T00:00:00.000000Z",
        cutoff={"store-1": world.log.head()},
        lines=[line],
    )
    world.append(false, account=last.account_id)
    february = Period(datetime(2027, 2, 1, tzinfo=UTC), datetime(2027, 3, 1, tzinfo=UTC))
    found = of(office, february).differences
    # Which account comes last is chance: the log has an adjustment for one of them, or no line.
    assert any("is 99, the log gives" in each or "decides otherwise" in each for each in found)
    assert of(office, DECEMBER).differences == []
