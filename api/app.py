"""The web application: one raw endpoint for calls, FastAPI routers for everything else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fastapi import APIRouter, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.routing import Route

from api.chat.routes import ChatCompletions
from api.errors import install_error_handlers
from api.limits import BodyLimit
from api.request_id import RequestIds

CHAT_PATHS = ("/api/v1/chat/completions", "/v1/chat/completions")


def create_app(
    *,
    chat: ChatCompletions,
    routers: Iterable[APIRouter],
    version: str,
    cors_origins: Sequence[str] = (),
) -> FastAPI:
    """Put the endpoints together. Whatever they need was given to them when they were made."""
    app = FastAPI(
        title="keytoll",
        version=version,
        summary="Bring your own provider keys; every call is billed exactly once.",
        docs_url=None,
        redoc_url=None,
    )
    # First, so that the calls do not pass by every other route.
    app.router.routes[:0] = [Route(path, endpoint=chat) for path in CHAT_PATHS]
    for router in routers:
        app.include_router(router)
    install_error_handlers(app)
    app.add_middleware(BodyLimit, except_paths=CHAT_PATHS)
    app.add_middleware(RequestIds)
    if cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(cors_origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["*"],
            expose_headers=["x-request-id"],
        )
    return app
