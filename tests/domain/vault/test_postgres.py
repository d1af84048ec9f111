"""What the files of a Postgres hold of a secret that was destroyed, and who waits for whom."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from domain.postgres import connect
from domain.secret import Secret
from domain.vault import postgres
from domain.vault.envelope import Sealed
from domain.vault.port import VaultUnavailable
from domain.vault.postgres import PostgresShelf, postgres_vault
from tests.contracts.test_vault import ACCOUNT, CREDENTIAL, NEW, OLD, holding

pytestmark = pytest.mark.services


@pytest.fixture
def shelf(postgres_dsn: str) -> Iterator[PostgresShelf]:
    shelf = PostgresShelf(postgres_dsn)
    yield shelf
    shelf.close()


def files(dsn: str) -> bytes:
    """Every file of the database: tables, their overflow, indexes, what is left of old ones."""
    with connect(dsn, purpose="test") as admin:
        admin.execute("CHECKPOINT")
        rows = admin.execute(
            "SELECT pg_read_binary_file(folder || '/' || name, 0, 1 << 28, true)"
            " FROM (SELECT 'base/' || oid AS folder FROM pg_database"
            " WHERE datname = current_database()) AS here, pg_ls_dir(folder) AS name"
        ).fetchall()
    return b"\0".join(bytes(row[0] or b"") for row in rows)


def sealed(chance: random.Random, number: int) -> Sealed:
    return Sealed(
        account_id=ACCOUNT,
        credential_id=f"cred_{chance.getrandbits(128):032x}",
        version=1,
        key_id=f"key{number}",
        wrapped_key=chance.randbytes(60),
        box=chance.randbytes(chance.choice([40, 300, 9_000])),
    )


def test_the_files_hold_the_living_and_nothing_of_the_dead(
    shelf: PostgresShelf, postgres_dsn: str
) -> None:
    chance = random.Random(2)
    live: dict[str, Sealed] = {}
    dead: list[Sealed] = []
    for number in range(120):
        if live and chance.random() < 0.4:
            gone = live.pop(chance.choice(sorted(live)))
            shelf.destroy(gone.credential_id, None)
            dead.append(gone)
        else:
            made = sealed(chance, number)
            shelf.put(made)
            live[made.credential_id] = made
    assert len(dead) > 30
    content = files(postgres_dsn)
    assert holding(content, list(live.values())) == list(live.values())
    assert holding(content, dead) == []
    assert [each.box for each in dead if each.box[-30:] in content] == []


def test_a_reader_of_long_ago_keeps_nothing_alive(shelf: PostgresShelf, postgres_dsn: str) -> None:
    """VACUUM FULL would copy the row, because this transaction might still ask for it."""
    made = sealed(random.Random(3), 1)
    shelf.put(made)
    with connect(postgres_dsn, purpose="test") as reader, reader.transaction():
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT 1 FROM pg_class").fetchall()
        shelf.destroy(made.credential_id, 1)
        assert holding(files(postgres_dsn), [made]) == []


def test_a_rewrapped_key_leaves_nothing_of_the_old_wrapping(
    shelf: PostgresShelf, postgres_dsn: str
) -> None:
    vault = postgres_vault(postgres_dsn, OLD)
    vault.put(account_id=ACCOUNT, credential_id=CREDENTIAL, version=1, secret=Secret("first"))
    before = shelf.all()
    vault.close()
    vault = postgres_vault(postgres_dsn, NEW, older=[OLD])
    assert vault.rewrap() == len(before) == 2
    assert holding(files(postgres_dsn), before) == []
    vault.close()


def test_readers_always_find_what_stays(shelf: PostgresShelf, postgres_dsn: str) -> None:
    chance = random.Random(4)
    stays, *others = (sealed(chance, number) for number in range(40))
    shelf.put(stays)

    def read() -> int:
        reader = PostgresShelf(postgres_dsn)
        missing = sum(reader.get(stays.credential_id, 1) is None for _ in range(300))
        reader.close()
        return missing

    with ThreadPoolExecutor(3) as threads:
        reading = [threads.submit(read) for _ in range(2)]
        for each in others:
            shelf.put(each)
            shelf.destroy(each.credential_id, None)
        assert [each.result() for each in reading] == [0, 0]


def test_a_table_that_is_held_keeps_the_secret_and_says_so(
    shelf: PostgresShelf, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_TRIES", 2)
    made = sealed(random.Random(5), 1)
    shelf.put(made)
    with connect(postgres_dsn, purpose="test") as dump, dump.transaction():
        dump.execute("LOCK TABLE sealed IN ACCESS SHARE MODE")
        with pytest.raises(VaultUnavailable, match="dump"):
            shelf.destroy(made.credential_id, None)
        assert shelf.get(made.credential_id, 1) == made
    shelf.destroy(made.credential_id, None)
    assert shelf.get(made.credential_id, 1) is None
