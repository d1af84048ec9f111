"""What every vault promises, and what the raw storage must not hold afterwards."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from domain.errors import UnsafeSetup
from domain.secret import Secret
from domain.vault.envelope import LocalMasterKey, Sealed, rewrapped, seal, unseal
from domain.vault.memory import MemoryShelf
from domain.vault.port import SecretNotFound, SecretUnreadable
from domain.vault.postgres import PostgresShelf
from domain.vault.sealed import SealedVault, Shelf
from domain.vault.sqlite import SqliteShelf

OLD = LocalMasterKey(bytes(32))
NEW = LocalMasterKey(bytes(31) + b"\x01")
ACCOUNT = "acc_" + "a" * 32
OTHER = "acc_" + "b" * 32
CREDENTIAL = "cred_" + "c" * 32
CANARY = Secret("sk-CANARY-canary-CANARY")

SHELVES = ["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.services)]


@pytest.fixture(params=SHELVES)
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shelf]:
    made: Shelf
    if request.param == "memory":
        made = MemoryShelf()
    elif request.param == "sqlite":
        made = SqliteShelf(tmp_path / "vault.sqlite")
    else:
        made = PostgresShelf(request.getfixturevalue("postgres_dsn"))
    yield made
    made.close()


@pytest.fixture
def vault(shelf: Shelf) -> SealedVault:
    return SealedVault(shelf, OLD)


def put(vault: SealedVault, version: int = 1, secret: Secret = CANARY) -> bool:
    return vault.put(account_id=ACCOUNT, credential_id=CREDENTIAL, version=version, secret=secret)


def opened(vault: SealedVault, version: int = 1) -> str:
    return vault.open(account_id=ACCOUNT, credential_id=CREDENTIAL, version=version).reveal()


def test_what_was_put_is_opened(vault: SealedVault) -> None:
    put(vault)
    put(vault, 2, Secret("ünïcode"))
    assert opened(vault) == CANARY.reveal()
    assert opened(vault, 2) == "ünïcode"
    assert vault.held() == [(CREDENTIAL, 1), (CREDENTIAL, 2)]


def test_a_version_is_taken_once(vault: SealedVault) -> None:
    assert put(vault)
    assert not put(vault, 1, Secret("second"))
    assert opened(vault) == CANARY.reveal()
    assert vault.held() == [(CREDENTIAL, 1)]


def test_another_account_opens_nothing(vault: SealedVault) -> None:
    put(vault)
    with pytest.raises(SecretNotFound):
        vault.open(account_id=OTHER, credential_id=CREDENTIAL, version=1)


@pytest.mark.parametrize(("credential_id", "version"), [(CREDENTIAL, 2), ("cred_" + "d" * 32, 1)])
def test_what_was_never_put_is_not_found(
    vault: SealedVault, credential_id: str, version: int
) -> None:
    put(vault)
    with pytest.raises(SecretNotFound):
        vault.open(account_id=ACCOUNT, credential_id=credential_id, version=version)


def test_one_version_is_destroyed_or_all(vault: SealedVault) -> None:
    for version in (1, 2, 3):
        put(vault, version)
    vault.destroy(credential_id=CREDENTIAL, version=2)
    assert vault.held() == [(CREDENTIAL, 1), (CREDENTIAL, 3)]
    vault.destroy(credential_id=CREDENTIAL, version=2)
    vault.destroy(credential_id=CREDENTIAL)
    assert vault.held() == []
    with pytest.raises(SecretNotFound):
        opened(vault)


def test_a_record_moved_to_another_place_does_not_open(vault: SealedVault, shelf: Shelf) -> None:
    put(vault)
    sealed = shelf.get(CREDENTIAL, 1)
    assert sealed is not None
    for moved in (
        replace(sealed, account_id=OTHER),
        replace(sealed, version=2),
        replace(sealed, credential_id="cred_" + "d" * 32),
    ):
        shelf.put(moved)
        shelf.replace_all([moved])
        with pytest.raises(SecretUnreadable):
            vault.open(
                account_id=moved.account_id,
                credential_id=moved.credential_id,
                version=moved.version,
            )


@pytest.mark.parametrize("field", ["wrapped_key", "box"])
def test_every_changed_byte_is_noticed(vault: SealedVault, shelf: Shelf, field: str) -> None:
    put(vault)
    sealed = shelf.get(CREDENTIAL, 1)
    assert sealed is not None
    whole: bytes = getattr(sealed, field)
    for index in range(len(whole)):
        damaged = whole[:index] + bytes([whole[index] ^ 1]) + whole[index + 1 :]
        shelf.replace_all([changed(sealed, field, damaged)])
        with pytest.raises(SecretUnreadable):
            opened(vault)
    for cut in (b"", whole[:11], whole[:12], whole[:-1]):
        shelf.replace_all([changed(sealed, field, cut)])
        with pytest.raises(SecretUnreadable):
            opened(vault)


def changed(sealed: Sealed, field: str, content: bytes) -> Sealed:
    if field == "box":
        return replace(sealed, box=content)
    return replace(sealed, wrapped_key=content)


def test_rewrapping_lets_go_of_the_old_master_key(vault: SealedVault, shelf: Shelf) -> None:
    put(vault)
    put(vault, 2, Secret("second"))
    hashed = vault.keyed_hash("purpose", "text")
    both = SealedVault(shelf, NEW, older=[OLD])
    assert opened(both) == CANARY.reveal()
    assert both.rewrap() == 3
    assert both.rewrap() == 0
    after = SealedVault(shelf, NEW)
    assert (opened(after), opened(after, 2)) == (CANARY.reveal(), "second")
    assert after.keyed_hash("purpose", "text") == hashed
    with pytest.raises(UnsafeSetup):
        SealedVault(shelf, OLD)


def test_a_wrong_master_key_is_refused_at_the_start(vault: SealedVault, shelf: Shelf) -> None:
    with pytest.raises(UnsafeSetup, match=NEW.key_id):
        SealedVault(shelf, NEW)


def test_a_keyed_hash_depends_on_vault_purpose_and_text(vault: SealedVault, shelf: Shelf) -> None:
    hashed = vault.keyed_hash("a", "text")
    assert len(hashed) == 64
    assert SealedVault(shelf, OLD).keyed_hash("a", "text") == hashed
    assert vault.keyed_hash("b", "text") != hashed
    assert vault.keyed_hash("a", "text2") != hashed
    assert SealedVault(MemoryShelf(), OLD).keyed_hash("a", "text") != hashed


def test_of_two_processes_that_start_one_makes_the_hash_key(shelf: Shelf) -> None:
    class Slow:
        """The other process makes the key after this one has found none."""

        def __init__(self) -> None:
            self.other: SealedVault | None = None

        def __getattr__(self, name: str) -> Any:
            return getattr(shelf, name)

        def get(self, credential_id: str, version: int) -> Sealed | None:
            found = shelf.get(credential_id, version)
            self.other = self.other or SealedVault(shelf, OLD)
            return found

    slow = Slow()
    late = SealedVault(slow, OLD)
    assert slow.other is not None
    assert late.keyed_hash("a", "text") == slow.other.keyed_hash("a", "text")


def test_what_was_destroyed_meanwhile_is_not_rewrapped_into_life(
    vault: SealedVault, shelf: Shelf
) -> None:
    put(vault)
    put(vault, 2)
    before = shelf.all()
    vault.destroy(credential_id=CREDENTIAL, version=1)
    shelf.replace_all([rewrapped(each, old=OLD, new=NEW) for each in before])
    assert vault.held() == [(CREDENTIAL, 2)]
    assert opened(SealedVault(shelf, NEW), 2) == CANARY.reveal()


def test_the_hash_key_cannot_be_destroyed_as_if_it_were_a_secret(vault: SealedVault) -> None:
    with pytest.raises(ValueError, match="hash key"):
        vault.destroy(credential_id="hash-key")
    assert vault.held() == []


def test_equal_secrets_are_sealed_differently() -> None:
    first, second = (
        seal(CANARY, account_id=ACCOUNT, credential_id=CREDENTIAL, version=1, master=OLD)
        for _ in range(2)
    )
    assert first.box != second.box
    assert first.wrapped_key != second.wrapped_key
    assert unseal(rewrapped(first, old=OLD, new=NEW), master=NEW) == CANARY


# The SQLite file


def raw(folder: Path) -> bytes:
    return b"\0".join(each.read_bytes() for each in sorted(folder.iterdir()))


def test_the_files_never_hold_the_secret_nor_afterwards_its_data_key(tmp_path: Path) -> None:
    shelf = SqliteShelf(tmp_path / "vault.sqlite")
    vault = SealedVault(shelf, OLD)
    put(vault)
    sealed = shelf.get(CREDENTIAL, 1)
    assert sealed is not None
    assert CANARY.reveal().encode() not in raw(tmp_path)
    assert sealed.wrapped_key in raw(tmp_path)
    vault.destroy(credential_id=CREDENTIAL, version=1)
    assert holding(raw(tmp_path), [sealed]) == []
    vault.close()
    assert holding(raw(tmp_path), [sealed]) == []


def test_a_rewrapped_key_leaves_nothing_of_the_old_wrapping(tmp_path: Path) -> None:
    shelf = SqliteShelf(tmp_path / "vault.sqlite")
    vault = SealedVault(shelf, OLD)
    put(vault)
    before = shelf.all()
    SealedVault(shelf, NEW, older=[OLD]).rewrap()
    assert len(before) == 2
    assert holding(raw(tmp_path), before) == []
    vault.close()


def test_a_start_finishes_what_a_death_between_delete_and_scrub_left(tmp_path: Path) -> None:
    shelf = SqliteShelf(tmp_path / "vault.sqlite")
    put(SealedVault(shelf, OLD))
    sealed = shelf.get(CREDENTIAL, 1)
    assert sealed is not None
    shelf._connection.execute("DELETE FROM sealed WHERE credential_id LIKE 'cred%'")
    assert holding(raw(tmp_path), [sealed]) == [sealed]  # still in the write-ahead log
    again = SqliteShelf(tmp_path / "vault.sqlite")
    assert holding(raw(tmp_path), [sealed]) == []
    again.close()
    shelf.close()


def test_nothing_stays_behind_after_many_changes_of_the_tree(tmp_path: Path) -> None:
    """`secure_delete` alone fails here: rebalanced pages keep a copy until VACUUM."""
    chance = random.Random(2)
    shelf = SqliteShelf(tmp_path / "vault.sqlite")
    shelf._connection.execute("PRAGMA synchronous=OFF")
    live: dict[str, Sealed] = {}
    dead: list[Sealed] = []
    for number in range(300):
        if live and chance.random() < 0.4:
            gone = live.pop(chance.choice(sorted(live)))
            shelf.destroy(gone.credential_id, None)
            dead.append(gone)
        else:
            sealed = Sealed(
                account_id=ACCOUNT,
                credential_id=f"cred_{chance.getrandbits(128):032x}",
                version=1,
                key_id=f"key{number}",
                wrapped_key=chance.randbytes(60),
                box=chance.randbytes(chance.choice([40, 300, 2_000])),
            )
            shelf.put(sealed)
            live[sealed.credential_id] = sealed
    assert len(dead) > 50
    assert holding(raw(tmp_path), dead) == []
    assert holding(raw(tmp_path), list(live.values())) == list(live.values())
    shelf.close()


def test_the_file_is_ours_alone_and_survives(tmp_path: Path) -> None:
    path = tmp_path / "vault.sqlite"
    vault = SealedVault(SqliteShelf(path), OLD)
    put(vault)
    assert [each.stat().st_mode & 0o077 for each in tmp_path.iterdir()] == [0, 0, 0]
    vault.close()
    again = SealedVault(SqliteShelf(path), OLD)
    assert opened(again) == CANARY.reveal()
    again.close()


def holding(content: bytes, records: Sequence[Sealed]) -> list[Sealed]:
    """The records of whose wrapped key some 20 bytes are still there."""
    return [
        each
        for each in records
        if any(each.wrapped_key[at : at + 20] in content for at in range(0, 41, 20))
    ]
