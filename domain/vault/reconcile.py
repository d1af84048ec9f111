"""What a start owes the vault: secrets that nothing uses any more are destroyed."""

from __future__ import annotations

from domain.directory import Directory
from domain.vault.port import Vault


def reconcile_vault(vault: Vault, directory: Directory) -> int:
    """Destroy secrets that no credential uses; return how many.

    Only at start, before any command: a process may have died between sealing a secret and
    recording it, or between recording a removal or rotation and destroying.
    """
    directory.catch_up()
    stale = [
        (credential_id, version)
        for credential_id, version in vault.held()
        if not _uses(directory, credential_id, version)
    ]
    for credential_id, version in stale:
        vault.destroy(credential_id=credential_id, version=version)
    return len(stale)


def _uses(directory: Directory, credential_id: str, version: int) -> bool:
    view = directory.credential(credential_id)
    return view is not None and not view.removed and view.secret_version == version
