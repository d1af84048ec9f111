"""Opened provider keys, kept for a short while so that not every call opens the vault."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from api.providers.port import ProviderKey
from domain.clock import Clock
from domain.credential import fields_of
from domain.directory import CredentialView
from domain.vault.port import Vault

KEPT_MAX: Final = 1024
KEPT_S: Final = 60.0


class OpenKeys:
    """Memory cache over the vault: bounded in number and in time, keyed by secret version."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._vault = vault
        self._clock = clock
        self._kept: OrderedDict[tuple[str, int], tuple[float, ProviderKey]] = OrderedDict()

    async def open(self, credential: CredentialView) -> ProviderKey:
        """The key's fields, for a call. Raises SecretNotFound or SecretUnreadable."""
        place = (credential.credential_id, credential.secret_version)
        now_s = self._clock.monotonic_s()
        kept = self._kept.get(place)
        if kept is not None and now_s - kept[0] < KEPT_S:
            return kept[1]
        self._forget_old(now_s)
        secret = await asyncio.to_thread(
            self._vault.open,
            account_id=credential.account_id,
            credential_id=credential.credential_id,
            version=credential.secret_version,
        )
        fields = fields_of(secret)
        self._kept[place] = (now_s, fields)
        self._kept.move_to_end(place)
        return fields

    def _forget_old(self, now_s: float) -> None:
        """Drop what is over its time; the oldest stand first."""
        while self._kept:
            place, (since_s, _) = next(iter(self._kept.items()))
            if now_s - since_s < KEPT_S and len(self._kept) < KEPT_MAX:
                return
            del self._kept[place]
