"""How commands reach a running server: a socket in the data folder that only its owner may use.

SQLite and the ClickHouse engine each allow one owner, so while a server runs it carries out the
commands itself. One JSON line asks (`argv`, `cwd`), JSON lines answer: `out` and `err` carry
text, `exit` is the last.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TextIO, cast

import structlog

_log = structlog.get_logger("keytoll.control")

SOCKET: Final = "control.sock"
REQUEST_BYTES_MAX: Final = 1 << 20
CONNECT_S: Final = 5.0
COMMANDS_MAX: Final = 16
"""Commands that run at once. They have threads of their own: an asker who does not read on keeps
one, and no call may wait for it."""
LEAVE_S: Final = 5.0
"""How long the end waits for askers to read what their commands still say."""

RunCommand = Callable[[list[str], Path, TextIO, TextIO], int]
"""(arguments, caller's folder, out, err) → exit code; runs in a thread."""


class ControlServer:
    """Serves the socket. A stale one is replaced: whoever owns the folder's lock may do that."""

    def __init__(self, data: Path, run: RunCommand) -> None:
        self._data = data
        self._run = run
        self._server: asyncio.Server | None = None
        self._threads = ThreadPoolExecutor(COMMANDS_MAX, thread_name_prefix="command")
        self._running: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def start(self) -> None:
        """Listen, with permission for the owner only."""
        with suppress(FileNotFoundError):
            (self._data / SOCKET).unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old_mask = os.umask(0o177)
        try:
            with _short_path(self._data) as path:
                listener.bind(path)
        finally:
            os.umask(old_mask)
        self._server = await asyncio.start_unix_server(
            self._serve, sock=listener, limit=REQUEST_BYTES_MAX
        )

    async def stop(self) -> None:
        """Stop listening, remove the socket, and let the running commands end."""
        if self._server is not None:
            self._server.close()
            with suppress(FileNotFoundError):
                (self._data / SOCKET).unlink()
        if self._running:
            await asyncio.wait(list(self._running), timeout=LEAVE_S)
        for writer in self._running.values():
            writer.transport.abort()
        await asyncio.to_thread(self._threads.shutdown)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        try:
            argv, folder = _asked(await reader.readline())
            if task is not None:
                self._running[task] = writer
            loop = asyncio.get_running_loop()
            out, err = (cast(TextIO, _Remote(writer, loop, name)) for name in ("out", "err"))
            code = await loop.run_in_executor(self._threads, self._run, argv, folder, out, err)
            writer.write(json.dumps({"exit": code}).encode() + b"\n")
            await writer.drain()
        except (_NotOurLanguage, OSError):
            pass  # or whoever asked has gone
        except Exception:
            _log.exception("command_broke")
            with suppress(OSError):
                writer.write(_BROKEN)
                await writer.drain()
        finally:
            if task is not None:
                self._running.pop(task, None)
            writer.close()


_BROKEN: Final = b'{"err": "keytoll: the command failed; see the log\\n"}\n{"exit": 2}\n'


class _NotOurLanguage(Exception):
    """What came through the socket is no request."""


def _asked(line: bytes) -> tuple[list[str], Path]:
    try:
        request = json.loads(line)
        return [str(word) for word in request["argv"]], Path(request["cwd"])
    except (ValueError, KeyError, TypeError):
        raise _NotOurLanguage from None


class _Remote(io.TextIOBase):
    """A text stream of a command's thread whose other end is the asker."""

    def __init__(
        self, writer: asyncio.StreamWriter, loop: asyncio.AbstractEventLoop, name: str
    ) -> None:
        self._writer = writer
        self._loop = loop
        self._name = name

    def write(self, text: str) -> int:
        line = json.dumps({self._name: text}).encode() + b"\n"
        asyncio.run_coroutine_threadsafe(self._send(line), self._loop).result()
        return len(text)

    async def _send(self, line: bytes) -> None:
        self._writer.write(line)
        await self._writer.drain()


def forward(data: Path, argv: list[str], *, out: TextIO, err: TextIO) -> int | None:
    """Let the server of this folder carry out a command; None when none is running."""
    if not (data / SOCKET).exists():
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(CONNECT_S)
        try:
            with _short_path(data) as path:
                connection.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return None  # left behind by a process that died
        connection.settimeout(None)
        connection.sendall(json.dumps({"argv": argv, "cwd": str(Path.cwd())}).encode() + b"\n")
        with connection.makefile("rb") as answers:
            for line in answers:
                answer: dict[str, Any] = json.loads(line)
                if "exit" in answer:
                    return int(answer["exit"])
                print(answer.get("out", ""), end="", file=out, flush=True)
                print(answer.get("err", ""), end="", file=err, flush=True)
    err.write("keytoll: the server went away while it carried out the command\n")
    return 2


@contextmanager
def _short_path(data: Path) -> Iterator[str]:
    """A path to the socket that fits into the 107 bytes a Unix socket address may have."""
    folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}" if sys.platform == "linux" else str(data / SOCKET)
    finally:
        os.close(folder)
