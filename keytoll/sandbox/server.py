"""The sandbox on its own loopback port, inside the running program."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from domain.clock import Clock
from keytoll.sandbox.app import CUT, sandbox_app


class _Protocol(HttpToolsProtocol):
    """Lets the application close a connection in the middle of an answer."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        # What was written before is still flushed; the end of the answer never comes.
        extensions: dict[str, Any] = {CUT: self.transport.close}
        self.scope["extensions"] = extensions


class _Server(uvicorn.Server):
    """Leaves the process's signals to the server that owns the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class SandboxServer:
    """Starts and stops the sandbox. Port 0 takes a free one; the port is known after start()."""

    def __init__(self, clock: Clock, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._clock = clock
        self._host = host
        self._port = port
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """`http://host:port`, where /served answers."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def base_url(self) -> str:
        """What goes before /chat/completions."""
        return f"{self.address}/v1"

    async def start(self) -> None:
        """Listen and return once calls are taken. Raises OSError when the port is not free."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.create_server((self._host, self._port), family=family, backlog=2048)
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(
            sandbox_app(self._clock),
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="sandbox")
        while not self._server.started:
            if self._task.done():
                await self._task
                raise OSError(f"the sandbox did not start on {self.address}")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Stop taking calls, give running ones a moment, close. Idempotent."""
        if self._server and self._task:
            self._server.should_exit = True
            await self._task
        self._server = self._task = None
