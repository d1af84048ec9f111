"""Bring your own key: the account's provider keys, their order, and the call that uses them."""

# No `from __future__ import annotations` here: FastAPI has to see what `router` closes over.

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api.errors import ApiError, api_error
from api.providers.catalogue import Provider, key_warning
from api.routes.schemas import (
    NewProviderKey,
    ProviderKeyChange,
    ProviderKeyProbe,
    RoutingPreference,
    built,
)
from api.web.examples import examples
from api.web.forms import repeated, sentence, whole, words_of
from api.web.key_cards import STATES, Card, Overview, Panel, cards_of, overview
from api.web.operations import Operations
from api.web.pages import Pages, page_route
from api.web.session import Session
from domain.errors import BadValue, DomainError
from domain.money import text_of

Fields = Mapping[str, str]

SAID: Final[Mapping[str, str]] = {
    "added": "The key is stored.",
    "verified": "The provider accepts the key.",
    "rejected": "The provider refused the key.",
    "indeterminate": "The provider's answer proves nothing about the key.",
    "label": "The label is saved.",
    "models": "The limit is saved.",
    "rotate": "The new secret is in place; the old one is destroyed.",
    "disable": "The key is disabled: no call uses it.",
    "enable": "The key is enabled: calls use it again.",
    "removed": "The key is removed, and its secret destroyed.",
    "moved": "The order is saved.",
    "routing": "The preferences are saved.",
}
"""What the page says after something was done."""


def given_key(provider: Provider, fields: Fields) -> object:
    """The key as the JSON route takes it, from whichever form it came."""
    wanted = fields.get("way", "")
    for form in provider.key.forms:
        if form.name == wanted:
            given = {each.name: fields.get(each.name, "").strip() for each in form.fields}
            return {name: value for name, value in given.items() if value}
    return fields.get("key", "").strip()


_CHANGES: Final[Mapping[str, Callable[[Provider, Fields], dict[str, Any]]]] = {
    "label": lambda _, fields: {"label": fields.get("label", "").strip() or None},
    "models": lambda _, fields: {"models": words_of(fields.get("models", ""))},
    "disable": lambda _, __: {"disabled": True},
    "enable": lambda _, __: {"disabled": False},
    "rotate": lambda provider, fields: {"key": given_key(provider, fields)},
}
"""What a form of a stored key sends → the fields of `PATCH /api/user/provider-keys/{id}`."""


@dataclass(frozen=True, slots=True)
class KeyPages:
    """What the routes of this file share."""

    pages: Pages
    operations: Operations

    def page(
        self,
        request: Request,
        session: Session,
        *,
        panel: Panel | None = None,
        said: tuple[str, str, str] | None = None,
        slug: str | None = None,
        status: int = 200,
        order: Mapping[str, Any] | None = None,
        example: str = "",
    ) -> Response:
        """The page; for htmx, only the card of `slug`, if it names one. Blocks.

        What the keys were used for comes after a whole page, unless the address asks for `whole`.

        `said` is (slug or "order", sentence, tone); `order` is what was wrong with the preferences.
        """
        alone = slug is not None and "hx-request" in request.headers
        later = not alone and "whole" not in request.query_params
        shown = overview(self.operations, session.caller.account_id, later=later)
        card = shown.card(slug) if alone and slug else None
        return self.pages.show(
            request,
            "keys/card_alone.html" if card else "keys/page.html",
            session,
            status=status,
            title="Bring your own key",
            shown=shown,
            card=card,
            panel=panel,
            said=said,
            order=order or {"param": "", "problem": "", "typed": {}},
            states=STATES,
            providers=self.operations.provider_keys.providers,
            **self.answers(shown),
            **chosen_example(shown.cards, example),
        )

    def answers(self, shown: Overview) -> dict[str, Any]:
        """What the answers to questions take from this installation and account."""
        rate = Decimal(shown.account.markup_rate_at(self.operations.usage.clock.now()))
        rows = [card.provider for card in shown.cards]
        return {
            "rate": text_of(rate * 100),
            "example_fee": text_of(rate / 100),
            "drains": [row.name for row in rows if row.on_disconnect == "drain"],
            "named_only": [row.name for row in rows if not row.auto_mapped],
        }

    async def done(self, request: Request, session: Session, slug: str, what: str) -> Response:
        """The card as it is now, saying what was done; or the page, at that card."""
        if "hx-request" in request.headers:
            said = (slug, SAID[what], _tone(what))
            return await asyncio.to_thread(self.page, request, session, said=said, slug=slug)
        return self.pages.go(request, f"/keys?said={what}&at={slug}#card-{slug}")

    async def refused(
        self, request: Request, session: Session, panel: Panel, error: DomainError
    ) -> Response:
        """The card with the form, what was typed and what was wrong; never a secret."""
        shown = api_error(error)
        if shown.status in {404, 500}:
            raise error
        wrong = Panel(
            slug=panel.slug,
            credential_id=panel.credential_id,
            form=panel.form,
            param=(shown.param or "").removeprefix("key.").split(".")[0],
            problem=sentence(shown),
            typed=panel.typed,
        )
        return await asyncio.to_thread(
            self.page, request, session, panel=wrong, slug=panel.slug, status=shown.status
        )

    def panel(self, opened: str | None, session: Session) -> Panel | None:
        """Which card the address opens: a slug, or a key of this account."""
        keys = self.operations.provider_keys
        if opened is None:
            return None
        if opened in keys.providers:
            return Panel(slug=opened)
        view = keys.visible(session.caller, opened)
        return Panel(slug=view.provider, credential_id=view.credential_id)


def chosen_example(cards: Sequence[Card], slug: str = "") -> dict[str, Any]:
    """What the part with the example call needs; by default it is of the first card."""
    known = slug in {card.provider.slug for card in cards}
    return {
        "example_cards": cards,
        "example_slug": slug if known else cards[0].provider.slug,
        "examples": examples,
    }


def router(pages: Pages, operations: Operations) -> APIRouter:
    """The routes of this file."""
    routes = APIRouter(route_class=page_route(pages), include_in_schema=False)
    keys = KeyPages(pages, operations)
    _show(routes, keys)
    _add(routes, keys)
    _change(routes, keys)
    _order(routes, keys)
    return routes


def _show(routes: APIRouter, keys: KeyPages) -> None:
    @routes.get("/keys")
    def page(
        request: Request,
        opened: Annotated[str | None, Query(alias="open", max_length=60)] = None,
        said: Annotated[str, Query(max_length=60)] = "",
        at: Annotated[str, Query(max_length=60)] = "",
        example: Annotated[str, Query(max_length=60)] = "",
    ) -> Response:
        """All cards, the order, the example call, the questions."""
        session = keys.pages.visitor(request, "owner")
        words = (at, SAID[said], _tone(said)) if said in SAID else None
        panel = keys.panel(opened, session)
        slug = panel.slug if panel else at if at in keys.operations.provider_keys.providers else ""
        return keys.page(request, session, panel=panel, said=words, slug=slug, example=example)

    @routes.get("/keys/use")
    def use(request: Request) -> Response:
        """What each key did this month, for the page to put in place."""
        session = keys.pages.visitor(request, "owner")
        if "hx-request" not in request.headers:
            return keys.pages.go(request, "/keys?whole=1")
        shown = overview(keys.operations, session.caller.account_id)
        return keys.pages.show(
            request, "keys/use.html", session, title="Use of keys", shown=shown, alone=True
        )

    @routes.get("/keys/example")
    def example(request: Request, example: Annotated[str, Query(max_length=60)] = "") -> Response:
        """The example call for another provider."""
        session = keys.pages.visitor(request, "owner", "caller")
        cards = cards_of(keys.operations, session.caller.account_id)
        return keys.pages.show(
            request,
            "keys/example_alone.html",
            session,
            title="Example call",
            **chosen_example(cards, example),
        )


def _add(routes: APIRouter, keys: KeyPages) -> None:
    operations = keys.operations.provider_keys

    @routes.post("/keys/check/{slug}")
    async def check(request: Request, slug: str) -> Response:
        """What is wrong with a key, before it is sent to be stored; nothing is kept."""
        session, fields = await keys.pages.form(request, "owner")
        provider, problem, warning = operations.provider(slug), None, None
        try:
            parsed = operations.parse(provider, given_key(provider, fields))
            warning = key_warning(provider, parsed)
        except BadValue as error:
            problem = sentence(api_error(error))
        return keys.pages.show(
            request, "keys/checked.html", session, title="Check", problem=problem, warning=warning
        )

    @routes.post("/keys/providers/{slug}")
    async def add(request: Request, slug: str) -> Response:
        """Store a key, and ask the provider about it if that is wanted."""
        session, fields = await keys.pages.form(request, "owner")
        provider = operations.provider(slug)
        typed = repeated(fields, ("label", "models", *_plain_fields(provider)))
        panel = Panel(slug=slug, form=fields.get("way", ""), typed=typed)
        try:
            body = built(
                NewProviderKey,
                {
                    "provider": slug,
                    "key": given_key(provider, fields),
                    "label": fields.get("label", "").strip() or None,
                    "models": words_of(fields.get("models", "")),
                    "validate": "validate" in fields,
                },
            )
            stored = await operations.add(session.caller.account_id, body)
        except DomainError as error:
            return await keys.refused(request, session, panel, error)
        what = "added" if stored.status == "unverified" else stored.status
        return await keys.done(request, session, slug, what)


def _change(routes: APIRouter, keys: KeyPages) -> None:
    operations = keys.operations.provider_keys

    @routes.post("/keys/{credential_id}/test")
    async def test(request: Request, credential_id: str) -> Response:
        """Ask the provider about the stored key; it costs nothing."""
        session, _ = await keys.pages.form(request, "owner")
        view = operations.visible(session.caller, credential_id)
        said = await operations.probe(session.caller, ProviderKeyProbe(id=credential_id))
        return await keys.done(request, session, view.provider, said.status)

    @routes.post("/keys/{credential_id}/remove")
    async def remove(request: Request, credential_id: str) -> Response:
        """Destroy the secret; the trail stays."""
        session, _ = await keys.pages.form(request, "owner")
        view = operations.visible(session.caller, credential_id)
        await asyncio.to_thread(operations.remove, view)
        return await keys.done(request, session, view.provider, "removed")

    @routes.post("/keys/{credential_id}/move")
    async def move(request: Request, credential_id: str) -> Response:
        """Take another place in the order."""
        session, fields = await keys.pages.form(request, "owner")
        view = operations.visible(session.caller, credential_id)
        place = whole(fields.get("position", ""), param="position")
        change = built(ProviderKeyChange, {"position": place})
        await asyncio.to_thread(operations.change, view, change)
        if "hx-request" in request.headers:
            said = ("order", SAID["moved"], _tone("moved"))
            return await asyncio.to_thread(keys.page, request, session, said=said)
        return keys.pages.go(request, "/keys?said=moved&at=order#order")

    @routes.post("/keys/{credential_id}/{what}")
    async def change(request: Request, credential_id: str, what: str) -> Response:
        """Label, limit, rotate, disable or enable."""
        session, fields = await keys.pages.form(request, "owner")
        view = operations.visible(session.caller, credential_id)
        if what not in _CHANGES or view.provider not in operations.providers:
            raise ApiError(404, "not_found", "There is no such page.")
        provider = operations.provider(view.provider)
        typed = repeated(fields, ("label", "models", *_plain_fields(provider)))
        panel = Panel(
            slug=view.provider,
            credential_id=credential_id,
            form=fields.get("way", what),
            typed=typed,
        )
        try:
            wanted = built(ProviderKeyChange, _CHANGES[what](provider, fields))
            await asyncio.to_thread(operations.change, view, wanted)
            if "validate" in fields:
                answer = await operations.probe(session.caller, ProviderKeyProbe(id=credential_id))
                what = answer.status
        except DomainError as error:
            return await keys.refused(request, session, panel, error)
        return await keys.done(request, session, view.provider, what)


def _order(routes: APIRouter, keys: KeyPages) -> None:
    @routes.post("/keys/routing")
    async def prefer(request: Request) -> Response:
        """Replace the account's preferences."""
        session, fields = await keys.pages.form(request, "owner")
        try:
            preference = built(
                RoutingPreference,
                {
                    "providers": _preferred(fields),
                    "fallbacks": "fallbacks" in fields,
                    "on_disconnect": fields.get("on_disconnect") or None,
                },
            )
            await asyncio.to_thread(
                keys.operations.routing.replace, session.caller.account_id, preference
            )
        except DomainError as error:
            shown = api_error(error)
            wrong = {"param": shown.param or "", "problem": sentence(shown), "typed": fields}
            return await asyncio.to_thread(
                keys.page, request, session, order=wrong, status=shown.status
            )
        return keys.pages.go(request, "/keys?said=routing&at=order#order")


def _tone(what: str) -> str:
    """Of what was done: how a test ended, else well."""
    return STATES[what][0] if what in STATES else "good"


def _preferred(fields: Fields) -> list[str]:
    """Slugs in the order of the numbers that stand beside them. Raises BadValue."""
    places: dict[int, str] = {}
    for name, text in fields.items():
        slug = name.removeprefix("place-")
        place = whole(text, param=name) if slug != name else None
        if place is None:
            continue
        if place in places:
            raise BadValue(f"{places[place]} has the number {place} already", param=name)
        places[place] = slug
    return [slug for _, slug in sorted(places.items())]


def _plain_fields(provider: Provider) -> tuple[str, ...]:
    """The names of a credential's fields that are no secret."""
    return tuple(
        each.name for form in provider.key.forms for each in form.fields if not each.secret
    )
