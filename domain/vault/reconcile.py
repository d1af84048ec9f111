"""What processes that died owe the vault: secrets that nothing uses any more are destroyed."""

from __future__ import annotations

from typing import Final

from domain.clock import Clock
from domain.directory import Directory
from domain.vault.port import Vault

UNUSED_S: Final = 600.0
"""A secret is recorded within seconds of its sealing; what is unused for longer is nobody's."""
LOOK_S: Final = 300.0

Place = tuple[str, int]
"""Credential id and version of a secret."""


def reconcile_vault(vault: Vault, directory: Directory) -> int:
    """Destroy secrets that no credential uses; return how many.

    Only while nobody else uses the vault, at the start of the embedded mode: a process may have
    died between sealing a secret and recording it, or between recording a removal or rotation and
    destroying.
    """
    return _destroy(vault, _unused(vault, directory))


class VaultKeeper:
    """`reconcile_vault` as the step of a worker, beside other processes that seal secrets.

    Another process may have sealed what it records in a moment. So only what was unused at every
    look for ten minutes is destroyed. Several keepers do no harm.
    """

    def __init__(self, vault: Vault, directory: Directory, clock: Clock) -> None:
        self._vault = vault
        self._directory = directory
        self._clock = clock
        self._unused_since_s: dict[Place, float] = {}

    def __call__(self) -> float:
        now_s, before = self._clock.monotonic_s(), self._unused_since_s
        unused = {
            place: before.get(place, now_s) for place in _unused(self._vault, self._directory)
        }
        stale = [place for place, since_s in unused.items() if now_s - since_s >= UNUSED_S]
        _destroy(self._vault, stale)
        self._unused_since_s = {p: since_s for p, since_s in unused.items() if p not in stale}
        return LOOK_S


def _unused(vault: Vault, directory: Directory) -> list[Place]:
    # The vault before the log: what is recorded in between counts as used.
    held = vault.held()
    directory.catch_up()
    return [place for place in held if not _uses(directory, *place)]


def _destroy(vault: Vault, places: list[Place]) -> int:
    for credential_id, version in places:
        vault.destroy(credential_id=credential_id, version=version)
    return len(places)


def _uses(directory: Directory, credential_id: str, version: int) -> bool:
    view = directory.credential(credential_id)
    return view is not None and not view.removed and view.secret_version == version
