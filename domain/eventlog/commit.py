"""The one writer of a process: a thread that makes whatever has queued up durable in one go.

There is no timer: while one batch is being written the next one gathers.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from asyncio import Future as AsyncFuture
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Final

from domain.clock import Clock, instant_text
from domain.eventlog.lines import (
    Key,
    LineStore,
    MakeEvent,
    Staged,
    StoreFailure,
    Tail,
    Taken,
    stage,
)
from domain.eventlog.port import Conflict, Recorded, StoreUnavailable
from domain.events.codec import Encoded

BATCH_EVENTS_MAX: Final = 1_000
WAITING_MAX: Final = 20_000
"""Appends that may wait; more are refused, because the disk does not keep up."""


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
        self._queue: SimpleQueue[Item | None] = SimpleQueue()
        self._closing = Lock()
        self._refusal: str | None = None
        store.check()
        self._thread = Thread(target=self._run, name=f"eventlog-{store_id}", daemon=True)
        self._thread.start()

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
        tried: list[Staged] = []

        def put_together(tail: Tail) -> Staged:
            groups = [(item.events, item.make) for item in batch]
            now = instant_text(self._clock.now())
            tried.append(stage(groups, tail, store_id=self._store_id, now=now))
            return tried[-1]

        try:
            staged = self._store.commit(put_together)
        except (Taken, StoreFailure) as error:
            if not tried:
                _refuse(batch, f"the event log cannot be read: {error}")
            elif self._was_stored(tried[-1]):
                _answer(list(zip(batch, tried[-1].groups, strict=True)))
            elif isinstance(error, Taken):
                self._commit_untaken(batch)
            else:
                _refuse(batch, f"the event log did not take the events: {error}")
        else:
            _answer(list(zip(batch, staged.groups, strict=True)))

    def _was_stored(self, staged: Staged) -> bool:
        """Whether the batch lies in the store although writing it was reported as failed.

        A driver that retries by itself can meet its own first try; a connection can be lost while
        the database commits.
        """
        try:
            return self._store.holds(staged.rows)
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
        _refuse(batch, "the event log was changed by another writer")


def _sort_out(batch: Sequence[Item], store: LineStore) -> tuple[list[Item], list[_Answer]]:
    """The appends whose versions are all free, in order, and answers for the others."""
    keys = {_key(event) for item in batch for event in item.events}
    taken = set(store.taken(keys))
    free: list[Item] = []
    refused: list[_Answer] = []
    for item in batch:
        own = [_key(event) for event in item.events]
        clash = next((key for at, key in enumerate(own) if key in taken or key in own[:at]), None)
        if clash is None:
            taken.update(own)
            free.append(item)
        else:
            refused.append((item, Conflict(f"version {clash[1]} of {clash[0]} is taken")))
    return free, refused


def _key(event: Encoded) -> Key:
    return event.originator_id, event.originator_version


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
