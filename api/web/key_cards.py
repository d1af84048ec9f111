"""What the page of keys shows: a card per provider, and the keys in the order of trying."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from api.chat.routing import in_account_order
from api.errors import api_error
from api.providers.catalogue import Provider
from api.routes.schemas import ProviderKey, Routing
from api.web.operations import Operations
from domain.account import AccountNotFound
from domain.directory import AccountView
from domain.errors import DomainError
from domain.money import Money
from projections.queries.filters import Filters
from projections.queries.usage import UsageQuestion, usage_report

TONES: Final = 8
Counting = Literal["done", "later", "away"]
"""What the keys were used for is known; is asked for after the page; cannot be told now."""

STATES: Final[Mapping[str, tuple[str, str]]] = {
    "unconfigured": ("", "No key of this provider is stored."),
    "unverified": ("", "Stored. Nobody has asked the provider about it yet; calls use it."),
    "verified": ("good", "The provider accepts this key."),
    "rejected": (
        "bad",
        "The provider refused this key. Only calls that name it use it: rotate or mend it.",
    ),
    "indeterminate": ("warn", "The provider's answer proves nothing either way; calls use it."),
    "disabled": ("", "Kept, but no call uses it until you enable it."),
}
"""State → (tone, what it means)."""

REASONS: Final[Mapping[str, str]] = {
    "no_free_check": "This provider has no check that costs nothing.",
    "unreachable": "The provider could not be reached.",
    "timed_out": "The provider took too long to answer.",
    "check_proves_nothing": "The provider says the same to a key that was made up.",
    "credential_invalid": "The provider does not know the key.",
    "credential_out_of_money": "The provider says that the account has no credit left.",
    "forbidden_not_auth": "The key may not do what the check asks; calls may work all the same.",
    "rate_limited": "The provider takes no more requests at the moment.",
    "overloaded": "The provider is overloaded.",
    "bad_request": "The provider did not understand the check.",
    "not_found": "The provider has no such endpoint.",
    "provider_error": "The provider failed.",
    "invalid_response": "The provider's answer could not be read.",
}
"""Why a check proved nothing, in words."""


@dataclass(frozen=True, slots=True)
class MonthOfUse:
    """What a key did this month (UTC), as far as the tables have come."""

    calls: int
    fee_usd: Money
    waiting: int
    """Calls without a price; their fee is not in the sum."""
    last_day: str


@dataclass(frozen=True, slots=True)
class KeyLine:
    """One stored key."""

    key: ProviderKey
    provider: Provider | None
    """None: this installation does not offer it any more."""
    place: int
    """In the order of trying: 1 is first."""
    use: MonthOfUse | None
    up: int | None
    """The position that moves it before its neighbour; None: it is the first of its kind."""
    down: int | None

    @property
    def tone(self) -> str:
        """Of its state."""
        return STATES[self.key.status][0]

    @property
    def meaning(self) -> str:
        """Of its state, in a sentence."""
        return STATES[self.key.status][1]

    @property
    def reason(self) -> str | None:
        """Why the last check proved nothing."""
        if self.key.status != "indeterminate":
            return None
        return REASONS.get(self.key.status_reason or "")


@dataclass(frozen=True, slots=True)
class Card:
    """One provider."""

    provider: Provider
    tone: int
    lines: Sequence[KeyLine]

    @property
    def monogram(self) -> str:
        """Two letters in place of a trademark."""
        return monogram(self.provider.name)

    @property
    def states(self) -> str:
        """For the filter: the states of its keys."""
        return " ".join(dict.fromkeys(line.key.status for line in self.lines)) or "unconfigured"

    @property
    def usable(self) -> bool:
        """Calls that name no key can be served by one of them."""
        return any(line.key.status not in {"disabled", "rejected"} for line in self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Which forms of a card are open, and what was wrong with one of them."""

    slug: str
    credential_id: str | None = None
    """None: the form that adds a key."""
    form: str = ""
    """The one that was refused."""
    param: str = ""
    problem: str = ""
    typed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Overview:
    """All that the page shows of one account."""

    account: AccountView
    routing: Routing
    cards: Sequence[Card]
    """Those with keys first, in the order of trying; then the catalogue's."""
    lines: Sequence[KeyLine]
    """All keys in the order of trying."""
    counting: Counting

    def card(self, slug: str) -> Card | None:
        """The card of a provider."""
        return next((card for card in self.cards if card.provider.slug == slug), None)


def overview(operations: Operations, account_id: str, *, later: bool = False) -> Overview:
    """Look everything up. Blocks: the counts come from the projections, unless asked for later."""
    use = None if later else month_of_use(operations, account_id)
    account = _account(operations, account_id)
    lines = _lines(operations, account, use or {})
    return Overview(
        account=account,
        routing=operations.routing.shown(account_id),
        cards=_cards(operations.provider_keys.providers, lines),
        lines=lines,
        counting="later" if later else "away" if use is None else "done",
    )


def cards_of(operations: Operations, account_id: str) -> list[Card]:
    """The cards without what their keys were used for."""
    lines = _lines(operations, _account(operations, account_id), {})
    return _cards(operations.provider_keys.providers, lines)


def month_of_use(operations: Operations, account_id: str) -> dict[str, MonthOfUse] | None:
    """Credential id → its calls and fee of this month; None while nobody can tell."""
    usage = operations.usage
    start, end = usage.period(None, None)
    question = UsageQuestion(
        start=start,
        end=end,
        group_by=("credential", "day"),
        filters=Filters(account=account_id),
    )
    try:
        projected = usage.projected()
        report = usage_report(projected.store, question, as_of=projected.reached())
    except DomainError as error:
        if api_error(error).code != "projection_unavailable":
            raise
        return None
    found: dict[str, list[Mapping[str, object]]] = {}
    for row in report["rows"]:
        found.setdefault(row["credential"], []).append(row)
    return {credential_id: _summed(rows) for credential_id, rows in found.items()}


def monogram(name: str) -> str:
    """Two capitals of a name of one word; of a longer one, the first and the last word's."""
    first, *rest = name.split()
    if rest:
        return first[0] + rest[-1][0]
    capitals = "".join(re.findall("[A-Z]", first))[:2]
    return capitals if len(capitals) > 1 else first[:2]


def _summed(rows: Iterable[Mapping[str, object]]) -> MonthOfUse:
    rows = list(rows)
    return MonthOfUse(
        calls=sum(int(str(row["requests"])) for row in rows),
        fee_usd=Money.total(
            Money.parse(str(row["fee_usd"])) for row in rows if row["fee_usd"] is not None
        ),
        waiting=sum(int(str(row["unrated_requests"])) for row in rows),
        last_day=max(str(row["day"]) for row in rows),
    )


def _account(operations: Operations, account_id: str) -> AccountView:
    account = operations.provider_keys.directory.account(account_id)
    if account is None:
        raise AccountNotFound("There is no such account.")
    return account


def _lines(
    operations: Operations, account: AccountView, use: Mapping[str, MonthOfUse]
) -> list[KeyLine]:
    keys = operations.provider_keys
    held = keys.directory.credentials(account.account_id)
    position = {each.credential_id: place for place, each in enumerate(held, start=1)}
    rank = {slug: place for place, slug in enumerate(account.routing.providers)}
    ordered = in_account_order(held, account)

    def beside(index: int, step: int) -> int | None:
        """The neighbour's position, if changing places with it would change anything."""
        if not 0 <= index + step < len(ordered):
            return None
        one, other = ordered[index], ordered[index + step]
        same = rank.get(one.provider) == rank.get(other.provider)
        return position[other.credential_id] if same else None

    return [
        KeyLine(
            key=keys.shown(each.credential_id),
            provider=keys.providers.get(each.provider),
            place=index + 1,
            use=use.get(each.credential_id),
            up=beside(index, -1),
            down=beside(index, 1),
        )
        for index, each in enumerate(ordered)
    ]


def _cards(providers: Mapping[str, Provider], lines: Sequence[KeyLine]) -> list[Card]:
    tones = {slug: index % TONES for index, slug in enumerate(providers)}
    held = dict.fromkeys(line.key.provider for line in lines)
    order = [slug for slug in held if slug in providers]
    order += [slug for slug in providers if slug not in held]
    return [
        Card(
            providers[slug],
            tones[slug],
            [line for line in lines if line.key.provider == slug],
        )
        for slug in order
    ]
