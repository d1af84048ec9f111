"""An account: who calls, who may do what, and what was agreed about the fee."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ClassVar, Final, Literal, get_args

from eventsourcing.domain import Aggregate, event

from domain.clock import instant_text, parse_instant
from domain.credential import checked_models
from domain.errors import BadValue, DomainError
from domain.events.base import Unstamped
from domain.money import RATE_PLACES, decimal_of, text_of

Role = Literal["caller", "owner", "finance", "auditor", "operator"]
OnDisconnect = Literal["cancel", "drain"]

ROLES: Final = frozenset(get_args(Role))
ACCOUNT_ROLES: Final = frozenset({"caller", "owner"})
INSTALLATION_ROLES: Final = ROLES - ACCOUNT_ROLES
MARKUP_DEFAULT: Final = "0.05"
"""The rate of an account with which nothing was agreed."""
CURRENCY: Final = "USD"
REQUESTS_PER_MINUTE_MAX: Final = 1_000_000
PROVIDERS_MAX: Final = 100
BACKDATING_MAX: Final = timedelta(minutes=5)
"""How far a markup may start before it is recorded: the clocks of two machines, no more."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SLUG: Final = re.compile(r"[a-z0-9-]{1,60}")
_KEY_ID: Final = re.compile(r"key_[0-9a-f]{32}")


class AccountNotFound(DomainError):
    """There is no such account."""


class ApiKeyNotFound(DomainError):
    """The account has no such API key, or it was revoked."""


class LimitReached(DomainError):
    """The account holds as many of these as it may."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of ours, without its secret."""

    key_id: str
    role: str
    secret_sha256: str
    requests_per_minute: int | None
    models: tuple[str, ...] | None
    receipt: bool
    expires_at: str | None
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Markup:
    """An agreed rate and the instant from which it holds."""

    rate: str
    effective_from: str


@dataclass(frozen=True, slots=True)
class Routing:
    """How the account wants its calls to be routed."""

    providers: tuple[str, ...] = ()
    """Slugs in the order to try; those not named follow in the order of the credentials."""
    fallbacks: bool = False
    """Another credential may be tried before the first byte, if the request allows it too."""
    on_disconnect: OnDisconnect | None = None
    """`cancel`, `drain`, or what suits the provider."""


def markup_at(markups: Sequence[Markup], instant: datetime) -> Markup | None:
    """What holds at an instant: of those that have begun, the one that begins last.

    Of two that begin together, the later agreement holds. None: nothing was agreed for then.
    """
    text, best = instant_text(instant), None
    for markup in markups:
        if markup.effective_from <= text and (
            best is None or markup.effective_from >= best.effective_from
        ):
            best = markup
    return best


def markup_rate_at(markups: Sequence[Markup], instant: datetime) -> str:
    """The rate that holds at an instant."""
    best = markup_at(markups, instant)
    return best.rate if best else MARKUP_DEFAULT


class Account(Aggregate):
    """One customer. Names and tags are labels, kept elsewhere, because they may change or go."""

    TOPIC = "account"

    class Event(Unstamped, Aggregate.Event):
        TOPIC: ClassVar[str] = "account.event"

    class AccountOpened(Event, Aggregate.Created):
        """An account exists."""

        TOPIC = "account.opened"
        currency: str

    class AccountSuspended(Event):
        """Its calls are refused from now on."""

        TOPIC = "account.suspended"

    class AccountResumed(Event):
        """Its calls are served again."""

        TOPIC = "account.resumed"

    class ApiKeyIssued(Event):
        """A key of ours for this account or installation; only its hash is kept."""

        TOPIC = "account.api-key-issued"
        key_id: str
        role: str
        secret_sha256: str
        requests_per_minute: int | None
        models: list[str] | None
        receipt: bool = True
        expires_at: str | None = None

    class ApiKeyRevoked(Event):
        """That key opens nothing any more."""

        TOPIC = "account.api-key-revoked"
        key_id: str

    class MarkupAgreed(Event):
        """From the given instant on, the fee is this share of the at-cost price."""

        TOPIC = "account.markup-agreed"
        rate: str
        effective_from: str

    class TaxSet(Event):
        """What is added to invoices from now on."""

        TOPIC = "account.tax-set"
        rate: str
        note: str

    class RoutingPreferred(Event):
        """The account's order of providers, its consent to fallbacks, what a disconnect does."""

        TOPIC = "account.routing-preferred"
        providers: list[str]
        fallbacks: bool
        on_disconnect: str | None

    class RemainderCarried(Event):
        """What an invoice rounded away goes into the next one."""

        TOPIC = "account.remainder-carried"
        invoice_id: str
        sandbox: bool
        amount: str

    @event(AccountOpened)
    def __init__(self, currency: str) -> None:
        self.currency = currency
        self.suspended = False
        self.api_keys: dict[str, ApiKey] = {}
        self.markups: list[Markup] = []
        self.routing = Routing()
        self.tax_rate = "0"
        self.tax_note = ""
        self.remainders: dict[bool, str] = {}
        self.carried: set[str] = set()

    def suspend(self) -> None:
        """Refuse the account's calls from now on."""
        if not self.suspended:
            self._apply_suspended()

    @event(AccountSuspended)
    def _apply_suspended(self) -> None:
        self.suspended = True

    def resume(self) -> None:
        """Undo `suspend`."""
        if self.suspended:
            self._apply_resumed()

    @event(AccountResumed)
    def _apply_resumed(self) -> None:
        self.suspended = False

    def issue_api_key(
        self,
        *,
        key_id: str,
        role: Role,
        secret_sha256: str,
        requests_per_minute: int | None = None,
        models: Sequence[str] | None = None,
        receipt: bool = True,
        expires_at: datetime | None = None,
    ) -> None:
        """Admit the holder of a secret whose SHA-256 is given."""
        if role not in ROLES:
            raise BadValue(f"role must be one of {', '.join(sorted(ROLES))}", param="role")
        if requests_per_minute is not None and not (
            1 <= requests_per_minute <= REQUESTS_PER_MINUTE_MAX
        ):
            raise BadValue(
                f"requests_per_minute must be 1 to {REQUESTS_PER_MINUTE_MAX}, or null",
                param="requests_per_minute",
            )
        if not _SHA256.fullmatch(secret_sha256) or not _KEY_ID.fullmatch(key_id):
            raise BadValue("an API key is known by its id and the SHA-256 of its secret")
        self._apply_api_key_issued(
            key_id=key_id,
            role=role,
            secret_sha256=secret_sha256,
            requests_per_minute=requests_per_minute,
            models=checked_models(models),
            receipt=receipt,
            expires_at=None if expires_at is None else instant_text(expires_at),
        )

    @event(ApiKeyIssued)
    def _apply_api_key_issued(
        self,
        *,
        key_id: str,
        role: str,
        secret_sha256: str,
        requests_per_minute: int | None,
        models: list[str] | None,
        receipt: bool,
        expires_at: str | None,
    ) -> None:
        self.api_keys[key_id] = ApiKey(
            key_id=key_id,
            role=role,
            secret_sha256=secret_sha256,
            requests_per_minute=requests_per_minute,
            models=None if models is None else tuple(models),
            receipt=receipt,
            expires_at=expires_at,
        )

    def revoke_api_key(self, key_id: str) -> None:
        """Turn the holder away from now on."""
        key = self.api_keys.get(key_id)
        if key is None or key.revoked:
            raise ApiKeyNotFound("the account has no such API key")
        self._apply_api_key_revoked(key_id=key_id)

    @event(ApiKeyRevoked)
    def _apply_api_key_revoked(self, key_id: str) -> None:
        self.api_keys[key_id] = replace(self.api_keys[key_id], revoked=True)

    def agree_markup(self, *, rate: str, effective_from: datetime, now: datetime) -> None:
        """A rate holds from an instant on.

        Calls carry the rate that held when they were routed, so no agreement moves a past call.
        The first agreement may say that it began long ago; later ones may not begin in the past,
        because the dates of the agreements would then contradict what was charged.
        """
        value = decimal_of(rate, places=RATE_PLACES, what="rate")
        if not 0 <= value <= 1:
            raise BadValue("rate must be 0 to 1: 0.05 is five per cent", param="rate")
        if self.markups and effective_from < now - BACKDATING_MAX:
            raise BadValue("a changed rate cannot begin in the past", param="from")
        self._apply_markup_agreed(rate=text_of(value), effective_from=instant_text(effective_from))

    @event(MarkupAgreed)
    def _apply_markup_agreed(self, rate: str, effective_from: str) -> None:
        self.markups.append(Markup(rate=rate, effective_from=effective_from))

    def markup_rate_at(self, instant: datetime) -> str:
        """The rate that holds for a call routed at this instant."""
        return markup_rate_at(self.markups, instant)

    def set_tax(self, *, rate: str, note: str) -> None:
        """Invoices from now on carry this tax; the note is printed beside it."""
        value = decimal_of(rate, places=RATE_PLACES, what="tax.rate")
        if not 0 <= value <= 1:
            raise BadValue("rate must be 0 to 1: 0.19 is nineteen per cent", param="tax.rate")
        if len(note) > 200 or not note.isprintable():
            raise BadValue("note must be one line of at most 200 characters", param="tax.note")
        if (text_of(value), note) != (self.tax_rate, self.tax_note):
            self._apply_tax_set(rate=text_of(value), note=note)

    @event(TaxSet)
    def _apply_tax_set(self, rate: str, note: str) -> None:
        self.tax_rate = rate
        self.tax_note = note

    def prefer_routing(self, routing: Routing) -> None:
        """Replace the routing preferences as a whole."""
        providers = list(routing.providers)
        if len(providers) > PROVIDERS_MAX or len(set(providers)) != len(providers):
            raise BadValue("providers must name each slug once", param="providers")
        for index, slug in enumerate(providers):
            if not _SLUG.fullmatch(slug):
                raise BadValue("a provider is named by its slug", param=f"providers.{index}")
        if routing.on_disconnect not in {None, "cancel", "drain"}:
            raise BadValue("on_disconnect must be cancel, drain or null", param="on_disconnect")
        if routing != self.routing:
            self._apply_routing_preferred(
                providers=providers,
                fallbacks=routing.fallbacks,
                on_disconnect=routing.on_disconnect,
            )

    @event(RoutingPreferred)
    def _apply_routing_preferred(
        self, providers: list[str], fallbacks: bool, on_disconnect: OnDisconnect | None
    ) -> None:
        self.routing = Routing(tuple(providers), fallbacks, on_disconnect)

    def carry_remainder(self, *, invoice_id: str, sandbox: bool, amount: str) -> None:
        """What rounding left over from an invoice, to be added to the next one of its kind."""
        value = decimal_of(amount, places=24, what="amount")
        self._apply_remainder_carried(invoice_id=invoice_id, sandbox=sandbox, amount=text_of(value))

    @event(RemainderCarried)
    def _apply_remainder_carried(self, invoice_id: str, sandbox: bool, amount: str) -> None:
        self.remainders[sandbox] = amount
        self.carried.add(invoice_id)

    def has_carried(self, invoice_id: str) -> bool:
        """The remainder of this invoice is part of `remainder`."""
        return invoice_id in self.carried

    def remainder(self, *, sandbox: bool) -> str:
        """What the last invoice of this kind carried over; "0" before the first."""
        return self.remainders.get(sandbox, "0")


def parse_expiry(text: str | None, *, now: datetime) -> datetime | None:
    """The instant at which an API key ends. Raises BadValue when it is not to come."""
    if text is None:
        return None
    instant = parse_instant(text, param="expires_at")
    if instant <= now:
        raise BadValue("expires_at must be in the future", param="expires_at")
    return instant
