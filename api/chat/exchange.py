"""One chat completion, from the accepted request to its one terminal event.

`Exchange.run` reads top to bottom; whoever changes what happens to a call changes this file.
Everything that can be refused is refused before the first event, so that a refusal leaves nothing
to settle. From `RequestRouted` on, exactly one terminal event is written, whatever happens here;
if the process dies, `workers/sweep.py` writes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import orjson
import structlog

from api.auth import Caller
from api.chat.estimate import Estimator
from api.chat.failures import cut_off_error, failure_error, interrupted_error, transport_error
from api.chat.inflight import InFlight
from api.chat.keys import OpenKeys
from api.chat.lifeline import Lifeline
from api.chat.reply import HeldStream, Receive, Reply, chunk_of_ours, frame, with_receipt
from api.chat.request import ChatRequest
from api.chat.routing import Route
from api.chat.settle import Ending, Facts, Settlement, failed, openai_usage
from api.errors import ApiError, error_body
from api.metrics import Metrics
from api.providers.http import Answer, TransportError, Upstream
from api.providers.port import ChatCall, Outcome, Reader, UpstreamRequest
from domain.clock import Clock, instant_text
from domain.credential import Outcome as KeyOutcome
from domain.directory import AccountView, CredentialView
from domain.errors import DomainError
from domain.eventlog.port import EventLog
from domain.events.base import JsonObject
from domain.events.requests import (
    ROUTED_VERSION,
    Delivered,
    RequestFailed,
    RequestRouted,
    TerminalEvent,
)
from pricing.book import PriceBook

SILENCE_S: Final = 10.0
"""How long a finished stream may stay silent before its answer is closed (API.md 3)."""
ERROR_BODY_BYTES_MAX: Final = 64 * 1024

RememberKey = Callable[[CredentialView, KeyOutcome, str], Awaitable[None]]
"""(credential, outcome, reason): record what a call has shown about a stored key."""

_log = structlog.get_logger("keytoll.calls")


@dataclass(frozen=True, slots=True)
class Gateway:
    """What every exchange of this process shares."""

    log: EventLog
    keys: OpenKeys
    book: Callable[[], PriceBook]
    estimator: Estimator
    upstream: Upstream
    base_urls: Mapping[str, str]
    in_flight: InFlight
    metrics: Metrics
    remember_key: RememberKey
    clock: Clock
    epoch: str
    reference: str
    drain_s: float


class Exchange:
    """One call of one caller."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        caller: Caller,
        account: AccountView,
        request: ChatRequest,
        route: Route,
        reply: Reply,
    ) -> None:
        self._gateway = gateway
        self._caller = caller
        self._account = account
        self._request = request
        self._route = route
        self._reply = reply
        self._book = gateway.book()
        self._started_s = gateway.clock.monotonic_s()
        self._first_byte_ms: int | None = None
        self._upstream_status: int | None = None
        self._late: asyncio.Task[bytes | None] | None = None
        self._quiet_until_s: float | None = None
        provider = route.provider
        drains = account.routing.on_disconnect or provider.on_disconnect
        self._life = Lifeline(
            reply=reply,
            in_flight=gateway.in_flight,
            total_s=provider.timeouts.total_s,
            drain_s=gateway.drain_s,
            drains=drains == "drain" or not request.stream,
        )

    async def run(self, request_uuid: UUID, idempotency: str | None, receive: Receive) -> None:
        """Serve the call. Raises (ApiError, Conflict, …) only while nothing is recorded."""
        gateway, route = self._gateway, self._route
        call = ChatCall(
            body={**self._request.body, "model": route.upstream_model},
            model=route.upstream_model,
            stream=self._request.stream,
            wants_usage=self._request.wants_usage,
            choices=self._request.choices,
            at=gateway.clock.now(),
        )
        key = await gateway.keys.open(route.credential)
        base_url = gateway.base_urls[route.provider.slug]
        upstream_request = route.dialect.request(call, key, base_url)

        routed = self._routed(request_uuid, idempotency)
        # Its place is taken before anything is waited for: many at once must not share one.
        gateway.in_flight.enter(self._reply.request_id, routed.account_id, self._life.shut_down)
        try:
            await gateway.log.append(routed, account_id=routed.account_id)
            self._books = Settlement(
                gateway.log, gateway.estimator, gateway.in_flight, routed, upstream_request.context
            )
            if gateway.in_flight.stopping:
                self._life.shut_down()
            await self._relay(call, upstream_request, receive)
        finally:
            gateway.in_flight.leave(self._reply.request_id, routed.account_id)

    async def _relay(self, call: ChatCall, request: UpstreamRequest, receive: Receive) -> None:
        """From the recorded request to its terminal event, whatever happens."""
        watcher = asyncio.get_running_loop().create_task(self._life.watch(receive))
        try:
            await self._serve(call, request)
        except Exception:
            # A bug of ours must not leave a request open: it ends as failed, and is shouted about.
            _log.exception("exchange_broke", request_id=self._reply.request_id)
            event = failed(self._facts("none"), "internal_error")
            await self._close_with_error(
                ApiError(500, "internal_error", "keytoll failed to relay the answer."),
                await self._settle(event),
            )
        finally:
            watcher.cancel()
            self._life.release()

    def _routed(self, request_uuid: UUID, idempotency: str | None) -> RequestRouted:
        route, now = self._route, self._gateway.clock.now()
        return RequestRouted(
            originator_id=request_uuid,
            originator_version=ROUTED_VERSION,
            account_id=self._caller.account_id,
            api_key_id=self._caller.key_id,
            credential_id=route.credential.credential_id,
            provider=route.provider.slug,
            api=route.dialect.name,
            requested_model=self._request.model,
            upstream_model=route.upstream_model,
            stream=self._request.stream,
            prompt_bytes=self._request.prompt_bytes,
            price_book=self._book.hash,
            price_at=instant_text(now),
            markup_rate=self._account.markup_rate_at(now),
            account_version=self._account.version,
            reference_setting=self._gateway.reference,
            tags=self._request.tags,
            attempt_of=None,
            idempotency=idempotency,
            owner=self._gateway.epoch,
            sandbox=route.provider.sandbox,
        )

    async def _serve(self, call: ChatCall, upstream_request: UpstreamRequest) -> None:
        try:
            with self._life:
                answer = await self._gateway.upstream.send(upstream_request, self._route.provider)
        except (TransportError, TimeoutError) as error:
            await self._unanswered(error)
            return
        try:
            self._upstream_status = answer.status
            if not 200 <= answer.status < 300:
                await self._refused(answer)
            elif call.stream:
                await self._streamed(call, answer)
            else:
                await self._whole(call, answer)
        finally:
            if self._late is not None:  # the end of a stream that nobody waits for any more
                self._late.cancel()
                await asyncio.gather(self._late, return_exceptions=True)
            await answer.aclose()

    async def _unanswered(self, error: Exception) -> None:
        if self._life.interrupted is not None:
            failure, shown = "cancelled_before_answer", interrupted_error(self._life.interrupted)
        else:
            failure, shown = transport_error(error, provider=self._route.provider.slug)
        event = failed(self._facts("none"), failure, str(error))
        await self._close_with_error(shown, await self._settle(event))

    async def _refused(self, answer: Answer) -> None:
        body = b""
        with suppress(TransportError, TimeoutError), self._life:
            body = await answer.read(ERROR_BODY_BYTES_MAX)
        failure = self._route.dialect.failure(answer.status, answer.headers, body)
        event = failed(self._facts("none"), failure.kind, failure.message)
        shown = failure_error(failure, self._route.credential)
        await self._close_with_error(shown, await self._settle(event))
        if failure.kind == "credential_invalid":
            await self._remember_key("rejected", "refused_by_provider")

    async def _whole(self, call: ChatCall, answer: Answer) -> None:
        """A JSON answer: read to its end, even when the caller has gone."""
        reader = self._route.dialect.reader(call, answer.headers)
        ending: Ending = "complete"
        broken: ApiError | None = None
        try:
            with self._life:
                async for data in answer.body:
                    self._mark_first_byte()
                    reader.feed(data)
        except (TransportError, TimeoutError) as error:
            ending, broken = self._broken(error)
        outcome = reader.finish()
        event = await self._terminal(call, reader, outcome, ending)
        receipt = await self._settle(event)
        if _is_whole(ending, outcome) and not isinstance(event, RequestFailed):
            await self._reply.json(with_receipt(outcome.answer, receipt))
            await self._remember_key("verified", "answered_a_call")
        else:
            await self._close_with_error(self._failure_shown(outcome, broken), receipt)

    async def _streamed(self, call: ChatCall, answer: Answer) -> None:
        """An SSE answer: passed on as it arrives, but for the chunk that carries the receipt."""
        reader = self._route.dialect.reader(call, answer.headers)
        held = HeldStream(wants_usage=call.wants_usage)
        ending, broken = await self._pass_on(reader, held, answer)
        outcome = reader.finish()
        event = await self._terminal(call, reader, outcome, ending)
        receipt = await self._settle(event)
        if _is_whole(ending, outcome) and not isinstance(event, RequestFailed):
            made = chunk_of_ours(
                identity=outcome.upstream_id or self._reply.request_id,
                model=outcome.model or call.model,
                now=self._gateway.clock.now(),
            )
            usage = openai_usage(event.usage)
            await self._reply.end_stream(held.close(receipt=receipt, usage=usage, made=made))
            await self._remember_key("verified", "answered_a_call")
            await self._read_late(reader, event, answer)
        else:
            rest = held.rest()
            if rest:
                await self._reply.stream(rest)
            await self._close_with_error(self._failure_shown(outcome, broken), receipt)

    async def _pass_on(
        self, reader: Reader, held: HeldStream, answer: Answer
    ) -> tuple[Ending, ApiError | None]:
        try:
            with self._life:
                while not reader.done:
                    data = await self._next(answer, finished=held.finished)
                    if data is None:
                        break
                    self._mark_first_byte()
                    chunks = reader.feed(data)
                    if chunks:
                        self._quiet_until_s = None
                    out = held.take(chunks)
                    if out:
                        await self._reply.stream(out)
                out = held.take(reader.finish().tail)
                if out:
                    await self._reply.stream(out)
        except (TransportError, TimeoutError) as error:
            if not held.finished or self._life.interrupted is not None:
                return self._broken(error)
        if reader.done or held.finished:
            return "complete", None
        return "cut_off", None

    async def _next(self, answer: Answer, *, finished: bool) -> bytes | None:
        """The next bytes; None at the end, or after silence (comments are such) once finished."""
        if not finished:
            return await anext(answer.body, None)
        self._late = asyncio.ensure_future(_piece(answer))
        now_s = asyncio.get_running_loop().time()
        if self._quiet_until_s is None:
            self._quiet_until_s = now_s + SILENCE_S
        done, _ = await asyncio.wait({self._late}, timeout=self._quiet_until_s - now_s)
        if not done:
            return None
        late, self._late = self._late, None
        return late.result()

    async def _read_late(self, reader: Reader, event: TerminalEvent, answer: Answer) -> None:
        """The answer was closed in silence: usage that still comes is a correction."""
        if self._late is None:
            return
        with suppress(TransportError, TimeoutError), self._life:
            data = await self._late
            while data is not None:
                reader.feed(data)
                data = None if reader.done else await anext(answer.body, None)
        await self._books.late_report(reader.finish(), event, self._facts("all"))

    async def _terminal(
        self, call: ChatCall, reader: Reader, outcome: Outcome, ending: Ending
    ) -> TerminalEvent:
        delivered: Delivered = "part" if self._reply.started else "none"
        if ending == "complete" and not self._reply.gone:
            delivered = "all"
        return await self._books.terminal_event(
            outcome,
            ending,
            self._facts(delivered),
            model=outcome.model or call.model,
            body=call.body,
            received=reader.received_text,
        )

    async def _settle(self, event: TerminalEvent) -> JsonObject | None:
        """Make the terminal event durable; give the receipt, or None if none is wanted."""
        stored = await self._books.store(event)
        self._gateway.metrics.call_ended(self._books.routed, event)
        wanted = self._request.receipt
        if not (self._caller.receipt if wanted is None else wanted):
            return None
        suffix = self._route.credential.key_suffix
        return self._books.receipt(event, self._book, key_suffix=suffix, stored=stored)

    async def _close_with_error(self, error: ApiError, receipt: JsonObject | None) -> None:
        body = error_body(error, request_id=self._reply.request_id)
        if receipt is not None:
            body["x_keytoll"] = receipt
        if self._reply.started:
            await self._reply.end_stream(frame(orjson.dumps(body)))
        else:
            await self._reply.json(
                orjson.dumps(body), status=error.status, headers=error.headers.items()
            )

    async def _remember_key(self, outcome: KeyOutcome, reason: str) -> None:
        if self._route.credential.status == outcome:
            return
        # The call is over. A key that was removed meanwhile, or a store that is busy failing,
        # must not turn it into another one.
        with suppress(DomainError):
            await self._gateway.remember_key(self._route.credential, outcome, reason)

    def _failure_shown(self, outcome: Outcome, broken: ApiError | None) -> ApiError:
        """What the provider itself said; a torn answer is unreadable because the line broke."""
        failure = outcome.failure
        if failure is not None and (broken is None or failure.kind != "invalid_response"):
            return failure_error(failure, self._route.credential)
        return broken or cut_off_error(self._route.provider.slug)

    def _broken(self, error: Exception) -> tuple[Ending, ApiError]:
        if self._life.interrupted is not None:
            return self._life.interrupted, interrupted_error(self._life.interrupted)
        return "cut_off", transport_error(error, provider=self._route.provider.slug)[1]

    def _mark_first_byte(self) -> None:
        if self._first_byte_ms is None:
            self._first_byte_ms = self._elapsed_ms()

    def _elapsed_ms(self) -> int:
        return round((self._gateway.clock.monotonic_s() - self._started_s) * 1000)

    def _facts(self, delivered: str) -> Facts:
        return Facts(
            request=self._books.routed.originator_id,
            upstream_status=self._upstream_status,
            delivered=delivered,
            first_byte_ms=self._first_byte_ms,
            total_ms=self._elapsed_ms(),
        )


async def _piece(answer: Answer) -> bytes | None:
    return await anext(answer.body, None)


def _is_whole(ending: Ending, outcome: Outcome) -> bool:
    return ending == "complete" and outcome.failure is None
