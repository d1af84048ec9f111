"""A line between two programs that can be cut, or go silent while it seems to stand."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Final, Literal

State = Literal["whole", "cut", "silent"]
PIECE_BYTES: Final = 64 * 1024


class Wires:
    """The thread that all wires of a run share."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self.loop.run_forever, name="wires", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End every connection, and the thread."""
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    async def _end(self) -> None:
        for server in self.servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class Wire:
    """Listens on a loopback port and passes everything on to another one."""

    def __init__(self, wires: Wires, name: str, target: int, *, port: int = 0) -> None:
        self.name = name
        self.state: State = "whole"
        self.cuts = 0
        self._target = target
        self._wires = wires
        self._writers: set[asyncio.StreamWriter] = set()
        self._whole = asyncio.Event()
        self._whole.set()
        listening = asyncio.run_coroutine_threadsafe(self._listen(port), wires.loop)
        self.port = listening.result(10)

    def cut(self) -> None:
        """Every connection breaks, and none can be made."""
        self._become("cut")

    def silence(self) -> None:
        """Connections stand, new ones are taken, and not a byte passes."""
        self._become("silent")

    def heal(self) -> None:
        """As if nothing had been. Connections that fell silent go on where they stood."""
        self._become("whole")

    def _become(self, state: State) -> None:
        self.cuts += state != "whole"
        asyncio.run_coroutine_threadsafe(self._change(state), self._wires.loop).result(10)

    async def _listen(self, port: int) -> int:
        server = await asyncio.start_server(self._taken, "127.0.0.1", port, backlog=512)
        self._wires.servers.append(server)
        found: int = server.sockets[0].getsockname()[1]
        return found

    async def _change(self, state: State) -> None:
        self.state = state
        if state == "whole":
            self._whole.set()
            return
        self._whole.clear()
        if state == "cut":
            for writer in list(self._writers):
                writer.transport.abort()

    async def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self.state == "cut":
                return
            await self._whole.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(back)
            try:
                both = (self._pass(reader, back), self._pass(there, writer))
                await asyncio.gather(*both)
            finally:
                self._writers.discard(back)
                back.transport.abort()
        except OSError:
            pass  # nobody listens there just now
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """One direction, until it ends or breaks; then the other one ends too."""
        with suppress(OSError):
            while piece := await source.read(PIECE_BYTES):
                await self._whole.wait()
                sink.write(piece)
                await sink.drain()
        with suppress(OSError, RuntimeError):
            sink.close()
