"""Which provider and which stored key serve a request: deterministic, and able to explain itself.

Forced provider or credential first; else a `provider/` prefix of the model; else the first of the
account's usable credentials, in the account's order, whose provider has the exact model id, then
the first whose provider has the model under another id (same canonical name).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Literal

from api.errors import ApiError
from api.providers.catalogue import Provider
from api.providers.port import Dialect
from domain.directory import AccountView, CredentialView
from domain.events.base import JsonObject
from pricing.book import PriceBook, price_provider

Rule = Literal["forced", "prefix", "exact", "canonical"]
RULES: Final[tuple[Rule, ...]] = ("prefix", "exact", "canonical")
"""How a model finds a credential, in this order."""

MODEL_CHARS_MAX: Final = 100
"""Of a name for which a similar one is looked for."""


@dataclass(frozen=True, slots=True)
class Route:
    """The way a request takes."""

    provider: Provider
    dialect: Dialect
    credential: CredentialView
    upstream_model: str
    rule: Rule


class Router:
    """Chooses among the providers of one installation. Pure: no input or output."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._providers = providers

    def choose(
        self,
        *,
        model: str,
        slug: str | None,
        credential_id: str | None,
        account: AccountView,
        credentials: Sequence[CredentialView],
        book: PriceBook,
    ) -> Route:
        """The one route, or ApiError 400, 403 or 404 saying what would help."""
        if slug is not None and slug not in self._providers:
            known = sorted(self._providers)
            raise ApiError(
                400,
                "unknown_provider",
                # What was sent is not repeated: people paste a key into the wrong field.
                f"There is no such provider; known are: {', '.join(known)}.",
                param="byok.provider",
                details={"providers": known},
            )
        ordered = in_account_order(credentials, account)
        if credential_id is not None:
            return self._forced_credential(model, slug, credential_id, ordered, book)
        if slug is not None:
            return self._forced_provider(model, slug, ordered, book)
        route = next(self._by_model(model, ordered, book), None)
        if route is None:
            raise self._nothing_serves(model, ordered, book)
        return route

    def alternatives(
        self,
        *,
        model: str,
        tried: Collection[str],
        account: AccountView,
        credentials: Sequence[CredentialView],
        book: PriceBook,
    ) -> Iterator[Route]:
        """The routes that `choose` would take next if the credentials `tried` were not there."""
        untried = [c for c in credentials if c.credential_id not in tried]
        return self._by_model(model, in_account_order(untried, account), book)

    def _by_model(
        self, model: str, ordered: Sequence[CredentialView], book: PriceBook
    ) -> Iterator[Route]:
        """Every credential that serves the model, the best rule first; one may come twice."""
        usable = [c for c in ordered if self._why_not(c, model, book) is None]
        for rule in RULES:
            for credential in usable:
                upstream = self._upstream_id(book, credential.provider, model, rule)
                if upstream is not None:
                    yield self._route(credential, upstream, rule)

    def explain(
        self,
        *,
        model: str,
        account: AccountView,
        credentials: Sequence[CredentialView],
        book: PriceBook,
    ) -> JsonObject:
        """Which credential would serve `model`, which would follow it, and why the others not."""
        ordered = in_account_order(credentials, account)
        routes = list(self._by_model(model, ordered, book))
        chosen = routes[0] if routes else None
        considered: list[JsonObject] = []
        for credential in ordered:
            serves = chosen is not None and credential is chosen.credential
            considered.append(
                {
                    "credential_id": credential.credential_id,
                    "provider": credential.provider,
                    "key_suffix": credential.key_suffix,
                    "serves": serves,
                    "reason": chosen.rule
                    if chosen is not None and serves
                    else self._why_not_first(credential, model, book),
                }
            )
        following = dict.fromkeys(each.credential.credential_id for each in routes)
        return {
            "model": model,
            "provider": chosen.provider.slug if chosen else None,
            "credential_id": chosen.credential.credential_id if chosen else None,
            "upstream_model": chosen.upstream_model if chosen else None,
            "rule": chosen.rule if chosen else None,
            "considered": considered,
            "fallbacks": list(following)[1:],
            "providers_that_would_serve": self._serving(model, book),
        }

    def _forced_credential(
        self,
        model: str,
        slug: str | None,
        credential_id: str,
        credentials: Sequence[CredentialView],
        book: PriceBook,
    ) -> Route:
        found = next((c for c in credentials if c.credential_id == credential_id), None)
        if found is None or (slug is not None and found.provider != slug):
            raise ApiError(
                404, "not_found", "You have no such credential.", param="byok.credential"
            )
        reason = self._why_not(found, model, book)
        if reason is not None and reason != "rejected":  # a mended key may recover
            raise _unusable(found, reason)
        return self._route(found, self._forced_id(book, found.provider, model), "forced")

    def _forced_provider(
        self, model: str, slug: str, credentials: Sequence[CredentialView], book: PriceBook
    ) -> Route:
        own = [c for c in credentials if c.provider == slug]
        for credential in own:
            if self._why_not(credential, model, book) is None:
                return self._route(credential, self._forced_id(book, slug, model), "forced")
        if own:
            raise _unusable(own[0], str(self._why_not(own[0], model, book)))
        served = self._providers[slug].dialect is not None
        raise ApiError(
            400,
            "no_credential_for_provider",
            f"You have stored no key for {slug}. Add one with POST /api/user/provider-keys."
            if served
            else f"This version cannot call {slug} yet; its keys can be stored already.",
            param="byok.provider",
            provider=slug,
        )

    def _route(self, credential: CredentialView, upstream_model: str, rule: Rule) -> Route:
        provider = self._providers[credential.provider]
        assert provider.dialect is not None  # noqa: S101 - _why_not has refused the others
        return Route(provider, provider.dialect, credential, upstream_model, rule)

    def _why_not(self, credential: CredentialView, model: str, book: PriceBook) -> str | None:
        if credential.disabled:
            return "disabled"
        provider = self._providers.get(credential.provider)
        if provider is None or provider.dialect is None:
            return "provider_not_served_yet"
        if credential.models:
            names = {model, self._forced_id(book, credential.provider, model)}
            if not names & credential.models:
                return "model_not_allowed"
        return "rejected" if credential.status == "rejected" else None

    def _why_not_first(self, credential: CredentialView, model: str, book: PriceBook) -> str:
        slug = credential.provider
        reason = self._why_not(credential, model, book)
        if reason is not None:
            return reason
        if slug == _named_in(model):
            return "comes_later_in_order"
        if not self._providers[slug].auto_mapped:
            return "never_auto_mapped"
        known = self._known(book, slug, model)
        return "comes_later_in_order" if known else "provider_does_not_list_the_model"

    def _serving(self, model: str, book: PriceBook) -> list[str]:
        return sorted(
            slug
            for slug, provider in self._providers.items()
            if provider.dialect is not None
            and (
                slug == _named_in(model)
                or (provider.auto_mapped and self._known(book, slug, model))
            )
        )

    def _nothing_serves(
        self, model: str, credentials: Sequence[CredentialView], book: PriceBook
    ) -> ApiError:
        serving = self._serving(model, book)
        spoilt = None
        for credential in credentials:
            if credential.provider not in serving:
                continue
            reason = self._why_not(credential, model, book)
            if reason == "model_not_allowed":
                return _unusable(credential, reason)
            if reason is not None and spoilt is None:
                spoilt = _unusable(credential, reason).message
        named = self._providers.get(_named_in(model) or "")
        if spoilt is not None:
            help_text = spoilt
        elif serving:
            help_text = f"Add a key for one of: {', '.join(serving)}."
        elif named is not None and named.dialect is None:
            help_text = f"This version cannot call {named.slug} yet."
        else:
            alike = self._alike(model, credentials, book)
            help_text = f"Did you mean {' or '.join(alike)}? " if alike else ""
            help_text += (
                "The price list does not know this model; if it is right, name its provider with"
                " x-byok-provider."
            )
        return ApiError(
            400,
            "no_credential_for_model",
            f"None of your usable keys serves the model '{model}'. {help_text}",
            param="model",
            details={"providers": serving},
        )

    def _alike(
        self, model: str, credentials: Sequence[CredentialView], book: PriceBook
    ) -> list[str]:
        """Models of the account's providers that are written almost the same."""
        slugs = dict.fromkeys(credential.provider for credential in credentials)
        known = {each for slug in slugs for each in book.models(slug)}
        return get_close_matches(model[:MODEL_CHARS_MAX], sorted(known), n=2, cutoff=0.8)

    def _upstream_id(self, book: PriceBook, slug: str, model: str, rule: Rule) -> str | None:
        """The id that goes upstream when `rule` lets this provider serve the model, else None."""
        if rule == "prefix":
            return self._forced_id(book, slug, model) if _named_in(model) == slug else None
        if not self._providers[slug].auto_mapped:
            return None
        if rule == "exact":
            return model if _has_id(book, slug, model) else None
        return self._same_model(book, slug, model)

    def _forced_id(self, book: PriceBook, slug: str, model: str) -> str:
        """The id that goes upstream at a provider that was named.

        The provider's own prefix is taken off, unless the provider has the whole text as an id
        (`openrouter/auto` at openrouter).
        """
        prefix, _, rest = model.partition("/")
        if prefix == slug and rest and not _has_id(book, slug, model):
            model = rest
        names_deployment = self._providers[slug].deployments and "/" not in model
        if names_deployment or _has_id(book, slug, model):
            return model
        return self._same_model(book, slug, model) or model

    def _same_model(self, book: PriceBook, slug: str, model: str) -> str | None:
        """The provider's id of a model that is named as elsewhere, or by its canonical name."""
        owner = price_provider(slug)
        named = (book.canonical(other, model) for other in self._providers)
        canonicals = {model, *(name for name in named if name is not None)}
        rows = (row for name in canonicals for row in book.rows_of_key(name))
        ids = {row.model for row in rows if row.provider == owner}
        return min(ids, key=lambda text: (len(text), text), default=None)

    def _known(self, book: PriceBook, slug: str, model: str) -> bool:
        return _has_id(book, slug, model) or self._same_model(book, slug, model) is not None


def in_account_order(
    credentials: Sequence[CredentialView], account: AccountView
) -> list[CredentialView]:
    """Preferred providers first, then by position."""
    preferred = {slug: place for place, slug in enumerate(account.routing.providers)}
    return sorted(credentials, key=lambda c: preferred.get(c.provider, len(preferred)))


def _named_in(model: str) -> str | None:
    """What stands before the slash of `provider/model`."""
    prefix, _, rest = model.partition("/")
    return prefix if rest else None


def _has_id(book: PriceBook, slug: str, model: str) -> bool:
    return bool(book.rows_of(slug, model)) or book.canonical(slug, model) is not None


def _unusable(credential: CredentialView, reason: str) -> ApiError:
    where = f"Your {credential.provider} key ending in {credential.key_suffix}"
    if reason == "model_not_allowed":
        return ApiError(
            403,
            "model_not_allowed",
            f"{where} is limited to other models.",
            param="model",
            provider=credential.provider,
        )
    said = {
        "disabled": "is disabled.",
        "rejected": "was refused by the provider; name it with x-byok-credential to try it again.",
        "provider_not_served_yet": "is stored, but this version cannot call its provider yet.",
    }[reason]
    return ApiError(
        400,
        "no_credential_for_provider",
        f"{where} {said}",
        param="byok.provider",
        provider=credential.provider,
        details={"reason": reason},
    )
