"""The commands about accounts, API keys and credentials: load, decide, save."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from threading import RLock
from typing import Final, TypeVar

from domain.account import (
    CURRENCY,
    INSTALLATION_ROLES,
    Account,
    AccountNotFound,
    LimitReached,
    Role,
    Routing,
)
from domain.clock import Clock
from domain.credential import (
    Credential,
    CredentialNotFound,
    checked_models,
    known_already,
    secret_of,
)
from domain.directory import CredentialView, Directory
from domain.errors import BadValue
from domain.eventlog.port import Conflict, EventLog, StoreUnavailable
from domain.ids import new_id, parse_id, public_id
from domain.repository import Repository, WrongKind
from domain.secret import Secret
from domain.vault.port import Vault

API_KEY_PREFIX: Final = "kt_"
_TRIES: Final = 5

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A fresh API key. The secret is shown once and kept nowhere."""

    key_id: str
    secret: Secret


def secret_sha256(api_key: str) -> str:
    """What we keep of an API key of ours: the SHA-256 of its whole text, hex."""
    return hashlib.sha256(api_key.encode()).hexdigest()


class Ledger:
    """Decides on one account at a time; a decision overtaken by another is made again.

    The directory is caught up before a command returns, so its effect is visible here at once.
    """

    def __init__(
        self,
        *,
        log: EventLog,
        vault: Vault,
        clock: Clock,
        directory: Directory,
        keys_max: int = 100,
    ) -> None:
        self._aggregates = Repository(log)
        self._vault = vault
        self._clock = clock
        self._directory = directory
        self._keys_max = keys_max
        self._lock = RLock()

    # Accounts

    def open_account(self, *, api_keys: Sequence[Role] = ()) -> tuple[str, dict[Role, IssuedKey]]:
        """A new account, with one API key for each of the roles, all or nothing."""

        def attempt() -> tuple[str, dict[Role, IssuedKey]]:
            account = Account(currency=CURRENCY)
            account_id = public_id("acc", account.id)
            first = self._directory.first_account_id()
            keys = {
                role: self._issue(account, role, installation=first in {None, account_id})
                for role in api_keys
            }
            self._aggregates.save(account, account_id=account_id)
            return account_id, keys

        return self._decide(attempt)

    def suspend_account(self, account_id: str) -> None:
        """Refuse the account's calls from now on."""
        self._change_account(account_id, Account.suspend)

    def resume_account(self, account_id: str) -> None:
        """Undo `suspend_account`."""
        self._change_account(account_id, Account.resume)

    def agree_markup(
        self, account_id: str, *, rate: str, effective_from: datetime | None = None
    ) -> None:
        """A markup rate that holds from an instant on (None: from now)."""
        now = self._clock.now()
        start = now if effective_from is None else effective_from
        self._change_account(
            account_id,
            lambda account: account.agree_markup(rate=rate, effective_from=start, now=now),
        )

    def set_tax(self, account_id: str, *, rate: str, note: str) -> None:
        """The tax on the account's invoices from now on."""
        self._change_account(account_id, lambda account: account.set_tax(rate=rate, note=note))

    def prefer_routing(self, account_id: str, routing: Routing) -> None:
        """Replace the account's routing preferences."""
        self._change_account(account_id, lambda account: account.prefer_routing(routing))

    # API keys of ours

    def issue_api_key(
        self,
        account_id: str,
        role: Role,
        *,
        requests_per_minute: int | None = None,
        models: Sequence[str] | None = None,
        receipt: bool = True,
        expires_at: datetime | None = None,
    ) -> IssuedKey:
        """A new API key. Roles of the installation exist in its first account only."""

        def change(account: Account) -> IssuedKey:
            live = sum(not key.revoked for key in account.api_keys.values())
            if live >= self._keys_max:
                raise LimitReached(f"an account has at most {self._keys_max} API keys")
            return self._issue(
                account,
                role,
                installation=account_id == self._directory.first_account_id(),
                requests_per_minute=requests_per_minute,
                models=models,
                receipt=receipt,
                expires_at=expires_at,
            )

        return self._change_account(account_id, change)

    def revoke_api_key(self, account_id: str, key_id: str) -> None:
        """Turn away the holder of an API key."""
        self._change_account(account_id, lambda account: account.revoke_api_key(key_id))

    # Provider credentials

    def add_credential(
        self,
        account_id: str,
        *,
        provider: str,
        fields: Mapping[str, str],
        key_suffix: str,
        models: Sequence[str] | None = None,
    ) -> CredentialView:
        """Seal a provider key, then record it. What stays without a record is destroyed
        by `domain/vault/reconcile.py`."""

        def attempt() -> str:
            self._account(account_id)
            held = self._directory.credentials(account_id)
            if len(held) >= self._keys_max:
                raise LimitReached(f"an account has at most {self._keys_max} provider keys")
            wanted, secret = checked_models(models), secret_of(fields)
            credential = Credential(
                account_id=account_id,
                provider=provider,
                key_suffix=key_suffix,
                fingerprint=self._fingerprint(secret),
                secret_version=1,
                position=max((each.position for each in held), default=0) + 1,
            )
            credential.restrict(wanted)
            credential_id = public_id("cred", credential.id)
            self._seal(account_id, credential_id, secret)
            self._save_sealed(credential, credential_id, secret)
            return credential_id

        return self._view(self._decide(attempt))

    def rotate_credential(
        self, account_id: str, credential_id: str, *, fields: Mapping[str, str], key_suffix: str
    ) -> CredentialView:
        """Put another secret in the place of the old one, which is destroyed."""

        def attempt() -> int:
            credential, secret = self._credential(account_id, credential_id), secret_of(fields)
            old_version = credential.secret_version
            credential.rotate(
                key_suffix=key_suffix,
                fingerprint=self._fingerprint(secret),
                secret_version=self._seal(account_id, credential_id, secret, above=old_version),
            )
            self._save_sealed(credential, credential_id, secret)
            return old_version

        old_version = self._decide(attempt)
        self._vault.destroy(credential_id=credential_id, version=old_version)
        return self._view(credential_id)

    def remove_credential(self, account_id: str, credential_id: str) -> None:
        """Record the removal durably, then destroy the secret."""
        self._change_credential(account_id, credential_id, Credential.remove)
        self._vault.destroy(credential_id=credential_id)

    def check_credential(
        self,
        account_id: str,
        credential_id: str,
        outcome: str,
        reason: str,
        *,
        secret_version: int | None = None,
    ) -> None:
        """Record what the provider said about a key; what was said of an older secret is void."""
        view = self._directory.credential(credential_id)
        if view is not None and known_already(view.checked, view.status_reason, outcome, reason):
            return

        def change(credential: Credential) -> None:
            if secret_version in {None, credential.secret_version}:
                credential.check(outcome, reason)

        self._change_credential(account_id, credential_id, change)

    def restrict_credential(
        self, account_id: str, credential_id: str, models: Sequence[str] | None
    ) -> None:
        """Use the credential for these models only; None for all."""
        self._change_credential(account_id, credential_id, lambda each: each.restrict(models))

    def disable_credential(self, account_id: str, credential_id: str) -> None:
        """Keep the credential but use it for nothing."""
        self._change_credential(account_id, credential_id, Credential.disable)

    def enable_credential(self, account_id: str, credential_id: str) -> None:
        """Undo `disable_credential`."""
        self._change_credential(account_id, credential_id, Credential.enable)

    def reorder_credential(self, account_id: str, credential_id: str, place: int) -> None:
        """Move a credential to a place in the account's order: 1 is tried first."""
        if place < 0:
            raise BadValue("position must be 1 or more", param="position")

        def attempt() -> None:
            order = [each.credential_id for each in self._directory.credentials(account_id)]
            if credential_id not in order:
                raise CredentialNotFound("there is no such credential")
            order.remove(credential_id)
            order.insert(max(place, 1) - 1, credential_id)
            moved = [self._credential(account_id, each) for each in order]
            for position, credential in enumerate(moved, start=1):
                credential.reorder(position)
            self._aggregates.save(*moved, account_id=account_id)

        self._decide(attempt)

    # The price book

    @contextmanager
    def hold(self) -> Iterator[None]:
        """No command decides meanwhile: for a copy in which log and vault fit together."""
        with self._lock:
            yield

    # Helpers

    def _decide(self, attempt: Callable[[], T]) -> T:
        """Make a decision on fresh state, again when another one was stored first."""
        with self._lock:
            for last in (False,) * (_TRIES - 1) + (True,):
                self._directory.catch_up()
                try:
                    result = attempt()
                except Conflict:
                    if last:
                        raise
                else:
                    self._directory.catch_up()
                    return result
        raise AssertionError("unreachable")

    def _change_account(self, account_id: str, change: Callable[[Account], T]) -> T:
        def attempt() -> T:
            account = self._account(account_id)
            result = change(account)
            self._aggregates.save(account, account_id=account_id)
            return result

        return self._decide(attempt)

    def _change_credential(
        self, account_id: str, credential_id: str, change: Callable[[Credential], None]
    ) -> None:
        def attempt() -> None:
            credential = self._credential(account_id, credential_id)
            change(credential)
            self._aggregates.save(credential, account_id=account_id)

        self._decide(attempt)

    def _account(self, account_id: str) -> Account:
        try:
            account = self._aggregates.get(Account, parse_id("acc", account_id))
        except (BadValue, WrongKind):
            account = None
        if account is None:
            raise AccountNotFound("there is no such account")
        return account

    def _credential(self, account_id: str, credential_id: str) -> Credential:
        try:
            credential = self._aggregates.get(Credential, parse_id("cred", credential_id))
        except (BadValue, WrongKind):
            credential = None
        if credential is None or credential.account_id != account_id or credential.removed:
            raise CredentialNotFound("there is no such credential")
        return credential

    def _seal(self, account_id: str, credential_id: str, secret: Secret, *, above: int = 0) -> int:
        """The version under which the secret is sealed: the first free one.

        A version may be taken by another process that rotates the same credential, or by one that
        died before it recorded.
        """
        version = above + 1
        while not self._vault.put(
            account_id=account_id, credential_id=credential_id, version=version, secret=secret
        ):
            version += 1
        return version

    def _save_sealed(self, credential: Credential, credential_id: str, secret: Secret) -> None:
        """Record what was sealed; what cannot be recorded is destroyed."""
        account_id, version = credential.account_id, credential.secret_version
        try:
            self._aggregates.save(credential, account_id=account_id)
        except (Conflict, StoreUnavailable):
            self._vault.destroy(credential_id=credential_id, version=version)
            raise
        # After a long pause in between, a vault keeper may have taken it for nobody's.
        self._vault.put(
            account_id=account_id, credential_id=credential_id, version=version, secret=secret
        )

    def _issue(
        self,
        account: Account,
        role: Role,
        *,
        installation: bool,
        requests_per_minute: int | None = None,
        models: Sequence[str] | None = None,
        receipt: bool = True,
        expires_at: datetime | None = None,
    ) -> IssuedKey:
        if role in INSTALLATION_ROLES and not installation:
            raise BadValue(f"only the first account has keys of role {role}", param="role")
        text = API_KEY_PREFIX + secrets.token_urlsafe(32)
        key_id = public_id("key", new_id())
        account.issue_api_key(
            key_id=key_id,
            role=role,
            secret_sha256=secret_sha256(text),
            requests_per_minute=requests_per_minute,
            models=models,
            receipt=receipt,
            expires_at=expires_at,
        )
        return IssuedKey(key_id, Secret(text))

    def _fingerprint(self, secret: Secret) -> str:
        return self._vault.keyed_hash("credential-fingerprint", secret.reveal())

    def _view(self, credential_id: str) -> CredentialView:
        view = self._directory.credential(credential_id)
        if view is None:
            raise CredentialNotFound("there is no such credential")
        return view
