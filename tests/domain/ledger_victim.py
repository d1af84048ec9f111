"""Run as a program: changes credentials until it is killed, and says what it has achieved."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from domain.clock import SystemClock
from domain.directory import Directory
from domain.eventlog.sqlite import open_sqlite_log
from domain.ledger import Ledger
from domain.vault.envelope import LocalMasterKey
from domain.vault.sqlite import sqlite_vault


def main(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    clock = SystemClock()
    log = open_sqlite_log(folder / "events.sqlite", clock=clock)
    vault = sqlite_vault(folder / "vault.sqlite", LocalMasterKey(bytes(32)))
    directory = Directory(log)
    directory.catch_up()
    ledger = Ledger(log=log, vault=vault, clock=clock, directory=directory, keys_max=10_000)
    account_id = directory.first_account_id() or ledger.open_account()[0]
    say("ready", "", "")
    while True:
        held = directory.credentials(account_id)
        act = chance.random()
        secret = f"sk-{seed}-{chance.getrandbits(64):x}"
        if len(held) < 3 or act < 0.4:
            say("adding", "", secret)
            view = ledger.add_credential(
                account_id, provider="openai", fields={"apiKey": secret}, key_suffix="****"
            )
            say("added", view.credential_id, secret)
            continue
        credential_id = chance.choice(held).credential_id
        if act < 0.7:
            say("rotating", credential_id, secret)
            ledger.rotate_credential(
                account_id, credential_id, fields={"apiKey": secret}, key_suffix="****"
            )
            say("rotated", credential_id, secret)
        else:
            say("removing", credential_id, "")
            ledger.remove_credential(account_id, credential_id)
            say("removed", credential_id, "")


def say(what: str, credential_id: str, secret: str) -> None:
    sys.stdout.write(json.dumps([what, credential_id, secret]) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
