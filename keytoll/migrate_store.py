"""Moves an embedded installation into a Postgres database, where it grows on.

Every line of the log stays as it is, byte for byte; a new store begins behind them, as after a
restore (decision 0006). The files are put aside before anything is copied, so that there is no
moment at which both could be written; they are put back when the database got nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from domain import sqlite
from domain.errors import UnsafeSetup
from domain.eventlog.port import StoreUnavailable
from domain.eventlog.postgres_import import import_log, imported
from domain.eventlog.raw import open_raw
from domain.eventlog.verify import Report, verify
from domain.labels.postgres import PostgresLabels
from domain.labels.sqlite import SqliteLabels
from domain.relayed.postgres import PostgresRelayPositions
from domain.relayed.sqlite import SqliteRelayPositions
from domain.vault.port import VaultUnavailable
from domain.vault.postgres import PostgresShelf
from domain.vault.sqlite import SqliteShelf
from keytoll.settings import Settings
from keytoll.wiring import EVENTS_FILE, LABELS_FILE, VAULT_FILE, kept_checkpoints
from keytoll.wiring.files import MOVED_FOLDER, RELAYED_FILE

FILES: Final = (VAULT_FILE, LABELS_FILE, RELAYED_FILE, EVENTS_FILE)


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move has come to."""

    report: Report
    """Of the stores that were copied."""
    store_id: str
    """The store under which the installation goes on."""
    files: Path
    """Where the embedded stores lie now, for as long as you keep them."""


def migrate_store(settings: Settings, dsn: str) -> Moved:
    """Copy everything into an empty database, check it, and leave the files aside.

    A move that was killed is taken up by calling this again. Raises UnsafeSetup when the folder
    is in use, holds nothing to move or is damaged, or the database cannot be used; BadValue when
    the database holds something else. The installation is then where it was.
    """
    data, aside = settings.data, settings.data / MOVED_FOLDER
    lies = [folder for folder in (data, aside) if (folder / EVENTS_FILE).exists()]
    if not lies:
        raise UnsafeSetup(f"{data} holds no embedded installation")
    if len(lies) > 1:
        raise UnsafeSetup(f"{data} holds another installation beside the one in {aside}")
    owner = sqlite.Ownership(data / f"{EVENTS_FILE}.lock", what=f"the event log of {data}")
    try:
        report = _verified(settings, lies[0] / EVENTS_FILE)
        store_id = imported(dsn, report)
        with _set_aside(data, aside, lambda: imported(dsn, report) is None):
            if store_id is None:
                store_id = _copied(aside, dsn, report)
    finally:
        owner.release()
    return Moved(report, store_id, aside)


def _verified(settings: Settings, path: Path) -> Report:
    with open_raw(path) as log:
        report = verify(log, checkpoints=kept_checkpoints(settings))
    if not report.ok:
        raise UnsafeSetup(f"the log is damaged: {report.findings[0].message}")
    return report


def _copied(files: Path, dsn: str, report: Report) -> str:
    """The log goes last: without it the database does not count as an installation."""
    try:
        _copy_vault(files / VAULT_FILE, dsn)
        _copy_labels(files / LABELS_FILE, dsn)
        _copy_relay_positions(files / RELAYED_FILE, dsn)
    except (VaultUnavailable, StoreUnavailable) as error:
        raise UnsafeSetup(f"the database cannot be used: {error}") from error
    with open_raw(files / EVENTS_FILE) as log:
        return import_log(dsn, log, report)


def _copy_vault(path: Path, dsn: str) -> None:
    """Sealed as they are: no master key is needed, and none would be of use."""
    with closing(SqliteShelf(path)) as source, closing(PostgresShelf(dsn)) as target:
        records = source.all()
        wanted = {(each.credential_id, each.version) for each in records}
        for each in target.all():  # of a move that was killed
            if (each.credential_id, each.version) not in wanted:
                target.destroy(each.credential_id, each.version)
        for record in records:
            target.put(record)
        target.replace_all(records)
        if target.all() != records:
            raise UnsafeSetup("the vault in the database is not what was copied")


def _copy_labels(path: Path, dsn: str) -> None:
    with closing(SqliteLabels(path)) as source, closing(PostgresLabels(dsn)) as target:
        rows = source.rows()
        places = {(public_id, field) for public_id, field, _ in rows}
        for public_id, field, _ in target.rows():
            if (public_id, field) not in places:
                target.set(public_id, field, None)
        for public_id, field, value in rows:
            target.set(public_id, field, value)


def _copy_relay_positions(path: Path, dsn: str) -> None:
    if path.exists():
        with (
            closing(SqliteRelayPositions(path)) as source,
            closing(PostgresRelayPositions(dsn)) as target,
        ):
            for topic_id, store_id, relayed in source.rows():
                target.set(topic_id, store_id, relayed)


@contextmanager
def _set_aside(data: Path, aside: Path, is_empty: Callable[[], bool]) -> Iterator[None]:
    """Nobody serves from the files any more; they come back if the database got nothing."""
    if (data / EVENTS_FILE).exists():
        aside.mkdir(mode=0o700, exist_ok=True)
        _move(data, aside)
    try:
        yield
    except BaseException:
        if is_empty():
            _move(aside, data)
        raise


def _move(source: Path, target: Path) -> None:
    """The log first: without it a folder is no installation."""
    for name in reversed(FILES):
        if (source / name).exists():
            # Whole in one file: what a process that died left in the file's log goes into it.
            with closing(sqlite.connect(source / name)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (source / name).replace(target / name)
