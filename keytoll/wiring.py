"""Where ports get their adapters: the only file that names a concrete store."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Final

import structlog

from api.providers.catalogue import PROVIDERS
from domain.clock import Clock
from domain.directory import Directory
from domain.errors import UnsafeSetup
from domain.eventlog.checkpoint import Checkpoint, append_checkpoint, read_checkpoints
from domain.eventlog.port import EventLog, Recorded
from domain.eventlog.sqlite import open_sqlite_log
from domain.events.base import JsonObject
from domain.invoice_register import InvoiceRegister
from domain.labels.port import Labels
from domain.labels.sqlite import SqliteLabels
from domain.ledger import Ledger
from domain.receivables import Receivables
from domain.vault.local_key import load_master_key
from domain.vault.port import Vault
from domain.vault.reconcile import reconcile_vault
from domain.vault.sqlite import sqlite_vault
from keytoll.price_list import PriceList
from keytoll.settings import Settings
from pricing.additions import additions
from pricing.book import Books, PriceBook
from pricing.load import shipped_names
from projections.invoicing import Invoices
from projections.migrate import prepare
from projections.projector import Projector
from projections.store.clickhouse import open_embedded
from projections.store.port import ProjectionStore, ProjectionUnavailable
from workers.close import Closer
from workers.rerate import Rerater
from workers.seal import Sealer
from workers.sweep import sweep

EVENTS_FILE: Final = "events.sqlite"
VAULT_FILE: Final = "vault.sqlite"
LABELS_FILE: Final = "labels.sqlite"
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


@dataclass(frozen=True, kw_only=True)
class Stores:
    """An open data folder, owned by this process until `close`."""

    settings: Settings
    clock: Clock
    epoch: str
    log: EventLog
    vault: Vault
    labels: Labels
    directory: Directory
    ledger: Ledger
    prices: PriceList
    projections: Projections
    register: InvoiceRegister
    sealer: Sealer

    @property
    def books(self) -> Books:
        """The book in force, and every one that ever was."""
        return self.prices.books

    def additions(self, given: Sequence[JsonObject], book: PriceBook) -> list[JsonObject]:
        """What a book lacks of the entries that an operator gives. Raises BadValue."""
        return additions(
            given,
            book,
            names=shipped_names(),
            providers=PROVIDERS.keys(),
            at=self.clock.now(),
        )

    def closer(self) -> Closer:
        """What closes periods; opens the projections."""
        return Closer(
            log=self.log,
            projector=self.projections.open(),
            register=self.register,
            seal=self.sealer.seal,
            clock=self.clock,
        )

    def rerater(self) -> Rerater:
        """What rates late; opens the projections when it is first used."""
        return Rerater(
            log=self.log,
            projector=self.projections.open,
            books=self.books,
            clock=self.clock,
            limit=timedelta(days=self.settings.unrated_days),
        )

    @property
    def receivables(self) -> Receivables:
        """What marks issued invoices as paid, voids and credits them."""
        return Receivables(log=self.log, register=self.register, clock=self.clock)

    def invoices(self, projector: Projector) -> Invoices:
        """What reads invoices."""
        return Invoices(log=self.log, register=self.register, projector=projector)

    def close(self) -> None:
        """Release everything. The log goes last, because the others still write to it."""
        self.projections.close()
        self.labels.close()
        self.vault.close()
        self.log.close()


def open_stores(settings: Settings, clock: Clock, *, epoch: str) -> Stores:
    """Open (or make) the data folder, and settle what a dead process left behind.

    Raises UnsafeSetup when another process owns the folder, when the master key is missing or
    wrong, or when calls were rated by a price book that this program does not have.
    """
    _make_folder(settings.data)
    closing: list[Callable[[], None]] = []
    try:
        log = open_sqlite_log(settings.data / EVENTS_FILE, clock=clock)
        closing.append(log.close)
        vault = _vault(settings)
        closing.append(vault.close)
        labels = SqliteLabels(settings.data / LABELS_FILE)
        closing.append(labels.close)
        prices = PriceList.of(log)
        directory = Directory(log)
        reconcile_vault(vault, directory)
        lost = sweep(log, epoch=epoch)
    except BaseException:
        for close in reversed(closing):
            close()
        raise
    if lost:
        _log.warning("calls_lost", count=lost, failure="process_lost")
    return Stores(
        settings=settings,
        clock=clock,
        epoch=epoch,
        log=log,
        vault=vault,
        labels=labels,
        directory=directory,
        ledger=Ledger(
            log=log,
            vault=vault,
            clock=clock,
            directory=directory,
            keys_max=settings.account_keys_max,
        ),
        prices=prices,
        projections=Projections(settings.data / PROJECTIONS_FOLDER, log, prices.books),
        register=InvoiceRegister(log),
        sealer=Sealer(
            log,
            clock=clock,
            checkpoint=partial(append_checkpoint, settings.checkpoints),
            interval_s=settings.seal_interval_s,
        ),
    )


def kept_checkpoints(settings: Settings) -> Sequence[Checkpoint]:
    """Those that this installation wrote beside its data folder."""
    return read_checkpoints(settings.checkpoints) if settings.checkpoints.exists() else []


def _make_folder(data: Path) -> None:
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UnsafeSetup(f"the data folder {data} cannot be made: {error.strerror}") from None
    if not os.access(data, os.W_OK | os.X_OK):
        raise UnsafeSetup(f"the data folder {data} is not writable")


def _vault(settings: Settings) -> Vault:
    path = settings.data / VAULT_FILE
    key = load_master_key(
        value=settings.master_key,
        file=settings.master_key_file,
        data=settings.data,
        may_create=not path.exists(),
    )
    if key.created:
        _log.warning(
            "master_key_created",
            file=str(settings.master_key_file),
            advice="keep a copy elsewhere: without it no stored provider key can be opened",
        )
    return sqlite_vault(path, key.master)
