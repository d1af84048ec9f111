"""The connections behind http.py: addresses are checked, paths go out as they are written."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from httpx_aiohttp import AiohttpTransport
from httpx_aiohttp.transport import AiohttpResponseStream, map_aiohttp_exceptions
from yarl import URL

from api.providers.hosts import public_address

KEEP_ALIVE_S: Final = 30.0
HEADER_BYTES_MAX: Final = 64 * 1024
DNS_CACHE_S: Final = 30
RESOLVE_S: Final = 10.0


def pool(*, named_hosts: frozenset[str], connections_max: int) -> httpx.AsyncBaseTransport:
    """A transport over one pool of connections; `named_hosts` may have private addresses."""
    context = httpx.create_ssl_context()

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=GuardedResolver(aiohttp.ThreadedResolver(), named_hosts),
                ssl=context,
                limit=connections_max,
                keepalive_timeout=KEEP_ALIVE_S,
                ttl_dns_cache=DNS_CACHE_S,
            ),
            # A provider's cookies must never reach another customer's request.
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_line_size=HEADER_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
        )

    return _Transport(verify=context, client=session)


class GuardedResolver(AbstractResolver):
    """Resolves names and refuses those that lead inside, except hosts that were named."""

    def __init__(self, inner: AbstractResolver, named_hosts: frozenset[str]) -> None:
        self._inner = inner
        self._named_hosts = named_hosts

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        async with asyncio.timeout(RESOLVE_S):
            found = await self._inner.resolve(host, port, family)
        if host.lower() not in self._named_hosts:
            # One bad address spoils the name: whoever answers so may answer anything.
            for result in found:
                if not public_address(result["host"]):
                    raise OSError("the name leads to an address that is not public")
        return found

    async def close(self) -> None:
        await self._inner.close()


class _Transport(AiohttpTransport):
    """Sends the path as it is written.

    A path given as text would be written anew (`%3A` as a colon), and a signature that covers it
    would not hold (tests/api/chat/test_signed_calls.py).
    """

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not isinstance(self.client, aiohttp.ClientSession):
            self.client = self.get_client()
        connect_s = request.extensions["timeout"]["connect"]
        with map_aiohttp_exceptions():
            response = await self.client.request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=request.headers,
                data=request.content or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(sock_connect=connect_s),
            )
        return httpx.Response(
            response.status,
            headers=response.raw_headers,
            stream=AiohttpResponseStream(response),
            request=request,
        )
