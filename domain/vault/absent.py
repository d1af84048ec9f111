"""The vault of a process that needs none: it was given no master key, and opens nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from domain.secret import Secret
from domain.vault.port import VaultUnavailable


class AbsentVault:
    """Refuses everything with VaultUnavailable. A worker that was broken into gives no key away."""

    def put(self, *, account_id: str, credential_id: str, version: int, secret: Secret) -> bool:
        self._refuse()

    def open(self, *, account_id: str, credential_id: str, version: int) -> Secret:
        self._refuse()

    def destroy(self, *, credential_id: str, version: int | None = None) -> None:
        self._refuse()

    def held(self) -> Sequence[tuple[str, int]]:
        self._refuse()

    def keyed_hash(self, purpose: str, text: str) -> str:
        self._refuse()

    def rewrap(self) -> int:
        self._refuse()

    def close(self) -> None:
        """Nothing is open."""

    @staticmethod
    def _refuse() -> NoReturn:
        raise VaultUnavailable("this process was given no master key")
