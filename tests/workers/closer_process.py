"""`python -m tests.workers.closer_process TABLES LOCKS STORE…`: closes November until it is closed.

LOCKS is `shared`, or `none` for a closer that knows of no other. It says `done` in the end.
"""

from __future__ import annotations

import sys
from datetime import timedelta

from domain.clock import FixedClock, SystemClock
from domain.coordination.memory import MemoryLocks
from domain.coordination.port import Busy, Locks
from domain.coordination.postgres import PostgresLocks
from domain.eventlog.port import Conflict
from domain.eventlog.postgres import open_postgres_log
from domain.eventlog.several import SeveralLogs
from domain.invoice_register import InvoiceRegister
from projections.invoicing import CannotClose
from projections.projected import Watch
from projections.store.clickhouse import open_server
from tests.workers.office import NOVEMBER
from workers.close import Closer


def main(tables: str, kind: str, *stores: str) -> None:
    clock = FixedClock(NOVEMBER.end + timedelta(hours=2))
    log = SeveralLogs([open_postgres_log(each, clock=clock) for each in stores])
    locks: Locks = PostgresLocks(stores[0]) if kind == "shared" else MemoryLocks()
    closer = Closer(
        log=log,
        projected=Watch(log=log, store=open_server(tables), clock=SystemClock()),
        register=InvoiceRegister(log),
        seal=lambda: log.seal().result(),
        locks=locks,
        clock=clock,
    )
    while True:
        try:
            closed = closer.close(NOVEMBER)
        except (Busy, CannotClose, Conflict) as error:
            print(error, flush=True)
            continue
        if not closed.refused:
            print("done", flush=True)
            return
        print(closed.refused, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
