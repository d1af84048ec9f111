"""An event log that lives as long as the process: for tests and for trying things out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from domain.clock import Clock
from domain.eventlog.lines import Key, OwnedTail, StoreFailure, Taken
from domain.eventlog.log import StoredLog
from domain.eventlog.port import LogReader, Recorded
from domain.events.base import JsonObject
from domain.events.requests import ROUTED_VERSION, TERMINAL_VERSION
from domain.seal import Frontier


def open_memory_log(*, store_id: str = "memory", clock: Clock) -> StoredLog:
    """An empty log."""
    return StoredLog(MemoryStore(store_id), store_id=store_id, clock=clock)


class MemoryStore(OwnedTail):
    """Lines in a list. One thread writes; readers see a row only once `head` covers it."""

    def __init__(self, store_id: str = "memory") -> None:
        super().__init__()
        self._store_id = store_id
        self._rows: list[Recorded] = []
        self._streams: dict[UUID, dict[int, Recorded]] = {}
        self._open: dict[UUID, None] = {}

    @property
    def store_id(self) -> str:
        return self._store_id

    def write(self, rows: Sequence[Recorded], *, sealed: Frontier | None) -> None:
        if rows[0].seq != len(self._rows) + 1:
            raise StoreFailure("the next seq is another one")
        fresh: set[tuple[UUID, int]] = set()
        for row in rows:
            key = (row.originator_id, row.originator_version)
            if key in fresh or self.taken([key]):
                raise Taken
            fresh.add(key)
        for row in rows:
            self._streams.setdefault(row.originator_id, {})[row.originator_version] = row
            if row.topic.startswith("request."):
                if row.originator_version == ROUTED_VERSION:
                    self._open[row.originator_id] = None
                elif row.originator_version == TERMINAL_VERSION:
                    self._open.pop(row.originator_id, None)
        self._rows += rows

    def stored_head(self) -> int:
        return len(self._rows)

    def at(self, seq: int) -> Recorded | None:
        return self._rows[seq - 1] if 0 < seq <= len(self._rows) else None

    def last(self) -> Recorded | None:
        return self._rows[-1] if self._rows else None

    def taken(self, keys: Collection[Key]) -> Collection[Key]:
        return [key for key in keys if key[1] in self._streams.get(key[0], {})]

    def stream(self, originator_id: UUID) -> Sequence[Recorded]:
        versions = dict(self._streams.get(originator_id, {}))
        return [versions[version] for version in sorted(versions)]

    def read(
        self, *, after: int, limit: int, streams: Collection[str] | None
    ) -> Sequence[Recorded]:
        if streams is None:
            return self._rows[after : after + limit]
        wanted = (row for row in self._rows[after:] if row.topic.split(".")[0] in streams)
        return [row for row, _ in zip(wanted, range(limit), strict=False)]

    def open_requests(self) -> Sequence[UUID]:
        return list(self._open)

    def earlier(self) -> Sequence[LogReader]:
        return []

    def continues(self) -> JsonObject | None:
        return None

    def sealed(self) -> Frontier:
        return Frontier()

    def hashes(self, *, after: int) -> Iterable[tuple[int, bytes]]:
        for row in self._rows[after:]:
            yield row.seq, bytes.fromhex(row.hash)

    def close(self) -> None:
        """Nothing is held; what was written can still be read."""
