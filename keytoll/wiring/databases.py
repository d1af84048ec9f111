"""The truth of the scaled mode: Postgres databases that several processes share."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final, cast

from domain.clock import Clock
from domain.coordination.port import TABLES, held
from domain.coordination.postgres import PostgresLeases, PostgresLocks
from domain.errors import UnsafeSetup
from domain.eventlog.port import EventLog
from domain.eventlog.postgres import open_postgres_log
from domain.eventlog.several import SeveralLogs
from domain.labels.postgres import PostgresLabels
from domain.relayed.postgres import PostgresRelayPositions
from domain.vault.absent import AbsentVault
from domain.vault.local_key import load_master_key
from domain.vault.port import MasterKey, Vault
from domain.vault.postgres import postgres_vault
from keytoll.settings import Settings
from keytoll.wiring.truth import Truth

TABLES_WAIT_S: Final = 60.0

_NO_KEY: Final = (
    "KEYTOLL_MASTER_KEY or KEYTOLL_MASTER_KEY_FILE must be given where several processes share a "
    "vault: the same key to each of them, 32 random bytes in base64 (openssl rand -base64 32)"
)


def open_databases(settings: Settings, clock: Clock, *, with_vault: bool) -> Truth:
    """Join the processes of an installation, or be the first of them.

    Without `with_vault` the process does with no master key and opens no secret.

    The first database also holds vault, labels, locks, leases and relay positions. Raises
    UnsafeSetup when one cannot be used, or when the master key is missing or not the vault's.
    """
    master = _master_key(settings) if with_vault else None
    first = settings.store[0].reveal()
    locks = PostgresLocks(first)
    # Those that start together make the tables one after the other.
    with ExitStack() as closing, held(locks, TABLES, wait_s=TABLES_WAIT_S):
        log = _log(settings, clock)
        closing.callback(log.close)
        vault: Vault = AbsentVault() if master is None else postgres_vault(first, master)
        closing.callback(vault.close)
        labels = PostgresLabels(first)
        closing.callback(labels.close)
        leases = PostgresLeases(first)
        closing.callback(leases.close)
        relayed = PostgresRelayPositions(first)
        closing.pop_all()
    return Truth(
        log=log,
        vault=vault,
        labels=labels,
        locks=locks,
        leases=leases,
        relayed=relayed,
    )


def _log(settings: Settings, clock: Clock) -> EventLog:
    """One database is a log; several are one log together."""
    with ExitStack() as closing:
        logs = []
        for url in settings.store:
            logs.append(open_postgres_log(url.reveal(), clock=clock))
            closing.callback(logs[-1].close)
        log = cast(EventLog, logs[0] if len(logs) == 1 else SeveralLogs(logs))
        closing.pop_all()
    return log


def _master_key(settings: Settings) -> MasterKey:
    """As given. A key that each process makes for itself would open nothing for the others."""
    if settings.master_key is None and not settings.master_key_file.exists():
        raise UnsafeSetup(_NO_KEY)
    return load_master_key(
        value=settings.master_key,
        file=settings.master_key_file,
        data=settings.data,
        may_create=False,
    ).master
