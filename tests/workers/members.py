"""Members of a projecting group over a broker and tables, driven step by step."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, NoReturn

from domain.clock import SystemClock
from domain.eventlog.memory_feed import MemoryBroker, MemoryFeed
from domain.eventlog.port import Recorded
from projections.group import GroupTables
from projections.migrate import prepare
from projections.store.port import ProjectionStore
from tests.projections.world import World
from workers.loop import INFRASTRUCTURE
from workers.project_group import ProjectGroup

GROUP: Final = "keytoll-projections"
PATIENCE_S: Final = 20.0


class Members:
    """A world whose log is published, and who projects it."""

    def __init__(self, world: World, store: ProjectionStore, *, partitions: int = 3) -> None:
        prepare(store)
        self.world = world
        self.store = store
        self.broker = MemoryBroker(partitions=partitions)
        self.feeds: dict[str, MemoryFeed] = {}
        self.all: list[ProjectGroup] = []
        self.published = 0
        self.letters: list[str] = []

    def publish(self) -> None:
        """What a relay does."""
        events = list(self.world.log.read(after=self.published, limit=100_000))
        if events:
            self.broker.sink().publish(events)
            self.published = events[-1].seq

    def join(self, name: str, **given: Any) -> ProjectGroup:
        """A member, which begins with its first step."""

        def open_feed(**callbacks: Any) -> MemoryFeed:
            self.feeds[name] = self.broker.feed(GROUP, name, **callbacks)
            return self.feeds[name]

        settings = {"poll_s": 0.005, "linger_s": 0.0, "join_s": 0.2, "clock": SystemClock()}
        tables = self.tables(given.pop("store", self.store), **given.pop("tables", {}))
        self.all.append(ProjectGroup(open_feed, tables, **{**settings, **given}))
        return self.all[-1]

    def tables(self, store: Any, **given: Any) -> GroupTables:
        settings = {
            "log": self.world.log,
            "books": self.world.books,
            "follow_books": lambda: None,
            "clock": self.world.clock,
            "on_dead_letter": self._heard,
        }
        return GroupTables(store=store, **{**settings, **given})

    def committed(self) -> int:
        """The sum of the group's offsets."""
        group = self.broker.groups.get(GROUP)
        return sum(group.committed.values()) if group else 0

    def holds(self, name: str) -> bool:
        """The member was given partitions."""
        return name in self.feeds and bool(self.feeds[name].assigned())

    def behind(self) -> bool:
        """Something was published that the group has not committed."""
        ends = self.broker.scan().ends()
        known = self.broker.groups[GROUP].committed if GROUP in self.broker.groups else {}
        return any(known.get(at, 0) < end for at, end in ends.items())

    def settle(self, *members: ProjectGroup) -> None:
        """Step until everything that was published is committed."""
        self.until(lambda: not self.behind(), *members)

    def until(self, true: Callable[[], bool], *members: ProjectGroup) -> None:
        """Step until something is so; what passes by itself is waited for."""
        end_s = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < end_s, "it never came to this"
            for member in members or self.all:
                try:
                    member()
                except INFRASTRUCTURE:
                    continue

    @staticmethod
    def steps(member: ProjectGroup) -> NoReturn:
        """Step until it raises."""
        while True:
            member()

    def close(self) -> None:
        for member in self.all:
            member.close()

    def _heard(self, recorded: Recorded, why: str) -> None:
        self.letters.append(f"{recorded.seq} {why}")
