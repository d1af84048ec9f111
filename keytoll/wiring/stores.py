"""Everything that a process works on, opened as the settings say."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

import structlog

from api.providers.catalogue import PROVIDERS
from domain.clock import Clock
from domain.coordination.port import FIRST_START, Leases, Locks, held
from domain.directory import Directory
from domain.errors import UnsafeSetup
from domain.eventlog.checkpoint import Checkpoint, append_checkpoint, read_checkpoints
from domain.eventlog.port import EventLog
from domain.events.base import JsonObject
from domain.installation import Installation, open_installation
from domain.invoice_register import InvoiceRegister
from domain.labels.port import Labels
from domain.ledger import Ledger
from domain.receivables import Receivables
from domain.vault.port import Vault
from domain.vault.reconcile import VaultKeeper, reconcile_vault
from keytoll.price_list import PriceList
from keytoll.settings import Settings
from keytoll.wiring.files import EVENTS_FILE, make_folder, open_files
from keytoll.wiring.tables import Projections
from keytoll.wiring.truth import Truth
from pricing.additions import additions
from pricing.book import Books, PriceBook
from pricing.load import shipped_names
from projections.invoicing import Invoices
from projections.projected import Projected
from workers.close import Closer
from workers.rerate import Rerater
from workers.seal import Sealer
from workers.sweep import Sweeper, sweep

FIRST_START_S: Final = 30.0
"""How long a process waits for another that opens the first account."""

_log = structlog.get_logger("keytoll.start")


@dataclass(frozen=True, kw_only=True)
class Stores:
    """What a process has open until `close`: a data folder that it owns, or shared databases."""

    settings: Settings
    clock: Clock
    epoch: str
    truth: Truth
    directory: Directory
    ledger: Ledger
    prices: PriceList
    projections: Projections
    register: InvoiceRegister
    sealer: Sealer

    @property
    def log(self) -> EventLog:
        """Every event."""
        return self.truth.log

    @property
    def vault(self) -> Vault:
        """The sealed provider keys."""
        return self.truth.vault

    @property
    def labels(self) -> Labels:
        """Names that people gave."""
        return self.truth.labels

    @property
    def locks(self) -> Locks:
        """Which process does what."""
        return self.truth.locks

    @property
    def leases(self) -> Leases:
        """Which processes live."""
        return self.truth.leases

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
            projected=self.projections.open(),
            register=self.register,
            seal=self.sealer.seal,
            locks=self.locks,
            clock=self.clock,
        )

    def sweeper(self) -> Sweeper:
        """What ends the calls of processes that died."""
        return Sweeper(
            self.log,
            self.leases,
            self.clock,
            lease_s=self.settings.lease_s,
            on_lost=lambda count: _log.warning("calls_lost", count=count, failure="process_lost"),
        )

    def vault_keeper(self) -> VaultKeeper:
        """What destroys secrets that nothing uses."""
        return VaultKeeper(self.vault, self.directory, self.clock)

    def rerater(self) -> Rerater:
        """What rates late; opens the projections when it is first used."""
        return Rerater(
            log=self.log,
            projected=self.projections.open,
            books=self.books,
            clock=self.clock,
            limit=timedelta(days=self.settings.unrated_days),
        )

    @property
    def receivables(self) -> Receivables:
        """What marks issued invoices as paid, voids and credits them."""
        return Receivables(log=self.log, register=self.register, locks=self.locks, clock=self.clock)

    def invoices(self, projected: Projected) -> Invoices:
        """What reads invoices."""
        return Invoices(log=self.log, register=self.register, projected=projected)

    def close(self) -> None:
        """Release everything."""
        self.projections.close()
        self.truth.close()


def open_stores(settings: Settings, clock: Clock, *, epoch: str, with_vault: bool = True) -> Stores:
    """Open the stores, or make them. Without `with_vault` no master key is needed, and no secret
    can be opened: for processes that share databases and have no use for secrets.

    Raises UnsafeSetup when another process owns the data folder, when the master key is missing
    or wrong, or when calls were rated by a price book that this program does not have;
    StoreUnavailable when a database is away.
    """
    if not settings.scaled:
        make_folder(settings.data)
    with ExitStack() as closing:
        truth = _open_truth(settings, clock, with_vault=with_vault)
        closing.callback(truth.close)
        prices = PriceList.of(truth.log, truth.locks)
        directory = Directory(truth.log, clock)
        if settings.store:
            directory.catch_up()
        else:
            _tidy(truth, directory, epoch)
        closing.pop_all()
    return Stores(
        settings=settings,
        clock=clock,
        epoch=epoch,
        truth=truth,
        directory=directory,
        ledger=Ledger(
            log=truth.log,
            vault=truth.vault,
            clock=clock,
            directory=directory,
            keys_max=settings.account_keys_max,
        ),
        prices=prices,
        projections=Projections(
            settings, clock, truth.log, prices.books, follow_books=prices.catch_up
        ),
        register=InvoiceRegister(truth.log),
        sealer=Sealer(
            truth.log,
            clock=clock,
            checkpoint=partial(append_checkpoint, settings.checkpoints),
            interval_s=settings.seal_interval_s,
        ),
    )


def open_existing(settings: Settings, clock: Clock, *, epoch: str) -> Stores:
    """The stores of an installation that is there already.

    Raises UnsafeSetup when there is none: a wrong setting must not leave an empty one behind.
    """
    if not settings.store and not (settings.data / EVENTS_FILE).exists():
        raise UnsafeSetup(f"there is no installation in {settings.data}: run keytoll init")
    stores = open_stores(settings, clock, epoch=epoch)
    if settings.store and stores.directory.first_account_id() is None:
        stores.close()
        raise UnsafeSetup("KEYTOLL_STORE: the database holds no installation: run keytoll init")
    return stores


def first_start(stores: Stores) -> Installation | None:
    """Open the first account, unless there is one; of several processes one does it."""
    if stores.directory.first_account_id() is not None:
        return None
    with held(stores.locks, FIRST_START, wait_s=FIRST_START_S):
        stores.directory.catch_up()
        if stores.directory.first_account_id() is not None:
            return None
        return open_installation(stores.ledger, stores.directory)


def _open_truth(settings: Settings, clock: Clock, *, with_vault: bool) -> Truth:
    if settings.store:
        # Only here: the embedded mode does without the driver.
        from keytoll.wiring.databases import open_databases  # noqa: PLC0415

        return open_databases(settings, clock, with_vault=with_vault)
    return open_files(settings, clock)


def _tidy(truth: Truth, directory: Directory, epoch: str) -> None:
    """Settle what a dead process left behind: nobody else owns the folder."""
    reconcile_vault(truth.vault, directory)
    lost = sweep(truth.log, epoch=epoch)
    if lost:
        _log.warning("calls_lost", count=lost, failure="process_lost")


def kept_checkpoints(settings: Settings) -> Sequence[Checkpoint]:
    """Those that this installation wrote beside its data folder."""
    return read_checkpoints(settings.checkpoints) if settings.checkpoints.exists() else []
