"""Commands through the socket of a running server."""

from __future__ import annotations

import asyncio
import io
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TextIO

import pytest

from keytoll.control import COMMANDS_MAX, SOCKET, ControlServer, RunCommand, forward


@asynccontextmanager
async def serving(data: Path, run: RunCommand) -> AsyncIterator[None]:
    server = ControlServer(data, run)
    await server.start()
    try:
        yield
    finally:
        await server.stop()


async def asked(data: Path, *words: str) -> tuple[int | None, str, str]:
    out, err = io.StringIO(), io.StringIO()
    async with asyncio.timeout(5):
        code = await asyncio.to_thread(forward, data, list(words), out=out, err=err)
    return code, out.getvalue(), err.getvalue()


def echo(argv: list[str], folder: Path, out: TextIO, err: TextIO) -> int:
    print(*argv, file=out)
    print(folder, file=err)
    return 7


async def test_a_command_there_and_back(tmp_path: Path) -> None:
    async with serving(tmp_path, echo):
        mode = (tmp_path / SOCKET).stat().st_mode
        assert stat.S_IMODE(mode) == 0o600
        assert await asked(tmp_path, "a", "b c", "ü") == (7, "a b c ü\n", f"{Path.cwd()}\n")
    assert not (tmp_path / SOCKET).exists()
    assert (await asked(tmp_path, "a"))[0] is None


@pytest.mark.parametrize("error", [TypeError("x"), ValueError("x"), KeyError("x"), RuntimeError()])
async def test_a_command_that_breaks_says_so(tmp_path: Path, error: Exception) -> None:
    def broken(argv: list[str], folder: Path, out: TextIO, err: TextIO) -> int:
        raise error

    async with serving(tmp_path, broken):
        code, _, said = await asked(tmp_path, "a")
        assert (code, said) == (2, "keytoll: the command failed; see the log\n")


@pytest.mark.parametrize(
    "line", [b"\n", b"{}\n", b"[]\n", b'{"argv": 1, "cwd": "/"}\n', b"GET /\n"]
)
async def test_nonsense_is_answered_with_silence(tmp_path: Path, line: bytes) -> None:
    async with serving(tmp_path, echo):
        reader, writer = await asyncio.open_unix_connection(tmp_path / SOCKET)
        writer.write(line)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        assert (await asked(tmp_path, "a"))[0] == 7


async def test_a_path_longer_than_a_socket_address(tmp_path: Path) -> None:
    data = tmp_path / ("d" * 100) / ("e" * 100)
    data.mkdir(parents=True)
    async with serving(data, echo):
        assert (await asked(data, "a"))[0] == 7


async def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    async with serving(tmp_path, echo):
        (tmp_path / SOCKET).rename(tmp_path / "kept")
    (tmp_path / "kept").rename(tmp_path / SOCKET)
    assert (await asked(tmp_path, "a"))[0] is None
    async with serving(tmp_path, echo):
        assert (await asked(tmp_path, "a"))[0] == 7


async def test_an_asker_who_reads_nothing_holds_up_neither_calls_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keytoll.control.LEAVE_S", 0.1)
    ended: list[str] = []

    def talkative(argv: list[str], folder: Path, out: TextIO, err: TextIO) -> int:
        try:
            for _ in range(10_000):
                print("x" * 10_000, file=out)
        finally:
            ended.append(argv[0])
        return 0

    async with asyncio.timeout(10):
        async with serving(tmp_path, talkative):
            writers = []
            for number in range(COMMANDS_MAX):
                _, writer = await asyncio.open_unix_connection(tmp_path / SOCKET, limit=1)
                writer.write(b'{"argv": ["%d"], "cwd": "/"}\n' % number)
                writers.append(writer)
            await asyncio.sleep(0.2)
            assert not ended
            # The threads that calls use are all free.
            await asyncio.gather(*(asyncio.to_thread(int) for _ in range(64)))
        assert len(ended) == COMMANDS_MAX
    for writer in writers:
        writer.close()
