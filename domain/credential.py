"""A customer's key for one provider, as history knows it: everything but the secret."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, Literal, cast, get_args

from eventsourcing.domain import Aggregate, event

from domain.errors import BadValue, DomainError
from domain.events.base import Unstamped
from domain.secret import Secret

Outcome = Literal["verified", "rejected", "indeterminate"]
Status = Literal["unverified", "verified", "rejected", "indeterminate", "disabled"]

OUTCOMES: Final = frozenset(get_args(Outcome))
MODELS_MAX: Final = 200
POSITION_MAX: Final = 1_000_000

_MODEL: Final = re.compile(r"[!-~]{1,200}")
_REASON: Final = re.compile(r"[a-z0-9_]{1,60}")


class CredentialNotFound(DomainError):
    """There is no such credential, or it was removed, or it is another account's."""


def checked_models(models: Sequence[str] | None, *, param: str = "models") -> list[str] | None:
    """A list of model ids to restrict to; None is all. Raises BadValue."""
    if models is None:
        return None
    if not models or len(models) > MODELS_MAX:
        raise BadValue(f"{param} must name 1 to {MODELS_MAX} models, or be null", param=param)
    for index, model in enumerate(models):
        if not _MODEL.fullmatch(model):
            raise BadValue("a model id has 1 to 200 visible characters", param=f"{param}.{index}")
    return list(dict.fromkeys(models))


def secret_of(fields: Mapping[str, str]) -> Secret:
    """The fields of a provider key as the one text that the vault seals."""
    return Secret(json.dumps(dict(fields), sort_keys=True, separators=(",", ":")))


def fields_of(secret: Secret) -> dict[str, str]:
    """The fields again: the inverse of `secret_of`."""
    return {str(name): str(value) for name, value in json.loads(secret.reveal()).items()}


def known_already(
    checked: str | None, checked_reason: str | None, outcome: str, reason: str
) -> bool:
    """Whether a check says nothing new about a key."""
    return outcome == checked and (outcome == "verified" or reason == checked_reason)


class Credential(Aggregate):
    """One stored key. The secret is sealed in the vault under (id, secret_version)."""

    TOPIC = "credential"

    class Event(Unstamped, Aggregate.Event):
        TOPIC: ClassVar[str] = "credential.event"

    class KeyAdded(Event, Aggregate.Created):
        """A provider key was stored. The key itself lies in the vault, never here."""

        TOPIC = "credential.key-added"
        account_id: str
        provider: str
        key_suffix: str
        fingerprint: str
        secret_version: int
        position: int = 0

    class KeyChecked(Event):
        """The provider was asked whether the key works, or refused it."""

        TOPIC = "credential.key-checked"
        outcome: str
        reason: str

    class KeyRestricted(Event):
        """The key serves these models only; null: all."""

        TOPIC = "credential.key-restricted"
        models: list[str] | None

    class KeyReordered(Event):
        """The key's place among the account's keys."""

        TOPIC = "credential.key-reordered"
        position: int

    class KeyDisabled(Event):
        """The key is not used until it is enabled."""

        TOPIC = "credential.key-disabled"

    class KeyEnabled(Event):
        """The key is used again."""

        TOPIC = "credential.key-enabled"

    class KeyRotated(Event):
        """Another secret took the place of the old one, which was destroyed."""

        TOPIC = "credential.key-rotated"
        key_suffix: str
        fingerprint: str
        secret_version: int

    class KeyRemoved(Event):
        """The secret was destroyed; the trail stays."""

        TOPIC = "credential.key-removed"

    @event(KeyAdded)
    def __init__(
        self,
        *,
        account_id: str,
        provider: str,
        key_suffix: str,
        fingerprint: str,
        secret_version: int,
        position: int,
    ) -> None:
        self.account_id = account_id
        self.provider = provider
        self.key_suffix = key_suffix
        self.fingerprint = fingerprint
        self.secret_version = secret_version
        self.position = position
        self.models: list[str] | None = None
        self.checked: Outcome | None = None
        self.checked_reason: str | None = None
        self.disabled = False
        self.removed = False

    @property
    def status(self) -> Status:
        """What API.md 4 shows: being disabled hides the last check, it does not forget it."""
        return "disabled" if self.disabled else self.checked or "unverified"

    def check(self, outcome: str, reason: str) -> None:
        """Note what the provider said about the key. Saying the same again is no event, and a
        key that is known to work is not noted again because it worked in another way."""
        self._must_exist()
        if outcome not in OUTCOMES:
            raise BadValue("outcome must be verified, rejected or indeterminate", param="outcome")
        if not _REASON.fullmatch(reason):
            raise BadValue("reason must be a short code such as invalid_key", param="reason")
        if not known_already(self.checked, self.checked_reason, outcome, reason):
            self._apply_checked(outcome=cast("Outcome", outcome), reason=reason)

    @event(KeyChecked)
    def _apply_checked(self, outcome: Outcome, reason: str) -> None:
        self.checked = outcome
        self.checked_reason = reason

    def restrict(self, models: Sequence[str] | None) -> None:
        """Serve only these models; None lifts the restriction."""
        self._must_exist()
        wanted = checked_models(models)
        if wanted != self.models:
            self._apply_restricted(models=wanted)

    @event(KeyRestricted)
    def _apply_restricted(self, models: list[str] | None) -> None:
        self.models = models

    def reorder(self, position: int) -> None:
        """Take this place in the account's order; the lower is tried first."""
        self._must_exist()
        if not 0 <= position <= POSITION_MAX:
            raise BadValue(f"position must be 0 to {POSITION_MAX}", param="position")
        if position != self.position:
            self._apply_reordered(position=position)

    @event(KeyReordered)
    def _apply_reordered(self, position: int) -> None:
        self.position = position

    def disable(self) -> None:
        """Keep the key but never use it until it is enabled again."""
        self._must_exist()
        if not self.disabled:
            self._apply_disabled()

    @event(KeyDisabled)
    def _apply_disabled(self) -> None:
        self.disabled = True

    def enable(self) -> None:
        """Undo `disable`."""
        self._must_exist()
        if self.disabled:
            self._apply_enabled()

    @event(KeyEnabled)
    def _apply_enabled(self) -> None:
        self.disabled = False

    def rotate(self, *, key_suffix: str, fingerprint: str, secret_version: int) -> None:
        """Another secret takes the place of the old one, which nobody has checked yet."""
        self._must_exist()
        if secret_version <= self.secret_version:
            raise BadValue("a rotated secret has a higher version")
        self._apply_rotated(
            key_suffix=key_suffix, fingerprint=fingerprint, secret_version=secret_version
        )

    @event(KeyRotated)
    def _apply_rotated(self, key_suffix: str, fingerprint: str, secret_version: int) -> None:
        self.key_suffix = key_suffix
        self.fingerprint = fingerprint
        self.secret_version = secret_version
        self.checked = None
        self.checked_reason = None

    def remove(self) -> None:
        """End the credential. The trail stays; the secret is destroyed by the ledger."""
        self._must_exist()
        self._apply_removed()

    @event(KeyRemoved)
    def _apply_removed(self) -> None:
        self.removed = True

    def _must_exist(self) -> None:
        if self.removed:
            raise CredentialNotFound("the credential was removed")
