"""keytoll with a death, or a fault, built in: `python -m tests.torture.killable serve`.

The environment names the point (TORTURE_POINT), which passage of it is the last
(TORTURE_PASSAGE), for how long the process still lives (TORTURE_DELAY_US), a planted fault
(TORTURE_FAULT), and by how much the process's clock is wrong (TORTURE_SKEW_S). The product knows
nothing of this: it is wrapped from outside.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from importlib import import_module
from random import Random
from typing import Final

from tests.e2e.killable import Death, When, _wrap

Point = tuple[str, str, str, When, int, int]
"""Module, class or "", function, when; last passage and delay in µs are drawn up to these."""

CALLING: Final[dict[str, Point]] = {
    "before-upstream": ("api.providers.http", "Upstream", "send", "before", 60, 0),
    "byte-arrived": ("api.providers.http", "Answer", "__anext__", "after", 600, 0),
    "before-terminal-event": ("api.chat.settle", "Settlement", "store", "before", 60, 0),
    "terminal-event-stored": ("api.chat.settle", "Settlement", "store", "after", 60, 0),
    "before-close": ("api.chat.reply", "Reply", "_body", "before", 300, 0),
}
"""Of whoever serves calls."""
SQLITE: Final[dict[str, Point]] = {
    "during-commit": ("domain.eventlog.sqlite", "SQLiteStore", "write", "before", 80, 3_000),
    "after-commit": ("domain.eventlog.sqlite", "SQLiteStore", "write", "after", 80, 0),
}
INSERTING: Final[dict[str, Point]] = {
    "during-insert": (
        *("projections.store.clickhouse", "_Store", "insert"),
        *("before", 30, 25_000),
    ),
}
PROJECTING: Final[dict[str, Point]] = {
    **INSERTING,
    "batch-projected": ("projections.projector", "Projector", "_project", "after", 10, 0),
}
CLOSING: Final[dict[str, Point]] = {
    "before-invoice": ("workers.close", "Closer", "_append", "before", 3, 0),
    "after-invoice": ("workers.close", "Closer", "_append", "after", 3, 0),
}


POSTGRES: Final[dict[str, Point]] = {
    "during-commit": ("domain.eventlog.postgres", "PostgresStore", "commit", "before", 80, 6_000),
    "after-commit": ("domain.eventlog.postgres", "PostgresStore", "commit", "after", 80, 0),
}
RELAYING: Final[dict[str, Point]] = {
    "before-publish": ("domain.eventlog.kafka", "KafkaSink", "publish", "before", 40, 0),
    "during-publish": ("domain.eventlog.kafka", "KafkaSink", "publish", "before", 40, 8_000),
    "published": ("domain.eventlog.kafka", "KafkaSink", "publish", "after", 40, 0),
    "position-stored": ("workers.relay", "Relay", "_reach", "after", 40, 0),
}
GROUPED: Final[dict[str, Point]] = {
    **INSERTING,
    "inserted": ("projections.inserter", "Inserter", "insert", "after", 20, 0),
    "before-commit": ("domain.eventlog.kafka", "KafkaFeed", "commit", "before", 20, 0),
    "committed": ("domain.eventlog.kafka", "KafkaFeed", "commit", "after", 20, 0),
}
SWEEPING: Final[dict[str, Point]] = dict(POSTGRES)
ROLES: Final[dict[str, dict[str, Point]]] = {
    "proxy": {**CALLING, **POSTGRES},
    "relay": RELAYING,
    "project": GROUPED,
    "sweep": SWEEPING,
    "close": {**CLOSING, **POSTGRES},
}


def arming(points: dict[str, Point], dice: Random, *, chance: float) -> dict[str, str]:
    """What makes the next process die at one of the points, sometimes."""
    if not points or dice.random() > chance:
        return {}
    name = dice.choice(sorted(points))
    module, owner, function, when, passage, delay_us = points[name]
    return {
        "TORTURE_POINT": name,
        "TORTURE_WHERE": " ".join((module, owner or "-", function, when)),
        "TORTURE_PASSAGE": str(dice.randint(1, passage)),
        "TORTURE_DELAY_US": str(dice.randint(0, delay_us)),
    }


def _skew(by: timedelta) -> None:
    """Every instant that the process reads is wrong by so much."""
    from domain.clock import SystemClock  # noqa: PLC0415

    now = SystemClock.now
    SystemClock.now = lambda self: now(self) + by  # type: ignore[method-assign]


def main() -> int:
    """Wrap, plant, and run the program."""
    where = os.environ.pop("TORTURE_WHERE", "")
    if where:
        module, owner, function, when = where.split()
        found = import_module(module)
        death = Death(
            int(os.environ.pop("TORTURE_PASSAGE")), int(os.environ.pop("TORTURE_DELAY_US"))
        )
        target = found if owner == "-" else getattr(found, owner)
        _wrap(target, function, "before" if when == "before" else "after", death)
    skew_s = float(os.environ.pop("TORTURE_SKEW_S", "0"))
    if skew_s:
        _skew(timedelta(seconds=skew_s))
    fault = os.environ.pop("TORTURE_FAULT", "")
    if fault:
        from tests.torture.planted import FAULTS  # noqa: PLC0415

        FAULTS[fault]()
    from keytoll.__main__ import main as keytoll  # noqa: PLC0415

    return keytoll()


if __name__ == "__main__":
    sys.exit(main())
