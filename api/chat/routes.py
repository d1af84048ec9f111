"""The chat completions endpoint: a raw ASGI application, because every call passes through it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
import structlog

from api.auth import Access, Caller, RateLimiter
from api.chat import idempotency
from api.chat.exchange import Exchange, Gateway
from api.chat.reply import Receive, Reply, Send
from api.chat.request import ChatRequest, parse_request
from api.chat.routing import Router
from api.errors import ApiError, api_error, error_body
from api.last_used import LastUsed
from domain.directory import Directory
from domain.errors import DomainError
from domain.eventlog.port import Conflict
from domain.ids import ordered_id, public_id
from domain.labels.port import Labels, default_tags

Scope = Mapping[str, Any]
_log = structlog.get_logger("keytoll.calls")


class ChatCompletions:
    """`POST /api/v1/chat/completions` and `POST /v1/chat/completions`."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        access: Access,
        limiter: RateLimiter,
        directory: Directory,
        labels: Labels,
        router: Router,
        keyed_hash: Callable[[str], str],
        last_used: LastUsed,
        body_bytes_max: int,
    ) -> None:
        self._gateway = gateway
        self._access = access
        self._limiter = limiter
        self._directory = directory
        self._labels = labels
        self._router = router
        self._keyed_hash = keyed_hash
        self._last_used = last_used
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_uuid = ordered_id(self._gateway.clock.now())
        reply = Reply(send, request_id=public_id("req", request_uuid))
        try:
            await self._complete(scope, receive, reply, request_uuid)
        except DomainError as error:
            await self._refuse(reply, api_error(error))
        except Exception:
            _log.exception("request_broke", request_id=reply.request_id)
            await self._refuse(
                reply, ApiError(500, "internal_error", "keytoll failed to serve the request.")
            )

    async def _complete(
        self, scope: Scope, receive: Receive, reply: Reply, request_uuid: UUID
    ) -> None:
        if scope["method"] != "POST":
            raise ApiError(405, "method_not_allowed", "Use POST.", headers={"allow": "POST"})
        headers = headers_of(scope)
        caller = self._access.caller(headers)
        self._access.require(caller, "caller", "owner")
        self._limiter.check(caller)
        raw = await read_body(receive, headers, bytes_max=self._body_bytes_max)
        # A body may take for ever: what counts is what the key may do now.
        caller = self._access.caller(headers)
        account = self._directory.account(caller.account_id)
        assert account is not None  # noqa: S101 - the key was issued by it
        request = parse_request(raw, headers)
        if not request.tags and (tags := default_tags(self._labels, caller.account_id)):
            request = replace(request, tags=tags)
        route = self._router.choose(
            model=request.model,
            slug=request.provider,
            credential_id=request.credential_id,
            account=account,
            credentials=self._directory.credentials(caller.account_id),
            book=self._gateway.book(),
        )
        self._check_model(caller, request, route.upstream_model)
        self._check_load(caller)
        hashed_key = None
        if request.idempotency_key is not None:
            hashed_key = self._keyed_hash(request.idempotency_key)
            request_uuid = await asyncio.to_thread(
                idempotency.request_id,
                self._gateway.log,
                account_id=caller.account_id,
                hashed_key=hashed_key,
                now=self._gateway.clock.now(),
            )
            reply.request_id = public_id("req", request_uuid)
        self._last_used.mark(caller.key_id, route.credential.credential_id)
        exchange = Exchange(
            self._gateway,
            caller=caller,
            account=account,
            request=request,
            route=route,
            reply=reply,
        )
        try:
            await exchange.run(request_uuid, hashed_key, receive)
        except Conflict:  # the same Idempotency-Key at the same moment
            raise idempotency.taken(request_uuid, in_progress=True) from None

    def _check_model(self, caller: Caller, request: ChatRequest, upstream_model: str) -> None:
        if caller.models and not {request.model, upstream_model} & set(caller.models):
            raise ApiError(
                403, "model_not_allowed", "This API key is limited to other models.", param="model"
            )

    def _check_load(self, caller: Caller) -> None:
        in_flight = self._gateway.in_flight
        if in_flight.stopping:
            raise ApiError(503, "shutting_down", "keytoll is shutting down.")
        if in_flight.store_failing:
            raise ApiError(
                503, "store_unavailable", "Events cannot be stored; nothing was sent upstream."
            )

    async def _refuse(self, reply: Reply, error: ApiError) -> None:
        if reply.started:
            return
        self._gateway.metrics.call_refused(error.code)
        body = orjson.dumps(error_body(error, request_id=reply.request_id))
        await reply.json(body, status=error.status, headers=error.headers.items())


def headers_of(scope: Scope) -> dict[str, str]:
    """Header names in lower case; of repeated ones the last."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


async def read_body(receive: Receive, headers: Mapping[str, str], *, bytes_max: int) -> bytes:
    """The whole body. Raises ApiError 413 when it is longer than allowed."""
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > bytes_max:
        raise _too_large(bytes_max)
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
        return body
    whole = bytearray(body)
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ApiError(400, "invalid_json", "The body was cut off.")
        whole += message.get("body", b"")
        if len(whole) > bytes_max:
            raise _too_large(bytes_max)
    return bytes(whole)


def _too_large(bytes_max: int) -> ApiError:
    return ApiError(413, "request_too_large", f"The body may have at most {bytes_max} bytes.")
