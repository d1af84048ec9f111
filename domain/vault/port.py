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


class Vault(Protocol):
    """Seals each secret under its own data key, itself wrapped by a master key."""

    def put(self, *, account_id: str, credential_id: str, version: int, secret: Secret) -> None:
        """Seal and store durably. Putting a version again replaces it."""

    def open(self, *, account_id: str, credential_id: str, version: int) -> Secret:
        """The secret. Raises SecretNotFound or SecretUnreadable; never the wrong account's."""

    def destroy(self, *, credential_id: str, version: int | None = None) -> None:
        """Destroy one version, or all. Afterwards nothing on disk can open it. Idempotent."""

    def held(self) -> Sequence[tuple[str, int]]:
        """(credential_id, version) of everything kept, for reconciling with the log."""

    def close(self) -> None:
        """Release the file."""
