"""Asks a provider whether a key is good. What the answers mean: validation.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from api.providers.catalogue import Provider
from api.providers.http import TimedOut, TransportError, Upstream
from api.providers.port import Dialect, ProviderKey, Timeouts
from api.providers.validation import Check, made_up, verdict
from domain.clock import Clock
from domain.credential import Outcome

BODY_BYTES_MAX: Final = 64 * 1024
TIMEOUTS: Final = Timeouts(connect_s=5.0, first_byte_s=10.0, idle_s=5.0, total_s=15.0)
"""Somebody waits for the verdict; a slow provider is `indeterminate`, not a bad key."""


@dataclass(frozen=True, slots=True)
class _Target:
    hosts: Sequence[str]
    timeouts: Timeouts = TIMEOUTS


class KeyProbe:
    """Sends the check of a provider's row, and a control where the check alone proves nothing."""

    def __init__(self, upstream: Upstream, base_urls: Mapping[str, str], clock: Clock) -> None:
        self._upstream = upstream
        self._clock = clock
        self._base_urls = base_urls
        self._discerning: set[str] = set()
        """Slugs of providers that were seen to refuse a made-up key."""

    async def check(
        self, provider: Provider, fields: ProviderKey, model: str | None
    ) -> tuple[Outcome, str]:
        """(outcome, reason as a short code). Never raises for what a provider does."""
        if provider.validation is None or provider.dialect is None:
            return "indeterminate", "no_free_check"
        base_url, now = self._base_urls[provider.slug], self._clock.now()
        check = provider.validation(fields, base_url, model, now)
        outcome, reason = await self._ask(check, provider, provider.dialect)
        if not (check.control and outcome == "verified") or provider.slug in self._discerning:
            return outcome, reason
        prefix = next(iter(provider.key.prefixes), "")
        control = provider.validation(made_up(fields, prefix), base_url, model, now)
        if (await self._ask(control, provider, provider.dialect))[0] != "rejected":
            return "indeterminate", "check_proves_nothing"
        self._discerning.add(provider.slug)
        return outcome, reason

    async def _ask(self, check: Check, provider: Provider, dialect: Dialect) -> tuple[Outcome, str]:
        try:
            answer = await self._upstream.send(check.request, _Target(provider.hosts))
            try:
                body = await answer.read(BODY_BYTES_MAX)
            finally:
                await answer.aclose()
        except TimedOut:
            return "indeterminate", "timed_out"
        except TransportError:
            return "indeterminate", "unreachable"
        return verdict(check, dialect, answer.status, answer.headers, body)
