"""The tables that are made of the log, and who fills them.

They are one for the installation where one process owns the log, or where they lie in a ClickHouse
server. Where several processes share the log and each has an engine of its own, each has tables of
its own, and fills them by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Final

import structlog

from domain.clock import Clock
from domain.eventlog.feed import Delivery
from domain.eventlog.port import EventLog, Recorded
from keytoll.settings import Settings
from pricing.book import Books
from projections.group import GroupTables
from projections.migrate import prepare
from projections.projected import Projected, Watch
from projections.projector import Projector
from projections.store.clickhouse import open_embedded, open_server
from projections.store.port import ProjectionStore, ProjectionUnavailable

PROJECTIONS_FOLDER: Final = "projections"

_log = structlog.get_logger("keytoll.tables")


class Projections:
    """Opened when first needed: the engine is heavy, and the server may be away."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        log: EventLog,
        books: Books,
        *,
        follow_books: Callable[[], object],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._log = log
        self._books = books
        self._follow_books = follow_books
        self._lock = Lock()
        self._filled_by_others = settings.scaled
        self._store: ProjectionStore | None = None
        self._projected: Projected | None = None

    def open(self) -> Projected:
        """The tables, and how far they reach; opens them once, which takes seconds.

        `catch_up` fills them, or waits for the process or the thread that does. Raises
        ProjectionUnavailable.
        """
        with self._lock:
            if self._projected is None:
                store = self._opened_store()
                self._projected = (
                    Watch(log=self._log, store=store, clock=self._clock)
                    if self._filled_by_others
                    else self._new_projector(store)
                )
            return self._projected

    def opened(self) -> Projected:
        """The same, of tables that are open. Raises ProjectionUnavailable while they are not."""
        if self._projected is None:
            raise ProjectionUnavailable("the projections are not open yet")
        return self._projected

    def store(self) -> ProjectionStore:
        """The tables. Raises ProjectionUnavailable while they are not open."""
        return self.opened().store

    def projector(self) -> Projector:
        """What fills them from the log, in this process; opens them."""
        projected = self.open()
        return projected if isinstance(projected, Projector) else self._new_projector(self.store())

    def group_tables(self) -> GroupTables:
        """What fills them from the feed, as one of a group; opens them.

        Everything else in this process waits for the group from now on.
        """
        self._filled_by_others = True
        return GroupTables(
            log=self._log,
            store=self.open().store,
            books=self._books,
            follow_books=self._follow_books,
            clock=self._clock,
            on_dead_letter=_log_dead_letter,
            on_bad_record=_log_bad_record,
        )

    def close(self) -> None:
        """Wait for running statements and close, if they were opened."""
        with self._lock:
            if self._store is not None:
                self._store.close()

    def _opened_store(self) -> ProjectionStore:
        if self._store is None:
            store = self._connect()
            try:
                prepare(store)
            except BaseException:
                store.close()
                raise
            self._store = store
        return self._store

    def _connect(self) -> ProjectionStore:
        url = self._settings.clickhouse
        if url is None:
            return open_embedded(self._settings.data / PROJECTIONS_FOLDER)
        return open_server(url.reveal(), cluster=self._settings.clickhouse_cluster)

    def _new_projector(self, store: ProjectionStore) -> Projector:
        return Projector(
            log=self._log, store=store, books=self._books, on_dead_letter=_log_dead_letter
        )


def _log_dead_letter(recorded: Recorded, reason: str) -> None:
    _log.error("dead_letter", seq=recorded.seq, topic=recorded.topic, reason=reason)


def _log_bad_record(delivery: Delivery, reason: str) -> None:
    at = delivery.partition
    _log.error("bad_record", partition=at.number, offset=delivery.offset, reason=reason)
