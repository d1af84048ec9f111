"""`GET /api/v1/models`: OpenAI's list, with providers and prices; and why a model goes where."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Depends, Query, Response

from api.auth import Access, Caller
from api.chat.routing import Router, in_account_order
from api.errors import ApiError
from api.providers.catalogue import Provider
from api.routes.schemas import ERRORS, ListedModel, ModelsOrExplanation
from domain.clock import Clock
from domain.directory import AccountView, CredentialView, Directory
from domain.events.base import JsonObject
from domain.money import text_of
from pricing.book import PriceBook
from pricing.row import Row

LISTS_KEPT_MAX: Final = 8
"""A list of all providers takes about a megabyte."""

_Account = Annotated[str | None, Query(max_length=60)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """What the routes need, and what they do."""

    access: Access
    directory: Directory
    routing: Router
    lists: "ModelLists"
    providers: Mapping[str, Provider]
    book: Callable[[], PriceBook]
    clock: Clock

    def account_of(self, caller: Caller, account: str | None) -> AccountView:
        """The account that is asked about. Raises ApiError 404."""
        found = self.directory.account(self.access.account_for(caller, account))
        if found is None:
            raise ApiError(404, "not_found", "There is no such account.", param="account")
        return found

    def listed(self, account: AccountView) -> "ModelList":
        """The models of the providers that the account has a usable key for."""
        held = in_account_order(self.directory.credentials(account.account_id), account)
        slugs = usable_slugs(held, self.providers)
        return self.lists.of(slugs, self.book(), self.clock.now())


def router(models: Models) -> APIRouter:
    """The routes of this file."""
    routes = APIRouter(tags=["models"], responses=ERRORS)
    anybody = Depends(models.access.allow("caller", "owner", "operator"))

    @routes.get(
        "/api/v1/models", response_model=None, responses={200: {"model": ModelsOrExplanation}}
    )
    @routes.get("/v1/models", response_model=None, include_in_schema=False)
    def listed(
        caller: Annotated[Caller, anybody],
        explain: Annotated[str | None, Query(max_length=256)] = None,
        account: _Account = None,
    ) -> JsonObject | Response:
        """Models of the providers that the account has a usable key for; or why, with `explain`."""
        found = models.account_of(caller, account)
        if explain is None:
            return Response(models.listed(found).body, media_type="application/json")
        held = models.directory.credentials(found.account_id)
        return models.routing.explain(
            model=explain, account=found, credentials=held, book=models.book()
        )

    @routes.get(
        "/api/v1/models/{model:path}", response_model=None, responses={200: {"model": ListedModel}}
    )
    @routes.get("/v1/models/{model:path}", response_model=None, include_in_schema=False)
    def one_model(
        model: str, caller: Annotated[Caller, anybody], account: _Account = None
    ) -> JsonObject:
        """One entry of the list."""
        entry = models.listed(models.account_of(caller, account)).entries.get(model)
        if entry is None:
            raise ApiError(404, "model_not_found", "None of your usable keys lists this model.")
        return entry

    return routes


def usable_slugs(
    credentials: Sequence[CredentialView], providers: Mapping[str, Provider]
) -> tuple[str, ...]:
    """The providers that the account could be served by, in the order of its keys."""
    slugs = dict.fromkeys(
        c.provider
        for c in credentials
        if c.status not in {"disabled", "rejected"}
        and c.provider in providers
        and providers[c.provider].dialect is not None
    )
    return tuple(slugs)


@dataclass(frozen=True, slots=True)
class ModelList:
    """What some providers offer by one book, until a price begins or ends."""

    entries: Mapping[str, JsonObject]
    """Model id → entry, ascending."""
    body: bytes
    until: datetime | None
    """From then on a price in it is another; None: never, by this book."""


class ModelLists:
    """Lists by providers and book. The books know thousands of models, so a list is made once."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._providers = providers
        self._kept: OrderedDict[tuple[str, ...], ModelList] = OrderedDict()
        self._lock = Lock()

    def of(self, slugs: tuple[str, ...], book: PriceBook, now: datetime) -> ModelList:
        """One entry per model id, with every provider that lists it, in the order of `slugs`."""
        place = (book.hash, *slugs)
        with self._lock:
            kept = self._kept.get(place)
            if kept is not None and (kept.until is None or now < kept.until):
                self._kept.move_to_end(place)
                return kept
        made = self._make(slugs, book, now)
        with self._lock:
            self._kept[place] = made
            self._kept.move_to_end(place)
            while len(self._kept) > LISTS_KEPT_MAX:
                self._kept.popitem(last=False)
        return made

    def _make(self, slugs: Sequence[str], book: PriceBook, now: datetime) -> ModelList:
        entries: dict[str, JsonObject] = {}
        turns: set[datetime] = set()
        for slug in slugs:
            for model in book.models(slug):
                rows = [row for row in book.rows_of(slug, model) if row.conditions.stated == 0]
                turns.update(turn for row in rows for turn in _turns(row) if turn > now)
                live = [row for row in rows if row.live(now)]
                # Whoever serves only where he is named is listed by the name that works.
                name = model if self._providers[slug].auto_mapped else f"{slug}/{model}"
                entry = entries.setdefault(name, _entry(name, slug))
                entry["providers"].append(_offer(slug, model, live[-1] if live else None))
        ordered = {name: entries[name] for name in sorted(entries)}
        body = orjson.dumps({"object": "list", "data": list(ordered.values())})
        return ModelList(ordered, body, min(turns, default=None))


def _turns(row: Row) -> tuple[datetime, ...]:
    return tuple(turn for turn in (row.effective_from, row.effective_to) if turn is not None)


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
