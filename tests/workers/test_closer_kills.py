"""Closers in processes of their own, over two stores, killed while they issue invoices."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import cast

import pytest

from domain.eventlog.log import StoredLog
from domain.eventlog.postgres import open_postgres_log
from domain.eventlog.several import SeveralLogs
from domain.invoice_register import InvoiceRegister
from domain.repository import Repository
from projections.drift import drift
from projections.invoicing import load_account
from projections.migrate import prepare
from projections.projector import Projector
from projections.recompute import recompute
from projections.store.clickhouse import open_server
from tests.projections.world import World
from tests.services.fixtures import fresh_database
from tests.workers.office import NOVEMBER

pytestmark = pytest.mark.services
ROOT = Path(__file__).parents[2]
ACCOUNTS = 24
KILLS = 6


@pytest.mark.parametrize("locks", ["none", "shared"])
def test_numbers_have_no_gap_and_nothing_is_issued_twice(
    locks: str, postgres_dsn: str, postgres_server: str, clickhouse_dsn: str, tmp_path: Path
) -> None:
    chance, world = random.Random(locks), World()
    with fresh_database(postgres_server) as other_dsn:
        first = open_postgres_log(postgres_dsn, store_id="store-1", clock=world.clock)
        world.log = first
        accounts = [world.open_account(f"early {n}") for n in range(ACCOUNTS // 2)]
        second = open_postgres_log(other_dsn, store_id="store-2", clock=world.clock)
        log = SeveralLogs([first, second])
        world.log = cast("StoredLog", log)
        accounts += [world.open_account(f"late {n}") for n in range(ACCOUNTS // 2)]
        for number, account in enumerate(accounts):
            world.call(account, usage={"input_tokens": 12_345 + number})
        store = open_server(clickhouse_dsn)
        prepare(store)
        projector = Projector(log=log, store=store, books=world.books)
        ended = threading.Event()
        following = threading.Thread(target=follow, args=(projector, ended))
        following.start()
        words = (clickhouse_dsn, locks, postgres_dsn, other_dsn)
        try:
            said = [tmp_path / f"closer-{n}.txt" for n in range(3)]
            closers = [start(words, each) for each in said]
            register = InvoiceRegister(log)
            for _ in range(KILLS):
                before = issued(register)
                if before == ACCOUNTS:
                    break
                until_more(register, than=before)
                time.sleep(chance.random() * 0.05)
                place = chance.randrange(len(closers))
                closers[place].kill()
                closers[place].wait()
                closers[place] = start(words, said[place])
            for closer in closers:
                assert closer.wait(120) == 0
            check(log, world, accounts)
            until = projector.catch_up()
            assert not drift(log=log, store=store, books=world.books, until=until)
        finally:
            for closer in closers:
                closer.kill()
                closer.wait()
            ended.set()
            following.join(30)
            store.close()
            log.close()


def check(log: SeveralLogs, world: World, accounts: list[str]) -> None:
    register = InvoiceRegister(log)
    register.catch_up()
    invoices = register.all()
    assert [each.number for each in invoices] == [
        f"KT-2026-{number:06d}" for number in range(1, ACCOUNTS + 1)
    ]
    assert sorted(each.account_id for each in invoices) == sorted(accounts)
    for invoice in invoices:
        account = load_account(Repository(log), invoice.account_id)
        assert account.carried == {invoice.invoice_id}
        assert account.remainder(sandbox=False) == register.issued(invoice)[0].carried_out
    made = recompute(log, world.books, register, NOVEMBER)
    assert (len(made.invoices), made.differences) == (ACCOUNTS, [])


def start(words: tuple[str, ...], said: Path) -> subprocess.Popen[str]:
    with said.open("a") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.workers.closer_process", *words],
            cwd=ROOT,
            text=True,
            stdout=file,
            stderr=file,
        )


def follow(projector: Projector, ended: threading.Event) -> None:
    while not ended.is_set():
        if not projector.step():
            ended.wait(0.05)


def issued(register: InvoiceRegister) -> int:
    register.catch_up()
    return len(register.all())


def until_more(register: InvoiceRegister, *, than: int) -> None:
    end_s = time.monotonic() + 60
    while issued(register) <= than:
        assert time.monotonic() < end_s
        time.sleep(0.01)
