"""Deadline, goodbye and shutdown of a call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from api.chat.inflight import InFlight
from api.chat.lifeline import Lifeline
from api.chat.reply import Reply
from domain.clock import FixedClock
from domain.eventlog.memory import open_memory_log
from tests.api.chat.calls import START


async def nowhere(_message: Any) -> None:
    """A wire that takes everything."""


class Setting:
    def __init__(self, *, drains: bool, total_s: float = 60.0, drain_s: float = 60.0) -> None:
        self.log = open_memory_log(clock=FixedClock(START))
        self.in_flight = InFlight(self.log, per_account_max=9, drains_max=1)
        self.reply = Reply(nowhere, request_id="req_1")
        self.leaves = asyncio.Event()
        self.life = Lifeline(reply=self.reply, in_flight=self.in_flight, drain_s=drain_s)
        self.life.begin(total_s=total_s, drains=drains)

    async def receive(self) -> dict[str, str]:
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def wait(self, *, leaves: bool) -> None:
        """Wait for ever inside the bounds while the caller leaves or stays."""
        async with asyncio.timeout(5):
            watch = asyncio.create_task(self.life.watch(self.receive))
            if leaves:
                self.leaves.set()
            try:
                with self.life:
                    await asyncio.Event().wait()
            finally:
                watch.cancel()


async def test_the_deadline() -> None:
    setting = Setting(drains=True, total_s=0.02)
    with pytest.raises(TimeoutError):
        await setting.wait(leaves=False)
    assert setting.life.interrupted is None
    setting.log.close()


async def test_a_goodbye_cancels() -> None:
    setting = Setting(drains=False)
    with pytest.raises(TimeoutError):
        await setting.wait(leaves=True)
    assert setting.life.interrupted == "disconnected"
    assert setting.reply.gone
    setting.log.close()


async def test_a_goodbye_drains_for_a_while() -> None:
    setting = Setting(drains=True, drain_s=0.05)
    with pytest.raises(TimeoutError):
        await setting.wait(leaves=True)
    assert setting.life.interrupted is None
    assert setting.reply.gone
    assert setting.in_flight.drains == 1
    setting.life.release()
    setting.life.release()
    assert setting.in_flight.drains == 0
    setting.log.close()


async def test_too_many_drains_cancel() -> None:
    setting = Setting(drains=True)
    setting.in_flight.drains = 1
    with pytest.raises(TimeoutError):
        await setting.wait(leaves=True)
    assert setting.life.interrupted == "disconnected"
    assert setting.in_flight.drains == 1
    setting.log.close()


async def test_a_shutdown_ends_the_present_wait_and_the_next() -> None:
    setting = Setting(drains=True)
    asyncio.get_running_loop().call_later(0.02, setting.life.shut_down)
    with pytest.raises(TimeoutError):
        await setting.wait(leaves=False)
    assert setting.life.interrupted == "shutdown"
    with pytest.raises(TimeoutError):
        await setting.wait(leaves=False)
    setting.log.close()


async def test_an_answer_that_is_complete_is_nobody_leaving() -> None:
    """The web server says disconnect after every complete answer."""
    setting = Setting(drains=False)
    await setting.reply.json(b"{}")
    setting.leaves.set()
    async with asyncio.timeout(5):
        await setting.life.watch(setting.receive)
    assert setting.life.interrupted is None
    assert not setting.reply.gone
    setting.log.close()


async def test_every_attempt_has_its_own_deadline() -> None:
    setting = Setting(drains=True, total_s=0.02)
    with pytest.raises(TimeoutError):
        await setting.wait(leaves=False)
    setting.life.begin(total_s=60.0, drains=True)
    with setting.life:
        await asyncio.sleep(0.05)
    setting.life.begin(total_s=0.02, drains=True)
    with pytest.raises(TimeoutError):
        await setting.wait(leaves=False)
    setting.life.release()
    setting.log.close()


async def test_an_attempt_that_begins_too_late_is_interrupted_at_once() -> None:
    setting = Setting(drains=True)
    setting.life.shut_down()
    setting.life.begin(total_s=60.0, drains=True)
    with pytest.raises(TimeoutError):
        await setting.wait(leaves=False)
    assert setting.life.interrupted == "shutdown"
    setting.log.close()
