"""The vault over any shelf: what is sealed, and which key opens it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final, Protocol

from domain.errors import UnsafeSetup
from domain.secret import Secret
from domain.vault.envelope import Sealed, keyed_hash, rewrapped, seal, unseal
from domain.vault.port import MasterKey, SecretNotFound, SecretUnreadable

_HASH_KEY_ID: Final = "hash-key"
_HASH_KEY_VERSION: Final = 1


class Shelf(Protocol):
    """Keeps sealed records durably, and forgets them for good. Any thread may call anything."""

    def put(self, sealed: Sealed) -> bool:
        """Keep a record unless there is one with the same credential and version; whether it is
        kept. Of several callers, in whatever process, one is first."""

    def replace_all(self, sealed: Sequence[Sealed]) -> None:
        """Replace those of the records that are still kept, together, and leave nothing of the old
        ones behind. What was destroyed meanwhile does not come back."""

    def get(self, credential_id: str, version: int) -> Sealed | None:
        """The record, or None."""

    def all(self) -> Sequence[Sealed]:
        """Every record."""

    def destroy(self, credential_id: str, version: int | None) -> None:
        """Forget one version, or all, so that the raw storage holds nothing of them."""

    def close(self) -> None:
        """Release what is held."""


class SealedVault:
    """The vault of `port.py`: seals with the current master key, opens with older ones too."""

    def __init__(self, shelf: Shelf, master: MasterKey, *, older: Sequence[MasterKey] = ()) -> None:
        self._shelf = shelf
        self._master = master
        self._masters = {key.key_id: key for key in (*older, master)}
        self._hash_key = self._opened_hash_key()

    def put(self, *, account_id: str, credential_id: str, version: int, secret: Secret) -> bool:
        return self._shelf.put(
            seal(
                secret,
                account_id=account_id,
                credential_id=credential_id,
                version=version,
                master=self._master,
            )
        )

    def open(self, *, account_id: str, credential_id: str, version: int) -> Secret:
        sealed = self._shelf.get(credential_id, version)
        if sealed is None or sealed.account_id != account_id:
            raise SecretNotFound("the vault holds no secret for this credential")
        return unseal(sealed, master=self._master_of(sealed))

    def destroy(self, *, credential_id: str, version: int | None = None) -> None:
        if credential_id == _HASH_KEY_ID:
            raise ValueError("the hash key is not a credential's secret")
        self._shelf.destroy(credential_id, version)

    def held(self) -> Sequence[tuple[str, int]]:
        return [
            (sealed.credential_id, sealed.version)
            for sealed in self._shelf.all()
            if sealed.credential_id != _HASH_KEY_ID
        ]

    def keyed_hash(self, purpose: str, text: str) -> str:
        return keyed_hash(self._hash_key, purpose, text)

    def rewrap(self) -> int:
        outdated = [s for s in self._shelf.all() if s.key_id != self._master.key_id]
        self._shelf.replace_all(
            [rewrapped(s, old=self._master_of(s), new=self._master) for s in outdated]
        )
        return len(outdated)

    def close(self) -> None:
        self._shelf.close()

    def _master_of(self, sealed: Sealed) -> MasterKey:
        master = self._masters.get(sealed.key_id)
        if master is None:
            raise SecretUnreadable(
                f"the secret was sealed under master key {sealed.key_id}, which is not given"
            )
        return master

    def _opened_hash_key(self) -> Secret:
        """The hash key, made at first use. That it opens proves the master key right."""
        sealed = self._shelf.get(_HASH_KEY_ID, _HASH_KEY_VERSION) or self._first_hash_key()
        try:
            return unseal(sealed, master=self._master_of(sealed))
        except SecretUnreadable:
            raise UnsafeSetup(
                f"the vault was sealed under master key {sealed.key_id},"
                f" but the one given is {self._master.key_id}"
            ) from None

    def _first_hash_key(self) -> Sealed:
        """A new hash key, or the one of another process that was faster."""
        made = seal(
            Secret(secrets.token_hex(32)),
            account_id="",
            credential_id=_HASH_KEY_ID,
            version=_HASH_KEY_VERSION,
            master=self._master,
        )
        kept = self._shelf.put(made)
        found = None if kept else self._shelf.get(_HASH_KEY_ID, _HASH_KEY_VERSION)
        return found or made
