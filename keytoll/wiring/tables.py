"""The tables that are made of the log."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Final

import structlog

from domain.eventlog.port import EventLog, Recorded
from pricing.book import Books
from projections.migrate import prepare
from projections.projector import Projector
from projections.store.clickhouse import open_embedded
from projections.store.port import ProjectionStore, ProjectionUnavailable

PROJECTIONS_FOLDER: Final = "projections"

_log = structlog.get_logger("keytoll.start")


class Projections:
    """The projections of a data folder. The engine is opened when first needed: it is heavy."""

    def __init__(self, path: Path, log: EventLog, books: Books) -> None:
        self._path = path
        self._log = log
        self._books = books
        self._lock = Lock()
        self._projector: Projector | None = None

    def open(self) -> Projector:
        """The projector over the open store; opens it once. Slow the first time (seconds)."""
        with self._lock:
            if self._projector is None:
                store = open_embedded(self._path)
                try:
                    prepare(store)
                except BaseException:
                    store.close()
                    raise
                self._projector = Projector(
                    log=self._log,
                    store=store,
                    books=self._books,
                    on_dead_letter=_log_dead_letter,
                )
            return self._projector

    def projector(self) -> Projector:
        """The projector. Raises ProjectionUnavailable while the store is not open."""
        if self._projector is None:
            raise ProjectionUnavailable("the projections are not open yet")
        return self._projector

    def store(self) -> ProjectionStore:
        """The store. Raises ProjectionUnavailable while it is not open."""
        return self.projector().store

    def close(self) -> None:
        """Wait for running statements and close, if it was opened."""
        with self._lock:
            if self._projector is not None:
                self._projector.store.close()


def _log_dead_letter(recorded: Recorded, reason: str) -> None:
    _log.error("dead_letter", seq=recorded.seq, topic=recorded.topic, reason=reason)
