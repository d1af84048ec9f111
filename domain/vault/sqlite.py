"""The vault in a SQLite file of its own. What is destroyed leaves no bytes in it or its log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

from domain.sqlite import Connection, DatabaseError, connect
from domain.vault.envelope import Sealed
from domain.vault.port import MasterKey, VaultUnavailable
from domain.vault.sealed import SealedVault

_COLUMNS: Final = "account_id, credential_id, version, key_id, wrapped_key, box"
_SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS sealed (
        credential_id TEXT NOT NULL,
        version INTEGER NOT NULL,
        account_id TEXT NOT NULL,
        key_id TEXT NOT NULL,
        wrapped_key BLOB NOT NULL,
        box BLOB NOT NULL,
        PRIMARY KEY (credential_id, version)
    ) WITHOUT ROWID
"""
_PUT: Final = """
    INSERT INTO sealed (account_id, credential_id, version, key_id, wrapped_key, box)
    VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (credential_id, version) DO NOTHING
"""
_REPLACE: Final = """
    UPDATE sealed SET account_id = ?1, key_id = ?4, wrapped_key = ?5, box = ?6
    WHERE credential_id = ?2 AND version = ?3
"""


class SqliteShelf:
    """Sealed records in one table."""

    def __init__(self, path: Path) -> None:
        self._lock = Lock()
        path.touch(mode=0o600)  # before SQLite makes it, so that its log gets the same mode
        self._connection: Connection = connect(path, secure_delete=True)
        # VACUUM would else copy the records to a temporary file that nobody overwrites.
        self._connection.execute("PRAGMA temp_store=MEMORY")
        self._connection.execute(_SCHEMA)
        self._scrub()

    def put(self, sealed: Sealed) -> bool:
        with self._writing() as connection:
            return connection.execute(_PUT, _values(sealed)).rowcount == 1

    def replace_all(self, sealed: Sequence[Sealed]) -> None:
        with self._writing() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.executemany(_REPLACE, [_values(each) for each in sealed])
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
            self._scrub()

    def get(self, credential_id: str, version: int) -> Sealed | None:
        with self._writing():
            return self._row(credential_id, version)

    def all(self) -> Sequence[Sealed]:
        with self._writing() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM sealed ORDER BY credential_id, version"  # noqa: S608 - constant
            )
            return [Sealed(*row) for row in rows]

    def destroy(self, credential_id: str, version: int | None) -> None:
        with self._writing() as connection:
            connection.execute(
                "DELETE FROM sealed WHERE credential_id = ?1 AND (?2 IS NULL OR version = ?2)",
                (credential_id, version),
            )
            self._scrub()

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _row(self, credential_id: str, version: int) -> Sealed | None:
        row = self._connection.execute(
            f"SELECT {_COLUMNS} FROM sealed WHERE credential_id = ? AND version = ?",  # noqa: S608
            (credential_id, version),
        ).fetchone()
        return None if row is None else Sealed(*row)

    def _scrub(self) -> None:
        """Rewrite the file from the live records, then empty the write-ahead log.

        `secure_delete` alone is not enough: when SQLite rebalances pages, copies of a record can
        stay in their unused parts (test_vault.py finds them without the VACUUM). Also done at
        every start, because the last process may have died between deleting and this.
        """
        self._connection.execute("VACUUM")
        row = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if row[0]:
            raise VaultUnavailable("the vault's write-ahead log could not be emptied")

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """One thread at a time; a failure of the file becomes ours, without its message."""
        with self._lock:
            try:
                yield self._connection
            except DatabaseError as error:
                raise VaultUnavailable(f"the vault's file failed: {type(error).__name__}") from None


def sqlite_vault(path: Path, master: MasterKey, *, older: Sequence[MasterKey] = ()) -> SealedVault:
    """Open the vault, or make an empty one. Raises UnsafeSetup for the wrong master key."""
    shelf = SqliteShelf(path)
    try:
        return SealedVault(shelf, master, older=older)
    except BaseException:
        shelf.close()
        raise


def _values(sealed: Sealed) -> tuple[str | int | bytes, ...]:
    return (
        sealed.account_id,
        sealed.credential_id,
        sealed.version,
        sealed.key_id,
        sealed.wrapped_key,
        sealed.box,
    )
