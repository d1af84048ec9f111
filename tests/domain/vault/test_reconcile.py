"""What nothing uses is destroyed, and never what another process is about to record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from domain.directory import CredentialView, Directory
from domain.ledger import Ledger
from domain.secret import Secret
from domain.vault.port import Vault
from domain.vault.reconcile import LOOK_S, UNUSED_S, VaultKeeper
from tests.domain.test_ledger import Office


class Pausing:
    """A vault whose caller is held up right after its first secret was sealed."""

    def __init__(self, vault: Vault, meanwhile: Callable[[], object]) -> None:
        self._vault = vault
        self._meanwhile: Callable[[], object] | None = meanwhile

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vault, name)

    def put(self, *, account_id: str, credential_id: str, version: int, secret: Secret) -> bool:
        stored = self._vault.put(
            account_id=account_id, credential_id=credential_id, version=version, secret=secret
        )
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return stored


class Processes:
    """An office, and a second process over the same log and vault."""

    def __init__(self) -> None:
        self.office = Office()
        self.keeper = VaultKeeper(self.office.vault, Directory(self.office.log), self.office.clock)

    def pass_s(self, seconds: float) -> None:
        """Time passes, and the keeper looks as often as it asked for."""
        for _ in range(round(seconds / LOOK_S)):
            self.office.clock.advance(timedelta(seconds=self.keeper()))
        self.keeper()

    def other_ledger(self, meanwhile: Callable[[], object]) -> Ledger:
        office = self.office
        return Ledger(
            log=office.log,
            vault=Pausing(office.vault, meanwhile),
            clock=office.clock,
            directory=Directory(office.log),
        )

    def rotate(self, ledger: Ledger, view: CredentialView, text: str) -> None:
        ledger.rotate_credential(
            view.account_id, view.credential_id, fields={"apiKey": text}, key_suffix="****"
        )


@pytest.fixture
def processes() -> Processes:
    return Processes()


def test_what_stays_unused_is_destroyed(processes: Processes) -> None:
    kept = processes.office.add()
    processes.office.vault.put(
        account_id=kept.account_id,
        credential_id="cred_" + "0" * 32,
        version=1,
        secret=Secret("left behind"),
    )
    processes.pass_s(UNUSED_S - LOOK_S)
    assert len(processes.office.vault.held()) == 2
    processes.pass_s(LOOK_S)
    assert processes.office.vault.held() == [(kept.credential_id, 1)]


@pytest.mark.parametrize("pause_s", [0, UNUSED_S - LOOK_S, 6 * UNUSED_S])
def test_what_is_recorded_at_last_opens(processes: Processes, pause_s: float) -> None:
    """However long the process stood still between sealing and recording."""
    ledger = processes.other_ledger(lambda: processes.pass_s(pause_s))
    office = processes.office
    view = ledger.add_credential(
        office.account_id, provider="openai", fields={"apiKey": "sk-a"}, key_suffix="sk-a"
    )
    processes.pass_s(3 * UNUSED_S)
    assert office.vault.held() == [(view.credential_id, 1)]
    assert "sk-a" in office.opened(view)


def test_of_two_rotations_at_once_each_seals_its_own(processes: Processes) -> None:
    office = processes.office
    view = office.add("sk-first")
    slower = processes.other_ledger(lambda: processes.rotate(office.ledger, view, "sk-faster"))
    processes.rotate(slower, view, "sk-slower")
    office.directory.catch_up()
    now = office.view(view.credential_id)
    assert "sk-slower" in office.opened(now)
    assert office.vault.held() == [(view.credential_id, now.secret_version)]


def test_a_version_that_a_dead_process_left_behind_is_passed_over(processes: Processes) -> None:
    office = processes.office
    view = office.add("sk-first")
    office.vault.put(
        account_id=view.account_id,
        credential_id=view.credential_id,
        version=2,
        secret=Secret("never recorded"),
    )
    processes.rotate(office.ledger, view, "sk-second")
    now = office.view(view.credential_id)
    assert "sk-second" in office.opened(now)
    processes.pass_s(2 * UNUSED_S)
    assert office.vault.held() == [(view.credential_id, now.secret_version)]
