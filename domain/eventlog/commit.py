"""The one writer of a store: a thread that makes whatever has queued up durable in one go.

There is no timer: while one batch is being written the next one gathers. The writer gives each
event its seq, instant and hash, and keeps the Merkle frontier, so a seal costs no reading.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from asyncio import Future as AsyncFuture
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from domain.clock import Clock, instant_text
from domain.eventlog.port import Conflict, CorruptLog, LogReader, Recorded, StoreUnavailable
from domain.events.base import Event, JsonObject
from domain.events.codec import Encoded, encode
from domain.events.store import store_stream
from domain.seal import Frontier, leaf_hash

BATCH_EVENTS_MAX: Final = 1_000
WAITING_MAX: Final = 20_000
"""Appends that may wait; more are refused, because the disk does not keep up."""


class Taken(Exception):
    """A row of the batch exists already; nothing of the batch was stored."""


class StoreFailure(Exception):
    """The database did not take the batch."""


class LineStore(Protocol):
    """What an adapter has to keep. Only the writer's thread calls `write`.

    Whatever reads raises StoreFailure when it cannot, CorruptLog when bytes have changed.
    """

    def write(self, rows: Sequence[Recorded], *, sealed: Frontier | None) -> None:
        """Store all rows or none. `sealed`, if given, may be kept to shorten the next start.

        Raises Taken or StoreFailure.
        """

    def head(self) -> int: ...

    def at(self, seq: int) -> Recorded | None: ...

    def last(self) -> Recorded | None:
        """The latest event, be it of a store that this one continues: time goes on from it."""

    def has(self, originator_id: UUID, originator_version: int) -> bool: ...

    def stream(self, originator_id: UUID) -> Sequence[Recorded]: ...

    def read(
        self, *, after: int, limit: int, streams: Collection[str] | None
    ) -> Sequence[Recorded]: ...

    def open_requests(self) -> Sequence[UUID]: ...

    def close(self) -> None: ...

    def earlier(self) -> Sequence[LogReader]: ...

    def continues(self) -> JsonObject | None:
        """{store_id, size, root} of the store before this one, if there is one."""

    def sealed(self) -> Frontier:
        """The latest frontier that `write` kept, or the empty one."""

    def hashes(self, *, after: int) -> Iterable[tuple[int, bytes]]:
        """(seq, leaf hash) of every line past `after`, by seq."""


class Position(NamedTuple):
    """Where a store event comes to stand; known only when its batch is put together."""

    version: int
    """Its version in the store's own stream."""
    size: int
    """Number of events before it."""
    root: bytes


MakeEvent = Callable[[UUID, Position], Event]


class Item:
    """One append: events that become durable together, and who waits for them."""

    __slots__ = ("events", "future", "loop", "make")

    def __init__(
        self,
        events: Sequence[Encoded],
        future: Future[tuple[Recorded, ...]] | AsyncFuture[tuple[Recorded, ...]],
        *,
        loop: AbstractEventLoop | None = None,
        make: MakeEvent | None = None,
    ) -> None:
        self.events = events
        self.future = future
        if isinstance(future, Future):
            future.set_running_or_notify_cancel()  # from now on nobody can cancel it
        self.loop = loop
        self.make = make


_Answer = tuple[Item, tuple[Recorded, ...] | Exception]


class Writer:
    """Queues appends and commits them in batches, in the order in which they came."""

    def __init__(self, store: LineStore, *, store_id: str, clock: Clock) -> None:
        self._store = store
        self._store_id = store_id
        self._clock = clock
        self._stream = store_stream(store_id)
        self._queue: SimpleQueue[Item | None] = SimpleQueue()
        self._closing = Lock()
        self._refusal: str | None = None
        self._in_doubt = False
        self._load()
        self._thread = Thread(target=self._run, name=f"eventlog-{store_id}", daemon=True)
        self._thread.start()

    @property
    def head(self) -> int:
        """The last durable seq."""
        return self._frontier.size

    def put(self, item: Item) -> None:
        """Queue an append; its future tells the outcome, always."""
        with self._closing:
            refusal = self._refusal
            if refusal is None and self._queue.qsize() >= WAITING_MAX:
                refusal = "too many events wait to be stored"
            if refusal is None:
                self._queue.put(item)
        if refusal is not None:
            _refuse([item], refusal)

    def close(self) -> None:
        """Finish what was queued, then refuse. Idempotent."""
        with self._closing:
            if self._refusal is None:
                self._refusal = "the event log is closed"
                self._queue.put(None)
        self._thread.join()

    def _load(self) -> None:
        """Take the state from the store: frontier, last instant, version of the store's stream."""
        frontier = self._store.sealed()
        for seq, leaf in self._store.hashes(after=frontier.size):
            if seq != frontier.size + 1:
                raise CorruptLog(f"seq {frontier.size + 1} of {self._store_id} is missing")
            frontier.add(leaf)
        last = self._store.last()
        if self._store.head() != frontier.size or (frontier.size and last is None):
            raise CorruptLog(f"seq {frontier.size} of {self._store_id} is missing")
        own = self._store.stream(self._stream)
        self._frontier = frontier
        self._recorded_at = last.recorded_at if last else ""
        self._version = own[-1].originator_version if own else 0
        self._in_doubt = False

    def _run(self) -> None:
        batch: list[Item] = []
        try:
            while batch := self._next_batch():
                self._commit(batch)
        except BaseException:
            self._stop("the event log has stopped")
            _refuse(batch, "the event log has stopped")
            raise

    def _stop(self, refusal: str) -> None:
        with self._closing:
            self._refusal = refusal
        with suppress(Empty):
            while True:
                item = self._queue.get_nowait()
                if item is not None:
                    _refuse([item], refusal)

    def _next_batch(self) -> list[Item]:
        """Wait for one append, then take what else is there. Empty: time to end."""
        first = self._queue.get()
        if first is None:
            return []
        batch = [first]
        count = len(first.events)
        with suppress(Empty):
            while count < BATCH_EVENTS_MAX:
                item = self._queue.get_nowait()
                if item is None:
                    self._queue.put(None)
                    break
                batch.append(item)
                count += len(item.events) or 1
        return batch

    def _commit(self, batch: Sequence[Item]) -> None:
        try:
            if self._in_doubt:
                self._load()
        except StoreFailure as error:
            _refuse(batch, f"the event log cannot be read: {error}")
            return
        now = max(instant_text(self._clock.now()), self._recorded_at)
        staged = _Staged(self._frontier.copy(), now, self._version)
        groups = [self._stage(item, staged) for item in batch]
        try:
            self._store.write(staged.rows, sealed=staged.sealed)
        except Taken:
            if not self._was_stored(staged.rows):
                self._commit_untaken(batch)
                return
        except StoreFailure as error:
            if not self._was_stored(staged.rows):
                self._in_doubt = True
                _refuse(batch, f"the event log did not take the events: {error}")
                return
        self._frontier = staged.frontier
        self._recorded_at = staged.recorded_at
        self._version = staged.version
        _answer(list(zip(batch, groups, strict=True)))

    def _stage(self, item: Item, staged: _Staged) -> tuple[Recorded, ...]:
        """Number and hash the events of one append, behind those already staged."""
        events = item.events
        if item.make is not None:
            staged.version += 1
            position = Position(staged.version, staged.frontier.size, staged.frontier.root())
            events = (encode(item.make(self._stream, position), account_id=None),)
        group = []
        for event in events:
            seq = staged.frontier.size + 1
            line = event.line(recorded_at=staged.recorded_at, seq=seq, store_id=self._store_id)
            leaf = leaf_hash(line)
            staged.frontier.add(leaf)
            group.append(
                Recorded(
                    self._store_id,
                    seq,
                    leaf.hex(),
                    line,
                    event.originator_id,
                    event.originator_version,
                    event.topic,
                    event.account_id,
                    staged.recorded_at,
                )
            )
        staged.rows += group
        if item.make is not None:
            staged.sealed = staged.frontier.copy()
        return tuple(group)

    def _was_stored(self, rows: Sequence[Recorded]) -> bool:
        """Whether the batch lies in the store although writing it was reported as failed.

        A driver that retries by itself can meet its own first try. A batch is stored as one, so
        its two ends tell; the lines differ from anybody else's by seq and instant.
        """
        try:
            return all(self._store.at(row.seq) == row for row in (rows[0], rows[-1]))
        except StoreFailure:
            return False

    def _commit_untaken(self, batch: Sequence[Item]) -> None:
        """Refuse the appends whose versions are taken and commit the rest, renumbered."""
        try:
            free, refused = _sort_out(batch, self._store)
        except StoreFailure as error:
            _refuse(batch, f"the event log cannot be read: {error}")
            return
        if refused:
            _answer(refused)
            if free:
                self._commit(free)
            return
        # Nothing of ours is taken, so somebody else wrote a seq: never number over them.
        self._in_doubt = True
        _refuse(batch, "the event log was changed by another writer")


class _Staged:
    """A batch being put together: the writer's state as it will be once it is stored."""

    __slots__ = ("frontier", "recorded_at", "rows", "sealed", "version")

    def __init__(self, frontier: Frontier, recorded_at: str, version: int) -> None:
        self.frontier = frontier
        self.recorded_at = recorded_at
        self.version = version
        self.rows: list[Recorded] = []
        self.sealed: Frontier | None = None


def _sort_out(batch: Sequence[Item], store: LineStore) -> tuple[list[Item], list[_Answer]]:
    """The appends whose versions are all free, in order, and answers for the others."""
    seen: set[tuple[UUID, int]] = set()
    free: list[Item] = []
    refused: list[_Answer] = []
    for item in batch:
        keys = [(event.originator_id, event.originator_version) for event in item.events]
        clash = _first_clash(keys, seen, store)
        if clash is None:
            seen.update(keys)
            free.append(item)
        else:
            refused.append((item, Conflict(f"version {clash[1]} of {clash[0]} is taken")))
    return free, refused


def _first_clash(
    keys: Sequence[tuple[UUID, int]], seen: set[tuple[UUID, int]], store: LineStore
) -> tuple[UUID, int] | None:
    own: set[tuple[UUID, int]] = set()
    for key in keys:
        if key in own or key in seen or store.has(*key):
            return key
        own.add(key)
    return None


def _refuse(items: Sequence[Item], why: str) -> None:
    _answer([(item, StoreUnavailable(why)) for item in items])


def _answer(answers: Sequence[_Answer]) -> None:
    """Tell the waiting ones; callers of one event loop are woken by a single call."""
    by_loop: dict[AbstractEventLoop, list[_Answer]] = {}
    for answer in answers:
        loop = answer[0].loop
        if loop is None:
            _resolve(answer)
        else:
            by_loop.setdefault(loop, []).append(answer)
    for loop, waiting in by_loop.items():
        # A closed loop has nobody left to tell.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve_all, waiting)


def _resolve_all(answers: Sequence[_Answer]) -> None:
    for answer in answers:
        _resolve(answer)


def _resolve(answer: _Answer) -> None:
    item, outcome = answer
    future = item.future
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
