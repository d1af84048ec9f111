"""How large a body may be where the framework reads it as a whole."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from starlette.exceptions import HTTPException

from api.request_id import Application, Message, Receive, Scope, Send

BODY_BYTES_MAX: Final = 1 << 20


class BodyLimit:
    """Middleware: 413 for a longer body. `except_paths` check theirs themselves."""

    def __init__(
        self,
        app: Application,
        *,
        bytes_max: int = BODY_BYTES_MAX,
        except_paths: Collection[str] = (),
    ) -> None:
        self._app = app
        self._bytes_max = bytes_max
        self._except_paths = frozenset(except_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._except_paths:
            await self._app(scope, receive, send)
            return
        read = 0

        async def receive_limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._bytes_max:
                raise HTTPException(413)
            return message

        await self._app(scope, receive_limited, send)
