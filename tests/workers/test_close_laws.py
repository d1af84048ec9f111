"""Laws of billing over random months: each call once, exactly, whatever happens when."""

from __future__ import annotations

import random
from datetime import timedelta
from decimal import ROUND_UP, Decimal, localcontext
from uuid import UUID

import pytest

from domain.events.codec import decode
from domain.invoice import Period
from projections.rows import fold
from projections.store.port import ProjectionStore
from tests.projections.world import START
from tests.workers.office import Office, assert_adds_up, total

MODELS = (("openai", "gpt-x"), ("anthropic", "claude-x"), ("openai", "new-x"))


class Chaos:
    """Calls, failures, corrections and re-ratings of one account, in a random order."""

    def __init__(self, office: Office, seed: int) -> None:
        self.world = office.world
        self.random = random.Random(seed)
        self.account = self.world.open_account("a")
        self.ended: dict[UUID, int] = {}
        self.running: list[UUID] = []

    def live(self, hours: int) -> None:
        for _ in range(hours):
            self.random.choice((self.begin, self.end, self.end, self.change))()
            self.world.tick(minutes=60)

    def settle(self) -> None:
        while self.running:
            self.end()

    def begin(self) -> None:
        provider, model = self.random.choice(MODELS)
        self.running.append(self.world.routed(self.account, provider=provider, model=model))

    def end(self) -> None:
        if not self.running:
            return self.begin()
        request = self.running.pop(self.random.randrange(len(self.running)))
        kind = self.random.choice(("reported", "estimated", "failed"))
        if kind == "reported":
            self.world.reported(request, self.account, **self.usage())
        elif kind == "estimated":
            self.world.estimated(request, self.account, **self.usage())
        else:
            self.world.failed(request, self.account)
        self.ended[request] = 2
        return None

    def change(self) -> None:
        if not self.ended:
            return self.begin()
        request = self.random.choice(list(self.ended))
        self.ended[request] = version = self.ended[request] + 1
        if self.random.random() < 0.5:
            self.world.rerated(request, self.account, version=version)
        else:
            self.world.corrected(request, self.account, version=version, **self.usage())
        return None

    def usage(self) -> dict[str, int]:
        return {
            "input_tokens": self.random.randrange(500_000),
            "output_tokens": self.random.randrange(50_000),
        }

    def exact(self) -> tuple[Decimal, int]:
        """The fees and the number of all calls that used anything, straight from the log."""
        fees, count = Decimal(0), 0
        for request in self.ended:
            stream = self.world.log.stream(request)
            state = fold((each, decode(each)) for each in stream)
            assert state is not None
            rated = state.rated(self.world.books)
            if rated is not None:
                count += 1
                fees += rated.fee.usd if rated.fee is not None else 0
        return fees, count


def test_the_ambient_decimal_context_changes_nothing(tables: ProjectionStore) -> None:
    office = Office(tables)
    chaos = Chaos(office, 99)
    chaos.live(25)
    chaos.settle()
    office.world.tick()
    period = Period(START, office.world.clock.now())
    with localcontext() as context:
        context.prec = 5
        context.rounding = ROUND_UP
        report = office.report(period, chaos.account, group_by="model")
        (invoice,) = office.close(period)
    fees, _ = chaos.exact()
    assert Decimal(invoice["fee_usd_exact"]) == Decimal(report["totals"]["fee_usd"]) == fees
    assert_adds_up(invoice)


@pytest.mark.parametrize("seed", range(3))
def test_everything_is_billed_once_and_reports_equal_invoices(
    tables: ProjectionStore, seed: int
) -> None:
    office = Office(tables)
    chaos = Chaos(office, seed)
    start, invoices, periods = START, [], []
    for hours in (30, 1, 50, 20):
        chaos.live(hours)
        chaos.settle()
        office.world.tick()
        end = office.world.clock.now()
        period = Period(start, end)
        start = end
        if chaos.random.random() < 0.7:
            chaos.change()
        found = office.close(period)
        periods += [period] * len(found)
        invoices += found
    # One more document takes in what changed last.
    chaos.begin()
    chaos.settle()
    office.world.tick()
    last = Period(start, office.world.clock.now())
    invoices += office.close(last)
    periods.append(last)

    for period, invoice in zip(periods, invoices, strict=True):
        assert_adds_up(invoice)
        report = office.report(period, chaos.account, group_by="model,status,usage_source")
        assert report["totals"]["fee_usd"] == invoice["fee_usd_exact"]
        for unit in ("input_tokens", "output_tokens"):
            lines = sum(line[unit] or 0 for line in invoice["lines"])
            assert report["totals"][unit] == lines
        assert total(report["rows"], "fee_usd") == Decimal(invoice["fee_usd_exact"])
    fees, count = chaos.exact()
    assert sum((Decimal(each["fee_usd_exact"]) for each in invoices), Decimal(0)) == fees
    assert sum(line["requests"] for each in invoices for line in each["lines"]) == count
    whole = office.report(Period(START, start + timedelta(days=400)), chaos.account)
    assert Decimal(whole["totals"]["fee_usd"]) == fees
    assert whole["totals"]["requests"] - whole["totals"]["failed_requests"] == count
    billed = sum((Decimal(each["subtotal"]) for each in invoices), Decimal(0))
    assert billed + Decimal(invoices[-1]["carried_out"]) == fees
