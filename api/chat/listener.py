"""Reads an answer piece by piece, and does not wait for ever for the end of a finished one."""

from __future__ import annotations

import asyncio
from typing import Final

from api.providers.http import Answer

SILENCE_S: Final = 10.0
"""How long a finished stream may stay silent before its answer is closed (API.md 3)."""


class Listener:
    """The bytes of one answer. Close it, whatever happens."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._awaited: asyncio.Task[bytes | None] | None = None
        """The next piece, where silence has ended the waiting for it."""
        self._quiet_until_s: float | None = None

    async def next(self, *, finished: bool) -> bytes | None:
        """The next bytes; None at the end, or after silence once all choices have finished."""
        if not finished:
            return await anext(self._answer.body, None)
        self._awaited = asyncio.ensure_future(_piece(self._answer))
        now_s = asyncio.get_running_loop().time()
        if self._quiet_until_s is None:
            self._quiet_until_s = now_s + SILENCE_S
        done, _ = await asyncio.wait({self._awaited}, timeout=self._quiet_until_s - now_s)
        if not done:
            return None
        found, self._awaited = self._awaited, None
        return found.result()

    def heard(self) -> None:
        """Something that counts has come (comments do not): silence begins anew."""
        self._quiet_until_s = None

    async def late(self) -> bytes | None:
        """The piece that silence was not waited for; None if the answer ended by itself."""
        if self._awaited is None:
            return None
        found = await self._awaited
        self._awaited = None
        return found

    async def aclose(self) -> None:
        """Nobody waits any more."""
        if self._awaited is not None:
            self._awaited.cancel()
            await asyncio.gather(self._awaited, return_exceptions=True)
        await self._answer.aclose()


async def _piece(answer: Answer) -> bytes | None:
    return await anext(answer.body, None)
