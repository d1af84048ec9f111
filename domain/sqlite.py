"""The one home of sqlite3: how a file is opened, and that only one process owns it."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from domain.errors import UnsafeSetup

Connection = sqlite3.Connection
DatabaseError = sqlite3.Error
IntegrityError = sqlite3.IntegrityError

BUSY_TIMEOUT_S: Final = 5.0


def connect(path: Path, *, secure_delete: bool = False, read_only: bool = False) -> Connection:
    """Open a file in autocommit mode: WAL, every commit on disk before it returns.

    `secure_delete` overwrites what is deleted. The connection may move between threads, but only
    one at a time may use it.
    """
    mode = "ro" if read_only else "rwc"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=BUSY_TIMEOUT_S,
    )
    try:
        if not read_only:
            _pragma(connection, "journal_mode", "WAL", expected="wal")
            _pragma(connection, "synchronous", "FULL")
        if secure_delete:
            _pragma(connection, "secure_delete", "ON", expected=1)
        connection.row_factory = sqlite3.Row
    except BaseException:
        connection.close()
        raise
    return connection


def copy(source: Path, target: Path) -> None:
    """Copy a file as of one instant, also while it is in use; on disk when this returns.

    No other way of reading will do while this process has the file open: closing a plain
    descriptor of it would drop the locks that SQLite holds. Page by page, not by VACUUM: that may
    give rows new rowids. Raises UnsafeSetup if the target exists or the source cannot be copied.
    """
    if not source.exists():
        raise UnsafeSetup(f"there is no file {source} to copy")
    try:
        descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise UnsafeSetup(f"{target} exists already") from None
    try:
        with (
            closing(connect(source, read_only=True)) as reading,
            closing(sqlite3.connect(target, isolation_level=None)) as writing,
        ):
            reading.backup(writing)
            # One file, without a log beside it that a copy could forget.
            _pragma(writing, "journal_mode", "DELETE", expected="delete")
        os.fsync(descriptor)
    except sqlite3.Error as error:
        target.unlink()
        raise UnsafeSetup(f"{source} cannot be copied: {error}") from error
    finally:
        os.close(descriptor)


class Ownership:
    """A lock that one process holds on a file or folder until `release` or its death."""

    def __init__(self, lock_path: Path, *, what: str) -> None:
        """Take the lock at once, or raise UnsafeSetup and name who has it."""
        self._descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._descriptor, 64, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise UnsafeSetup(
                f"{what} is already in use by {holder or 'another process'};"
                " only one may own it at a time"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"process {os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock up. Idempotent. The lock file stays: removing it would race."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _pragma(
    connection: Connection, name: str, value: str, *, expected: str | int | None = None
) -> None:
    row = connection.execute(f"PRAGMA {name}={value}").fetchone()
    if expected is not None and (row is None or row[0] != expected):
        raise UnsafeSetup(f"SQLite does not grant {name}={value} on this file")
