"""The event log over any store of lines: the port's promises, kept once for all adapters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from typing import TypeVar
from uuid import UUID

from domain.clock import Clock
from domain.errors import BadValue
from domain.eventlog.commit import Item, Writer
from domain.eventlog.lines import LineStore, MakeEvent, Position, StoreFailure
from domain.eventlog.port import Chain, LogReader, Recorded, StoreUnavailable
from domain.events.base import Event
from domain.events.codec import Encoded, encode
from domain.events.store import LogSealed, StoreOpened, store_stream

T = TypeVar("T")


class StoredLog:
    """An EventLog of one chain: appends go through the writer, reads straight to the store."""

    def __init__(self, store: LineStore, *, store_id: str, clock: Clock) -> None:
        self._store = store
        self._store_id = store_id
        self._writer = Writer(store, store_id=store_id, clock=clock)
        self._closed = False
        self._chains = (Chain((*store.earlier(), self)),)
        self._continues = None if _says_its_past(store, store_id) else store.continues()

    @property
    def store_id(self) -> str:
        return self._store_id

    def submit(self, *events: Event, account_id: str | None) -> Future[tuple[Recorded, ...]]:
        future: Future[tuple[Recorded, ...]] = Future()
        self._writer.put(Item(_encode_all(events, account_id), future))
        return future

    async def append(self, *events: Event, account_id: str | None) -> tuple[Recorded, ...]:
        encoded = _encode_all(events, account_id)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[Recorded, ...]] = loop.create_future()
        self._writer.put(Item(encoded, future, loop=loop))
        return await future

    def opened(self, *, epoch: str, program: str) -> Future[tuple[Recorded, ...]]:
        # Said once, be it after events of commands that came before the first opening.
        continues, self._continues = self._continues, None

        def make(stream: UUID, position: Position) -> Event:
            return StoreOpened(
                originator_id=stream,
                originator_version=position.version,
                epoch=epoch,
                program=program,
                continues=continues,
            )

        return self._append_own(make)

    def seal(self) -> Future[tuple[Recorded, ...]]:
        def make(stream: UUID, position: Position) -> Event:
            return LogSealed(
                originator_id=stream,
                originator_version=position.version,
                size=position.size,
                root=position.root.hex(),
            )

        return self._append_own(make)

    def chains(self) -> Sequence[Chain]:
        return self._chains

    def home(self, account_id: str | None) -> str:
        return self._store_id

    def stream(self, originator_id: UUID) -> Sequence[Recorded]:
        return self._available(lambda: self._store.stream(originator_id))

    def read(
        self, *, after: int, limit: int, streams: Collection[str] | None = None
    ) -> Sequence[Recorded]:
        if streams is not None and not streams:
            return []
        return self._available(lambda: self._store.read(after=after, limit=limit, streams=streams))

    def open_requests(self) -> Sequence[UUID]:
        return self._available(self._store.open_requests)

    def head(self) -> int:
        return self._available(self._store.head)

    def earlier(self) -> Sequence[LogReader]:
        return self._available(self._store.earlier)

    def close(self) -> None:
        self._writer.close()
        self._closed = True
        self._store.close()

    def _available(self, read: Callable[[], T]) -> T:
        if self._closed:
            raise StoreUnavailable("the event log is closed")
        try:
            return read()
        except StoreFailure as error:
            raise StoreUnavailable(f"the event log cannot be read: {error}") from error

    def _append_own(self, make: MakeEvent) -> Future[tuple[Recorded, ...]]:
        future: Future[tuple[Recorded, ...]] = Future()
        self._writer.put(Item((), future, make=make))
        return future


def _says_its_past(store: LineStore, store_id: str) -> bool:
    """There is no store before this one, or an opening has named it."""
    if not store.earlier():
        return True
    return any(row.topic == StoreOpened.TOPIC for row in store.stream(store_stream(store_id)))


def _encode_all(events: Sequence[Event], account_id: str | None) -> list[Encoded]:
    encoded = [encode(event, account_id=account_id) for event in events]
    if not encoded:
        raise BadValue("there is nothing to append")
    if any(event.topic.startswith("store.") for event in encoded):
        raise BadValue("events of the store itself are appended by `opened` and `seal`")
    return encoded
