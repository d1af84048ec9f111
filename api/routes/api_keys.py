"""API keys of ours: issued, listed, revoked. A secret is shown once, when it is issued."""

# No `from __future__ import annotations` here: FastAPI has to see what `router` closes over.

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.auth import Access, Caller
from api.errors import ApiError
from api.routes.provider_keys import LastUsed
from api.routes.schemas import ERRORS, ApiKey, ApiKeyList, Done, IssuedApiKey, NewApiKey
from domain.account import ACCOUNT_ROLES, ApiKeyNotFound, parse_expiry
from domain.clock import Clock
from domain.directory import ApiKeyView, Directory
from domain.labels.port import LABEL, Labels, checked_label
from domain.ledger import IssuedKey, Ledger


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """What the routes need."""

    access: Access
    directory: Directory
    ledger: Ledger
    labels: Labels
    clock: Clock
    last_used: LastUsed

    def issue(self, caller: Caller, body: NewApiKey) -> IssuedApiKey:
        """Owners admit callers and owners of their account; operators anybody anywhere."""
        if caller.role != "operator" and body.role not in ACCOUNT_ROLES:
            raise ApiError(
                403,
                "role_not_allowed",
                "Owners issue keys of role caller and owner only.",
                param="role",
            )
        account_id = self.access.account_for(caller, body.account)
        name = checked_label(body.name, param="name")
        issued = self.ledger.issue_api_key(
            account_id,
            body.role,
            requests_per_minute=body.requests_per_minute,
            models=body.models,
            receipt=body.receipt,
            expires_at=parse_expiry(body.expires_at, now=self.clock.now()),
        )
        if name is not None:
            self.labels.set(issued.key_id, LABEL, name)
        return self._issued(issued)

    def listed(self, caller: Caller, account: str | None) -> ApiKeyList:
        """The keys that are not revoked and that the caller may know of."""
        views = self.directory.api_keys(self.access.account_for(caller, account))
        return ApiKeyList(
            keys=[
                self._shown(view) for view in views if not view.revoked and _may_see(caller, view)
            ]
        )

    def revoke(self, caller: Caller, key_id: str) -> Done:
        """Turn the holder away."""
        view = self.directory.api_key_by_id(key_id)
        if view is None or view.revoked or not _may_see(caller, view):
            raise ApiKeyNotFound("There is no such API key.")
        self.ledger.revoke_api_key(view.account_id, key_id)
        self.labels.set(key_id, LABEL, None)
        return Done()

    def _issued(self, issued: IssuedKey) -> IssuedApiKey:
        view = self.directory.api_key_by_id(issued.key_id)
        if view is None:
            raise ApiKeyNotFound("There is no such API key.")
        return IssuedApiKey(**self._shown(view).model_dump(), secret=issued.secret.reveal())

    def _shown(self, view: ApiKeyView) -> ApiKey:
        return ApiKey(
            id=view.key_id,
            account_id=view.account_id,
            role=view.role,
            name=self.labels.get(view.key_id).get(LABEL),
            receipt=view.receipt,
            requests_per_minute=view.requests_per_minute,
            models=None if view.models is None else sorted(view.models),
            expires_at=view.expires_at,
            created_at=view.created_at,
            last_used_at=self.last_used(view.key_id),
        )


def router(keys: ApiKeys) -> APIRouter:
    """The routes of this file."""
    routes = APIRouter(prefix="/api/user/api-keys", tags=["API keys"], responses=ERRORS)
    holder = Depends(keys.access.allow("owner", "operator"))

    @routes.post("", status_code=201)
    def issue(body: NewApiKey, caller: Annotated[Caller, holder]) -> IssuedApiKey:
        """A new API key. Its secret is in this answer and nowhere else."""
        return keys.issue(caller, body)

    @routes.get("")
    def all_keys(
        caller: Annotated[Caller, holder],
        account: Annotated[str | None, Query(max_length=60)] = None,
    ) -> ApiKeyList:
        """The account's API keys, without their secrets."""
        return keys.listed(caller, account)

    @routes.delete("/{key_id}")
    def revoke(key_id: str, caller: Annotated[Caller, holder]) -> Done:
        """End an API key."""
        return keys.revoke(caller, key_id)

    return routes


def _may_see(caller: Caller, view: ApiKeyView) -> bool:
    if caller.role == "operator":
        return True
    return view.account_id == caller.account_id and view.role in ACCOUNT_ROLES
