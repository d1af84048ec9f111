"""A process that dies between vault and log loses no acknowledged key and keeps no removed one."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

from domain.clock import SystemClock
from domain.credential import fields_of
from domain.directory import Directory
from domain.eventlog.sqlite import open_sqlite_log
from domain.vault.envelope import LocalMasterKey
from domain.vault.reconcile import reconcile_vault
from domain.vault.sqlite import sqlite_vault

ROUNDS = 12
ROOT = Path(__file__).parents[2]


def test_killed_at_any_moment(tmp_path: Path) -> None:
    chance = random.Random(5)
    expected: dict[str, set[str]] = {}
    done = interrupted = 0
    for seed in range(ROUNDS):
        said = run_and_kill(tmp_path, seed, after_s=chance.uniform(0.02, 0.2))
        done += sum(what in {"added", "rotated", "removed"} for what, _, _ in said)
        unknown = said[-1] if said[-1][0].endswith("ing") else None
        interrupted += unknown is not None
        for what, credential_id, secret in said:
            if what in {"added", "rotated"}:
                expected[credential_id] = {secret}
            elif what == "removed":
                del expected[credential_id]
        check(tmp_path, expected, unknown)
    assert done > 20
    assert interrupted > 0, "no round was killed in the middle of a command"


def run_and_kill(folder: Path, seed: int, *, after_s: float) -> list[tuple[str, str, str]]:
    """What the victim said before it was killed."""
    victim = subprocess.Popen(
        [sys.executable, "-m", "tests.domain.ledger_victim", str(folder), str(seed)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert victim.stdout is not None
    first = victim.stdout.readline()
    time.sleep(after_s)
    victim.kill()
    rest, _ = victim.communicate()
    lines = [first, *rest.splitlines(keepends=True)]
    return [tuple(json.loads(line)) for line in lines if line.endswith(b"\n")]


def check(
    folder: Path, expected: dict[str, set[str]], unknown: tuple[str, str, str] | None
) -> None:
    """Bring `expected` up to date with the one command that may or may not have happened."""
    log = open_sqlite_log(folder / "events.sqlite", clock=SystemClock())
    vault = sqlite_vault(folder / "vault.sqlite", LocalMasterKey(bytes(32)))
    directory = Directory(log)
    reconcile_vault(vault, directory)
    account_id = directory.first_account_id()
    assert account_id is not None
    live = {each.credential_id: each for each in directory.credentials(account_id)}
    found = {
        credential_id: fields_of(
            vault.open(
                account_id=account_id, credential_id=credential_id, version=view.secret_version
            )
        )["apiKey"]
        for credential_id, view in live.items()
    }
    if unknown is not None:
        what, credential_id, secret = unknown
        if what == "adding":
            new = found.keys() - expected.keys()
            expected.update({each: {secret} for each in new})
            assert len(new) <= 1
        elif what == "rotating":
            expected[credential_id].add(secret)
        elif credential_id not in found:
            del expected[credential_id]
    assert found.keys() == expected.keys()
    for credential_id, secret in found.items():
        assert secret in expected[credential_id]
        expected[credential_id] = {secret}
    assert set(vault.held()) == {
        (credential_id, view.secret_version) for credential_id, view in live.items()
    }
    vault.close()
    log.close()
