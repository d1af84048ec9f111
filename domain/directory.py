"""Who may call and with what, in memory: accounts, API keys and credentials, following the log."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Final

from domain.account import Account, ApiKey, Markup, Routing, markup_rate_at
from domain.clock import Clock, SystemClock, instant_text
from domain.credential import Credential, Outcome, Status
from domain.eventlog.follow import Follower
from domain.eventlog.port import EventLog, Recorded
from domain.events.codec import decode
from domain.ids import public_id
from domain.repository import mutated

STALE_S: Final = 2.0
"""A view older than this decides nothing: what was revoked elsewhere is refused here by then."""
_STREAMS: Final = frozenset({"account", "credential"})


@dataclass(frozen=True, slots=True)
class ApiKeyView:
    """A key of ours, as calls need it."""

    key_id: str
    account_id: str
    role: str
    requests_per_minute: int | None
    models: frozenset[str] | None
    """None: any model."""
    receipt: bool
    revoked: bool
    expires_at: str | None
    created_at: str


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as of `version`, the version of its last event."""

    account_id: str
    version: int
    suspended: bool
    currency: str
    markups: tuple[Markup, ...]
    routing: Routing
    tax_rate: str
    tax_note: str
    created_at: str

    def markup_rate_at(self, instant: datetime) -> str:
        """The rate that holds for a call routed at this instant, as decimal text."""
        return markup_rate_at(self.markups, instant)


@dataclass(frozen=True, slots=True)
class CredentialView:
    """A stored key without its secret."""

    credential_id: str
    account_id: str
    provider: str
    key_suffix: str
    status: Status
    status_reason: str | None
    """Why the last check ended as it did."""
    checked: Outcome | None
    """The outcome of the last check, also while the credential is disabled."""
    position: int
    """Orders the account's credentials; the lower is tried first."""
    models: frozenset[str] | None
    disabled: bool
    removed: bool
    secret_version: int
    fingerprint: str
    created_at: str


class Directory:
    """Looks up by dictionary. Any thread may read; `catch_up` takes in what was appended since."""

    def __init__(self, log: EventLog, clock: Clock | None = None) -> None:
        self._lock = Lock()
        self._clock = clock or SystemClock()
        self._level_s = -math.inf
        self._follower = Follower(log, streams=_STREAMS)
        self._account_aggregates: dict[str, Account] = {}
        self._credential_aggregates: dict[str, Credential] = {}
        self._accounts: dict[str, AccountView] = {}
        self._api_keys: dict[str, ApiKeyView] = {}
        self._api_keys_by_id: dict[str, ApiKeyView] = {}
        self._keys_of: dict[str, dict[str, ApiKeyView]] = {}
        self._credentials: dict[str, CredentialView] = {}
        self._credentials_of: dict[str, tuple[CredentialView, ...]] = {}

    def catch_up(self) -> None:
        """Apply the log up to its present end."""
        with self._lock:
            began_s = self._clock.monotonic_s()
            for recorded in self._follower.news():
                self._apply(recorded)
            self._level_s = began_s

    def age_s(self) -> float:
        """Seconds since the log was known to hold nothing more than what is applied here."""
        return self._clock.monotonic_s() - self._level_s

    def api_key(self, secret_sha256: str) -> ApiKeyView | None:
        """The API key whose secret has this SHA-256 (hex), revoked ones included."""
        return self._api_keys.get(secret_sha256)

    def api_key_by_id(self, key_id: str) -> ApiKeyView | None:
        """The API key with this public id, revoked ones included."""
        return self._api_keys_by_id.get(key_id)

    def api_keys(self, account_id: str) -> tuple[ApiKeyView, ...]:
        """The account's API keys in the order of issue, revoked ones included."""
        with self._lock:
            return tuple(self._keys_of.get(account_id, {}).values())

    def account(self, account_id: str) -> AccountView | None:
        """The account, or None."""
        return self._accounts.get(account_id)

    def accounts(self) -> tuple[AccountView, ...]:
        """All accounts, the oldest first."""
        with self._lock:
            return tuple(self._accounts.values())

    def first_account_id(self) -> str | None:
        """The account that installation-wide API keys belong to; None before the first start."""
        return next(iter(self._accounts), None)

    def all_credentials(self) -> tuple[CredentialView, ...]:
        """Of all accounts, removed ones included, the oldest first."""
        with self._lock:
            return tuple(self._credentials.values())

    def credential(self, credential_id: str) -> CredentialView | None:
        """The credential, removed ones included, or None."""
        return self._credentials.get(credential_id)

    def credentials(self, account_id: str) -> tuple[CredentialView, ...]:
        """The account's credentials in its order, disabled ones included, removed ones not."""
        return self._credentials_of.get(account_id, ())

    def _apply(self, recorded: Recorded) -> None:
        if recorded.topic.startswith("account."):
            self._apply_account(recorded)
        else:
            self._apply_credential(recorded)

    def _apply_account(self, recorded: Recorded) -> None:
        account_id = public_id("acc", recorded.originator_id)
        event = decode(recorded)
        account = mutated(event, self._account_aggregates.get(account_id))
        assert isinstance(account, Account)  # noqa: S101 - the topic says so
        self._account_aggregates[account_id] = account
        self._accounts[account_id] = _account_view(account_id, account)
        if isinstance(event, Account.ApiKeyIssued | Account.ApiKeyRevoked):
            self._apply_api_key(account_id, account.api_keys[event.key_id], recorded.recorded_at)

    def _apply_api_key(self, account_id: str, key: ApiKey, recorded_at: str) -> None:
        """Only the key that changed: an account may have had thousands over the years."""
        before = self._api_keys_by_id.get(key.key_id)
        view = ApiKeyView(
            key_id=key.key_id,
            account_id=account_id,
            role=key.role,
            requests_per_minute=key.requests_per_minute,
            models=None if key.models is None else frozenset(key.models),
            receipt=key.receipt,
            revoked=key.revoked,
            expires_at=key.expires_at,
            created_at=recorded_at if before is None else before.created_at,
        )
        self._api_keys[key.secret_sha256] = view
        self._api_keys_by_id[key.key_id] = view
        self._keys_of.setdefault(account_id, {})[key.key_id] = view

    def _apply_credential(self, recorded: Recorded) -> None:
        credential_id = public_id("cred", recorded.originator_id)
        known = self._credential_aggregates.get(credential_id)
        credential = mutated(decode(recorded), known)
        assert isinstance(credential, Credential)  # noqa: S101 - the topic says so
        self._credential_aggregates[credential_id] = credential
        view = _credential_view(credential_id, credential)
        self._credentials[credential_id] = view
        others = [
            other
            for other in self._credentials_of.get(view.account_id, ())
            if other.credential_id != credential_id
        ]
        if not view.removed:
            others.append(view)
        others.sort(key=lambda each: (each.position, each.created_at, each.credential_id))
        self._credentials_of[view.account_id] = tuple(others)


def _account_view(account_id: str, account: Account) -> AccountView:
    return AccountView(
        account_id=account_id,
        version=account.version,
        suspended=account.suspended,
        currency=account.currency,
        markups=tuple(account.markups),
        routing=account.routing,
        tax_rate=account.tax_rate,
        tax_note=account.tax_note,
        created_at=instant_text(account.created_on),
    )


def _credential_view(credential_id: str, credential: Credential) -> CredentialView:
    return CredentialView(
        credential_id=credential_id,
        account_id=credential.account_id,
        provider=credential.provider,
        key_suffix=credential.key_suffix,
        status=credential.status,
        status_reason=credential.checked_reason,
        checked=credential.checked,
        position=credential.position,
        models=None if credential.models is None else frozenset(credential.models),
        disabled=credential.disabled,
        removed=credential.removed,
        secret_version=credential.secret_version,
        fingerprint=credential.fingerprint,
        created_at=instant_text(credential.created_on),
    )
