"""Accounts: opened, named, suspended; what was agreed with them; what they hold."""

# No `from __future__ import annotations` here: FastAPI has to see what `router` closes over.

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api.errors import ApiError, api_error
from api.routes.schemas import (
    Account,
    AccountChange,
    MarkupChange,
    NewAccount,
    OpenedAccount,
    ProviderKeyChange,
    built,
)
from api.web.forms import Refused, repeated
from api.web.operations import Operations
from api.web.operator.fields import instant_of_field, share, tags_of, tags_text
from api.web.pages import Pages, page_route, wants_part
from api.web.session import Session
from domain.account import MARKUP_DEFAULT, markup_at
from domain.clock import instant_text
from domain.errors import DomainError

SHOWN_MAX: Final = 200
_PATH: Final = "/operator/accounts"
_CHANGES: Final = {
    "markup": "The markup rate is agreed.",
    "tax": "Invoices from now on carry this tax.",
    "labels": "Saved.",
    "suspended": "Done: it holds everywhere within two seconds.",
    "credential": "Done: it holds everywhere within two seconds.",
}
"""Form → what its success says."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """One line of the history of markup rates."""

    rate: str
    effective_from: str
    state: str
    """`in force`, `to come` or `over`."""


def router(pages: Pages, operations: Operations) -> APIRouter:
    """The routes of this file."""
    routes = APIRouter(route_class=page_route(pages), include_in_schema=False)
    desk = _Accounts(pages, operations)

    @routes.get(_PATH)
    def accounts(request: Request, q: Annotated[str, Query(max_length=100)] = "") -> Response:
        """All of them, or those whose name or id has the text in it."""
        return desk.list(request, pages.visitor(request, "operator"), search=q)

    @routes.post(_PATH)
    async def open_account(request: Request) -> Response:
        """A new account; the secret of its owner's key is on the answer only."""
        session, fields = await pages.form(request, "operator")
        try:
            body = built(
                NewAccount,
                {
                    "name": fields.get("name") or None,
                    "default_tags": tags_of(fields.get("default_tags", "")),
                },
            )
            opened = await asyncio.to_thread(operations.accounts.open, body)
        except DomainError as error:
            refused = Refused.of(error, "open", repeated(fields, ("name", "default_tags")))
            return await asyncio.to_thread(desk.list, request, session, refused=refused)
        return desk.opened(request, session, opened)

    @routes.get(_PATH + "/{account_id}")
    def account(request: Request, account_id: str) -> Response:
        """One account and all that belongs to it."""
        return desk.one(request, pages.visitor(request, "operator"), account_id)

    @routes.post(_PATH + "/{account_id}/{form}")
    async def change(request: Request, account_id: str, form: str) -> Response:
        """One of the forms of an account."""
        session, fields = await pages.form(request, "operator")
        if form not in _CHANGES:
            raise ApiError(404, "not_found", "There is no such form.")
        return await asyncio.to_thread(desk.change, request, session, account_id, form, fields)

    return routes


class _Accounts:
    """Looks things up and shows them. Blocks."""

    def __init__(self, pages: Pages, operations: Operations) -> None:
        self._pages = pages
        self._operations = operations
        self._apply: Mapping[str, Callable[[Session, str, Mapping[str, str]], object]] = {
            "markup": self._agree,
            "tax": self._set_tax,
            "labels": self._label,
            "suspended": self._suspend,
            "credential": self._disable,
        }

    def list(
        self,
        request: Request,
        session: Session,
        *,
        search: str = "",
        refused: Refused | None = None,
    ) -> Response:
        """The page of all accounts."""
        found = matching(every_account(self._operations), search)
        return self._pages.show(
            request,
            "operator/accounts.html",
            session,
            status=refused.status if refused else 200,
            title="Accounts",
            accounts=found[:SHOWN_MAX],
            found=len(found),
            shown_max=SHOWN_MAX,
            search=search,
            refused=refused or Refused(),
        )

    def opened(self, request: Request, session: Session, opened: OpenedAccount) -> Response:
        """The page that shows the first secret, once."""
        return self._pages.show(
            request,
            "operator/opened.html",
            session,
            status=201,
            title="Account opened",
            account=opened,
        )

    def one(
        self,
        request: Request,
        session: Session,
        account_id: str,
        *,
        refused: Refused | None = None,
        done: str = "",
    ) -> Response:
        """The page of one account."""
        operations = self._operations
        account = operations.accounts.shown(session.caller, account_id)
        held = operations.provider_keys.directory.credentials(account_id)
        return self._pages.show(
            request,
            "operator/account.html",
            session,
            status=refused.status if refused else 200,
            title=account.name or account.id,
            account=account,
            agreements=self._agreements(account_id),
            markup_default=MARKUP_DEFAULT,
            tags=tags_text(account.default_tags),
            routing=operations.routing.shown(account_id),
            credentials=[operations.provider_keys.shown(each.credential_id) for each in held],
            keys=operations.api_keys.listed(session.caller, account_id).keys,
            refused=refused or Refused(),
            done=done,
            said=_CHANGES.get(done, ""),
        )

    def change(
        self,
        request: Request,
        session: Session,
        account_id: str,
        form: str,
        fields: Mapping[str, str],
    ) -> Response:
        """Apply a form, and show the account again."""
        try:
            self._apply[form](session, account_id, fields)
        except DomainError as error:
            if api_error(error).status == 404:
                raise
            typed = repeated(fields, ("rate", "from", "note", "name", "default_tags"))
            refused = Refused.of(error, form, typed)
            return self.one(request, session, account_id, refused=refused)
        if wants_part(request):
            return self.one(request, session, account_id, done=form)
        return self._pages.go(request, f"{_PATH}/{account_id}")

    def _agree(self, session: Session, account_id: str, fields: Mapping[str, str]) -> None:
        start = instant_of_field(fields.get("from", ""), param="from")
        body = built(
            MarkupChange, {"rate": share(fields.get("rate", ""), param="rate"), "from": start}
        )
        self._operations.accounts.agree(account_id, body)

    def _set_tax(self, session: Session, account_id: str, fields: Mapping[str, str]) -> None:
        rate = share(fields.get("rate", ""), param="tax.rate")
        tax = {"rate": rate, "note": fields.get("note", "").strip()}
        self._operations.accounts.change(account_id, built(AccountChange, {"tax": tax}))

    def _label(self, session: Session, account_id: str, fields: Mapping[str, str]) -> None:
        wanted = {
            "name": fields.get("name") or None,
            "default_tags": tags_of(fields.get("default_tags", "")),
        }
        self._operations.accounts.change(account_id, built(AccountChange, wanted))

    def _suspend(self, session: Session, account_id: str, fields: Mapping[str, str]) -> None:
        wanted = {"suspended": fields.get("suspended") == "true"}
        self._operations.accounts.change(account_id, built(AccountChange, wanted))

    def _disable(self, session: Session, account_id: str, fields: Mapping[str, str]) -> None:
        keys = self._operations.provider_keys
        view = keys.visible(session.caller, fields.get("credential", ""))
        wanted = {"disabled": fields.get("disabled") == "true"}
        keys.change(view, built(ProviderKeyChange, wanted))

    def _agreements(self, account_id: str) -> Sequence[Agreement]:
        """The history, the newest first."""
        accounts = self._operations.accounts
        view, now = accounts.directory.account(account_id), accounts.clock.now()
        markups = () if view is None else view.markups
        held, text = markup_at(markups, now), instant_text(now)
        return [
            Agreement(
                each.rate,
                each.effective_from,
                "in force" if each is held else "to come" if each.effective_from > text else "over",
            )
            for each in reversed(markups)
        ]


def every_account(operations: Operations) -> Sequence[Account]:
    """All of them, the oldest first."""
    found: list[Account] = []
    after: str | None = None
    while True:
        page = operations.accounts.listed(after, 1_000)
        found += page.accounts
        after = page.next
        if after is None:
            return found


def matching(accounts: Sequence[Account], search: str) -> Sequence[Account]:
    """Those whose name or id has the text in it, in any case."""
    wanted = search.strip().casefold()
    return [each for each in accounts if wanted in f"{each.name or ''} {each.id}".casefold()]
