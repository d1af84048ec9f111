"""The chat endpoint over stores in memory and a provider that answers from a script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from api.auth import Access, RateLimiter
from api.chat.estimate import Estimator
from api.chat.gateway import Gateway
from api.chat.inflight import InFlight
from api.chat.keys import OpenKeys
from api.chat.routes import ChatCompletions
from api.chat.routing import Router
from api.last_used import LastUsed
from api.metrics import Metrics
from api.providers.catalogue import PROVIDERS
from api.providers.http import Upstream
from domain.clock import FixedClock
from domain.credential import Outcome
from domain.directory import CredentialView, Directory
from domain.eventlog.lines import StoreFailure
from domain.eventlog.log import StoredLog
from domain.eventlog.memory import MemoryStore
from domain.eventlog.port import Recorded
from domain.installation import open_installation
from domain.labels.memory import MemoryLabels
from domain.ledger import Ledger
from domain.seal import Frontier
from domain.vault.envelope import LocalMasterKey
from domain.vault.memory import memory_vault
from pricing.load import shipped_books

START = datetime(2026, 11, 1, tzinfo=UTC)
BOOKS = shipped_books()
ESTIMATOR = Estimator.load()


class SickStore(MemoryStore):
    """Takes nothing while `sick`."""

    def __init__(self) -> None:
        super().__init__()
        self.sick = False
        self.before_write: Callable[[], None] | None = None

    def write(self, rows: Sequence[Recorded], *, sealed: Frontier | None) -> None:
        if self.before_write is not None:
            self.before_write()
        if self.sick:
            raise StoreFailure("the disk is full")
        super().write(rows, sealed=sealed)


class ScriptedBody(httpx.AsyncByteStream):
    """Pieces of an answer; between them things may happen."""

    def __init__(self, pieces: Sequence[bytes | BaseException | asyncio.Event]) -> None:
        self._pieces = pieces
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, BaseException):
                raise piece
            if isinstance(piece, asyncio.Event):
                await piece.wait()
            else:
                yield piece

    async def aclose(self) -> None:
        self.closed = True


class ScriptedProvider(httpx.AsyncBaseTransport):
    """Answers each request with the next of `answers`; remembers the requests."""

    def __init__(self) -> None:
        self.answers: list[httpx.Response | BaseException] = []
        self.requests: list[httpx.Request] = []
        self.on_request: Any = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.on_request is not None:
            await self.on_request()
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


@dataclass
class Client:
    """A caller as the web server shows it to an application."""

    sent: list[dict[str, Any]] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Calls:
    """One account with a key for openai and one for anthropic."""

    def __init__(self) -> None:
        self.clock = FixedClock(START)
        self.store = SickStore()
        self.log = StoredLog(self.store, store_id="memory", clock=self.clock)
        self.directory = Directory(self.log)
        vault = memory_vault(LocalMasterKey(bytes(32)))
        self.labels = MemoryLabels()
        self.ledger = Ledger(
            log=self.log, vault=vault, clock=self.clock, directory=self.directory, keys_max=9
        )
        first = open_installation(self.ledger, self.directory)
        self.account_id = first.account_id
        self.secret = first.api_keys["owner"].reveal()
        self.provider = ScriptedProvider()
        self.in_flight = InFlight(self.log, per_account_max=4, drains_max=2)
        self.remembered: list[tuple[str, Outcome]] = []
        self.forgetful: Exception | None = None
        self.on_remember: Any = None
        for slug, key in (("openai", "sk-abcdefgh"), ("anthropic", "sk-ant-abcdefgh")):
            self.ledger.add_credential(
                self.account_id,
                provider=slug,
                fields={"apiKey": key},
                key_suffix=key[-4:],
            )
        gateway = Gateway(
            log=self.log,
            keys=OpenKeys(vault, self.clock),
            book=lambda: BOOKS.current,
            estimator=ESTIMATOR,
            upstream=Upstream(transport=self.provider),
            base_urls={slug: row.base_url for slug, row in PROVIDERS.items()},
            in_flight=self.in_flight,
            metrics=Metrics(),
            last_used=LastUsed(self.clock),
            remember_key=self._remember,
            clock=self.clock,
            jitter=lambda: 0.0,
            epoch="epoch-of-the-test",
            reference="same-provider-first",
            drain_s=30.0,
        )
        self.chat = ChatCompletions(
            gateway,
            access=Access(self.directory, self.clock),
            limiter=RateLimiter(self.clock),
            directory=self.directory,
            labels=self.labels,
            router=Router(PROVIDERS),
            keyed_hash=lambda text: vault.keyed_hash("idempotency", text),
            body_bytes_max=100_000,
        )

    async def _remember(self, credential: CredentialView, outcome: Outcome, reason: str) -> None:
        if self.forgetful is not None:
            raise self.forgetful
        self.remembered.append((credential.provider, outcome))
        if self.on_remember is not None:
            on_remember, self.on_remember = self.on_remember, None
            await on_remember()

    async def call(
        self, client: Client | None = None, *, headers: dict[str, str] | None = None, **body: Any
    ) -> Client:
        """One call to its end."""
        client = client or Client()
        asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], **body}
        given = {"authorization": f"Bearer {self.secret}", **(headers or {})}
        scope = {
            "type": "http",
            "method": "POST",
            "headers": [(n.encode(), v.encode()) for n, v in given.items()],
        }
        messages = [{"type": "http.request", "body": json.dumps(asked).encode()}]

        async def receive() -> Any:
            if messages:
                return messages.pop()
            await client.left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            client.sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                client.left.set()  # as the web server does when an answer is complete

        await self.chat(scope, receive, send)
        return client

    def requests(self) -> list[tuple[str, dict[str, Any]]]:
        """(topic, data) of every event of a request."""
        return [
            (each.topic, json.loads(each.line)["data"])
            for each in self.log.read(after=0, limit=1_000, streams={"request"})
        ]


@asynccontextmanager
async def opened_calls() -> AsyncIterator[Calls]:
    """The endpoint, closed again at the end."""
    calls = Calls()
    try:
        yield calls
    finally:
        calls.store.sick = False
        calls.log.close()


def json_answer(**more: Any) -> httpx.Response:
    """A completion that reports 11 and 7 tokens."""
    message = {"role": "assistant", "content": "hello"}
    found = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
        **more,
    }
    return httpx.Response(200, json=found)


def stream_answer(*pieces: bytes | BaseException | asyncio.Event) -> httpx.Response:
    """A stream of these pieces."""
    return httpx.Response(
        200, headers={"content-type": "text/event-stream"}, stream=ScriptedBody(pieces)
    )


def chunk(delta: dict[str, Any] | None, reason: str | None = None, **more: Any) -> bytes:
    """An SSE event with one choice, or with none."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason}]
    found = {"id": "chatcmpl-1", "model": "gpt-4o-mini", "choices": choices, **more}
    return b"data: " + json.dumps(found).encode() + b"\n\n"


USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
DONE = b"data: [DONE]\n\n"


async def until(done: Callable[[], bool]) -> None:
    """Wait for something that no event announces; five seconds at most."""
    async with asyncio.timeout(5):
        while not done():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
