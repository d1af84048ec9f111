from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from domain.account import AccountNotFound, ApiKeyNotFound, LimitReached, Role, Routing
from domain.clock import FixedClock
from domain.credential import CredentialNotFound
from domain.directory import CredentialView, Directory
from domain.errors import BadValue, UnsafeSetup
from domain.eventlog.log import StoredLog
from domain.eventlog.memory import open_memory_log
from domain.eventlog.port import Conflict, Recorded, StoreUnavailable
from domain.events.base import Event
from domain.installation import FIRST_ROLES, open_installation
from domain.ledger import Ledger, secret_sha256
from domain.vault.envelope import LocalMasterKey
from domain.vault.memory import memory_vault
from domain.vault.port import SecretNotFound
from domain.vault.reconcile import reconcile_vault

START = datetime(2026, 11, 1, tzinfo=UTC)


class ScriptedLog(StoredLog):
    """A log in memory whose next appends can be made to fail."""

    failures: list[Exception]

    def submit(self, *events: Event, account_id: str | None) -> Future[tuple[Recorded, ...]]:
        if self.failures:
            failed: Future[tuple[Recorded, ...]] = Future()
            failed.set_exception(self.failures.pop(0))
            return failed
        return super().submit(*events, account_id=account_id)


class Office:
    """A ledger over stores in memory, with one account."""

    def __init__(self) -> None:
        self.clock = FixedClock(START)
        log = open_memory_log(clock=self.clock)
        log.__class__ = ScriptedLog
        assert isinstance(log, ScriptedLog)
        log.failures = []
        self.log = log
        self.directory = Directory(log)
        self.vault = memory_vault(LocalMasterKey(bytes(32)))
        self.ledger = Ledger(
            log=log, vault=self.vault, clock=self.clock, directory=self.directory, keys_max=3
        )
        self.account_id, _ = self.ledger.open_account()

    def add(self, text: str = "sk-secret") -> CredentialView:
        return self.ledger.add_credential(
            self.account_id, provider="openai", fields={"apiKey": text}, key_suffix=text[-4:]
        )

    def view(self, credential_id: str) -> CredentialView:
        view = self.directory.credential(credential_id)
        assert view is not None
        return view

    def opened(self, view: CredentialView) -> str:
        return self.vault.open(
            account_id=view.account_id,
            credential_id=view.credential_id,
            version=view.secret_version,
        ).reveal()

    def topics(self) -> list[str]:
        return [each.topic for each in self.log.read(after=0, limit=1_000)]


@pytest.fixture
def office() -> Iterator[Office]:
    made = Office()
    yield made
    made.log.close()


def test_the_first_start_opens_an_account_with_a_key_of_each_role() -> None:
    log = open_memory_log(clock=FixedClock(START))
    directory = Directory(log)
    ledger = Ledger(
        log=log,
        vault=memory_vault(LocalMasterKey(bytes(32))),
        clock=FixedClock(START),
        directory=directory,
    )
    made = open_installation(ledger, directory)
    assert tuple(made.api_keys) == FIRST_ROLES
    for role, secret in made.api_keys.items():
        key = directory.api_key(secret_sha256(secret.reveal()))
        assert key is not None
        assert (key.role, key.account_id) == (role, made.account_id)
    head = log.head()
    with pytest.raises(UnsafeSetup):
        open_installation(ledger, directory)
    assert log.head() == head
    log.close()


def test_an_api_key_is_256_random_bits_of_which_we_keep_a_hash(office: Office) -> None:
    issued = [office.ledger.issue_api_key(office.account_id, "caller") for _ in range(2)]
    texts = [each.secret.reveal() for each in issued]
    assert texts[0] != texts[1]
    for text in texts:
        assert re.fullmatch(r"kt_[A-Za-z0-9_-]{43}", text)
        assert len(base64.urlsafe_b64decode(text[3:] + "=")) == 32
        lines = b"".join(each.line for each in office.log.read(after=0, limit=100))
        assert text.encode() not in lines
        assert secret_sha256(text).encode() in lines


@pytest.mark.parametrize("role", ["finance", "auditor", "operator"])
def test_roles_of_the_installation_are_the_first_accounts(office: Office, role: Role) -> None:
    assert office.ledger.issue_api_key(office.account_id, role)
    second, _ = office.ledger.open_account()
    with pytest.raises(BadValue) as raised:
        office.ledger.issue_api_key(second, role)
    assert raised.value.param == "role"
    with pytest.raises(BadValue):
        office.ledger.open_account(api_keys=(role,))


def test_a_limited_number_of_keys_is_live_at_once(office: Office) -> None:
    keys = [office.ledger.issue_api_key(office.account_id, "caller") for _ in range(3)]
    with pytest.raises(LimitReached):
        office.ledger.issue_api_key(office.account_id, "caller")
    office.ledger.revoke_api_key(office.account_id, keys[0].key_id)
    assert office.ledger.issue_api_key(office.account_id, "caller")
    credentials = [office.add() for _ in range(3)]
    with pytest.raises(LimitReached):
        office.add()
    office.ledger.remove_credential(office.account_id, credentials[0].credential_id)
    assert office.add()


def test_the_markup_of_an_account(office: Office) -> None:
    office.ledger.agree_markup(office.account_id, rate="0.03")
    later = START + timedelta(days=1)
    office.ledger.agree_markup(office.account_id, rate="0.1", effective_from=later)
    account = office.directory.account(office.account_id)
    assert account is not None
    assert account.markup_rate_at(START - timedelta(microseconds=1)) == "0.05"
    assert account.markup_rate_at(START) == "0.03"
    assert account.markup_rate_at(later) == "0.1"
    assert account.version == 3


def test_adding_seals_the_secret_and_keeps_it_out_of_the_log(office: Office) -> None:
    view = office.add("sk-CANARY-9Qkx")
    assert office.opened(view) == '{"apiKey":"sk-CANARY-9Qkx"}'
    assert b"CANARY" not in b"".join(each.line for each in office.log.read(after=0, limit=100))
    same, other = office.add("sk-CANARY-9Qkx"), office.add("sk-CANARY-other")
    assert view.fingerprint == same.fingerprint != other.fingerprint


def test_a_model_restriction_is_recorded_together_with_the_key(office: Office) -> None:
    view = office.ledger.add_credential(
        office.account_id,
        provider="openai",
        fields={"apiKey": "x"},
        key_suffix="****",
        models=["gpt-4o", "gpt-4o"],
    )
    assert view.models == frozenset({"gpt-4o"})
    with pytest.raises(BadValue):
        office.ledger.add_credential(
            office.account_id, provider="openai", fields={}, key_suffix="****", models=[]
        )
    assert len(office.vault.held()) == 1


def test_a_key_that_cannot_be_recorded_is_not_kept(office: Office) -> None:
    office.log.failures = [StoreUnavailable("disk full")]
    with pytest.raises(StoreUnavailable):
        office.add()
    assert office.vault.held() == []
    assert office.directory.credentials(office.account_id) == ()


def test_a_rotation_that_cannot_be_recorded_keeps_the_old_secret(office: Office) -> None:
    view = office.add("sk-old-")
    office.log.failures = [StoreUnavailable("disk full")]
    with pytest.raises(StoreUnavailable):
        office.ledger.rotate_credential(
            office.account_id, view.credential_id, fields={"apiKey": "new"}, key_suffix="****"
        )
    assert office.opened(office.view(view.credential_id)) == '{"apiKey":"sk-old-"}'
    assert office.vault.held() == [(view.credential_id, 1)]


def test_rotation_destroys_the_old_secret(office: Office) -> None:
    view = office.add()
    rotated = office.ledger.rotate_credential(
        office.account_id, view.credential_id, fields={"apiKey": "new"}, key_suffix="****"
    )
    assert office.opened(rotated) == '{"apiKey":"new"}'
    assert office.vault.held() == [(view.credential_id, 2)]
    with pytest.raises(SecretNotFound):
        office.opened(view)


def test_the_secret_is_destroyed_only_after_the_removal_is_durable(office: Office) -> None:
    view = office.add()
    office.log.failures = [StoreUnavailable("disk full")]
    with pytest.raises(StoreUnavailable):
        office.ledger.remove_credential(office.account_id, view.credential_id)
    assert office.opened(view)
    office.ledger.remove_credential(office.account_id, view.credential_id)
    assert office.vault.held() == []
    assert office.view(view.credential_id).removed
    with pytest.raises(CredentialNotFound):
        office.ledger.remove_credential(office.account_id, view.credential_id)


def test_a_start_destroys_what_a_death_left_in_the_vault(office: Office) -> None:
    kept, rotated, removed = office.add("sk-a"), office.add("sk-b"), office.add("sk-c")
    office.ledger.rotate_credential(
        office.account_id, rotated.credential_id, fields={"apiKey": "new"}, key_suffix="****"
    )
    office.ledger.remove_credential(office.account_id, removed.credential_id)
    # As if the process had died right before each destruction, and once before recording.
    for credential_id, version in (
        (rotated.credential_id, 1),
        (removed.credential_id, 1),
        (kept.credential_id, 2),
        ("cred_" + "0" * 32, 1),
    ):
        office.vault.put(
            account_id=office.account_id,
            credential_id=credential_id,
            version=version,
            secret=office.vault.open(
                account_id=office.account_id, credential_id=kept.credential_id, version=1
            ),
        )
    assert reconcile_vault(office.vault, office.directory) == 4
    assert sorted(office.vault.held()) == sorted(
        [(kept.credential_id, 1), (rotated.credential_id, 2)]
    )
    assert reconcile_vault(office.vault, office.directory) == 0


def test_what_was_said_of_an_older_secret_is_void(office: Office) -> None:
    view = office.add()
    office.ledger.rotate_credential(
        office.account_id, view.credential_id, fields={"apiKey": "new"}, key_suffix="****"
    )
    check = office.ledger.check_credential
    check(office.account_id, view.credential_id, "rejected", "invalid_key", secret_version=1)
    assert office.view(view.credential_id).status == "unverified"
    check(office.account_id, view.credential_id, "rejected", "invalid_key", secret_version=2)
    assert office.view(view.credential_id).status == "rejected"


def test_a_check_that_says_nothing_new_reads_no_stream(office: Office) -> None:
    view = office.add()
    check = office.ledger.check_credential
    check(office.account_id, view.credential_id, "verified", "listed_models")
    head = office.log.head()
    office.log.failures = [StoreUnavailable("must not be used")]
    check(office.account_id, view.credential_id, "verified", "answered_a_call")
    assert office.log.head() == head
    assert len(office.log.failures) == 1


def test_moving_a_credential_moves_the_others_together(office: Office) -> None:
    ids = [office.add().credential_id for _ in range(3)]
    head = office.log.head()
    office.ledger.reorder_credential(office.account_id, ids[2], 1)
    assert office.log.head() == head + 3
    held = office.directory.credentials(office.account_id)
    assert [each.credential_id for each in held] == [ids[2], ids[0], ids[1]]
    assert [each.position for each in held] == [1, 2, 3]
    office.ledger.reorder_credential(office.account_id, ids[2], 1)
    assert office.log.head() == head + 3


def test_another_accounts_things_do_not_exist(office: Office) -> None:
    view = office.add()
    key = office.ledger.issue_api_key(office.account_id, "caller")
    other, _ = office.ledger.open_account()
    head = office.log.head()
    for command in (
        lambda: office.ledger.remove_credential(other, view.credential_id),
        lambda: office.ledger.disable_credential(other, view.credential_id),
        lambda: office.ledger.reorder_credential(other, view.credential_id, 1),
        lambda: office.ledger.restrict_credential(other, view.credential_id, ["m"]),
        lambda: office.ledger.rotate_credential(
            other, view.credential_id, fields={}, key_suffix="****"
        ),
    ):
        with pytest.raises(CredentialNotFound):
            command()
    with pytest.raises(ApiKeyNotFound):
        office.ledger.revoke_api_key(other, key.key_id)
    assert office.log.head() == head
    assert office.vault.held() == [(view.credential_id, 1)]


@pytest.mark.parametrize("account_id", ["acc_" + "0" * 32, "cred_" + "0" * 32, "nonsense", ""])
def test_an_account_that_does_not_exist(office: Office, account_id: str) -> None:
    with pytest.raises(AccountNotFound):
        office.ledger.suspend_account(account_id)


def test_an_id_of_another_kind_is_nothing(office: Office) -> None:
    view = office.add()
    with pytest.raises(AccountNotFound):
        office.ledger.suspend_account("acc_" + view.credential_id.removeprefix("cred_"))
    with pytest.raises(CredentialNotFound):
        office.ledger.disable_credential(
            office.account_id, "cred_" + office.account_id.removeprefix("acc_")
        )


def test_a_decision_that_was_overtaken_is_made_again(office: Office) -> None:
    office.log.failures = [Conflict("taken")] * 4
    office.ledger.suspend_account(office.account_id)
    account = office.directory.account(office.account_id)
    assert account is not None
    assert account.suspended
    office.log.failures = [Conflict("taken")] * 5
    with pytest.raises(Conflict):
        office.ledger.resume_account(office.account_id)


def test_commands_of_many_threads_all_happen(office: Office) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda number: office.ledger.agree_markup(
                    office.account_id, rate=f"0.0{number + 1}"
                ),
                range(9),
            )
        )
    account = office.directory.account(office.account_id)
    assert account is not None
    assert sorted(each.rate for each in account.markups) == [f"0.0{n}" for n in range(1, 10)]


def test_a_copy_of_log_and_vault_fits_together(office: Office) -> None:
    view = office.add()
    with ThreadPoolExecutor(1) as pool:
        with office.ledger.hold():
            head = office.log.head()
            rotation = pool.submit(
                office.ledger.rotate_credential,
                office.account_id,
                view.credential_id,
                fields={"apiKey": "new"},
                key_suffix="****",
            )
            with pytest.raises(TimeoutError):
                rotation.result(timeout=0.05)
            assert office.log.head() == head
            assert office.vault.held() == [(view.credential_id, 1)]
        assert rotation.result(timeout=5).secret_version == 2


def test_routing_is_replaced_as_a_whole(office: Office) -> None:
    wanted = Routing(providers=("groq", "openai"), fallbacks=True, on_disconnect="drain")
    office.ledger.prefer_routing(office.account_id, wanted)
    account = office.directory.account(office.account_id)
    assert account is not None
    assert account.routing == wanted
