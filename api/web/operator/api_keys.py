"""API keys of every account and role: issued, limited, revoked. A secret is shown once."""

# No `from __future__ import annotations` here: FastAPI has to see what `router` closes over.

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api.routes.schemas import Account, ApiKey, IssuedApiKey, NewApiKey, built
from api.web.forms import Refused, repeated, whole, words_of
from api.web.operations import Operations
from api.web.operator.accounts import every_account
from api.web.operator.fields import instant_of_field
from api.web.pages import Pages, page_route
from api.web.session import Session
from domain.errors import DomainError

SHOWN_MAX: Final = 200
CHOICES_MAX: Final = 200
"""Accounts offered while the account of a key is typed."""
ROLES: Final[Mapping[str, str]] = {
    "caller": "calls models",
    "owner": "calls models; keys, usage and invoices of the account",
    "finance": "usage, fees and invoices of all accounts",
    "auditor": "events and proofs of all accounts, read only",
    "operator": "everything but the secrets",
}
"""Role → what it may do."""
_PATH: Final = "/operator/api-keys"
_FIELDS: Final = (
    *("account", "role", "name", "requests_per_minute", "models", "expires_at", "receipt"),
)


def router(pages: Pages, operations: Operations) -> APIRouter:
    """The routes of this file."""
    routes = APIRouter(route_class=page_route(pages), include_in_schema=False)
    desk = _ApiKeys(pages, operations)

    @routes.get(_PATH)
    def api_keys(
        request: Request,
        q: Annotated[str, Query(max_length=100)] = "",
        role: Annotated[str, Query(max_length=20)] = "",
        account: Annotated[str, Query(max_length=60)] = "",
    ) -> Response:
        """Those whose name, id or account has the text in it; `account` fills the form."""
        session = pages.visitor(request, "operator")
        return desk.list(request, session, search=q, role=role, account=account)

    @routes.post(_PATH)
    async def issue(request: Request) -> Response:
        """A new key; its secret is on the answer only."""
        session, fields = await pages.form(request, "operator")
        return await asyncio.to_thread(desk.issue, request, session, fields)

    @routes.post(_PATH + "/{key_id}/revoke")
    async def revoke(request: Request, key_id: str) -> Response:
        """Turn the holder away, and go back to where the form was."""
        session, fields = await pages.form(request, "operator")
        view = operations.api_keys.directory.api_key_by_id(key_id)
        await asyncio.to_thread(operations.api_keys.revoke, session.caller, key_id)
        if fields.get("back") == "account" and view is not None:
            return pages.go(request, f"/operator/accounts/{view.account_id}")
        return pages.go(request, _PATH)

    return routes


class _ApiKeys:
    """Looks things up and shows them. Blocks."""

    def __init__(self, pages: Pages, operations: Operations) -> None:
        self._pages = pages
        self._operations = operations

    def list(
        self,
        request: Request,
        session: Session,
        *,
        search: str = "",
        role: str = "",
        account: str = "",
        refused: Refused | None = None,
    ) -> Response:
        """The page of all keys, with the form that issues one."""
        accounts = every_account(self._operations)
        found = self._matching(session, accounts, search, role)
        return self._pages.show(
            request,
            "operator/api_keys.html",
            session,
            status=refused.status if refused else 200,
            title="API keys",
            lines=found[:SHOWN_MAX],
            found=len(found),
            shown_max=SHOWN_MAX,
            search=search,
            wanted_role=role,
            roles=ROLES,
            account=account or session.caller.account_id,
            opens=bool(account),
            accounts=accounts[:CHOICES_MAX],
            names={each.id: each.name for each in accounts},
            refused=refused or Refused(),
        )

    def issue(self, request: Request, session: Session, fields: Mapping[str, str]) -> Response:
        """Issue one, and show its secret; or say what is wrong with the form."""
        try:
            issued = self._operations.api_keys.issue(session.caller, _wanted(fields))
        except DomainError as error:
            refused = Refused.of(error, "issue", repeated(fields, _FIELDS))
            known = self._operations.accounts.directory.account(fields.get("account", ""))
            account = "" if known is None else known.account_id
            return self.list(request, session, account=account, refused=refused)
        return self.issued(request, session, issued)

    def issued(self, request: Request, session: Session, issued: IssuedApiKey) -> Response:
        """The page that shows a secret, once."""
        account = self._operations.accounts.shown(session.caller, issued.account_id)
        return self._pages.show(
            request,
            "operator/issued.html",
            session,
            status=201,
            title="API key issued",
            key=issued,
            account=account,
            roles=ROLES,
        )

    def _matching(
        self, session: Session, accounts: Sequence[Account], search: str, role: str
    ) -> Sequence[ApiKey]:
        wanted = search.strip().casefold()
        return [
            key
            for account in accounts
            for key in self._operations.api_keys.listed(session.caller, account.id).keys
            if role in {"", key.role}
            and wanted in f"{key.name or ''} {key.id} {account.name or ''} {account.id}".casefold()
        ]


def _wanted(fields: Mapping[str, str]) -> NewApiKey:
    """The body that the form stands for. Raises DomainError."""
    values: dict[str, Any] = {
        "account": fields.get("account", "").strip() or None,
        "role": fields.get("role", ""),
        "name": fields.get("name") or None,
        "receipt": fields.get("receipt") == "on",
        "requests_per_minute": whole(
            fields.get("requests_per_minute", ""), param="requests_per_minute"
        ),
        "models": words_of(fields.get("models", "")),
        "expires_at": instant_of_field(fields.get("expires_at", ""), param="expires_at"),
    }
    return built(NewApiKey, values)
