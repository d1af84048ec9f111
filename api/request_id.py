"""Every answer carries `x-request-id`; a chat completion's is the id of its request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from domain.ids import new_id, public_id

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADER: Final = b"x-request-id"
_KEY: Final = "keytoll.request_id"


def request_id_of(scope: Scope) -> str:
    """The id of the request that this scope belongs to; made when first asked for."""
    if _KEY not in scope:
        scope[_KEY] = public_id("req", new_id())
    return str(scope[_KEY])


class RequestIds:
    """Middleware: adds the header to answers that do not have it yet."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                if all(name.lower() != HEADER for name, _ in headers):
                    headers.append((HEADER, request_id_of(scope).encode()))
                message["headers"] = headers
            await send(message)

        await self._app(scope, receive, send_with_id)
