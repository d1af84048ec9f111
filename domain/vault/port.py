"""Where provider secrets lie, sealed, outside the event log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from domain.errors import DomainError
from domain.secret import Secret


class SecretNotFound(DomainError):
    """No secret is kept under this credential and version (destroyed, or never stored)."""


class SecretUnreadable(DomainError):
    """The sealed bytes do not open: wrong master key, or they were changed."""


class VaultUnavailable(DomainError):
    """The vault's storage failed (disk full, file gone). What was asked for is not done."""


class MasterKey(Protocol):
    """Wraps data keys. The key itself never leaves the object, or the service behind it."""

    @property
    def key_id(self) -> str:
        """Names the key without telling it; stored beside everything that it wrapped."""

    def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """The data key, sealed together with what it belongs to."""

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """The data key again. Raises SecretUnreadable for other bytes or another context."""


class Vault(Protocol):
    """Seals each secret under its own data key, itself wrapped by a master key.

    Any thread may call anything.
    """

    def put(self, *, account_id: str, credential_id: str, version: int, secret: Secret) -> bool:
        """Seal and store durably, unless the version is taken; whether it was stored.

        Of several callers, in whatever process, one is first.
        """

    def open(self, *, account_id: str, credential_id: str, version: int) -> Secret:
        """The secret. Raises SecretNotFound or SecretUnreadable; never the wrong account's."""

    def destroy(self, *, credential_id: str, version: int | None = None) -> None:
        """Destroy one version, or all. Afterwards nothing on disk can open it. Idempotent."""

    def held(self) -> Sequence[tuple[str, int]]:
        """(credential_id, version) of everything kept, for reconciling with the log."""

    def keyed_hash(self, purpose: str, text: str) -> str:
        """A hash (64 hex digits) that only the holder of this vault can make or compare.

        Its key is random, kept in the vault and wrapped like a secret, so that the hashes in
        old events stay comparable when the master key changes.
        """

    def rewrap(self) -> int:
        """Wrap what an older master key wrapped with the current one; how many that were."""

    def close(self) -> None:
        """Release the file."""
