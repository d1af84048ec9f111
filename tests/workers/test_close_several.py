"""Closing where accounts live in several stores: one series of numbers, each account its cutoff."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import cast

import pytest

from domain.eventlog.log import StoredLog
from domain.eventlog.memory import open_memory_log
from domain.eventlog.port import Conflict, StoreUnavailable
from domain.eventlog.several import SeveralLogs
from domain.events.codec import decode
from domain.events.store import LogSealed
from domain.invoice import Period
from domain.invoice_register import InvoiceRegister
from domain.invoice_series import InvoiceIssued
from domain.repository import Repository
from projections.drift import drift
from projections.invoicing import CannotClose, load_account
from projections.projected import lag_of
from projections.rebuild import facts
from projections.recompute import recompute
from projections.store.port import ProjectionStore
from tests.projections.world import World
from tests.workers.office import DECEMBER, NOVEMBER, Office, assert_adds_up
from workers.close import Closer


class Town:
    """Two stores, an account in each, and an office for both."""

    def __init__(self, tables: ProjectionStore) -> None:
        self.world = World()
        first = self.world.log
        self.early = self.world.open_account("early")
        second = open_memory_log(store_id="store-2", clock=self.world.clock)
        self.log = SeveralLogs([first, second])
        self.world.log = cast("StoredLog", self.log)
        self.late = self.world.open_account("late")
        self.office = Office(tables, self.world)

    def calls(self, count: int = 1) -> None:
        for _ in range(count):
            self.world.call(self.early, usage={"input_tokens": 12_345})
            self.world.call(self.late, usage={"input_tokens": 54_321})


@pytest.fixture
def town(tables: ProjectionStore) -> Town:
    return Town(tables)


def test_an_invoice_counts_up_to_the_seal_of_its_account_s_home(town: Town) -> None:
    assert (town.log.home(town.early), town.log.home(town.late)) == ("store-1", "store-2")
    town.calls(3)
    town.office.go_to(NOVEMBER.end)
    invoices = town.office.close(NOVEMBER)
    assert [each["number"] for each in invoices] == ["KT-2026-000001", "KT-2026-000002"]
    for invoice in invoices:
        assert_adds_up(invoice)
        home = town.log.home(invoice["account_id"])
        assert list(invoice["cutoff"]) == list(invoice["merkle"]) == [home]
        written = {chain.written.store_id: chain.written for chain in town.log.chains()}
        sealed = written[home].read(after=invoice["cutoff"][home] - 1, limit=1)[0]
        seal = decode(sealed)
        assert isinstance(seal, LogSealed)
        assert invoice["merkle"][home] == {"size": seal.size, "root": seal.root}
    # 3 × 12,345 × 2e-6 × 0.05 and 3 × 54,321 × 2e-6 × 0.05
    fees = {each["account_id"]: each["fee_usd_exact"] for each in invoices}
    assert fees == {town.early: "0.0037035", town.late: "0.0162963"}
    for each in (town.early, town.late):
        assert town.office.report(NOVEMBER, each)["totals"]["fee_usd"] == fees[each]


def test_remainders_are_carried_at_home_and_all_of_it_can_be_recomputed(town: Town) -> None:
    for month in (NOVEMBER, DECEMBER):
        town.calls(2)
        town.office.go_to(month.end)
        town.office.close(month)
        # What ended too late for its month is an adjustment of the next.
    town.calls(1)
    both = Period(NOVEMBER.start, DECEMBER.end)
    issued = town.office.invoices.list(period=both)
    for account in (town.early, town.late):
        december, november = (each for each in issued if each["account_id"] == account)
        assert december["carried_in"] == november["carried_out"] != "0"
        carried = load_account(Repository(town.log), account).remainder(sandbox=False)
        assert carried == december["carried_out"]
    made = recompute(town.log, town.world.books, town.office.register, both)
    assert (len(made.invoices), made.differences) == (4, [])
    until = town.office.projector.catch_up()
    assert until.keys() == {"store-1", "store-2"}
    assert not any(lag_of(town.log, until).values())
    assert not drift(log=town.log, store=town.office.tables, books=town.world.books, until=until)
    assert facts(town.office.tables, until=until)["closed_periods"][0] == 4


def test_a_correction_after_the_close_is_adjusted_in_the_home_of_the_account(town: Town) -> None:
    request = town.world.call(town.late, usage={"input_tokens": 1_000_000})
    town.office.go_to(NOVEMBER.end)
    (november,) = town.office.close(NOVEMBER)
    town.world.tick()
    town.world.corrected(request, town.late, input_tokens=3_000_000)
    town.office.go_to(DECEMBER.end)
    (december,) = town.office.close(DECEMBER)
    (line,) = december["lines"]
    assert (line["kind"], line["adjusts"]) == ("adjustment", november["id"])
    assert Decimal(line["fee_usd"]) == Decimal("0.2")
    made = recompute(
        town.log,
        town.world.books,
        town.office.register,
        Period(NOVEMBER.start, DECEMBER.end),
    )
    assert made.differences == []


def test_who_meets_an_invoice_without_its_remainder_carries_it_over_first(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.calls(1)
    town.office.go_to(NOVEMBER.end)
    town.office.close(NOVEMBER, account_id=town.early)
    submit, died = town.log.submit, threading.Event()

    def dying(*events: object, account_id: str | None) -> object:
        future = submit(*events, account_id=account_id)  # type: ignore[arg-type]
        if account_id == town.late and isinstance(events[0], InvoiceIssued):
            future.result()
            died.set()
            raise StoreUnavailable("the process dies here")
        return future

    with monkeypatch.context() as patched:
        patched.setattr(town.log, "submit", dying)
        with pytest.raises(StoreUnavailable, match="dies here"):
            town.office.closer.close(NOVEMBER, grace_s=0)
    assert died.is_set()
    accounts = Repository(town.log)
    assert load_account(accounts, town.late).remainder(sandbox=False) == "0"

    # The same close again gives the same invoices; the next one begins with what was owed.
    town.calls(1)
    town.office.go_to(DECEMBER.end)
    town.office.closer = town.office.another_closer()
    december = {each["account_id"]: each for each in town.office.close(DECEMBER)}
    november = {each["account_id"]: each for each in town.office.close(NOVEMBER)}
    for account in (town.early, town.late):
        assert december[account]["carried_in"] == november[account]["carried_out"] != "0"
    numbers = sorted(each.number for each in town.office.register.all())
    assert numbers == [f"KT-2026-{n:06d}" for n in (1, 2)] + [f"KT-2027-{n:06d}" for n in (1, 2)]


def test_closers_that_know_nothing_of_each_other_leave_no_gap_and_issue_nothing_twice(
    town: Town,
) -> None:
    accounts = [town.world.open_account(f"more {n}") for n in range(6)]
    for account in (*accounts, town.early, town.late):
        town.world.call(account, usage={"input_tokens": 77_777})
    town.office.go_to(NOVEMBER.end)
    town.office.projector.catch_up()
    closers = [town.office.another_closer() for _ in range(3)]
    errors: list[str] = []

    def close(closer: Closer) -> None:
        for _ in range(20):
            try:
                if not closer.close(NOVEMBER, grace_s=0).refused:
                    return
            except (CannotClose, Conflict) as error:
                errors.append(str(error))
        raise AssertionError(errors)

    threads = [threading.Thread(target=close, args=(closer,)) for closer in closers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    register = InvoiceRegister(town.log)
    register.catch_up()
    assert [each.number for each in register.all()] == [f"KT-2026-{n:06d}" for n in range(1, 9)]
    assert len({each.account_id for each in register.all()}) == 8
    for each in register.all():
        whose = load_account(Repository(town.log), each.account_id)
        assert whose.has_carried(each.invoice_id)
        assert whose.remainder(sandbox=False) == register.issued(each)[0].carried_out


def test_a_store_that_the_tables_lack_keeps_everybody_s_period_open(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.calls(1)
    town.office.go_to(NOVEMBER.end)
    reached = town.office.projector.catch_up()
    monkeypatch.setattr(town.office.projector, "catch_up", lambda: {**reached, "store-1": 99})
    with pytest.raises(CannotClose, match="seal of store-2"):
        town.office.closer.close(NOVEMBER, grace_s=0)


class _Interrupted:
    """Locks whose holder stands still, once, right before it issues its first invoice."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self._meanwhile: Callable[[], object] | None = meanwhile

    def take(self, name: str, *, wait_s: float = 0.0) -> _Interrupted:
        return self

    def still(self) -> bool:
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return True

    def release(self) -> None: ...

    def close(self) -> None: ...


def test_a_closer_that_stood_still_adjusts_nothing_that_another_has_adjusted(town: Town) -> None:
    # A closer without its lock closes another part of the month between draw and issue.
    office, world = town.office, town.world
    request = world.call(town.late, usage={"input_tokens": 1_000_000})
    office.go_to(NOVEMBER.end)
    office.close(NOVEMBER)
    world.tick()
    world.corrected(request, town.late, input_tokens=3_000_000)
    office.go_to(DECEMBER.end)
    middle = DECEMBER.start + timedelta(days=10)
    begin, end = Period(DECEMBER.start, middle), Period(middle, DECEMBER.end)
    zombie = office.another_closer()
    locks = _Interrupted(lambda: zombie.close(begin, account_id=town.late, grace_s=0))
    office.closer = Closer(
        log=town.log,
        projected=office.projector,
        register=InvoiceRegister(town.log),
        seal=office.seal,
        locks=locks,
        clock=world.clock,
    )
    office.close(end, account_id=town.late)
    issued = office.invoices.list(period=DECEMBER)
    lines = [line for invoice in issued for line in invoice["lines"]]
    assert [(line["kind"], line["fee_usd"]) for line in lines] == [("adjustment", "0.2")]
    made = recompute(town.log, world.books, office.register, DECEMBER)
    assert made.differences == []
