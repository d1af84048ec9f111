"""Asking a provider whether a key is good, without spending anything (PROVIDERS.md 1.8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from api.providers.catalogue import Provider
from api.providers.http import TransportError, Upstream
from api.providers.port import ProviderKey
from domain.credential import Outcome

BODY_BYTES_MAX: Final = 64 * 1024


class KeyProbe:
    """Sends the row's validation request."""

    def __init__(self, upstream: Upstream, base_urls: Mapping[str, str]) -> None:
        self._upstream = upstream
        self._base_urls = base_urls

    async def check(
        self, provider: Provider, fields: ProviderKey, model: str | None
    ) -> tuple[Outcome, str]:
        """(outcome, reason). Only the provider's own no is `rejected`."""
        if provider.validation is None or provider.dialect is None:
            return "indeterminate", "no_free_check"
        request = provider.validation(fields, self._base_urls[provider.slug])
        try:
            answer = await self._upstream.send(request, provider)
            try:
                body = await answer.read(BODY_BYTES_MAX)
            finally:
                await answer.aclose()
        except TransportError:
            return "indeterminate", "unreachable"
        if answer.status == 200:
            return "verified", "accepted_by_provider"
        failure = provider.dialect.failure(answer.status, answer.headers, body)
        if failure.kind == "credential_invalid":
            return "rejected", "refused_by_provider"
        return "indeterminate", failure.kind
