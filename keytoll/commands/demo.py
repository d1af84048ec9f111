"""`keytoll demo`: from a first call to its invoice, with real parts and play money."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

from domain.clock import SystemClock, instant_text
from domain.errors import UnsafeSetup
from domain.eventlog.sqlite_file import verify_file
from domain.ids import new_id
from domain.installation import open_installation
from keytoll import control
from keytoll.commands.port import Bare, Command, Console, no_arguments
from keytoll.commands.serve import base_url_of, command_runner
from keytoll.listener import listen
from keytoll.logs import configure_logs
from keytoll.setting import Address
from keytoll.settings import Settings
from keytoll.wiring import EVENTS_FILE, open_stores

WAIT_S_MAX: Final = 60.0
T = TypeVar("T")


def demo(settings: Settings, args: argparse.Namespace, console: Console) -> int:
    """Serve on a folder that is thrown away, call, bill, prove; 1 when something does not agree."""
    with tempfile.TemporaryDirectory(prefix="keytoll-demo-") as folder:
        data = Path(folder) / "data"
        own = replace(
            settings,
            data=data,
            listen=Address("127.0.0.1", 0),
            master_key=None,
            master_key_file=Path(folder) / "data.key",
            checkpoints=Path(folder) / "data.checkpoints",
            store=(),
            kafka=(),
            clickhouse=None,
            metrics_listen=None,
            sandbox=True,
            log_level="error",
        )
        configure_logs(own)
        import uvloop  # noqa: PLC0415 - as in serve.py

        return uvloop.run(_run(own, console, as_json=args.json))


async def _run(settings: Settings, console: Console, *, as_json: bool) -> int:
    from keytoll.server import Server  # noqa: PLC0415 - as in serve.py

    clock = SystemClock()
    listener = listen(settings.listen)
    stores = open_stores(settings, clock, epoch=new_id().hex)
    try:
        keys = open_installation(stores.ledger, stores.directory).api_keys
        server = Server(stores, run_command=command_runner(stores))
        serving = asyncio.Event()
        running = asyncio.create_task(server.run(listener, started=lambda _: serving.set()))
        await serving.wait()
        url = base_url_of(listener)
        revealed: dict[str, str] = {role: key.reveal() for role, key in keys.items()}
        story = _Story(url, settings.data, revealed, console, as_json=as_json)
        try:
            return await asyncio.to_thread(story.tell)
        finally:
            server.stop()
            await running
    finally:
        stores.close()
        listener.close()


class _Story:
    """The steps, in order. Everything goes over the socket, as a customer's calls would."""

    def __init__(
        self, url: str, data: Path, keys: dict[str, str], console: Console, *, as_json: bool
    ) -> None:
        self._url = url
        self._data = data
        self._keys = keys
        self._console = console
        self._as_json = as_json
        self._clock = SystemClock()

    def tell(self) -> int:
        start = self._clock.now()
        self._say(f"keytoll serves on {self._url}, with a sandbox in the provider's place\n")
        account = self._step("open an account", self._open_account)
        self._step(
            "store a provider key",
            lambda: self._ask(
                "/api/user/provider-keys", {"provider": "sandbox", "key": "play-money-0001"}
            ),
        )
        first = self._step("call, answered as JSON", lambda: self._call("sandbox/echo"))
        self._step("call, streamed", lambda: self._stream("sandbox/echo"))
        self._step("call, cut off in the middle", lambda: self._stream("sandbox/cut"))
        free = self._step("call a free model", lambda: self._stream("sandbox/echo-free"))
        self._step("wait for the projections", self._projected)
        self._step("let a second pass, so that the period is over", lambda: time.sleep(1.1))
        period = f"{instant_text(start)}/{instant_text(self._clock.now())}"
        closed = self._step(
            "close the period",
            lambda: json.loads(
                self._command("close", "--period", period, "--account", account, *_NOW)
            ),
        )
        replayed = self._step("replay the trail and compare", lambda: self._command(*_REPLAY))
        self._step("verify every hash and seal", self._verify)
        if self._as_json:
            self._console.answer(
                {"receipt": first["x_keytoll"], "free_model": free, "invoices": closed["invoices"]}
            )
            return _code(closed)

        self._show("The receipt of the first call", json.dumps(first["x_keytoll"], indent=2))
        self._show("The free model's fee", _free_model(free))
        self._show("Its trail", self._trail(first["x_keytoll"]["request_id"]))
        self._show("Usage", self._command("report", "usage", "--account", account))
        for invoice in closed["invoices"]:
            self._show("The invoice", self._command("invoice", "show", invoice["id"]))
        self._show("The proof", replayed)
        return _code(closed)

    def _open_account(self) -> str:
        opened = self._ask("/api/v1/accounts", {"name": "Demo"}, role="operator")
        self._keys["owner"] = opened["api_keys"]["owner"]
        return str(opened["id"])

    def _call(self, model: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._ask("/api/v1/chat/completions", _chat(model))
        return answer

    def _stream(self, model: str) -> dict[str, Any]:
        """The receipt of a streamed call: in its last event, also after an error."""
        request = self._request("/api/v1/chat/completions", {**_chat(model), "stream": True})
        receipt: dict[str, Any] = {}
        with urllib.request.urlopen(request, timeout=WAIT_S_MAX) as answer:  # noqa: S310
            for line in answer:
                if line.startswith(b"data: {"):
                    receipt = json.loads(line[6:]).get("x_keytoll", receipt)
        return receipt

    def _projected(self) -> None:
        give_up_s = self._clock.monotonic_s() + WAIT_S_MAX
        while self._clock.monotonic_s() < give_up_s:
            with urllib.request.urlopen(f"{self._url}/metrics", timeout=WAIT_S_MAX) as answer:  # noqa: S310
                if b"\nkeytoll_projection_lag_events 0.0" in answer.read():
                    return
            time.sleep(0.1)
        raise UnsafeSetup("the projections did not catch up")

    def _trail(self, request_id: str) -> str:
        events = self._ask(f"/api/v1/usage/requests/{request_id}")["events"]
        return "\n".join(
            f"seq {event['seq']:>4}  {event['recorded_at']}  {event['topic']:<24} {event['hash']}"
            for event in events
        )

    def _verify(self) -> None:
        report = verify_file(self._data / EVENTS_FILE)
        if not report.ok:
            raise UnsafeSetup(report.findings[0].message)

    def _command(self, *words: str) -> str:
        """A command, carried out by the running server through its control socket."""
        out, err = io.StringIO(), io.StringIO()
        code = control.forward(self._data, list(words), out=out, err=err)
        if code != 0:
            raise UnsafeSetup(f"keytoll {words[0]} ended with {code}: {err.getvalue().strip()}")
        return out.getvalue().rstrip()

    def _ask(self, path: str, body: Any = None, role: str = "owner") -> Any:
        with urllib.request.urlopen(self._request(path, body, role), timeout=WAIT_S_MAX) as answer:  # noqa: S310
            return json.loads(answer.read())

    def _request(self, path: str, body: Any, role: str = "owner") -> urllib.request.Request:
        headers = {
            "authorization": f"Bearer {self._keys[role]}",
            "content-type": "application/json",
        }
        data = None if body is None else json.dumps(body).encode()
        return urllib.request.Request(self._url + path, data, headers)  # noqa: S310

    def _step(self, what: str, do: Callable[[], T]) -> T:
        with self._progress(what):
            return do()

    @contextmanager
    def _progress(self, what: str) -> Iterator[None]:
        """One line per step; on a terminal it shows at once that the step runs."""
        out, live = self._console.out, self._console.out.isatty() and not self._as_json
        if live:
            out.write(f"  …  {what}")
            out.flush()
        began_s = self._clock.monotonic_s()
        yield
        took = f"{self._clock.monotonic_s() - began_s:.2f} s"
        self._say(f"\r  ok {what} ({took})" if live else f"  ok {what} ({took})")

    def _show(self, title: str, text: str) -> None:
        self._say(f"\n{title}\n{'-' * len(title)}\n{text}")

    def _say(self, text: str) -> None:
        if not self._as_json:
            self._console.say(text)
            self._console.out.flush()


_NOW: Final = ("--grace", "0", "--json")
_REPLAY: Final = ("replay", "--check")


def _chat(model: str) -> dict[str, Any]:
    words = "A toll gate keeps count of every cart and forgets none"
    return {"model": model, "messages": [{"role": "user", "content": words}]}


def _code(closed: dict[str, Any]) -> int:
    return 0 if closed["invoices"] and not closed["refused"] else 1


def _free_model(receipt: dict[str, Any]) -> str:
    reference = receipt["reference"]
    return (
        f"{receipt['model']} is free, so the fee is {receipt['markup_rate']} of what"
        f" {reference['provider']} asks for {reference['model']} ({reference['rule']}):"
        f" {receipt['at_cost_usd']} x {receipt['markup_rate']} = {receipt['fee_usd']} USD"
    )


COMMANDS: Final[tuple[Command, ...]] = (
    Bare("demo", "from a first call to its invoice, by itself", no_arguments, demo),
)
