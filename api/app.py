"""The web application: one raw endpoint for calls, FastAPI routers for everything else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from api.chat.described import OPERATION
from api.chat.routes import ChatCompletions
from api.errors import Answer, error_response, install_error_handlers
from api.limits import BodyLimit
from api.request_id import RequestIds

CHAT_PATHS = ("/api/v1/chat/completions", "/v1/chat/completions")


class Application(FastAPI):
    """FastAPI, but calls go straight to their endpoint, and /openapi.json describes them too."""

    chat: ChatCompletions | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Calls pass by no middleware: each layer would cost them more than their routing."""
        if self.chat is not None and scope["type"] == "http" and scope["path"] in CHAT_PATHS:
            await self.chat(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """The description, with the raw endpoint in it."""
        described = super().openapi()
        described["paths"].setdefault(CHAT_PATHS[0], {"post": OPERATION})
        return described


def create_app(
    *,
    chat: ChatCompletions,
    routers: Iterable[APIRouter],
    always: Iterable[APIRouter] = (),
    fresh: Callable[[], Awaitable[None]] | None = None,
    version: str,
    cors_origins: Sequence[str] = (),
    answer_error: Answer = error_response,
) -> Application:
    """Put the endpoints together. Whatever they need was given to them when they were made.

    `fresh` (that of `api/auth.py`) is awaited before every route but those of `always`, which
    answer whatever is known of the log.
    """
    app = Application(
        title="keytoll",
        version=version,
        summary="Bring your own provider keys; every call is billed exactly once.",
        docs_url=None,
        redoc_url=None,
        # A path with a slash too many is not found; a redirect would name a host of the caller's.
        redirect_slashes=False,
    )
    app.router.routes[:0] = [Route(path, endpoint=chat) for path in CHAT_PATHS]
    for router in always:
        app.include_router(router)
    for router in routers:
        app.include_router(router, dependencies=[Depends(fresh)] if fresh else [])
    install_error_handlers(app, answer_error)
    app.add_middleware(BodyLimit, except_paths=CHAT_PATHS)
    app.add_middleware(RequestIds)
    if not cors_origins:
        app.chat = chat
    else:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(cors_origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["*"],
            expose_headers=["x-request-id"],
        )
    return app
