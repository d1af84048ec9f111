"""Billing goes on over a restored backup, whose log continues another store."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from domain.directory import Directory
from domain.eventlog.export import export_events
from domain.eventlog.sqlite import SQLiteLog, begin_new_store, open_sqlite_log
from domain.invoice import Period
from domain.invoice_register import InvoiceRegister
from projections.drift import drift
from projections.projector import AnotherLog, Projector
from projections.rebuild import facts
from projections.recompute import recompute
from projections.replay import differences, live_state, replayed_state
from projections.store.port import ProjectionStore
from tests.projections.world import World
from tests.recompute.recompute import Trail
from tests.recompute.recompute import recompute as recomputed_outside
from tests.workers.office import DECEMBER, NOVEMBER, Office, assert_adds_up


def opened(world: World, path: Path) -> SQLiteLog:
    log = open_sqlite_log(path, clock=world.clock)
    world.log = log
    return log


def test_a_restored_log_is_billed_on(tables: ProjectionStore, tmp_path: Path) -> None:
    path, world = tmp_path / "events.sqlite", World()
    log = opened(world, path)
    before = Office(tables, world)
    account = world.open_account("a")
    for _ in range(20):
        world.call(account)
    corrected = world.call(account)
    before.go_to(NOVEMBER.end)
    (november,) = before.close(NOVEMBER)
    world.tick(days=1)
    running, first = world.routed(account), log.store_id
    log.close()

    begin_new_store(path, store_id="store-2")
    log = opened(world, path)
    try:
        log.opened(epoch="epoch-2", program="keytoll test").result()
        after = Office(tables, world)
        after.projector.start()
        assert after.projector.reached() == {"store-2": 0}
        # What ran when the backup was made ends in the new store; so does a late correction.
        world.reported(running, account, input_tokens=10, output_tokens=1)
        world.corrected(corrected, account, input_tokens=300_000, output_tokens=20)
        after.go_to(DECEMBER.end)
        (again,) = after.close(NOVEMBER)
        assert again == november
        (december,) = after.close(DECEMBER)
        assert_adds_up(december)
        assert december["cutoff"].keys() == december["merkle"].keys() == {first, "store-2"}
        ended = log.earlier()[0].head()
        assert december["cutoff"][first] == december["merkle"][first]["size"] == ended
        assert december["number"] == "KT-2027-000001"
        assert december["carried_in"] == november["carried_out"]
        kinds = {line["kind"]: line for line in december["lines"]}
        assert kinds["usage"]["requests"] == 1
        assert Decimal(kinds["adjustment"]["fee_usd"]) == Decimal("0.02999")
        for period, invoice in ((NOVEMBER, november), (DECEMBER, december)):
            assert after.report(period, account)["totals"]["fee_usd"] == invoice["fee_usd_exact"]
        own = recompute(log, world.books, after.register, Period(NOVEMBER.start, DECEMBER.end))
        assert (len(own.invoices), own.differences) == (2, [])
        trail = Trail([line.rstrip(b"\n") for line in export_events(log)], world.full_book.lines())
        for invoice in (november, december):
            assert recomputed_outside(trail, invoice) == []
        directory, register = Directory(log), InvoiceRegister(log)
        _, live = live_state(log, after.projector, directory, register)
        assert list(differences(replayed_state(log, world.books), live)) == []
        until = after.projector.catch_up()
        assert drift(log=log, store=tables, books=world.books, until=until) == []
        whole = facts(tables, until=after.projector.reached())
        for table in ("log_lines", "request_lines", "closed_periods"):
            tables.command(f"TRUNCATE TABLE $db.{table}")
        from_nothing = Projector(log=log, store=tables, books=world.books, batch_events_max=9)
        from_nothing.catch_up()
        assert facts(tables, until=from_nothing.reached()) == whole
    finally:
        log.close()


def test_tables_that_went_on_after_the_backup_are_refused(
    tables: ProjectionStore, tmp_path: Path
) -> None:
    path, world = tmp_path / "events.sqlite", World()
    log = opened(world, path)
    world.call(world.open_account("a"))
    log.close()
    kept = path.read_bytes()
    log = opened(world, path)
    world.call(world.open_account("b"))
    Projector(log=log, store=tables, books=world.books).catch_up()
    log.close()
    path.write_bytes(kept)
    begin_new_store(path)
    log = opened(world, path)
    try:
        with pytest.raises(AnotherLog):
            Projector(log=log, store=tables, books=world.books).start()
    finally:
        log.close()
