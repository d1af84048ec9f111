"""A move that fails changes nothing, and one that was killed is taken up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from domain.clock import SystemClock
from domain.errors import UnsafeSetup
from domain.eventlog import postgres_import
from domain.eventlog.port import heads_of
from domain.eventlog.postgres import open_postgres_log
from domain.eventlog.raw import verify_stored
from domain.eventlog.sqlite import begin_new_store
from domain.labels.postgres import PostgresLabels
from domain.relayed.port import Relayed
from domain.relayed.postgres import PostgresRelayPositions
from domain.relayed.sqlite import SqliteRelayPositions
from domain.vault.local_key import load_master_key
from domain.vault.postgres import PostgresShelf, postgres_vault
from keytoll import migrate_store as moving
from keytoll.migrate_store import migrate_store
from keytoll.settings import Settings
from keytoll.wiring import EVENTS_FILE, Stores, open_stores
from keytoll.wiring.files import MOVED_FOLDER, RELAYED_FILE

pytestmark = pytest.mark.services


class Killed(BaseException):
    """As if the process had died here."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation that was restored once, so that its log has two stores."""
    settings = Settings.from_environment({"KEYTOLL_DATA": str(tmp_path / "data")})
    filled(settings, "before")
    begin_new_store(settings.data / EVENTS_FILE)
    filled(settings, "after")
    return settings


def filled(settings: Settings, name: str) -> None:
    stores = open_stores(settings, SystemClock(), epoch=name)
    stores.log.opened(epoch=name, program="test").result()
    stores.prices.publish()
    account_id, _ = stores.ledger.open_account(api_keys=("owner",))
    stores.labels.set(account_id, "label", name)
    add_key(stores, account_id, f"sk-{name}")
    gone = add_key(stores, account_id, "sk-gone")
    stores.ledger.remove_credential(account_id, gone)
    stores.sealer.seal()
    stores.close()


def add_key(stores: Stores, account_id: str, secret: str) -> str:
    return stores.ledger.add_credential(
        account_id, provider="openai", fields={"apiKey": secret}, key_suffix=secret[-4:]
    ).credential_id


def lies_in(settings: Settings) -> str:
    """Where the installation's files are."""
    (place,) = {path.parent for path in settings.data.rglob(EVENTS_FILE)}
    return place.name


def test_everything_is_there_afterwards(settings: Settings, postgres_dsn: str) -> None:
    positions = SqliteRelayPositions(settings.data / RELAYED_FILE)
    positions.set("topic", "store", Relayed(7, "ab" * 32))
    positions.close()
    before = verify_stored(settings.data / EVENTS_FILE)
    moved = migrate_store(settings, postgres_dsn)
    assert lies_in(settings) == MOVED_FOLDER
    after = verify_stored(postgres_dsn)
    assert after.ok
    assert len(before.stores) == 2
    assert after.stores[:2] == before.stores == moved.report.stores
    assert (after.stores[2].store_id, after.stores[2].size) == (moved.store_id, 0)

    log = open_postgres_log(postgres_dsn, clock=SystemClock())
    (opened,) = log.opened(epoch="later", program="test").result()
    assert (opened.store_id, opened.seq) == (moved.store_id, 1)
    assert len(heads_of(log)) == 3
    log.close()
    assert verify_stored(postgres_dsn).ok, "and says what it continues"

    key = load_master_key(
        value=None, file=settings.master_key_file, data=settings.data, may_create=False
    )
    vault, labels = postgres_vault(postgres_dsn, key.master), PostgresLabels(postgres_dsn)
    assert len(vault.held()) == 2
    assert sorted(value for _, _, value in labels.rows()) == ["after", "before"]
    relayed = PostgresRelayPositions(postgres_dsn)
    assert relayed.rows() == [("topic", "store", Relayed(7, "ab" * 32))]
    for each in (vault, labels, relayed):
        each.close()


@pytest.mark.parametrize("step", ["_copy_events", "_copy_lines", "_check"])
def test_a_copy_that_fails_leaves_everything_as_it_was(
    settings: Settings, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before = verify_stored(settings.data / EVENTS_FILE)
    with monkeypatch.context() as failing:

        def fail(*_: object) -> None:
            raise UnsafeSetup("as planned")

        failing.setattr(postgres_import, step, fail)
        with pytest.raises(UnsafeSetup, match="as planned"):
            migrate_store(settings, postgres_dsn)
    assert lies_in(settings) == settings.data.name
    assert verify_stored(settings.data / EVENTS_FILE) == before
    open_stores(settings, SystemClock(), epoch="again").close()
    migrate_store(settings, postgres_dsn)
    assert verify_stored(postgres_dsn).ok


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Whatever is patched dies, and nothing is put back."""

    def moved_and_left(source: Path, target: Path) -> None:
        if target.name == MOVED_FOLDER:
            move(source, target)

    move = moving._move
    with monkeypatch.context() as dying:
        dying.setattr(moving, "_move", moved_and_left)
        yield dying


@pytest.mark.parametrize("step", ["_copy_vault", "_copy_labels", "import_log"])
def test_a_killed_move_is_taken_up(
    settings: Settings, postgres_dsn: str, killed: pytest.MonkeyPatch, step: str
) -> None:
    def die(*_: object) -> None:
        raise Killed

    killed.setattr(moving, step, die)
    with pytest.raises(Killed):
        migrate_store(settings, postgres_dsn)
    killed.undo()
    assert lies_in(settings) == MOVED_FOLDER
    with pytest.raises(UnsafeSetup, match="moved to Postgres"):
        open_stores(settings, SystemClock(), epoch="no")
    # What an earlier try left behind is made equal to the source, secrets above all.
    vault, labels = PostgresShelf(postgres_dsn), PostgresLabels(postgres_dsn)
    stray = vault.all()[0] if vault.all() else None
    if stray is not None:
        vault.replace_all([replace(stray, box=b"changed")])
        vault.put(replace(stray, credential_id="cred_stray"))
    labels.set("acc_stray", "label", "left over")
    moved = migrate_store(settings, postgres_dsn)
    labels.catch_up()
    assert len(labels.rows()) == 2
    assert len(vault.all()) == 3, "two secrets and the hash key"
    assert b"changed" not in [each.box for each in vault.all()]
    assert migrate_store(settings, postgres_dsn) == moved
    vault.close()
    labels.close()


def test_a_damaged_log_is_not_moved(settings: Settings, postgres_dsn: str) -> None:
    path = settings.data / EVENTS_FILE
    content = path.read_bytes()
    at = content.index(b'"program":"test"')
    path.write_bytes(content[:at] + b'"program":"TEST"' + content[at + 16 :])
    with pytest.raises(UnsafeSetup, match="damaged"):
        migrate_store(settings, postgres_dsn)
    assert lies_in(settings) == settings.data.name


def test_two_installations_do_not_share_a_folder(settings: Settings, postgres_dsn: str) -> None:
    migrate_store(settings, postgres_dsn)
    (settings.data / EVENTS_FILE).write_bytes(b"")
    with pytest.raises(UnsafeSetup, match="another installation"):
        migrate_store(settings, postgres_dsn)
