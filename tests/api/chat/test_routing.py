"""Which provider and which key serve a request, and what is said when none does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from api.chat.routing import Route, Router
from api.errors import ApiError
from api.providers.catalogue import PROVIDERS
from domain.account import Routing
from domain.directory import AccountView, CredentialView
from tests.api.chat.calls import BOOKS

BOOK = BOOKS.current
ROUTER = Router({**PROVIDERS, "groq": replace(PROVIDERS["groq"], dialect=None)})
"""One provider without a dialect, as those of a later version are."""
ACCOUNT = AccountView(
    account_id="acc_1",
    version=1,
    suspended=False,
    currency="USD",
    markups=(),
    routing=Routing(),
    tax_rate="0",
    tax_note="",
    created_at="2026-11-01T00:00:00.000000Z",
)


def key(provider: str, number: int = 1, **changes: Any) -> CredentialView:
    view = CredentialView(
        credential_id=f"cred_{provider}_{number}",
        account_id="acc_1",
        provider=provider,
        key_suffix="abcd",
        status="verified",
        status_reason=None,
        checked="verified",
        position=number,
        models=None,
        disabled=False,
        removed=False,
        secret_version=1,
        fingerprint="f",
        created_at="2026-11-01T00:00:00.000000Z",
    )
    return replace(view, **changes)


def choose(
    model: str,
    *keys: CredentialView,
    slug: str | None = None,
    credential: str | None = None,
    account: AccountView = ACCOUNT,
) -> Route:
    return ROUTER.choose(
        model=model,
        slug=slug,
        credential_id=credential,
        account=account,
        credentials=keys,
        book=BOOK,
    )


def refused(model: str, *keys: CredentialView, **named: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        choose(model, *keys, **named)
    return caught.value


OPENAI, ANTHROPIC, SANDBOX = key("openai"), key("anthropic", 2), key("sandbox", 3)


def test_an_exact_id_finds_its_provider() -> None:
    route = choose("claude-sonnet-4-5", OPENAI, ANTHROPIC)
    assert (route.provider.slug, route.upstream_model, route.rule) == (
        "anthropic",
        "claude-sonnet-4-5",
        "exact",
    )
    assert choose("gpt-4o-mini", ANTHROPIC, OPENAI).credential is OPENAI


def test_a_prefix_counts_only_with_a_key_of_that_slug() -> None:
    route = choose("openai/gpt-4o-mini", ANTHROPIC, OPENAI)
    assert (route.upstream_model, route.rule) == ("gpt-4o-mini", "prefix")
    assert refused("openai/never-heard-of", ANTHROPIC).code == "no_credential_for_model"


def test_an_unknown_model_is_served_where_it_is_named() -> None:
    assert choose("openai/never-heard-of", OPENAI).upstream_model == "never-heard-of"
    assert choose("never-heard-of", OPENAI, slug="openai").rule == "forced"
    error = refused("never-heard-of", OPENAI)
    assert (error.status, error.code, error.param) == (400, "no_credential_for_model", "model")
    assert dict(error.details or {}) == {"providers": []}


def test_who_would_serve_is_said() -> None:
    error = refused("claude-sonnet-4-5", OPENAI)
    assert "anthropic" in (error.details or {})["providers"]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("model", "keys", "said"),
    [
        ("gpt-4o", (), "Add a key for one of: azure, azure-responses, openai"),
        ("openai/gpt-4o", (SANDBOX,), "Add a key for one of: azure, azure-responses, openai"),
        ("openai/a-model-of-tomorrow", (SANDBOX,), "Add a key for one of: openai."),
        ("groq/llama", (SANDBOX,), "This version cannot call groq yet."),
        ("groq/llama", (key("groq"),), "This version cannot call groq yet."),
        ("nobody/llama", (SANDBOX,), "The price list does not know this model"),
        ("gpt-40", (OPENAI,), "Did you mean gpt-4 or gpt-4o?"),
        ("sandbox-echo", (SANDBOX,), "Did you mean sandbox/echo"),
        ("gpt-4o", (key("openai", status="rejected"),), "openai key ending in abcd was refused"),
        ("gpt-4o", (key("openai", disabled=True),), "openai key ending in abcd is disabled"),
    ],
)
def test_what_would_help_is_said(model: str, keys: tuple[CredentialView, ...], said: str) -> None:
    error = refused(model, *keys)
    assert error.code == "no_credential_for_model"
    assert said in error.message


def test_the_id_that_contains_its_slug_is_kept() -> None:
    assert choose("sandbox/echo", SANDBOX).upstream_model == "sandbox/echo"


def test_position_and_preference() -> None:
    first, second = key("openai", 1), key("openai", 2)
    assert choose("gpt-4o-mini", first, second).credential is first
    twin = replace(ANTHROPIC, position=0)
    preferring = replace(ACCOUNT, routing=Routing(providers=("openai",)))
    assert choose("gpt-4o-mini", twin, OPENAI, account=preferring).credential is OPENAI


def test_what_is_disabled_or_rejected_is_passed_over() -> None:
    disabled, rejected = key("openai", 1, disabled=True), key("openai", 2, status="rejected")
    good = key("openai", 3)
    assert choose("gpt-4o-mini", disabled, rejected, good).credential is good
    assert choose("gpt-4o-mini", disabled, rejected, good, slug="openai").credential is good
    error = refused("gpt-4o-mini", disabled, rejected, slug="openai")
    assert (error.code, dict(error.details or {})) == (
        "no_credential_for_provider",
        {"reason": "disabled"},
    )


def test_a_rejected_key_recovers_when_it_is_named() -> None:
    rejected = key("openai", status="rejected")
    named = choose("gpt-4o-mini", rejected, credential=rejected.credential_id)
    assert named.credential is rejected
    disabled = key("openai", disabled=True)
    assert refused("m", disabled, credential=disabled.credential_id).status == 400


def test_a_key_for_other_models() -> None:
    limited = key("openai", models=frozenset({"gpt-4o"}))
    error = refused("gpt-4o-mini", limited)
    assert (error.status, error.code) == (403, "model_not_allowed")
    assert choose("gpt-4o", limited).credential is limited


def test_somebody_elses_key_and_a_slug_that_is_none() -> None:
    assert refused("m", OPENAI, credential="cred_other").status == 404
    assert refused("m", OPENAI, credential=OPENAI.credential_id, slug="anthropic").status == 404
    error = refused("m", OPENAI, slug="sk-mistaken-for-a-slug")
    assert (error.code, error.param) == ("unknown_provider", "byok.provider")
    assert "sk-mistaken" not in error.message
    assert refused("m", slug="openai").code == "no_credential_for_provider"


def test_a_provider_that_is_not_served_yet() -> None:
    error = refused("llama", key("groq"), slug="groq")
    assert dict(error.details or {}) == {"reason": "provider_not_served_yet"}
    assert "cannot call groq yet" in refused("llama", OPENAI, slug="groq").message


@pytest.mark.parametrize("limit", ["gpt-4o-mini", "openai/gpt-4o-mini"])
def test_a_limit_may_name_the_model_in_either_way(limit: str) -> None:
    limited = key("openai", models=frozenset({limit}))
    assert choose("openai/gpt-4o-mini", limited).upstream_model == "gpt-4o-mini"
    assert refused("openai/gpt-4o", limited).code == "model_not_allowed"


def test_a_gateway_s_own_slashes() -> None:
    """A prefix counts only with a key of that slug; else the text may be an id of a gateway."""
    gateway = key("openrouter", 1)
    route = choose("openai/gpt-4o-mini", gateway)
    assert (route.provider.slug, route.upstream_model, route.rule) == (
        "openrouter",
        "openai/gpt-4o-mini",
        "exact",
    )
    route = choose("openai/gpt-4o-mini", gateway, key("openai", 2))
    assert (route.provider.slug, route.upstream_model, route.rule) == (
        "openai",
        "gpt-4o-mini",
        "prefix",
    )
    route = choose("openrouter/openai/gpt-4o-mini", gateway, key("openai", 2))
    assert (route.provider.slug, route.upstream_model) == ("openrouter", "openai/gpt-4o-mini")
    spoilt = key("openai", 2, status="rejected")
    assert choose("openai/gpt-4o-mini", gateway, spoilt).provider.slug == "openrouter"
    route = choose("gpt-4o-mini", gateway)
    assert (route.upstream_model, route.rule) == ("openai/gpt-4o-mini", "canonical")


def test_a_provider_that_is_never_mapped_serves_where_it_is_named() -> None:
    # Row and book speak of it like of any other, so that only the row's word decides.
    lonely = Router({**PROVIDERS, "openai": replace(PROVIDERS["openai"], auto_mapped=False)})

    def chosen(model: str, slug: str | None = None) -> Route:
        return lonely.choose(
            model=model,
            slug=slug,
            credential_id=None,
            account=ACCOUNT,
            credentials=(OPENAI,),
            book=BOOK,
        )

    assert chosen("openai/gpt-4o-mini").rule == "prefix"
    assert chosen("gpt-4o-mini", "openai").rule == "forced"
    with pytest.raises(ApiError) as caught:
        chosen("gpt-4o-mini")
    assert "openai" not in (caught.value.details or {})["providers"]  # type: ignore[operator]
    told = lonely.explain(model="gpt-4o-mini", account=ACCOUNT, credentials=(OPENAI,), book=BOOK)
    assert [each["reason"] for each in told["considered"]] == ["never_auto_mapped"]
    assert not PROVIDERS["hyperbolic"].auto_mapped


def test_an_inference_profile_is_an_exact_id() -> None:
    route = choose("us.anthropic.claude-sonnet-4-5-20250929-v1:0", ANTHROPIC, key("aws", 3))
    assert (route.provider.slug, route.rule) == ("aws", "exact")
    assert route.upstream_model == "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


def test_what_would_follow_the_first_choice() -> None:
    first, gateway, second = key("openai", 1), key("openrouter", 2), key("openai", 3)
    found = ROUTER.alternatives(
        model="openai/gpt-4o-mini",
        tried={first.credential_id},
        account=ACCOUNT,
        credentials=(first, gateway, second, key("openai", 4, disabled=True)),
        book=BOOK,
    )
    routes = list({route.credential.credential_id: route for route in found}.values())
    assert [route.credential for route in routes] == [second, gateway]
    told = ROUTER.explain(
        model="openai/gpt-4o-mini", account=ACCOUNT, credentials=(first, gateway, second), book=BOOK
    )
    assert told["fallbacks"] == [second.credential_id, gateway.credential_id]


def test_the_explanation_agrees_with_the_choice() -> None:
    keys = (key("openai", 1, disabled=True), key("openai", 2), key("openai", 3), ANTHROPIC)
    told = ROUTER.explain(model="gpt-4o-mini", account=ACCOUNT, credentials=keys, book=BOOK)
    assert told["credential_id"] == choose("gpt-4o-mini", *keys).credential.credential_id
    assert [each["reason"] for each in told["considered"]] == [
        "disabled",
        "exact",
        "comes_later_in_order",
        "provider_does_not_list_the_model",
    ]


@pytest.mark.parametrize("slug", ["azure", "azure-responses"])
def test_a_deployment_goes_by_the_name_that_its_owner_gave_it(slug: str) -> None:
    # Groq calls a model so that Azure has under another id; here it is the name of a deployment.
    name = "llama-3.3-70b-versatile"
    assert choose(name, key("azure")).upstream_model != name
    assert choose(name, key(slug), slug=slug).upstream_model == name
    assert choose(f"{slug}/{name}", key(slug)).upstream_model == name
    # A slash stands in no name of a deployment.
    assert choose("openai/gpt-4.1", key(slug), slug=slug).upstream_model == "gpt-4.1"
