"""The vault in a table of the shared database. What is destroyed leaves no bytes in its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import sleep
from typing import Final

from domain.eventlog.port import StoreUnavailable
from domain.postgres import (
    Connection,
    Cursor,
    DatabaseError,
    LockNotAvailable,
    Session,
    T,
    make_tables,
)
from domain.vault.envelope import Sealed
from domain.vault.port import MasterKey, VaultUnavailable
from domain.vault.sealed import SealedVault

_TRIES: Final = 25
_PAUSE_S: Final = 0.2
_SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS sealed (
        credential_id text NOT NULL,
        version integer NOT NULL,
        account_id text NOT NULL,
        key_id text NOT NULL,
        wrapped_key bytea NOT NULL,
        box bytea NOT NULL,
        PRIMARY KEY (credential_id, version)
    )
"""
_COLUMNS: Final = "account_id, credential_id, version, key_id, wrapped_key, box"
_PUT: Final = f"""
    INSERT INTO sealed ({_COLUMNS}) VALUES (
        %(account_id)s, %(credential_id)s, %(version)s, %(key_id)s, %(wrapped_key)s, %(box)s
    ) ON CONFLICT DO NOTHING
"""  # noqa: S608 - constant
_REPLACE: Final = """
    UPDATE sealed SET account_id = %(account_id)s, key_id = %(key_id)s,
        wrapped_key = %(wrapped_key)s, box = %(box)s
    WHERE credential_id = %(credential_id)s AND version = %(version)s
"""
_ALL: Final = f"SELECT {_COLUMNS} FROM sealed ORDER BY credential_id, version"  # noqa: S608
_GET: Final = f"SELECT {_COLUMNS} FROM sealed WHERE credential_id = %s AND version = %s"  # noqa: S608
_DESTROY: Final = """
    DELETE FROM sealed WHERE credential_id = %s AND (%s::integer IS NULL OR version = %s)
"""
_TAKE: Final = (
    "SET LOCAL lock_timeout = '200ms'",  # whoever wants to read queues behind us meanwhile
    "LOCK TABLE sealed IN ACCESS EXCLUSIVE MODE",
)
_MOVE: Final = (
    "CREATE TEMPORARY TABLE staying ON COMMIT DROP AS SELECT * FROM sealed",
    "TRUNCATE sealed",
    "INSERT INTO sealed SELECT * FROM staying",
)


class PostgresShelf:
    """Sealed records in one table, which is written anew whenever one of them has to go.

    Rows that Postgres deletes stay in the pages until something overwrites them. VACUUM leaves the
    gaps as they are, and VACUUM FULL copies whatever an older transaction might still see. TRUNCATE
    and inserting what stays promises more: the new rows go to a new file, and with the commit the
    old one is cut off (decision 0064).
    """

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn, purpose="vault")
        self._run(lambda connection: make_tables(connection, _SCHEMA))

    def put(self, sealed: Sealed) -> bool:
        return self._run(lambda c: c.execute(_PUT, _values(sealed)).rowcount == 1)

    def replace_all(self, sealed: Sequence[Sealed]) -> None:
        def replace(cursor: Cursor) -> None:
            cursor.executemany(_REPLACE, [_values(each) for each in sealed])

        self._rewrite(replace)

    def get(self, credential_id: str, version: int) -> Sealed | None:
        rows = self._run(lambda c: c.execute(_GET, (credential_id, version)).fetchall())
        return Sealed(*rows[0]) if rows else None

    def all(self) -> Sequence[Sealed]:
        return [Sealed(*row) for row in self._run(lambda c: c.execute(_ALL).fetchall())]

    def destroy(self, credential_id: str, version: int | None) -> None:
        self._rewrite(lambda cursor: cursor.execute(_DESTROY, (credential_id, version, version)))

    def close(self) -> None:
        self._session.close()

    def _rewrite(self, change: Callable[[Cursor], object]) -> None:
        """Change rows, and leave nothing of what they were in the table's files.

        Raises VaultUnavailable, with nothing changed, when somebody keeps the table from us for
        more than some ten seconds: a dump, or a transaction that was left open.
        """
        for _ in range(_TRIES):
            try:
                return self._run(lambda connection: _rewritten(connection, change))
            except LockNotAvailable:
                sleep(_PAUSE_S)
        raise VaultUnavailable("the vault's table is held by a dump or by an open transaction")

    def _run(self, work: Callable[[Connection], T]) -> T:
        """A failure of the database becomes ours, without its message."""
        try:
            return self._session.run(work)
        except LockNotAvailable:
            raise
        except (DatabaseError, StoreUnavailable) as error:
            name = type(error.__cause__ or error).__name__
            raise VaultUnavailable(f"the vault's database failed: {name}") from None


def postgres_vault(dsn: str, master: MasterKey, *, older: Sequence[MasterKey] = ()) -> SealedVault:
    """Open the vault, or make an empty one. Raises UnsafeSetup for the wrong master key."""
    shelf = PostgresShelf(dsn)
    try:
        return SealedVault(shelf, master, older=older)
    except BaseException:
        shelf.close()
        raise


def _rewritten(connection: Connection, change: Callable[[Cursor], object]) -> None:
    with connection.transaction(), connection.cursor() as cursor:
        for statement in _TAKE:
            cursor.execute(statement)
        change(cursor)
        if cursor.rowcount:
            for statement in _MOVE:
                cursor.execute(statement)


def _values(sealed: Sealed) -> dict[str, str | int | bytes]:
    return {
        "account_id": sealed.account_id,
        "credential_id": sealed.credential_id,
        "version": sealed.version,
        "key_id": sealed.key_id,
        "wrapped_key": sealed.wrapped_key,
        "box": sealed.box,
    }
