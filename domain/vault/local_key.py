"""The master key of a single machine: from a variable, or from a file that only we can read."""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from domain.errors import UnsafeSetup
from domain.secret import Secret
from domain.vault.envelope import KEY_BYTES, LocalMasterKey

_FILE_BYTES_MAX: Final = 1_000
_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class LoadedKey:
    """The key, and whether this start made it: then the operator must be told to keep it safe."""

    master: LocalMasterKey
    created: bool


def load_master_key(*, value: Secret | None, file: Path, data: Path, may_create: bool) -> LoadedKey:
    """The master key: `value` if given, else from `file`, which is made if it `may_create`.

    `may_create` has to be false as soon as a vault exists: a fresh key would open nothing in it.
    Raises UnsafeSetup: the file lies inside `data` (one copy of the folder would then open the
    vault), others can read it, it is missing, or it holds no key.
    """
    if value is not None:
        return LoadedKey(parse_master_key(value, what="KEYTOLL_MASTER_KEY"), created=False)
    if file.resolve().is_relative_to(data.resolve()):
        raise UnsafeSetup(f"the master key {file} must not lie inside the data folder {data}")
    try:
        return LoadedKey(_read(file), created=False)
    except FileNotFoundError:
        if not may_create:
            raise UnsafeSetup(
                f"the master key {file} is missing; without it the vault opens for nobody"
            ) from None
    _create(file)
    return LoadedKey(_read(file), created=True)


def parse_master_key(text: Secret, *, what: str) -> LocalMasterKey:
    """32 bytes as base64 or hex. Raises UnsafeSetup, without the text."""
    given = text.reveal().strip()
    try:
        if _HEX.fullmatch(given):
            return LocalMasterKey(bytes.fromhex(given))
        padded = given.replace("-", "+").replace("_", "/") + "=" * (-len(given) % 4)
        return LocalMasterKey(base64.b64decode(padded, validate=True))
    except (binascii.Error, ValueError):
        raise UnsafeSetup(f"{what} must be 32 random bytes, written in base64 or hex") from None


def _read(file: Path) -> LocalMasterKey:
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as opened:
        if os.fstat(descriptor).st_mode & 0o077:
            raise UnsafeSetup(f"others can read the master key {file}: run chmod 600 on it")
        content = opened.read(_FILE_BYTES_MAX)
    return parse_master_key(Secret(content.decode("ascii", "replace")), what=str(file))


def _create(file: Path) -> None:
    """Write a fresh key where none is, durably: secrets sealed under a lost key are lost."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
        opened.flush()
        os.fsync(descriptor)
    folder = os.open(file.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
