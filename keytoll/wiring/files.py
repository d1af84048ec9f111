"""The truth of the embedded mode: SQLite files in the data folder, owned by one process."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import structlog

from domain.clock import Clock
from domain.coordination.memory import MemoryLeases, MemoryLocks
from domain.errors import UnsafeSetup
from domain.eventlog.sqlite import open_sqlite_log
from domain.labels.sqlite import SqliteLabels
from domain.relayed.memory import MemoryRelayPositions
from domain.relayed.port import RelayPositions
from domain.relayed.sqlite import SqliteRelayPositions
from domain.vault.local_key import load_master_key
from domain.vault.port import Vault
from domain.vault.sqlite import sqlite_vault
from keytoll.settings import Settings
from keytoll.wiring.truth import Truth

EVENTS_FILE: Final = "events.sqlite"
VAULT_FILE: Final = "vault.sqlite"
LABELS_FILE: Final = "labels.sqlite"
RELAYED_FILE: Final = "relayed.sqlite"
MOVED_FOLDER: Final = "moved-to-postgres"
"""Inside the data folder: what `keytoll migrate-store` put aside."""

_log = structlog.get_logger("keytoll.start")


def open_files(settings: Settings, clock: Clock) -> Truth:
    """Open the files, or make them.

    Raises UnsafeSetup when another process owns them, when they were moved to Postgres, or when
    the master key is missing or wrong.
    """
    if (settings.data / MOVED_FOLDER / EVENTS_FILE).exists():
        raise UnsafeSetup(
            f"the stores of {settings.data} were moved to Postgres: give KEYTOLL_STORE "
            "(or finish the move by `keytoll migrate-store`)"
        )
    with ExitStack() as closing:
        log = open_sqlite_log(settings.data / EVENTS_FILE, clock=clock)
        closing.callback(log.close)
        vault = _vault(settings)
        closing.callback(vault.close)
        labels = SqliteLabels(settings.data / LABELS_FILE)
        closing.callback(labels.close)
        relayed = _relayed(settings)
        closing.pop_all()
    return Truth(
        log=log,
        vault=vault,
        labels=labels,
        locks=MemoryLocks(),
        leases=MemoryLeases(clock),
        relayed=relayed,
    )


def _relayed(settings: Settings) -> RelayPositions:
    """In a file of their own, so that a backup of the log does not hold them."""
    if not settings.kafka:
        return MemoryRelayPositions()
    return SqliteRelayPositions(settings.data / RELAYED_FILE)


def make_folder(data: Path) -> None:
    """The data folder, if it is not there. Raises UnsafeSetup when it cannot be used."""
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
