"""Without a master key nothing is opened, kept or destroyed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from domain.secret import Secret
from domain.vault.absent import AbsentVault
from domain.vault.port import Vault, VaultUnavailable

WHOSE = {"account_id": "acc_1", "credential_id": "cred_1"}


@pytest.mark.parametrize(
    "use",
    [
        lambda vault: vault.put(**WHOSE, version=1, secret=Secret("s")),
        lambda vault: vault.open(**WHOSE, version=1),
        lambda vault: vault.destroy(credential_id="cred_1"),
        lambda vault: vault.held(),
        lambda vault: vault.keyed_hash("purpose", "text"),
        lambda vault: vault.rewrap(),
    ],
)
def test_everything_is_refused(use: Callable[[Vault], object]) -> None:
    with pytest.raises(VaultUnavailable, match="no master key"):
        use(AbsentVault())
