"""How an account's calls are routed, and its budgets."""

# No `from __future__ import annotations` here: FastAPI has to see what `router` closes over.

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.auth import Access, Caller
from api.errors import ApiError
from api.routes.schemas import ERRORS, Budgets, Routing, RoutingPreference
from domain.account import AccountNotFound
from domain.account import Routing as Preference
from domain.directory import Directory
from domain.errors import BadValue
from domain.ledger import Ledger

_Account = Annotated[str | None, Query(max_length=60)]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingPreferences:
    """What the routes need, and what they do with preferences."""

    access: Access
    directory: Directory
    ledger: Ledger
    slugs: Collection[str]
    """The providers that this installation offers."""

    def shown(self, account_id: str) -> Routing:
        """The account's preferences. Raises AccountNotFound."""
        account = self.directory.account(account_id)
        if account is None:
            raise AccountNotFound("There is no such account.")
        return Routing(
            providers=list(account.routing.providers),
            fallbacks=account.routing.fallbacks,
            on_disconnect=account.routing.on_disconnect,
        )

    def replace(self, account_id: str, wanted: RoutingPreference) -> Routing:
        """Replace the account's preferences as a whole. Raises BadValue naming the wrong one."""
        for index, slug in enumerate(wanted.providers):
            if slug not in self.slugs:
                raise BadValue("There is no such provider.", param=f"providers.{index}")
        preference = Preference(tuple(wanted.providers), wanted.fallbacks, wanted.on_disconnect)
        self.ledger.prefer_routing(account_id, preference)
        return self.shown(account_id)


def router(preferences: RoutingPreferences) -> APIRouter:
    """The routes of this file."""
    routes = APIRouter(prefix="/api/user", tags=["routing"], responses=ERRORS)
    access = preferences.access
    owner = Depends(access.allow("owner", "operator"))

    @routes.get("/routing")
    def routing(caller: Annotated[Caller, owner], account: _Account = None) -> Routing:
        """The account's preferences."""
        return preferences.shown(access.account_for(caller, account))

    @routes.put("/routing")
    def prefer(
        body: RoutingPreference, caller: Annotated[Caller, owner], account: _Account = None
    ) -> Routing:
        """Replace the preferences as a whole."""
        return preferences.replace(access.account_for(caller, account), body)

    @routes.get("/budgets")
    def budgets(caller: Annotated[Caller, owner], account: _Account = None) -> Budgets:
        """The account's budgets: there are none yet."""
        access.account_for(caller, account)
        return Budgets(budgets=[])

    @routes.put("/budgets")
    def set_budgets(
        body: Budgets, caller: Annotated[Caller, owner], account: _Account = None
    ) -> Budgets:
        """Budgets are not enforced by this version, so none is taken."""
        access.account_for(caller, account)
        if body.budgets:
            raise ApiError(
                400,
                "unsupported_parameter",
                "This version does not enforce budgets, so it takes none. Nothing was changed.",
                param="budgets",
            )
        return body

    return routes
