"""The chat completions endpoint: a raw ASGI application, because every call passes through it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import structlog

from api.auth import Access, Caller, RateLimiter
from api.chat import idempotency
from api.chat.attempt import Order
from api.chat.exchange import Exchange
from api.chat.gateway import Gateway
from api.chat.idempotency import RequestIds
from api.chat.reply import Receive, Reply, Send
from api.chat.request import ChatRequest, parse_request
from api.chat.routing import Route, Router
from api.errors import ApiError, api_error
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
        body_bytes_max: int,
    ) -> None:
        self._gateway = gateway
        self._access = access
        self._limiter = limiter
        self._directory = directory
        self._labels = labels
        self._router = router
        self._keyed_hash = keyed_hash
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fresh = ordered_id(self._gateway.clock.now())
        reply = Reply(send, request_id=public_id("req", fresh))
        try:
            order, route = await self._accepted(scope, receive)
            await self._serve(order, route, fresh, receive, reply)
        except DomainError as error:
            await self._refuse(reply, api_error(error))
        except Exception:
            _log.exception("request_broke", request_id=reply.request_id)
            await self._refuse(
                reply, ApiError(500, "internal_error", "keytoll failed to serve the request.")
            )

    async def _accepted(self, scope: Scope, receive: Receive) -> tuple[Order, Route]:
        """What is to be served and how. Raises ApiError for what is refused."""
        if scope["method"] != "POST":
            raise ApiError(405, "method_not_allowed", "Use POST.", headers={"allow": "POST"})
        headers = headers_of(scope)
        await self._access.fresh()
        caller = self._access.caller(headers)
        self._access.require(caller, "caller", "owner")
        self._limiter.check(caller)
        raw = await read_body(receive, headers, bytes_max=self._body_bytes_max)
        # A body may take for ever: what counts is what the key may do now.
        await self._access.fresh()
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
        if not _model_allowed(caller, request, route):
            raise ApiError(
                403, "model_not_allowed", "This API key is limited to other models.", param="model"
            )
        self._check_load()
        key = request.idempotency_key
        order = Order(
            caller=caller,
            account=account,
            request=request,
            idempotency=None if key is None else self._keyed_hash(key),
        )
        return order, route

    async def _serve(
        self, order: Order, route: Route, fresh: UUID, receive: Receive, reply: Reply
    ) -> None:
        ids = RequestIds(
            self._gateway.log,
            self._gateway.clock,
            account_id=order.caller.account_id,
            hashed_key=order.idempotency,
        )
        request_uuid = await ids.first(fresh)
        reply.request_id = public_id("req", request_uuid)
        exchange = Exchange(
            self._gateway,
            order=order,
            route=route,
            another=lambda tried: self._another(order, tried),
            ids=ids,
            reply=reply,
        )
        try:
            await exchange.run(request_uuid, receive)
        except Conflict:  # the same Idempotency-Key at the same moment
            raise idempotency.taken(request_uuid, in_progress=True) from None

    def _another(self, order: Order, tried: Collection[str]) -> Route | None:
        """The next credential that may serve the call, if caller and account allow it still."""
        request, account_id = order.request, order.caller.account_id
        if not request.fallbacks or request.provider or request.credential_id:
            return None
        if self._access.stale:
            return None
        key = self._directory.api_key_by_id(order.caller.key_id)
        account = self._directory.account(account_id)
        if key is None or key.revoked or account is None or account.suspended:
            return None
        if not account.routing.fallbacks:
            return None
        routes = self._router.alternatives(
            model=request.model,
            tried=tried,
            account=account,
            credentials=self._directory.credentials(account_id),
            book=self._gateway.book(),
        )
        return next((each for each in routes if _model_allowed(order.caller, request, each)), None)

    def _check_load(self) -> None:
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
        await reply.error(error)


def _model_allowed(caller: Caller, request: ChatRequest, route: Route) -> bool:
    """The caller's API key is for any model, or for this one by one of its names.

    Other models that the body names must be ones that both the API key and the stored key are for.
    """
    if not (caller.models or route.credential.models):
        return True
    named = {request.model, route.upstream_model}
    if caller.models and not named & caller.models:
        return False
    further = route.provider.further_models(request.body) - named
    return all(not limit or further <= limit for limit in (caller.models, route.credential.models))


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
