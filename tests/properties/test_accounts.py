"""Whatever is commanded in whatever order: memory, log and vault agree."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import cast

from eventsourcing.domain import Aggregate
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.account import Account, Markup, Role, Routing, markup_rate_at
from domain.clock import FixedClock, instant_text
from domain.credential import Credential
from domain.directory import Directory
from domain.errors import DomainError
from domain.eventlog.memory import open_memory_log
from domain.eventlog.past import PastLog
from domain.events.base import Event
from domain.events.codec import decode, encode
from domain.ids import parse_id
from domain.ledger import Ledger
from domain.repository import Mutates, Repository
from domain.vault.envelope import LocalMasterKey
from domain.vault.memory import memory_vault
from domain.vault.reconcile import reconcile_vault

START = datetime(2026, 11, 1, tzinfo=UTC)
ACCOUNTS = st.integers(0, 1)
PICKS = st.integers(0, 5)
MODELS = st.none() | st.lists(st.sampled_from(["a", "b", "c"]), max_size=3)
Command = Callable[["Play"], object]


class Play:
    """Two accounts on which commands are played."""

    def __init__(self) -> None:
        self.clock = FixedClock(START)
        self.log = open_memory_log(clock=self.clock)
        self.directory = Directory(self.log)
        self.vault = memory_vault(LocalMasterKey(bytes(32)))
        self.ledger = Ledger(
            log=self.log, vault=self.vault, clock=self.clock, directory=self.directory, keys_max=4
        )
        self.accounts = [self.ledger.open_account()[0] for _ in range(2)]
        self.credentials: list[str] = []
        self.api_keys: list[str] = []

    def add(self, account: int, text: str, models: list[str] | None) -> None:
        view = self.ledger.add_credential(
            self.accounts[account],
            provider="openai",
            fields={"apiKey": text},
            key_suffix="****",
            models=models,
        )
        self.credentials.append(view.credential_id)

    def issue(self, account: int, role: Role) -> None:
        self.api_keys.append(self.ledger.issue_api_key(self.accounts[account], role).key_id)

    def credential(self, pick: int) -> str:
        return self.credentials[pick % len(self.credentials)] if self.credentials else "cred_"

    def api_key(self, pick: int) -> str:
        return self.api_keys[pick % len(self.api_keys)] if self.api_keys else "key_"


def commands() -> st.SearchStrategy[Command]:
    return st.one_of(
        st.builds(
            lambda a, text, models: lambda p: p.add(a, text, models),
            ACCOUNTS,
            st.text("ab", min_size=1, max_size=2),
            MODELS,
        ),
        st.builds(
            lambda a, c, text: (
                lambda p: p.ledger.rotate_credential(
                    p.accounts[a], p.credential(c), fields={"apiKey": text}, key_suffix="****"
                )
            ),
            ACCOUNTS,
            PICKS,
            st.text("ab", min_size=1, max_size=2),
        ),
        st.builds(
            lambda name, a, c: lambda p: getattr(p.ledger, name)(p.accounts[a], p.credential(c)),
            st.sampled_from(["disable_credential", "enable_credential", "remove_credential"]),
            ACCOUNTS,
            PICKS,
        ),
        st.builds(
            lambda a, c, place: (
                lambda p: p.ledger.reorder_credential(p.accounts[a], p.credential(c), place)
            ),
            ACCOUNTS,
            PICKS,
            st.integers(-1, 6),
        ),
        st.builds(
            lambda a, c, models: (
                lambda p: p.ledger.restrict_credential(p.accounts[a], p.credential(c), models)
            ),
            ACCOUNTS,
            PICKS,
            MODELS,
        ),
        st.builds(
            lambda a, c, outcome: (
                lambda p: p.ledger.check_credential(
                    p.accounts[a], p.credential(c), outcome, "reason"
                )
            ),
            ACCOUNTS,
            PICKS,
            st.sampled_from(["verified", "rejected", "indeterminate"]),
        ),
        st.builds(
            lambda a, role: lambda p: p.issue(a, role),
            ACCOUNTS,
            st.sampled_from(["caller", "owner", "operator"]),
        ),
        st.builds(
            lambda a, k: lambda p: p.ledger.revoke_api_key(p.accounts[a], p.api_key(k)),
            ACCOUNTS,
            PICKS,
        ),
        st.builds(
            lambda name, a: lambda p: getattr(p.ledger, name)(p.accounts[a]),
            st.sampled_from(["suspend_account", "resume_account"]),
            ACCOUNTS,
        ),
        st.builds(
            lambda a, rate, days: (
                lambda p: p.ledger.agree_markup(
                    p.accounts[a],
                    rate=rate,
                    effective_from=p.clock.now() + timedelta(days=days),
                )
            ),
            ACCOUNTS,
            st.sampled_from(["0", "0.03", "0.123456", "2"]),
            st.integers(-2, 2),
        ),
        st.builds(
            lambda a, slugs: (
                lambda p: p.ledger.prefer_routing(p.accounts[a], Routing(tuple(slugs)))
            ),
            ACCOUNTS,
            st.lists(st.sampled_from(["openai", "groq"]), max_size=3),
        ),
        st.builds(
            lambda hours: lambda p: p.clock.advance(timedelta(hours=hours)), st.integers(-5, 30)
        ),
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(commands(), max_size=40))
def test_memory_log_and_vault_agree_after_any_commands(played: list[Command]) -> None:
    play = Play()
    try:
        for command in played:
            before = play.log.head()
            try:
                command(play)
            except DomainError:
                assert play.log.head() == before, "a refused command left an event"
        fresh = Directory(play.log)
        fresh.catch_up()
        assert everything(fresh, play) == everything(play.directory, play)
        agrees_with_the_aggregates(play)
        in_use = {
            (view.credential_id, view.secret_version)
            for account_id in play.accounts
            for view in play.directory.credentials(account_id)
        }
        assert set(play.vault.held()) == in_use
        assert reconcile_vault(play.vault, fresh) == 0
    finally:
        play.log.close()


@settings(max_examples=30, deadline=None)
@given(st.lists(commands(), max_size=25), st.data())
def test_every_past_state_can_be_read_again(played: list[Command], data: st.DataObject) -> None:
    play = Play()
    try:
        for command in played:
            with suppress(DomainError):
                command(play)
        until = data.draw(st.integers(2, play.log.head()))
        past = PastLog(play.log, until={play.log.store_id: until})
        partial = Directory(past)
        partial.catch_up()
        for account_id in play.accounts:
            aggregate = Repository(past).get(Account, parse_id("acc", account_id))
            view = partial.account(account_id)
            assert (aggregate is None) == (view is None)
            if aggregate is not None and view is not None:
                assert (view.version, view.suspended) == (aggregate.version, aggregate.suspended)
                assert view.markups == tuple(aggregate.markups)
    finally:
        play.log.close()


DECISIONS: list[Callable[[Account], None]] = [
    Account.suspend,
    Account.resume,
    lambda a: a.issue_api_key(key_id="key_" + "0" * 32, role="owner", secret_sha256="0" * 64),
    lambda a: a.issue_api_key(
        key_id="key_" + "1" * 32,
        role="caller",
        secret_sha256="1" * 64,
        requests_per_minute=5,
        models=["a", "b"],
        receipt=False,
        expires_at=START,
    ),
    lambda a: a.revoke_api_key("key_" + "0" * 32),
    lambda a: a.revoke_api_key("key_" + "1" * 32),
    lambda a: a.agree_markup(rate="0.1", effective_from=START, now=START),
    lambda a: a.set_tax(rate="0.19", note="VAT 19 %"),
    lambda a: a.prefer_routing(Routing(("groq",), fallbacks=True, on_disconnect="drain")),
    lambda a: a.carry_remainder(invoice_id="inv_1", sandbox=False, amount="0.0012"),
]
CHANGES: list[Callable[[Credential], None]] = [
    lambda c: c.check("rejected", "invalid_key"),
    lambda c: c.check("verified", "listed_models"),
    lambda c: c.restrict(["a"]),
    lambda c: c.restrict(None),
    lambda c: c.reorder(7),
    Credential.disable,
    Credential.enable,
    lambda c: c.rotate(
        key_suffix="abcd", fingerprint="f" * 64, secret_version=c.secret_version + 1
    ),
    Credential.remove,
]


@given(st.lists(st.sampled_from(DECISIONS), max_size=20))
def test_a_live_account_equals_its_replay(decisions: list[Callable[[Account], None]]) -> None:
    account = Account(currency="USD")
    for decide in decisions:
        with suppress(DomainError):
            decide(account)
    assert state(replayed(account)) == state(account)


@given(st.lists(st.sampled_from(CHANGES), max_size=20))
def test_a_live_credential_equals_its_replay(
    changes: list[Callable[[Credential], None]],
) -> None:
    credential = Credential(
        account_id="acc_" + "0" * 32,
        provider="openai",
        key_suffix="9Qkx",
        fingerprint="e" * 64,
        secret_version=1,
        position=1,
    )
    for change in changes:
        with suppress(DomainError):
            change(credential)
    assert state(replayed(credential)) == state(credential)


def replayed(live: Aggregate) -> Aggregate:
    """The aggregate again, from its events as bytes."""
    again: Aggregate | None = None
    for seq, event in enumerate(live.pending_events, start=1):
        line = encode(cast("Event", event), account_id=None).line(
            recorded_at=instant_text(START), seq=seq, store_id="s"
        )
        again = cast("Mutates", decode(line)).mutate(again)
    assert again is not None
    return again


def state(aggregate: Aggregate) -> dict[str, object]:
    """All but when it was recorded, which a live aggregate does not know yet."""
    unknown = {"_created_on", "_modified_on", "_pending_events"}
    return {name: value for name, value in vars(aggregate).items() if name not in unknown}


@given(
    st.lists(
        st.builds(
            lambda hours, rate: Markup(rate, instant_text(START + timedelta(hours=hours))),
            st.integers(-5, 5),
            st.sampled_from(["0", "0.01", "0.02"]),
        ),
        max_size=6,
    ),
    st.integers(-6, 6),
)
def test_the_markup_rate_is_that_of_the_last_to_begin(markups: list[Markup], hours: int) -> None:
    instant = START + timedelta(hours=hours)
    begun = [each for each in markups if each.effective_from <= instant_text(instant)]
    ordered = sorted(begun, key=lambda each: each.effective_from)  # stable: later agreed, later
    expected = ordered[-1].rate if ordered else "0.05"
    assert markup_rate_at(markups, instant) == expected


def everything(directory: Directory, play: Play) -> object:
    return (
        directory.accounts(),
        directory.first_account_id(),
        [directory.api_keys(account_id) for account_id in play.accounts],
        [directory.credentials(account_id) for account_id in play.accounts],
        [directory.credential(credential_id) for credential_id in play.credentials],
        [directory.api_key_by_id(key_id) for key_id in play.api_keys],
    )


def agrees_with_the_aggregates(play: Play) -> None:
    aggregates = Repository(play.log)
    for account_id in play.accounts:
        account = aggregates.get(Account, parse_id("acc", account_id))
        view = play.directory.account(account_id)
        assert account is not None
        assert view is not None
        assert view.version == account.version
        assert view.suspended == account.suspended
        assert view.markups == tuple(account.markups)
        assert view.routing == account.routing
        shown = {key.key_id: key for key in play.directory.api_keys(account_id)}
        assert {key_id: key.revoked for key_id, key in shown.items()} == {
            key_id: key.revoked for key_id, key in account.api_keys.items()
        }
        for key_id, key in account.api_keys.items():
            assert play.directory.api_key(key.secret_sha256) == shown[key_id]
    for credential_id in play.credentials:
        credential = aggregates.get(Credential, parse_id("cred", credential_id))
        seen = play.directory.credential(credential_id)
        assert credential is not None
        assert seen is not None
        assert (seen.status, seen.position, seen.removed, seen.secret_version) == (
            credential.status,
            credential.position,
            credential.removed,
            credential.secret_version,
        )
        assert (seen.models is None) == (credential.models is None)
        listed = credential_id in {
            each.credential_id for each in play.directory.credentials(seen.account_id)
        }
        assert listed is not credential.removed
