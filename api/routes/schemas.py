"""Bodies and answers of the management routes, as /openapi.json describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    ValidationError,
    WithJsonSchema,
)

from api.errors import validation_error
from domain.credential import MODELS_MAX
from domain.labels.port import LABEL_CHARS_MAX

Id = Annotated[str, Field(max_length=60)]
Model = Annotated[str, Field(min_length=1, max_length=200)]
Models = Annotated[list[Model], Field(min_length=1, max_length=MODELS_MAX)]
Label = Annotated[str, Field(max_length=LABEL_CHARS_MAX)]
KeyStatus = Literal["unverified", "verified", "rejected", "indeterminate", "disabled"]
GivenKey = Annotated[
    object,
    WithJsonSchema(
        {
            "title": "Key",
            "description": "The provider's key: plain text, an object, or text holding one.",
            "anyOf": [{"type": "string"}, {"type": "object"}],
            "writeOnly": True,
        }
    ),
    Field(repr=False),
]
"""Whatever was sent: `api/providers/keys.py` says what is wrong with it, and where."""


class Body(BaseModel):
    """A request's body: no field that we do not know, no guessing of types."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


AnyBody = TypeVar("AnyBody", bound=Body)


def built(kind: type[AnyBody], fields: Mapping[str, Any]) -> AnyBody:
    """The body that a route would have been sent. Raises ApiError as the route does."""
    try:
        return kind.model_validate(dict(fields))
    except ValidationError as error:
        found = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        raise validation_error(found) from None


class Answer(BaseModel):
    """An answer's body."""

    model_config = ConfigDict(frozen=True)


class ErrorDetail(Answer):
    message: str
    type: str
    code: str
    param: str | None
    request_id: str
    provider: str | None = None
    details: dict[str, Any] | None = None


class ErrorAnswer(Answer):
    """Every answer that is not a success."""

    error: ErrorDetail


ERRORS: Final[dict[int | str, dict[str, Any]]] = {"default": {"model": ErrorAnswer}}
"""For `responses=`: what a route answers when it does not succeed."""


class Done(Answer):
    success: Literal[True] = True


# Provider credentials


class NewProviderKey(Body):
    provider: Annotated[str, Field(max_length=60)]
    key: GivenKey
    label: Label | None = None
    models: Models | None = None
    validate_now: Annotated[bool, Field(alias="validate")] = False


class ProviderKeyChange(Body):
    """Fields that are absent stay as they are; null takes a label or a restriction away."""

    label: Label | None = None
    position: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    disabled: bool | None = None
    models: Models | None = None
    key: GivenKey = None


class ProviderKeyProbe(Body):
    provider: Annotated[str, Field(max_length=60)] | None = None
    key: GivenKey = None
    id: Id | None = None
    model: Model | None = None


class ProviderKey(Answer):
    id: str
    provider: str
    key_suffix: str
    label: str | None
    status: KeyStatus
    status_reason: str | None
    position: int
    models: list[str] | None
    disabled: bool
    created_at: str
    last_used_at: str | None


class StoredProviderKey(ProviderKey):
    success: Literal[True] = True
    warning: str | None = None
    """The key was accepted but looks unusual for its provider."""


class ProviderKeyList(Answer):
    keys: list[ProviderKey]


class ProbeAnswer(Answer):
    valid: bool | None
    status: Literal["verified", "rejected", "indeterminate"]
    error: str | None = None


# API keys of ours


class NewApiKey(Body):
    role: Literal["caller", "owner", "finance", "auditor", "operator"] = "caller"
    name: Label | None = None
    receipt: bool = True
    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    models: Models | None = None
    expires_at: Annotated[str, Field(max_length=40)] | None = None
    account: Id | None = None
    """For operators: another account than their own."""


class ApiKey(Answer):
    id: str
    account_id: str
    role: str
    name: str | None
    receipt: bool
    requests_per_minute: int | None
    models: list[str] | None
    expires_at: str | None
    created_at: str
    last_used_at: str | None


class IssuedApiKey(ApiKey):
    success: Literal[True] = True
    secret: str
    """Shown this once."""


class ApiKeyList(Answer):
    keys: list[ApiKey]


# Routing and budgets


class RoutingPreference(Body):
    providers: Annotated[list[Annotated[str, Field(max_length=60)]], Field(max_length=100)] = []
    """Slugs in the order to try; those not named follow in the order of the keys."""
    fallbacks: bool = False
    """Another key may be tried before the first byte, where a request allows it too."""
    on_disconnect: Literal["cancel", "drain"] | None = None
    """What happens to a running call when the client goes away; null: as suits the provider."""


class Routing(Answer):
    providers: list[str]
    fallbacks: bool
    on_disconnect: Literal["cancel", "drain"] | None


class Budgets(Body):
    budgets: Annotated[list[dict[str, Any]], Field(max_length=100)]


# Accounts


class NewAccount(Body):
    name: Label | None = None
    default_tags: dict[str, str] = {}


class TaxChange(Body):
    rate: Annotated[str, Field(max_length=40)]
    """Decimal text: "0.19" is nineteen per cent."""
    note: Annotated[str, Field(max_length=200)] = ""
    """Printed on invoices and recorded for ever: no personal data."""


class AccountChange(Body):
    """Fields that are absent stay as they are."""

    name: Label | None = None
    tax: TaxChange | None = None
    suspended: bool | None = None
    default_tags: dict[str, str] | None = None


class MarkupChange(Body):
    rate: Annotated[str, Field(max_length=40)]
    """Decimal text: "0.05" is five per cent."""
    effective_from: Annotated[str | None, Field(alias="from", max_length=40)] = None
    """RFC 3339; now if it is absent."""


class MarkupAgreement(Answer):
    rate: str
    effective_from: Annotated[str, Field(serialization_alias="from")]


class Tax(Answer):
    rate: str
    note: str


class Account(Answer):
    id: str
    name: str | None
    suspended: bool
    currency: str
    markup_rate: str
    """The rate that holds now."""
    markups: list[MarkupAgreement]
    tax: Tax
    default_tags: dict[str, str]
    created_at: str
    version: int


class OpenedAccount(Account):
    api_keys: dict[str, str]
    """Role → secret of the account's first API key, shown this once."""


class AccountList(Answer):
    accounts: list[Account]
    next: str | None
    """Pass it as `after` to read on; null at the end."""


# Models


class Offer(Answer):
    """What one provider calls a model, and its standard price."""

    slug: str
    model: str
    pricing: dict[str, str] | None
    """USD per million tokens as decimal text; null: not known."""
    free: bool
    reference: str | None
    """The price row."""


class ListedModel(Answer):
    """An entry of OpenAI's list."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    providers: list[Offer]


class Considered(Answer):
    credential_id: str
    provider: str
    key_suffix: str
    serves: bool
    reason: str


class ModelList(Answer):
    """The list."""

    object: Literal["list"]
    data: list[ListedModel]


class Explanation(Answer):
    """Which key would serve a model, and why the others would not."""

    model: str
    provider: str | None
    credential_id: str | None
    upstream_model: str | None
    rule: Literal["prefix", "exact", "canonical"] | None
    considered: list[Considered]
    fallbacks: list[str]
    """Keys that would be tried after it, in this order, where caller and account allow it."""
    providers_that_would_serve: list[str]


class ModelsOrExplanation(RootModel[ModelList | Explanation]):
    """The second with `explain`."""
