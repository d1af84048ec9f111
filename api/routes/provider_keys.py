"""A customer's own provider keys: stored, ordered, checked, rotated, removed (API.md 4).

No answer holds more of a secret than its last four characters.
"""

# No `from __future__ import annotations` here: FastAPI has to see what `router` closes over.

import asyncio
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Annotated, Final, Protocol

from fastapi import APIRouter, Depends, Query

from api.auth import Access, Caller
from api.errors import ApiError
from api.providers.catalogue import (
    Provider,
    UnknownProvider,
    key_suffix,
    key_warning,
    parse_key,
)
from api.providers.port import ProviderKey as Fields
from api.routes.schemas import (
    ERRORS,
    Done,
    NewProviderKey,
    ProbeAnswer,
    ProviderKey,
    ProviderKeyChange,
    ProviderKeyList,
    ProviderKeyProbe,
    StoredProviderKey,
)
from domain.credential import CredentialNotFound, Outcome, checked_models, fields_of
from domain.directory import CredentialView, Directory
from domain.errors import BadValue
from domain.labels.port import LABEL, Labels, checked_label
from domain.ledger import Ledger
from domain.vault.port import SecretNotFound, Vault

LastUsed = Callable[[str], str | None]
"""(public id of a credential or API key) → the instant of its last call, or None."""

_VALID: Final[Mapping[Outcome, bool | None]] = {
    "verified": True,
    "rejected": False,
    "indeterminate": None,
}


class KeyChecker(Protocol):
    """Asks a provider about a key without spending anything."""

    async def check(
        self, provider: Provider, fields: Fields, model: str | None
    ) -> tuple[Outcome, str]:
        """(outcome, reason as a short code). `indeterminate` when it cannot be known; no raise."""


@dataclass(frozen=True, slots=True)
class ProviderKeys:
    """What the routes need."""

    access: Access
    directory: Directory
    ledger: Ledger
    vault: Vault
    labels: Labels
    providers: Mapping[str, Provider]
    """Slug → row, of the providers that this installation offers."""
    named_hosts: Set[str]
    """Hosts that the operator named, which an endpoint may therefore point to."""
    checker: KeyChecker
    last_used: LastUsed

    def provider(self, slug: str) -> Provider:
        """The row. Raises UnknownProvider."""
        provider = self.providers.get(slug)
        if provider is None:
            known = ", ".join(sorted(self.providers))
            raise UnknownProvider(f"provider must be one of {known}", param="provider")
        return provider

    def parse(self, provider: Provider, key: object) -> Fields:
        """The fields of a key as sent. Raises BadValue naming the wrong one."""
        return parse_key(provider, key, named_hosts=self.named_hosts)

    def visible(self, caller: Caller, credential_id: str) -> CredentialView:
        """The credential, if the caller may know of it. Raises CredentialNotFound."""
        view = self.directory.credential(credential_id)
        if view is None or view.removed:
            raise CredentialNotFound("There is no such provider key.")
        if view.account_id != caller.account_id and not caller.sees_all_accounts:
            raise CredentialNotFound("There is no such provider key.")
        return view

    def shown(self, credential_id: str) -> ProviderKey:
        """What an owner sees of a credential."""
        view = self.directory.credential(credential_id)
        if view is None:
            raise CredentialNotFound("There is no such provider key.")
        order = [each.credential_id for each in self.directory.credentials(view.account_id)]
        return ProviderKey(
            id=credential_id,
            provider=view.provider,
            key_suffix=view.key_suffix,
            label=self.labels.get(credential_id).get(LABEL),
            status=view.status,
            status_reason=view.status_reason,
            position=order.index(credential_id) + 1 if credential_id in order else len(order) + 1,
            models=None if view.models is None else sorted(view.models),
            disabled=view.disabled,
            created_at=view.created_at,
            last_used_at=self.last_used(credential_id),
        )

    def stored(self, credential_id: str, warning: str | None = None) -> StoredProviderKey:
        """The answer to a change."""
        return StoredProviderKey(**self.shown(credential_id).model_dump(), warning=warning)

    async def add(self, account_id: str, body: NewProviderKey) -> StoredProviderKey:
        """Seal and record a key; ask the provider about it if that is wanted."""
        provider = self.provider(body.provider)
        fields, label = self.parse(provider, body.key), checked_label(body.label, param="label")
        view = await asyncio.to_thread(
            self.ledger.add_credential,
            account_id,
            provider=provider.slug,
            fields=fields,
            key_suffix=key_suffix(provider, fields),
            models=body.models,
        )
        if label is not None:
            await asyncio.to_thread(self.labels.set, view.credential_id, LABEL, label)
        if body.validate_now:
            await self.check_now(view, fields, None)
        return self.stored(view.credential_id, key_warning(provider, fields))

    async def probe(self, caller: Caller, body: ProviderKeyProbe) -> ProbeAnswer:
        """Ask the provider about a stored key, or about one that is not stored."""
        if (body.id is None) == (body.key is None):
            raise ApiError(
                400, "missing_required_parameter", "Give either 'key' or 'id'.", param="key"
            )
        if body.id is not None:
            view = self.visible(caller, body.id)
            if body.provider not in {None, view.provider}:
                raise BadValue(f"The key is one of {view.provider}.", param="provider")
            outcome, reason = await self.check_now(view, await self.opened(view), body.model)
        elif body.provider is None:
            raise ApiError(
                400,
                "missing_required_parameter",
                "Missing required parameter: 'provider'.",
                param="provider",
            )
        else:
            provider = self.provider(body.provider)
            fields = self.parse(provider, body.key)
            outcome, reason = await self.checker.check(provider, fields, body.model)
        error = None if outcome == "verified" else reason
        return ProbeAnswer(valid=_VALID[outcome], status=outcome, error=error)

    async def check_now(
        self, view: CredentialView, fields: Fields, model: str | None
    ) -> tuple[Outcome, str]:
        """Ask the provider, and record what it said."""
        outcome, reason = await self.checker.check(self.provider(view.provider), fields, model)
        await asyncio.to_thread(
            self.ledger.check_credential,
            view.account_id,
            view.credential_id,
            outcome,
            reason,
            secret_version=view.secret_version,
        )
        return outcome, reason

    async def opened(self, view: CredentialView) -> Fields:
        """The stored key. Raises CredentialNotFound when it is removed at this moment."""
        try:
            secret = await asyncio.to_thread(
                self.vault.open,
                account_id=view.account_id,
                credential_id=view.credential_id,
                version=view.secret_version,
            )
        except SecretNotFound:
            raise CredentialNotFound("There is no such provider key.") from None
        return fields_of(secret)

    def change(self, view: CredentialView, change: ProviderKeyChange) -> str | None:
        """Apply the fields that were sent; everything is checked before anything is done."""
        sent, ids = change.model_fields_set, (view.account_id, view.credential_id)
        label = checked_label(change.label, param="label")
        models = checked_models(change.models)
        warning = self.rotate(view, change.key) if "key" in sent else None
        if "models" in sent:
            self.ledger.restrict_credential(*ids, models)
        if change.disabled is not None:
            act = self.ledger.disable_credential if change.disabled else None
            (act or self.ledger.enable_credential)(*ids)
        if change.position is not None:
            self.ledger.reorder_credential(*ids, change.position)
        if "label" in sent:
            self.labels.set(view.credential_id, LABEL, label)
        return warning

    def rotate(self, view: CredentialView, key: object) -> str | None:
        """Put another secret in the place of the old one; return a remark on it, or None."""
        provider = self.provider(view.provider)
        fields = self.parse(provider, key)
        self.ledger.rotate_credential(
            view.account_id,
            view.credential_id,
            fields=fields,
            key_suffix=key_suffix(provider, fields),
        )
        return key_warning(provider, fields)

    def only_one(self, caller: Caller, slug: str) -> CredentialView:
        """The account's only credential of a provider."""
        provider = self.provider(slug)
        found = [
            each
            for each in self.directory.credentials(caller.account_id)
            if each.provider == provider.slug
        ]
        if not found:
            raise CredentialNotFound(f"You have no key of {provider.slug}.")
        if len(found) > 1:
            raise BadValue(
                f"You have {len(found)} keys of {provider.slug}: delete one by its id.",
                param="provider",
            )
        return found[0]

    def remove(self, view: CredentialView) -> Done:
        """End the credential, destroy its secret, forget its label."""
        self.ledger.remove_credential(view.account_id, view.credential_id)
        self.labels.set(view.credential_id, LABEL, None)
        return Done()


def router(keys: ProviderKeys) -> APIRouter:
    """The routes of this file."""
    routes = APIRouter(prefix="/api/user/provider-keys", tags=["provider keys"], responses=ERRORS)
    owner = Depends(keys.access.allow("owner"))
    owner_or_operator = Depends(keys.access.allow("owner", "operator"))

    @routes.post("", status_code=201)
    async def add(body: NewProviderKey, caller: Annotated[Caller, owner]) -> StoredProviderKey:
        """Store a key; `validate` asks the provider at once. A refused key is stored too."""
        return await keys.add(caller.account_id, body)

    @routes.get("")
    async def all_keys(
        caller: Annotated[Caller, owner_or_operator],
        account: Annotated[str | None, Query(max_length=60)] = None,
    ) -> ProviderKeyList:
        """The account's keys in the order in which they are tried."""
        held = keys.directory.credentials(keys.access.account_for(caller, account))
        return ProviderKeyList(keys=[keys.shown(each.credential_id) for each in held])

    @routes.post("/validate")
    async def validate(body: ProviderKeyProbe, caller: Annotated[Caller, owner]) -> ProbeAnswer:
        """Ask the provider about a stored key (`id`) or about one that is not stored (`key`)."""
        return await keys.probe(caller, body)

    @routes.patch("/{credential_id}")
    def change(
        credential_id: str, body: ProviderKeyChange, caller: Annotated[Caller, owner_or_operator]
    ) -> StoredProviderKey:
        """Change what was sent; `key` puts another secret in the place of the old one."""
        view = keys.visible(caller, credential_id)
        if "key" in body.model_fields_set:
            keys.access.require(caller, "owner")
        return keys.stored(credential_id, keys.change(view, body))

    @routes.delete("")
    def remove_only(
        caller: Annotated[Caller, owner],
        provider: Annotated[str, Query(max_length=60)],
    ) -> Done:
        """Remove the account's only key of a provider."""
        return keys.remove(keys.only_one(caller, provider))

    @routes.delete("/{credential_id}")
    def remove(credential_id: str, caller: Annotated[Caller, owner_or_operator]) -> Done:
        """Remove a key: the secret is destroyed, the trail stays."""
        return keys.remove(keys.visible(caller, credential_id))

    return routes
