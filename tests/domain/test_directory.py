from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.clock import FixedClock
from domain.directory import Directory
from domain.eventlog.memory import open_memory_log
from domain.eventlog.port import Chain, EventLog, LogReader
from domain.eventlog.sqlite import begin_new_store, open_sqlite_log
from domain.events.codec import UnreadableEvent
from domain.ledger import Ledger, secret_sha256
from domain.vault.envelope import LocalMasterKey
from domain.vault.memory import memory_vault
from domain.vault.port import Vault

START = datetime(2026, 11, 1, tzinfo=UTC)


def ledger_over(log: EventLog, vault: Vault | None = None) -> tuple[Ledger, Directory]:
    directory = Directory(log)
    ledger = Ledger(
        log=log,
        vault=vault or memory_vault(LocalMasterKey(bytes(32))),
        clock=FixedClock(START),
        directory=directory,
    )
    return ledger, directory


def test_another_reader_follows_the_log() -> None:
    log = open_memory_log(clock=FixedClock(START))
    ledger, directory = ledger_over(log)
    follower = Directory(log)
    account_id, keys = ledger.open_account(api_keys=("owner",))
    sha = secret_sha256(keys["owner"].secret.reveal())
    assert follower.api_key(sha) is None
    follower.catch_up()
    assert follower.api_key(sha) == directory.api_key(sha)
    ledger.revoke_api_key(account_id, keys["owner"].key_id)
    before = follower.api_key(sha)
    follower.catch_up()
    after = follower.api_key(sha)
    assert before is not None
    assert after is not None
    assert (before.revoked, after.revoked) == (False, True)
    assert after.created_at == before.created_at
    log.close()


def test_a_restored_log_keeps_its_accounts_and_their_versions(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    vault = memory_vault(LocalMasterKey(bytes(32)))
    log = open_sqlite_log(path, clock=FixedClock(START))
    ledger, directory = ledger_over(log, vault)
    account_id, _ = ledger.open_account()
    kept, removed = (
        ledger.add_credential(
            account_id, provider="openai", fields={"apiKey": "x"}, key_suffix="****"
        )
        for _ in range(2)
    )
    log.close()
    begin_new_store(path)
    again = open_sqlite_log(path, clock=FixedClock(START))
    ledger, directory = ledger_over(again, vault)
    directory.catch_up()
    assert [each.credential_id for each in directory.credentials(account_id)] == [
        kept.credential_id,
        removed.credential_id,
    ]
    ledger.suspend_account(account_id)
    ledger.remove_credential(account_id, removed.credential_id)
    fresh = Directory(again)
    fresh.catch_up()
    account = fresh.account(account_id)
    assert account is not None
    assert (account.version, account.suspended) == (2, True)
    assert fresh.credentials(account_id) == (kept,)
    again.close()


def test_a_reader_never_waits_for_other_streams_twice() -> None:
    class Counting:
        """A reader that counts how often it is asked for a page."""

        def __init__(self, log: EventLog) -> None:
            self.log = log
            self.pages = 0

        def chains(self) -> object:
            return (Chain((self,)),)  # type: ignore[arg-type]

        def __getattr__(self, name: str) -> object:
            if name == "read":
                self.pages += 1
            return getattr(self.log, name)

    log = open_memory_log(clock=FixedClock(START))
    counting = Counting(log)
    directory = Directory(counting)  # type: ignore[arg-type]
    ledger, _ = ledger_over(log)
    ledger.open_account()
    log.seal().result()
    directory.catch_up()
    pages = counting.pages
    for _ in range(5):
        directory.catch_up()
    assert counting.pages == pages
    log.close()


def test_an_event_that_cannot_be_read_stops_the_directory_where_it_is() -> None:
    class Damaged:
        """The second line is not what it was."""

        def __init__(self, log: LogReader) -> None:
            self.log = log
            self.whole = False

        def chains(self) -> object:
            return (Chain((self,)),)  # type: ignore[arg-type]

        def __getattr__(self, name: str) -> object:
            return getattr(self.log, name)

        def read(self, **given: object) -> object:
            found = list(self.log.read(**given))  # type: ignore[arg-type]
            if self.whole:
                return found
            return [row._replace(line=b"{}") if row.seq == 2 else row for row in found]

    log = open_memory_log(clock=FixedClock(START))
    ledger, expected = ledger_over(log)
    first, _ = ledger.open_account()
    ledger.open_account()
    ledger.suspend_account(first)
    damaged = Damaged(log)
    directory = Directory(damaged)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(UnreadableEvent):
            directory.catch_up()
    assert [each.account_id for each in directory.accounts()] == [first]
    damaged.whole = True
    directory.catch_up()
    assert directory.accounts() == expected.accounts()
    log.close()


def test_readers_see_whole_states_while_the_log_grows() -> None:
    log = open_memory_log(clock=FixedClock(START))
    ledger, directory = ledger_over(log)
    account_id, _ = ledger.open_account()
    ids = {
        ledger.add_credential(
            account_id, provider="openai", fields={"apiKey": "x"}, key_suffix="****"
        ).credential_id
        for _ in range(5)
    }
    done = threading.Event()
    wrong: list[object] = []

    def look() -> None:
        while not done.is_set():
            seen = directory.credentials(account_id)
            if {each.credential_id for each in seen} != ids:
                wrong.append(seen)
            directory.api_keys(account_id)
            directory.accounts()

    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(30):
        ledger.reorder_credential(account_id, sorted(ids)[number % 5], 1 + number % 3)
        ledger.issue_api_key(account_id, "caller")
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    log.close()
