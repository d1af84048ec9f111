"""A store of lines that fails on request."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from threading import Event

from domain.eventlog.lines import Key
from domain.eventlog.memory import MemoryStore
from domain.eventlog.port import Recorded
from domain.seal import Frontier


class FaultyStore(MemoryStore):
    """Raises `before` instead of writing and `after` although it wrote, once each.

    While `gate` is closed a write waits; `entered` tells that one has begun.
    """

    def __init__(self) -> None:
        super().__init__("st_1")
        self.before: BaseException | None = None
        self.after: BaseException | None = None
        self.unreadable: BaseException | None = None
        self.blind: BaseException | None = None
        self.gate = Event()
        self.gate.set()
        self.entered = Event()
        self.batches: list[int] = []
        self.instead: Callable[[], None] | None = None

    def write(self, rows: Sequence[Recorded], *, sealed: Frontier | None) -> None:
        self.entered.set()
        self.gate.wait()
        if self.instead is not None:
            instead, self.instead = self.instead, None
            instead()
        if self.before is not None:
            error, self.before = self.before, None
            raise error
        super().write(rows, sealed=sealed)
        self.batches.append(len(rows))
        if self.after is not None:
            error, self.after = self.after, None
            raise error

    def hold(self) -> None:
        """The next write waits for `gate`."""
        self.entered.clear()
        self.gate.clear()

    def stored_head(self) -> int:
        self._may_be_read()
        return super().stored_head()

    def at(self, seq: int) -> Recorded | None:
        self._may_be_read()
        return super().at(seq)

    def read(
        self, *, after: int, limit: int, streams: Collection[str] | None
    ) -> Sequence[Recorded]:
        self._may_be_read()
        return super().read(after=after, limit=limit, streams=streams)

    def taken(self, keys: Collection[Key]) -> Collection[Key]:
        if self.blind is not None:
            raise self.blind
        return super().taken(keys)

    def _may_be_read(self) -> None:
        if self.unreadable is not None:
            raise self.unreadable
