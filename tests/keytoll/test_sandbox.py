"""The sandbox provider over its real socket, with OpenAI's own SDK."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from domain.clock import FixedClock
from keytoll.sandbox.server import SandboxServer

START = datetime(2026, 11, 1, tzinfo=UTC)
TOOL: Any = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Weather now", "parameters": {}},
}


@pytest.fixture
async def sandbox() -> AsyncIterator[SandboxServer]:
    server = SandboxServer(FixedClock(START))
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def client(sandbox: SandboxServer) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        api_key="sk-any", base_url=sandbox.base_url, max_retries=0
    ) as sdk_client:
        yield sdk_client


async def served(sandbox: SandboxServer) -> dict[str, Any]:
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{sandbox.address}/served")
        result: dict[str, Any] = answer.json()
        return result


async def collect(answer: httpx.Response, lines: list[str]) -> None:
    async for line in answer.aiter_lines():
        lines.append(line)


def asking(text: str, model: str = "sandbox/echo") -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}]}


async def test_echo_answers_the_words_and_counts_them(client: AsyncOpenAI) -> None:
    body = asking("hello  brave\nnew world")
    body["messages"].insert(0, {"role": "system", "content": "be brief"})
    answer = await client.chat.completions.create(**body)
    assert answer.choices[0].message.content == "hello brave new world"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (6, 4)
    assert answer.usage.total_tokens == 10
    assert answer.created == int(START.timestamp())


async def test_a_name_without_the_prefix_is_the_same_model(
    client: AsyncOpenAI, sandbox: SandboxServer
) -> None:
    answer = await client.chat.completions.create(**asking("a b", model="echo"))
    assert answer.model == "echo"
    assert (await served(sandbox))["models"]["sandbox/echo"]["requests"] == 1


async def test_a_stream_comes_word_by_word_with_usage_only_when_asked(client: AsyncOpenAI) -> None:
    for wanted in (False, True):
        options: Any = {"stream_options": {"include_usage": True}} if wanted else {}
        stream = await client.chat.completions.create(**asking("a b c"), stream=True, **options)
        chunks = [chunk async for chunk in stream]
        words = [c.choices[0].delta.content for c in chunks if c.choices]
        assert words == ["", "a", " b", " c", None]
        usages = [chunk.usage for chunk in chunks if chunk.usage]
        assert len(usages) == wanted
        assert bool(chunks[-1].choices) is not wanted


async def test_several_choices_are_each_counted(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(**asking("a b c"), n=2)
    assert [choice.message.content for choice in answer.choices] == ["a b c", "a b c"]
    assert answer.usage
    assert answer.usage.completion_tokens == 6
    stream = await client.chat.completions.create(
        **asking("a b c"), n=2, stream=True, stream_options={"include_usage": True}
    )
    last = [chunk async for chunk in stream][-1]
    assert last.usage
    assert last.usage.completion_tokens == 6


async def test_a_limit_cuts_the_answer_and_says_so(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(**asking("a b c"), max_completion_tokens=2)
    assert answer.choices[0].message.content == "a b"
    assert answer.choices[0].finish_reason == "length"


async def test_a_tool_is_called_when_the_message_asks_for_it(client: AsyncOpenAI) -> None:
    body = asking('please call get_weather {"city": "Oslo"}')
    answer = await client.chat.completions.create(**body, tools=[TOOL])
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city": "Oslo"}')
    assert answer.choices[0].finish_reason == "tool_calls"

    stream = await client.chat.completions.create(**body, tools=[TOOL], stream=True)
    deltas = [c.choices[0].delta.tool_calls async for c in stream if c.choices]
    pieces = [d[0].function.arguments for d in deltas if d and d[0].function]
    assert "".join(piece or "" for piece in pieces) == '{"city": "Oslo"}'


async def test_tools_that_nobody_asks_for_are_not_called(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(**asking("hello"), tools=[TOOL])
    assert answer.choices[0].message.content == "hello"
    forced: Any = {"type": "function", "function": {"name": "get_weather"}}
    answer = await client.chat.completions.create(
        **asking("hello"), tools=[TOOL], tool_choice=forced
    )
    assert answer.choices[0].finish_reason == "tool_calls"


async def test_an_image_counts_a_fixed_number(client: AsyncOpenAI) -> None:
    body = asking("")
    body["messages"][0]["content"] = [
        {"type": "text", "text": "what is this"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]
    answer = await client.chat.completions.create(**body)
    assert answer.usage
    assert answer.usage.prompt_tokens == 3 + 85


async def test_silent_reports_no_usage(client: AsyncOpenAI, sandbox: SandboxServer) -> None:
    body = asking("a b", model="sandbox/silent")
    assert (await client.chat.completions.create(**body)).usage is None
    stream = await client.chat.completions.create(
        **body, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert len(chunks) == 4
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    totals = (await served(sandbox))["models"]["sandbox/silent"]
    assert totals["completion_tokens"] == 2 + 2


async def test_slow_takes_its_time_and_notices_who_leaves(
    client: AsyncOpenAI, sandbox: SandboxServer
) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    await client.chat.completions.create(**asking("a b", model="sandbox/slow"))
    assert loop.time() - started >= 0.1
    stream = await client.chat.completions.create(
        **asking("word " * 1000, model="sandbox/slow"), stream=True
    )
    async for chunk in stream:
        if chunk.choices[0].delta.content == "word":
            break
    await stream.close()
    for _ in range(500):
        totals = (await served(sandbox))["models"]["sandbox/slow"]
        if not totals["running"]:
            break
        await asyncio.sleep(0.01)
    assert totals["cancelled"] == 1
    assert totals["completion_tokens"] < 100


async def test_cut_dies_in_the_middle(client: AsyncOpenAI, sandbox: SandboxServer) -> None:
    body = asking("one two three four", model="sandbox/cut")
    with pytest.raises(openai.APIConnectionError):
        await client.chat.completions.create(**body)

    lines: list[str] = []
    async with (
        httpx.AsyncClient() as http,
        http.stream(
            "POST",
            f"{sandbox.base_url}/chat/completions",
            json={**body, "stream": True},
            headers={"authorization": "Bearer k"},
        ) as answer,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            await collect(answer, lines)
    text = "".join(lines)
    assert '"content":"one"' in text
    assert '"content":" two"' in text
    assert "three" not in text
    assert "[DONE]" not in text
    totals = (await served(sandbox))["models"]["sandbox/cut"]
    assert totals["cut"] == 2
    assert totals["completion_tokens"] == 4 + 2


async def test_refusals_look_like_those_of_openai(sandbox: SandboxServer) -> None:
    async with AsyncOpenAI(
        api_key="sk-1-revoked", base_url=sandbox.base_url, max_retries=0
    ) as revoked:
        with pytest.raises(openai.AuthenticationError) as refusal:
            await revoked.chat.completions.create(**asking("a"))
        assert refusal.value.code == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            await revoked.models.list()
    async with AsyncOpenAI(api_key="sk-1-broke", base_url=sandbox.base_url, max_retries=0) as broke:
        with pytest.raises(openai.RateLimitError) as broken:
            await broke.chat.completions.create(**asking("a"))
        assert broken.value.code == "insufficient_quota"
    report = await served(sandbox)
    assert (report["requests"], report["refused"]) == (0, 3)


async def test_an_unknown_model_is_404(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refusal:
        await client.chat.completions.create(**asking("a", model="sandbox/other"))
    assert refusal.value.code == "model_not_found"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"[" * 100_000,
        b'{"model": "sandbox/echo"}',
        b'{"model": "sandbox/echo", "messages": []}',
        b'{"model": "sandbox/echo", "messages": [1]}',
        b'{"messages": [{"role": "user", "content": "a"}]}',
        b'{"model": "sandbox/echo", "n": true, "messages": [{"role": "user"}]}',
        b'{"model": "sandbox/echo", "n": 17, "messages": [{"role": "user"}]}',
    ],
)
async def test_a_bad_body_is_400(sandbox: SandboxServer, body: bytes) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.post(
            f"{sandbox.base_url}/chat/completions",
            content=body,
            headers={"authorization": "Bearer k"},
        )
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("stream", [b"true", b"false"])
async def test_half_a_surrogate_pair_is_answered(sandbox: SandboxServer, stream: bytes) -> None:
    body = (
        rb'{"model": "echo", "stream": %s, "messages": [{"role": "user", "content": "a \ud800"}]}'
    )
    async with httpx.AsyncClient() as http:
        answer = await http.post(
            f"{sandbox.base_url}/chat/completions",
            content=body % stream,
            headers={"authorization": "Bearer k"},
        )
    assert answer.status_code == 200
    assert '"content":"a' in answer.text


async def test_models_lists_all(client: AsyncOpenAI) -> None:
    ids = [model.id async for model in client.models.list()]
    assert ids == [
        "sandbox/echo",
        "sandbox/echo-free",
        "sandbox/silent",
        "sandbox/slow",
        "sandbox/cut",
        "sandbox/unpriced",
    ]


async def test_its_own_count_adds_up(client: AsyncOpenAI, sandbox: SandboxServer) -> None:
    for text in ("a", "a b", "a b c"):
        await client.chat.completions.create(**asking(text))
    await client.chat.completions.create(**asking("a b", model="sandbox/echo-free"))
    report = await served(sandbox)
    assert report["requests"] == 4
    assert (report["prompt_tokens"], report["completion_tokens"]) == (8, 8)
    assert report["models"]["sandbox/echo"]["complete"] == 3
    assert [call["state"] for call in report["calls"]] == ["complete"] * 4
    assert len({call["id"] for call in report["calls"]}) == 4


async def test_two_sandboxes_do_not_share_a_count(client: AsyncOpenAI) -> None:
    await client.chat.completions.create(**asking("a"))
    other = SandboxServer(FixedClock(START))
    await other.start()
    assert (await served(other))["requests"] == 0
    await other.stop()


async def test_a_taken_port_is_said_at_once(sandbox: SandboxServer) -> None:
    port = int(sandbox.address.rsplit(":", 1)[1])
    with pytest.raises(OSError, match="in use"):
        await SandboxServer(FixedClock(START), port=port).start()
