"""One chat completion: its attempts, and the end of its answer.

`Exchange.run` reads top to bottom. A call is one attempt unless both the caller and the account
allow more; then another credential is tried, in a request of its own, as long as the caller was
sent nothing and nothing was generated that somebody pays for (decision 0040). What one attempt
does stands in `attempt.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final
from uuid import UUID

from api.chat.attempt import Attempt, Order, Unserved
from api.chat.gateway import Gateway
from api.chat.idempotency import RequestIds
from api.chat.lifeline import Lifeline
from api.chat.reply import Receive, Reply
from api.chat.routing import Route
from domain.errors import DomainError
from domain.eventlog.port import Conflict, StoreUnavailable
from domain.ids import public_id

ATTEMPTS_MAX: Final = 4
"""Of one call, the first included."""

Another = Callable[[Collection[str]], Route | None]
"""The credentials tried → the next that may serve the same call as things stand now, or None."""


class Exchange:
    """One call of one caller."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        order: Order,
        route: Route,
        another: Another,
        ids: RequestIds,
        reply: Reply,
    ) -> None:
        """`reply` bears the id of the first attempt already."""
        self._gateway = gateway
        self._order = order
        self._route = route
        self._another = another
        self._ids = ids
        self._reply = reply
        self._first_id = reply.request_id
        self._tried: set[str] = set()
        self._life = Lifeline(reply=reply, in_flight=gateway.in_flight, drain_s=gateway.drain_s)

    async def run(self, request: UUID, receive: Receive) -> None:
        """Serve the call. Raises (ApiError, Conflict, …) only while nothing is recorded."""
        in_flight, account_id = self._gateway.in_flight, self._order.caller.account_id
        # Its place is taken before anything is waited for: many at once must not share one.
        in_flight.enter(self._first_id, account_id, self._life.shut_down)
        try:
            attempt = self._attempt(self._route)
            await attempt.prepare()
            await attempt.record(request, attempt_of=None)
            watcher = asyncio.get_running_loop().create_task(self._life.watch(receive))
            try:
                await self._serve(attempt)
            finally:
                watcher.cancel()
                self._life.release()
        finally:
            in_flight.leave(self._first_id, account_id)

    async def _serve(self, attempt: Attempt) -> None:
        """One attempt after the other, until the caller is answered."""
        while True:
            self._begin(attempt)
            last = self._next_route() is None
            unserved = await attempt.serve(patient=last)
            if unserved is None:
                return
            following = None
            if not last and self._may_follow(unserved):
                following = await self._following()
            if following is None:
                await self._reply.error(unserved.refusal.shown, unserved.receipt)
                return
            attempt = following

    def _attempt(self, route: Route) -> Attempt:
        self._tried.add(route.credential.credential_id)
        return Attempt(self._gateway, self._order, route, self._reply, self._life)

    def _begin(self, attempt: Attempt) -> None:
        provider = attempt.route.provider
        on_disconnect = self._order.account.routing.on_disconnect or provider.on_disconnect
        drains = on_disconnect == "drain" or not self._order.request.stream
        self._life.begin(total_s=provider.timeouts.total_s, drains=drains)
        if self._gateway.in_flight.stopping:
            self._life.shut_down()

    def _next_route(self) -> Route | None:
        return self._another(self._tried) if len(self._tried) < ATTEMPTS_MAX else None

    def _may_follow(self, unserved: Unserved) -> bool:
        """Somebody waits, this process goes on, and what was done so far is in the books."""
        in_flight = self._gateway.in_flight
        left = self._reply.gone or self._life.interrupted is not None
        return unserved.elsewhere and not (left or in_flight.stopping or in_flight.store_failing)

    async def _following(self) -> Attempt | None:
        """The next attempt, recorded, or None."""
        while (route := self._next_route()) is not None:
            attempt = self._attempt(route)
            try:
                await attempt.prepare()
            except DomainError:
                continue  # its key cannot be opened, or its provider cannot take this request
            request = self._ids.following()
            try:
                await attempt.record(request, attempt_of=self._first_id)
            except (Conflict, StoreUnavailable):
                return None  # another holder of the Idempotency-Key was faster; or nothing is safe
            self._reply.request_id = public_id("req", request)
            self._gateway.metrics.fell_back(route.provider.slug)
            return attempt
        return None
