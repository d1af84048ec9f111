"""How calls end when somebody goes away: the caller, or this process."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.conftest import Opened
from tests.e2e.gate import TollGate, asking, new_name, sse

PROVIDERS = pytest.mark.parametrize("provider", ["openai", "anthropic"])


@contextmanager
def begun(gate: TollGate, behaviour: str, name: str, **body: Any) -> Iterator[httpx.Response]:
    """A stream whose first word has arrived."""
    with (
        gate.program.client() as client,
        client.stream(
            "POST",
            "/api/v1/chat/completions",
            json=asking(behaviour, name, stream=True, **body),
        ) as answer,
    ):
        texts = answer.iter_text()
        while "word0" not in next(texts):
            pass
        yield answer


def leave(gate: TollGate, name: str, *, wait: str = "first", **body: Any) -> None:
    """Make a call and hang up once the upstream stands at the gate."""
    reached = gate.upstream.reached[wait]
    with ThreadPoolExecutor() as pool, gate.program.client() as client:
        client.timeout = httpx.Timeout(0.3)
        call = pool.submit(
            client.post,
            "/api/v1/chat/completions",
            json=asking(f"hold-{wait}", name, **body),
        )
        gate.upstream.wait_at(wait, reached + 1)
        with pytest.raises(httpx.ReadTimeout):
            call.result(20)


@PROVIDERS
def test_a_stream_is_cancelled_when_its_reader_goes(gate: TollGate, provider: str) -> None:
    name = new_name()
    with begun(gate, "very-slow", name, provider=provider):
        pass
    left_at = time.monotonic()
    served = gate.upstream.call(name)
    gate.upstream.wait(lambda: served.state != "running", timeout_s=5)
    assert served.state == "left"
    assert served.left_at is not None
    assert served.left_at - left_at < 0.5
    event = gate.program.settled(name)
    data = event["data"]
    assert event["topic"] == "request.usage-estimated"
    assert (data["reason"], data["delivered"]) == ("disconnected", "part")
    assert 0 < data["usage"]["output_tokens"] < 20
    assert data["provenance"]["output_tokens"] == "estimated"
    if provider == "anthropic":
        assert data["usage"]["input_tokens"] == served.prompt_tokens
        assert data["provenance"]["cached_input_tokens"] == "reported"


def test_a_reader_who_goes_before_anything_came(open_gate: Opened) -> None:
    gate = open_gate()
    name = new_name()
    leave(gate, name, wait="head", stream=True)
    served = gate.upstream.call(name)
    gate.upstream.wait(lambda: served.state == "left")
    event = gate.program.settled(name)
    assert event["data"]["failure"] == "cancelled_before_answer"
    # A JSON answer is read to its end, and billed whole, whoever still listens.
    for provider in ("openai", "anthropic"):
        for wait in ("head", "first"):
            name = new_name()
            leave(gate, name, wait=wait, provider=provider)
            time.sleep(0.3)  # the program learns that its caller has gone
            served = gate.upstream.call(name)
            assert served.state == "running"
            gate.upstream.open_gate(wait)
            gate.upstream.wait(lambda served=served: served.state == "whole")  # type: ignore[misc]
            event = gate.program.settled(name)
            assert event["topic"] == "request.usage-reported"
            assert event["data"]["usage"]["output_tokens"] == served.completion_tokens
            assert event["data"]["delivered"] == "none"
            gate.upstream.close_gate(wait)


@PROVIDERS
def test_an_account_that_wants_its_streams_read_to_the_end(gate: TollGate, provider: str) -> None:
    with gate.program.client() as owner:
        routing = {"providers": [], "fallbacks": False, "on_disconnect": "drain"}
        assert owner.put("/api/user/routing", json=routing).status_code == 200
        try:
            name = new_name()
            with begun(gate, "slow", name, provider=provider):
                pass
            served = gate.upstream.call(name)
            gate.upstream.wait(lambda: served.state != "running")
            assert served.state == "whole"
            event = gate.program.settled(name)
            assert event["topic"] == "request.usage-reported"
            assert event["data"]["usage"]["output_tokens"] == served.completion_tokens
            assert event["data"]["delivered"] == "part"
        finally:
            routing["on_disconnect"] = None
            assert owner.put("/api/user/routing", json=routing).status_code == 200


def test_a_reader_who_goes_when_all_was_said(gate: TollGate) -> None:
    """Only the end was missing; nothing of a held chunk is lost, and no task is left behind."""
    name = new_name()
    reached = gate.upstream.reached["late"]
    with begun(gate, "late-nothing", name):
        gate.upstream.wait_at("late", reached + 1)
        time.sleep(0.1)
    event = gate.program.settled(name, timeout_s=3)
    assert (event["topic"], event["data"]["reason"]) == (
        "request.usage-estimated",
        "disconnected",
    )
    gate.upstream.wait(lambda: gate.upstream.call(name).state == "left", timeout_s=3)


def test_stopping(open_gate: Opened) -> None:
    """New calls are refused; running ones finish, or are settled when their time is up."""
    gate = open_gate({"KEYTOLL_SHUTDOWN_TIMEOUT_S": "2"})
    quick, endless, silent, waiting = (new_name() for _ in range(4))
    with ThreadPoolExecutor() as pool, gate.program.client() as client:
        client.get("/healthz")
        finishing = pool.submit(gate.post, "slow", name=quick, stream=True)
        stuck = pool.submit(gate.post, "hold-first", name=endless, stream=True)
        said = pool.submit(gate.post, "late-nothing", name=silent, stream=True)
        unanswered = pool.submit(gate.post, "hold-head", name=waiting)
        gate.upstream.wait_at("first", 1)
        gate.upstream.wait_at("late", 1)
        gate.upstream.wait_at("head", 1)
        gate.upstream.wait(lambda: gate.upstream.call(quick).head_sent)
        gate.program.signal_stop()
        refused = _refused(client)
        assert refused.json()["error"]["code"] == "shutting_down"
        assert client.get("/readyz").status_code == 503
        gate.program.wait_for_end()
    assert sse(finishing.result(5))[-1] == "[DONE]"
    for call in (stuck, said):
        assert "[DONE]" not in call.result(5).text
        assert '"code":"shutting_down"' in call.result(5).text
    assert unanswered.result(5).status_code == 503
    assert gate.program.settled(quick)["topic"] == "request.usage-reported"
    for name in (endless, silent):
        event = gate.program.settled(name)
        assert event["topic"] == "request.usage-estimated"
        assert event["data"]["reason"] == "shutdown"
    assert gate.program.settled(waiting)["data"]["failure"] == "cancelled_before_answer"
    assert no_trouble(gate) == []


def test_a_second_start_finds_nothing_to_settle(open_gate: Opened) -> None:
    gate = open_gate({"KEYTOLL_SHUTDOWN_TIMEOUT_S": "0"})
    name = new_name()
    with ThreadPoolExecutor() as pool:
        call: Future[httpx.Response] = pool.submit(gate.post, "very-slow", name=name, stream=True)
        gate.upstream.wait(
            lambda: bool(gate.upstream.served) and gate.upstream.call(name).head_sent
        )
        time.sleep(0.2)
        gate.program.stop()
        assert '"code":"shutting_down"' in call.result(5).text
    before = gate.program.lines()
    gate.program.start()
    assert not any(line["data"].get("failure") == "process_lost" for line in gate.program.lines())
    assert gate.program.lines()[: len(before)] == before
    assert gate.post("plain").status_code == 200


def test_a_provider_that_takes_too_long(open_gate: Opened) -> None:
    gate = open_gate(
        {
            "KEYTOLL_CONNECT_TIMEOUT_S": "1",
            "KEYTOLL_FIRST_BYTE_TIMEOUT_S": "1",
            "KEYTOLL_SILENCE_TIMEOUT_S": "1",
        }
    )
    silent, stuck, whole = new_name(), new_name(), new_name()
    with ThreadPoolExecutor() as pool:
        unanswered = pool.submit(gate.post, "never", name=silent)
        broken = pool.submit(gate.post, "hold-first", name=stuck, stream=True)
        half = pool.submit(gate.post, "hold-first", name=whole)
        answer = unanswered.result(10)
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "provider_timeout")
        assert answer.headers["x-should-retry"] == "false"
        last = json.loads(sse(broken.result(10))[-1])
        assert last["error"]["code"] == "provider_timeout"
        assert last["x_keytoll"]["usage_source"] == "estimate"
        assert half.result(10).status_code == 504
    assert gate.program.settled(silent)["data"]["failure"] == "timeout"
    event = gate.program.settled(stuck)
    assert (event["topic"], event["data"]["reason"]) == ("request.usage-estimated", "cut_off")
    for name in (silent, stuck, whole):
        served = gate.upstream.call(name)
        gate.upstream.wait(lambda served=served: served.state == "left")  # type: ignore[misc]


@pytest.mark.parametrize("behaviour", ["plain", "silent", "status-429", "cut"])
@pytest.mark.parametrize("stream", [False, True])
def test_the_receipt_can_be_read_at_once(gate: TollGate, behaviour: str, stream: bool) -> None:
    answer = gate.post(behaviour, stream=stream)
    identity = answer.headers["x-request-id"]
    with gate.program.client() as owner:
        told = owner.get(f"/api/v1/usage/requests/{identity}").json()
    if "x_keytoll" in answer.text:
        lines = [text for text in answer.text.split("\n\n") if "x_keytoll" in text]
        shown = json.loads(lines[-1].removeprefix("data: "))["x_keytoll"]
        assert {name: told[name] for name in shown} == shown
    events = gate.program.events_of(identity)
    assert [event["event_id"] for event in told["events"]] == [e["event_id"] for e in events]
    assert told["state"] == ("failed" if events[1]["topic"] == "request.failed" else "settled")


@pytest.mark.parametrize("stream", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_caller_who_reads_nothing_holds_nothing_up(open_gate: Opened, stream: bool) -> None:
    """His answer does not fit into the sockets between; the program still ends in time."""
    gate = open_gate({"KEYTOLL_SHUTDOWN_TIMEOUT_S": "1"})
    name = new_name()
    body = json.dumps(asking("giant", name, stream=stream)).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
        f"authorization: Bearer {gate.program.api_keys['owner']}\r\n\r\n"
    )
    address = urlsplit(gate.program.base_url)
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.connect((address.hostname, address.port))
        caller.sendall(head.encode() + body)
        gate.upstream.wait(lambda: bool(gate.upstream.served))
        time.sleep(0.5)
        began = time.monotonic()
        gate.program.stop()
        assert time.monotonic() - began < 25
    (events,) = gate.program.tagged(name)
    assert events[1]["topic"] in {"request.usage-reported", "request.usage-estimated"}


def _refused(client: httpx.Client) -> httpx.Response:
    """The refusal of a stopping program (the signal may take a moment)."""
    deadline = time.monotonic() + 1.5
    while True:
        answer = client.post("/api/v1/chat/completions", json=asking("plain", new_name()))
        if answer.status_code == 503:
            return answer
        assert time.monotonic() < deadline, answer.text


def no_trouble(gate: TollGate) -> list[Any]:
    """What the program logged as an error."""
    return [line for line in gate.program.log_lines() if line["level"] in {"error", "critical"}]
