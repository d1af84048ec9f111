"""One request to one provider: from its `RequestRouted` to its one terminal event.

Everything that can be refused is refused before the first event, so that a refusal leaves nothing
to settle. From `RequestRouted` on, exactly one terminal event is written, whatever happens here;
if the process dies, `workers/sweep.py` writes it. Whether another attempt follows one that brought
no answer is decided in `exchange.py`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import structlog

from api.auth import Caller
from api.chat.failures import (
    Refusal,
    bug_of_ours,
    cut_off,
    interrupted,
    line_broke,
    refused_by_provider,
)
from api.chat.gateway import Gateway
from api.chat.lifeline import Lifeline
from api.chat.listener import Listener
from api.chat.patience import wait_s
from api.chat.reply import HeldStream, Reply, chunk_of_ours, with_receipt
from api.chat.request import ChatRequest
from api.chat.routing import Route
from api.chat.settle import Ending, Facts, Settlement, failed
from api.providers.chunks import openai_usage
from api.providers.http import Answer, TransportError
from api.providers.port import ChatCall, Outcome, ProviderFailure, Reader
from api.providers.redact import without_key
from domain.clock import instant_text
from domain.credential import Outcome as KeyOutcome
from domain.directory import AccountView
from domain.errors import DomainError
from domain.eventlog.port import StoreUnavailable
from domain.events.base import JsonObject
from domain.events.requests import (
    ROUTED_VERSION,
    Delivered,
    RequestFailed,
    RequestRouted,
    TerminalEvent,
)

ERROR_BODY_BYTES_MAX: Final = 64 * 1024

_log = structlog.get_logger("keytoll.calls")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be served, and for whom."""

    caller: Caller
    account: AccountView
    request: ChatRequest
    idempotency: str | None
    """Keyed hash of the caller's Idempotency-Key."""


@dataclass(frozen=True, slots=True)
class Unserved:
    """An attempt that is over and settled, and of which the caller was not sent a byte."""

    refusal: Refusal
    receipt: JsonObject | None
    elsewhere: bool
    """Another credential may serve the call: this one generated nothing that anybody pays for."""


class Attempt:
    """One credential's try at a call."""

    def __init__(
        self, gateway: Gateway, order: Order, route: Route, reply: Reply, life: Lifeline
    ) -> None:
        self._gateway = gateway
        self._order = order
        self.route = route
        self._reply = reply
        self._life = life
        self._book = gateway.book()
        self._started_s = gateway.clock.monotonic_s()
        self._tries = 0
        self._first_byte_ms: int | None = None
        self._upstream_status: int | None = None
        request = order.request
        self._call = ChatCall(
            body={**request.body, "model": route.upstream_model},
            model=route.upstream_model,
            stream=request.stream,
            wants_usage=request.wants_usage,
            choices=request.choices,
            at=gateway.clock.now(),
        )

    async def prepare(self) -> None:
        """Open the key and translate. Raises DomainError; nothing is recorded or sent."""
        route = self.route
        self._key = await self._gateway.keys.open(route.credential)
        base_url = self._gateway.base_urls[route.provider.slug]
        self._sending = route.dialect.request(self._call, self._key, base_url)

    async def record(self, request: UUID, *, attempt_of: str | None) -> None:
        """Make the request durable before its first byte leaves. Raises Conflict or
        StoreUnavailable; nothing is sent."""
        gateway = self._gateway
        routed = self._routed(request, attempt_of)
        try:
            await gateway.log.append(routed, account_id=routed.account_id)
        except StoreUnavailable:
            gateway.in_flight.end_unsent(routed)
            raise
        gateway.last_used.mark(routed.api_key_id, routed.credential_id)
        self._books = Settlement(
            gateway.log, gateway.estimator, gateway.in_flight, routed, self._sending.context
        )

    async def serve(self, *, patient: bool) -> Unserved | None:
        """Send, read, settle, whatever happens. None: the caller has been answered.

        `patient`: a refusal that may pass is waited for, because nobody else is left to ask.
        """
        try:
            answer = await self._asked(patient=patient)
            if isinstance(answer, Refusal):
                return await self._failed(answer)
            listener = Listener(answer)
            try:
                serve = self._streamed if self._call.stream else self._whole
                return await serve(answer, listener)
            finally:
                await listener.aclose()
        except Exception:
            # A bug of ours must not leave a request open: it ends as failed, and is shouted about.
            _log.exception("exchange_broke", request_id=self._reply.request_id)
            if self._reply.ended:  # and so it was settled before
                return None
            return await self._failed(bug_of_ours())

    def _routed(self, request: UUID, attempt_of: str | None) -> RequestRouted:
        order, route, now = self._order, self.route, self._gateway.clock.now()
        return RequestRouted(
            originator_id=request,
            originator_version=ROUTED_VERSION,
            account_id=order.caller.account_id,
            api_key_id=order.caller.key_id,
            credential_id=route.credential.credential_id,
            provider=route.provider.slug,
            api=route.dialect.name,
            requested_model=order.request.model,
            upstream_model=route.upstream_model,
            stream=order.request.stream,
            prompt_bytes=order.request.prompt_bytes,
            price_book=self._book.hash,
            price_at=instant_text(now),
            markup_rate=order.account.markup_rate_at(now),
            account_version=order.account.version,
            reference_setting=self._gateway.reference,
            tags=order.request.tags,
            attempt_of=attempt_of,
            idempotency=order.idempotency,
            owner=self._gateway.epoch,
            sandbox=route.provider.sandbox,
        )

    async def _asked(self, *, patient: bool) -> Answer | Refusal:
        """An answer, or a refusal that no short wait helps against."""
        answer: Answer | Refusal | None = None
        while not (self._reply.gone or self._life.interrupted):
            if self._tries:
                self._gateway.metrics.sent_again(self.route.provider.slug)
            self._tries += 1
            answer = await self._sent()
            if isinstance(answer, Answer) or not patient:
                return answer
            pause_s = wait_s(
                answer,
                tries=self._tries,
                elapsed_s=self._gateway.clock.monotonic_s() - self._started_s,
                now=self._gateway.clock.now(),
                jitter=self._gateway.jitter,
            )
            if pause_s is None:
                return answer
            try:
                with self._life:
                    await asyncio.sleep(pause_s)
            except TimeoutError:  # the caller has gone, or this process stops
                break
        return answer or interrupted(self._life.interrupted or "disconnected")

    async def _sent(self) -> Answer | Refusal:
        self._upstream_status = None
        try:
            with self._life:
                answer = await self._gateway.upstream.send(self._sending, self.route.provider)
        except (TransportError, TimeoutError) as error:
            return self._broken(error)
        self._upstream_status = answer.status
        if 200 <= answer.status < 300:
            return answer
        body = b""
        try:
            with suppress(TransportError, TimeoutError), self._life:
                body = await answer.read(ERROR_BODY_BYTES_MAX)
        finally:
            await answer.aclose()
        return self._refused(self.route.dialect.failure(answer.status, answer.headers, body))

    async def _whole(self, answer: Answer, listener: Listener) -> Unserved | None:
        """A JSON answer: read to its end, even when the caller has gone."""
        reader = self.route.dialect.reader(self._call, answer.headers)
        ending, broken = await self._read_whole(reader, listener)
        outcome = reader.finish()
        event = await self._terminal(reader, outcome, ending)
        receipt = await self._settle(event)
        if isinstance(event, RequestFailed) or not _is_whole(ending, outcome):
            return await self._end(self._why(outcome, broken), event, receipt)
        await self._reply.json(with_receipt(outcome.answer, receipt))
        await self._remember_key("verified", "answered_a_call")
        return None

    async def _read_whole(
        self, reader: Reader, listener: Listener
    ) -> tuple[Ending, Refusal | None]:
        try:
            with self._life:
                while (data := await listener.next(finished=False)) is not None:
                    self._mark_first_byte()
                    reader.feed(data)
        except (TransportError, TimeoutError) as error:
            return self._ending(), self._broken(error)
        return "complete", None

    async def _streamed(self, answer: Answer, listener: Listener) -> Unserved | None:
        """An SSE answer: passed on as it arrives, but for the chunk that carries the receipt."""
        reader = self.route.dialect.reader(self._call, answer.headers)
        held = HeldStream(wants_usage=self._call.wants_usage)
        ending, broken = await self._pass_on(reader, held, listener)
        outcome = reader.finish()
        event = await self._terminal(reader, outcome, ending)
        receipt = await self._settle(event)
        if isinstance(event, RequestFailed) or not _is_whole(ending, outcome):
            rest = held.rest()
            if rest:
                await self._reply.last_words(rest)
            return await self._end(self._why(outcome, broken), event, receipt)
        made = chunk_of_ours(
            identity=outcome.upstream_id or self._reply.request_id,
            model=outcome.model or self._call.model,
            now=self._gateway.clock.now(),
        )
        usage = openai_usage(event.usage)
        await self._reply.end_stream(held.close(receipt=receipt, usage=usage, made=made))
        await self._remember_key("verified", "answered_a_call")
        await self._read_late(reader, event, listener)
        return None

    async def _pass_on(
        self, reader: Reader, held: HeldStream, listener: Listener
    ) -> tuple[Ending, Refusal | None]:
        try:
            with self._life:
                while not reader.done:
                    data = await listener.next(finished=held.finished)
                    if data is None:
                        break
                    self._mark_first_byte()
                    chunks = reader.feed(data)
                    if chunks:
                        listener.heard()
                    out = held.take(chunks)
                    if out:
                        await self._reply.stream(out)
                out = held.take(reader.finish().tail)
                if out:
                    await self._reply.stream(out)
        except (TransportError, TimeoutError) as error:
            if not held.finished or self._life.interrupted is not None:
                return self._ending(), self._broken(error)
        if reader.done or held.finished:
            return "complete", None
        return "cut_off", None

    async def _read_late(self, reader: Reader, event: TerminalEvent, listener: Listener) -> None:
        """The answer was closed in silence: usage that still comes is a correction."""
        with suppress(TransportError, TimeoutError), self._life:
            data = await listener.late()
            if data is None:
                return
            while data is not None:
                reader.feed(data)
                data = None if reader.done else await listener.next(finished=False)
        await self._books.late_report(reader.finish(), event, self._facts("all"))

    async def _terminal(self, reader: Reader, outcome: Outcome, ending: Ending) -> TerminalEvent:
        delivered: Delivered = "part" if self._reply.started else "none"
        if ending == "complete" and not self._reply.gone:
            delivered = "all"
        return await self._books.terminal_event(
            outcome,
            ending,
            self._facts(delivered),
            model=outcome.model or self._call.model,
            body=self._call.body,
            received=reader.received_text,
        )

    async def _settle(self, event: TerminalEvent) -> JsonObject | None:
        """Make the terminal event durable; give the receipt, or None if none is wanted."""
        stored = await self._books.store(event)
        self._gateway.metrics.call_ended(self._books.routed, event)
        wanted = self._order.request.receipt
        if not (self._order.caller.receipt if wanted is None else wanted):
            return None
        suffix = self.route.credential.key_suffix
        return self._books.receipt(event, self._book, key_suffix=suffix, stored=stored)

    async def _failed(self, refusal: Refusal) -> Unserved | None:
        event = failed(self._facts("none"), refusal.failure, refusal.message)
        return await self._end(refusal, event, await self._settle(event))

    async def _end(
        self, refusal: Refusal, event: TerminalEvent, receipt: JsonObject | None
    ) -> Unserved | None:
        """Settled without success. An answer that has begun is closed with an error."""
        if refusal.failure == "credential_invalid":
            await self._remember_key("rejected", "refused_by_provider")
        if not self._reply.started:
            elsewhere = refusal.elsewhere and isinstance(event, RequestFailed)
            return Unserved(refusal, receipt, elsewhere)
        await self._reply.error(refusal.shown, receipt)
        return None

    async def _remember_key(self, outcome: KeyOutcome, reason: str) -> None:
        """Record what the call has shown about the key, if that is news."""
        if self.route.credential.status == outcome:
            return
        # The call is over. A key that was removed meanwhile, or a store that is busy failing,
        # must not turn it into another one.
        with suppress(DomainError):
            await self._gateway.remember_key(self.route.credential, outcome, reason)

    def _why(self, outcome: Outcome, broken: Refusal | None) -> Refusal:
        """What the provider itself said; a torn answer is unreadable because the line broke."""
        failure = outcome.failure
        if failure is not None and (broken is None or failure.kind != "invalid_response"):
            return self._refused(failure)
        return broken or cut_off(self.route.provider.slug)

    def _refused(self, failure: ProviderFailure) -> Refusal:
        said = without_key(failure.message, self._key)
        return refused_by_provider(replace(failure, message=said), self.route.credential)

    def _broken(self, error: Exception) -> Refusal:
        if self._life.interrupted is not None:
            return interrupted(self._life.interrupted)
        return line_broke(error, provider=self.route.provider.slug)

    def _ending(self) -> Ending:
        return self._life.interrupted or "cut_off"

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
            tries=self._tries,
        )


def _is_whole(ending: Ending, outcome: Outcome) -> bool:
    return ending == "complete" and outcome.failure is None
