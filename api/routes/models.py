"""`GET /api/v1/models`: OpenAI's list, with providers and prices; and why a model goes where."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.auth import Access, Caller
from api.chat.routing import Router
from api.errors import ApiError
from api.providers.catalogue import Provider
from api.routes.schemas import ERRORS
from domain.clock import Clock
from domain.directory import CredentialView, Directory
from domain.events.base import JsonObject
from domain.money import text_of
from pricing.book import PriceBook
from pricing.row import Row


def router(
    *,
    access: Access,
    directory: Directory,
    routing: Router,
    providers: Mapping[str, Provider],
    book: Callable[[], PriceBook],
    clock: Clock,
) -> APIRouter:
    """The routes of this file."""
    routes = APIRouter(tags=["models"], responses=ERRORS)

    @routes.get("/api/v1/models")
    @routes.get("/v1/models", include_in_schema=False)
    def models(
        caller: Annotated[Caller, Depends(access.allow("caller", "owner"))],
        explain: Annotated[str | None, Query(max_length=256)] = None,
    ) -> JsonObject:
        """Models of the providers that the account has a usable key for; or why, with `explain`."""
        account = directory.account(caller.account_id)
        if account is None:
            raise ApiError(404, "not_found", "No such account.")
        credentials = directory.credentials(caller.account_id)
        if explain is not None:
            return routing.explain(
                model=explain, account=account, credentials=credentials, book=book()
            )
        slugs = usable_slugs(credentials, providers)
        return {"object": "list", "data": model_list(slugs, book(), clock)}

    @routes.get("/api/v1/models/{model:path}")
    @routes.get("/v1/models/{model:path}", include_in_schema=False)
    def one_model(
        model: str, caller: Annotated[Caller, Depends(access.allow("caller", "owner"))]
    ) -> JsonObject:
        """One entry of the list."""
        slugs = usable_slugs(directory.credentials(caller.account_id), providers)
        for entry in model_list(slugs, book(), clock):
            if entry["id"] == model:
                return entry
        raise ApiError(404, "model_not_found", "None of your usable keys lists this model.")

    return routes


def usable_slugs(
    credentials: Sequence[CredentialView], providers: Mapping[str, Provider]
) -> list[str]:
    """The providers that the account could be served by, in its order."""
    slugs = dict.fromkeys(
        c.provider
        for c in credentials
        if c.status not in {"disabled", "rejected"}
        and c.provider in providers
        and providers[c.provider].dialect is not None
    )
    return list(slugs)


def model_list(slugs: list[str], book: PriceBook, clock: Clock) -> list[JsonObject]:
    """One entry per model id, with every provider that lists it."""
    entries: dict[str, JsonObject] = {}
    now = clock.now()
    for slug in slugs:
        for model in book.models(slug):
            live = [row for row in book.rows_of(slug, model) if row.live(now)]
            standard = [row for row in live if row.conditions.count == 0]
            entry = entries.setdefault(model, _entry(model, slug))
            entry["providers"].append(_offer(slug, model, standard[-1] if standard else None))
    return [entries[model] for model in sorted(entries)]


def _entry(model: str, owner: str) -> JsonObject:
    return {"id": model, "object": "model", "created": 0, "owned_by": owner, "providers": []}


def _offer(slug: str, model: str, row: Row | None) -> JsonObject:
    return {
        "slug": slug,
        "model": model,
        "pricing": None
        if row is None
        else {unit: text_of(price) for unit, price in row.prices.items()},
        "free": row is not None and row.free,
        "reference": None if row is None else row.id,
    }
