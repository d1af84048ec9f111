"""Where a call goes and what proves who pays for it, apart from what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from api.providers.port import ProviderKey
from domain.events.base import JsonObject


@dataclass(frozen=True, slots=True)
class Address:
    """The envelope of one upstream request."""

    url: str
    headers: dict[str, str] = field(repr=False)
    """Those that carry the key, so they never print."""
    model: str
    """What the body names as its model."""
    context: JsonObject = field(default_factory=dict)
    """See `UpstreamRequest.context`."""


Addressing = Callable[[ProviderKey, str, str], Address]
"""(key, base URL, model) → where the call goes. Raises UnsupportedParameter."""


def bearer_at(path: str) -> Addressing:
    """The path below the base URL, the key as a bearer token: what most providers expect."""

    def address(key: ProviderKey, base_url: str, model: str) -> Address:
        headers = {"authorization": f"Bearer {key['apiKey']}"}
        return Address(base_url.rstrip("/") + path, headers, model)

    return address
