"""Faults that a program could have, planted on purpose: a harness that cannot fail is worthless.

Each replaces a piece of the program by one that is wrong in the way that its name says, now and
then. tests/torture/test_planted.py shows that the verdict names each of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any, Final

EVERY: Final = 5
"""Each fifth time."""


def _now_and_then() -> Callable[[], bool]:
    turns = count(1)
    return lambda: next(turns) % EVERY == 0


def two_terminal_events() -> None:
    """A proxy ends a call a second time, as the next version."""
    from api.chat.settle import Settlement  # noqa: PLC0415

    inner, due = Settlement.store, _now_and_then()

    async def store(self: Settlement, event: Any) -> bool:
        stored = await inner(self, event)
        if event.originator_version == 2 and due():
            await inner(self, replace(event, originator_version=3))
        return stored

    Settlement.store = store  # type: ignore[method-assign]


def terminal_event_forgotten() -> None:
    """A proxy answers before the ending is durable, and then forgets to write it."""
    from api.chat.settle import Settlement  # noqa: PLC0415

    inner, due = Settlement.store, _now_and_then()

    async def store(self: Settlement, event: Any) -> bool:
        return True if due() else await inner(self, event)

    Settlement.store = store  # type: ignore[method-assign]


def counts_doubled() -> None:
    """A proxy counts cached tokens twice."""
    from api.chat.settle import Settlement  # noqa: PLC0415

    inner = Settlement.store

    async def store(self: Settlement, event: Any) -> bool:
        usage = getattr(event, "usage", {})
        if usage.get("cached_input_tokens"):
            more = usage["input_tokens"] + usage["cached_input_tokens"]
            event = replace(event, usage={**usage, "input_tokens": more})
        return await inner(self, event)

    Settlement.store = store  # type: ignore[method-assign]


def sent_before_recorded() -> None:
    """A proxy sends first and records afterwards."""
    from api.chat.attempt import Attempt  # noqa: PLC0415

    inner = Attempt.record
    waiting: set[asyncio.Task[None]] = set()

    async def record(self: Attempt, *args: Any, **named: Any) -> None:
        async def later() -> None:
            await asyncio.sleep(0.4)
            await appended

        appended = inner(self, *args, **named)
        task = asyncio.ensure_future(later())
        waiting.add(task)
        await asyncio.sleep(0)

    Attempt.record = record  # type: ignore[method-assign]


def projector_skips() -> None:
    """A projector loses the last event of a batch now and then."""
    from projections.inserter import Inserter  # noqa: PLC0415

    inner: Any = Inserter.insert
    due = _now_and_then()

    def insert(self: Inserter, events: Any, **named: Any) -> Any:
        return inner(self, events[:-1] if due() and len(events) > 1 else events, **named)

    Inserter.insert = insert  # type: ignore[method-assign]


FAULTS: Final[dict[str, Callable[[], None]]] = {
    "two-terminal-events": two_terminal_events,
    "terminal-event-forgotten": terminal_event_forgotten,
    "counts-doubled": counts_doubled,
    "sent-before-recorded": sent_before_recorded,
    "projector-skips": projector_skips,
}
