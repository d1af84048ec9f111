"""`python -m tests.workers.group_process STORE TABLES BOOTSTRAP TOPIC MEMBER`: one of a group.

It projects the world of the tests until it is killed. SIGTERM lets it leave in order.
"""

from __future__ import annotations

import signal
import sys
import threading

from domain.clock import SystemClock
from domain.eventlog.feed import Feed, OnPartitions
from domain.eventlog.postgres import open_postgres_log
from projections.group import GroupTables
from projections.store.clickhouse import open_server
from tests.domain.eventlog.brokers import KafkaBroker
from tests.projections.world import World
from workers.loop import Worker
from workers.project_group import ProjectGroup

GROUP = "projectors"
PARTITIONS = 4


def main(store: str, tables: str, bootstrap: str, topic: str, member: str) -> None:
    clock = SystemClock()
    log = open_postgres_log(store, clock=clock)
    broker = KafkaBroker(bootstrap, topic, partitions=PARTITIONS)

    def join(*, on_assigned: OnPartitions, on_revoked: OnPartitions) -> Feed:
        return broker.feed(GROUP, member, on_assigned=on_assigned, on_revoked=on_revoked)

    group = ProjectGroup(
        join,
        GroupTables(
            log=log,
            store=open_server(tables),
            books=World().books,
            follow_books=lambda: None,
            clock=clock,
        ),
        clock=clock,
        # Small, so that many are under way when something dies.
        batch_max=40,
        linger_s=0.05,
        poll_s=0.05,
    )
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    worker = Worker("project", group, on_change=lambda state: print(state, flush=True))
    worker.start()
    ended.wait()
    worker.stop()
    group.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
