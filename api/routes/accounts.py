"""Accounts, for the people who run the installation (API.md 2)."""

# No `from __future__ import annotations` here: FastAPI has to see what `router` closes over.

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.auth import Access, Caller
from api.routes.schemas import (
    ERRORS,
    Account,
    AccountChange,
    AccountList,
    MarkupAgreement,
    MarkupChange,
    NewAccount,
    OpenedAccount,
    Tax,
)
from domain.account import AccountNotFound
from domain.clock import Clock, parse_instant
from domain.directory import AccountView, Directory
from domain.labels.port import (
    LABEL,
    Labels,
    checked_label,
    default_tags,
    set_default_tags,
)
from domain.ledger import Ledger
from domain.tags import checked_tags


@dataclass(frozen=True, slots=True)
class Accounts:
    """What the routes need."""

    access: Access
    directory: Directory
    ledger: Ledger
    labels: Labels
    clock: Clock

    def open(self, body: NewAccount) -> OpenedAccount:
        """A new account with the API key of its first owner."""
        name = checked_label(body.name, param="name")
        tags = checked_tags(body.default_tags, param="default_tags")
        account_id, keys = self.ledger.open_account(api_keys=("owner",))
        if name is not None:
            self.labels.set(account_id, LABEL, name)
        if tags:
            set_default_tags(self.labels, account_id, tags)
        secrets = {str(role): key.secret.reveal() for role, key in keys.items()}
        return OpenedAccount(**self._shown(self._view(account_id)).model_dump(), api_keys=secrets)

    def listed(self, after: str | None, limit: int) -> AccountList:
        """A page of all accounts, the oldest first."""
        views = self.directory.accounts()
        ids = [view.account_id for view in views]
        if after is not None and after not in ids:
            raise AccountNotFound("There is no such account.")
        start = 0 if after is None else ids.index(after) + 1
        page = views[start : start + limit]
        more = start + limit < len(views)
        return AccountList(
            accounts=[self._shown(view) for view in page],
            next=page[-1].account_id if more else None,
        )

    def shown(self, caller: Caller, account_id: str) -> Account:
        """One account; owners see their own."""
        return self._shown(self._view(self.access.account_for(caller, account_id)))

    def change(self, account_id: str, body: AccountChange) -> Account:
        """Apply the fields that were sent; everything is checked before anything is done."""
        self._view(account_id)
        name = checked_label(body.name, param="name")
        tags = checked_tags(body.default_tags or {}, param="default_tags")
        if body.tax is not None:
            self.ledger.set_tax(account_id, rate=body.tax.rate, note=body.tax.note)
        if body.suspended is not None:
            act = self.ledger.suspend_account if body.suspended else self.ledger.resume_account
            act(account_id)
        if "name" in body.model_fields_set:
            self.labels.set(account_id, LABEL, name)
        if "default_tags" in body.model_fields_set:
            set_default_tags(self.labels, account_id, tags)
        return self._shown(self._view(account_id))

    def agree(self, account_id: str, body: MarkupChange) -> Account:
        """A markup rate from an instant on."""
        self._view(account_id)
        start = None
        if body.effective_from is not None:
            start = parse_instant(body.effective_from, param="from")
        self.ledger.agree_markup(account_id, rate=body.rate, effective_from=start)
        return self._shown(self._view(account_id))

    def _view(self, account_id: str) -> AccountView:
        view = self.directory.account(account_id)
        if view is None:
            raise AccountNotFound("There is no such account.")
        return view

    def _shown(self, view: AccountView) -> Account:
        return Account(
            id=view.account_id,
            name=self.labels.get(view.account_id).get(LABEL),
            suspended=view.suspended,
            currency=view.currency,
            markup_rate=view.markup_rate_at(self.clock.now()),
            markups=[
                MarkupAgreement(rate=markup.rate, effective_from=markup.effective_from)
                for markup in view.markups
            ],
            tax=Tax(rate=view.tax_rate, note=view.tax_note),
            default_tags=default_tags(self.labels, view.account_id),
            created_at=view.created_at,
            version=view.version,
        )


def router(accounts: Accounts) -> APIRouter:
    """The routes of this file."""
    routes = APIRouter(prefix="/api/v1/accounts", tags=["accounts"], responses=ERRORS)
    allow = accounts.access.allow
    operator = Depends(allow("operator"))
    installation = Depends(allow("operator", "finance", "auditor"))
    reader = Depends(allow("operator", "finance", "auditor", "owner"))

    @routes.post("", status_code=201)
    def open_account(body: NewAccount, caller: Annotated[Caller, operator]) -> OpenedAccount:
        """Open an account. The secret of its owner's API key is in this answer only."""
        return accounts.open(body)

    @routes.get("")
    def all_accounts(
        caller: Annotated[Caller, installation],
        after: Annotated[str | None, Query(max_length=60)] = None,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 1_000,
    ) -> AccountList:
        """Accounts, the oldest first."""
        return accounts.listed(after, limit)

    @routes.get("/{account_id}")
    def one_account(account_id: str, caller: Annotated[Caller, reader]) -> Account:
        """One account."""
        return accounts.shown(caller, account_id)

    @routes.patch("/{account_id}")
    def change(
        account_id: str, body: AccountChange, caller: Annotated[Caller, operator]
    ) -> Account:
        """Suspend or resume, name, set the tax and the default tags."""
        return accounts.change(account_id, body)

    @routes.put("/{account_id}/markup")
    def agree(account_id: str, body: MarkupChange, caller: Annotated[Caller, operator]) -> Account:
        """Agree on a markup rate."""
        return accounts.agree(account_id, body)

    return routes
