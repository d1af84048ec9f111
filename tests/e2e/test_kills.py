"""kill −9 at each named point of the path, and at random: nothing is doubled, nothing is missed."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.e2e.conftest import opened_gate
from tests.e2e.gate import TollGate, asking, new_name
from tests.e2e.killable import POINTS
from tests.e2e.program import Json
from tests.e2e.upstream import ScriptedUpstream

pytestmark = pytest.mark.slow
ROUNDS: Final = 20
CALLERS: Final = 12
ROUND_S_MAX: Final = 40.0

PASSAGES: Final = {
    "before-upstream": 24,
    "byte-arrived": 120,
    "before-terminal-event": 24,
    "during-commit": 16,
    "after-commit": 16,
    "terminal-event-stored": 24,
    "before-close": 120,
    "during-insert": 6,
    "batch-projected": 2,
}
"""The passage that kills is drawn from 1 to this."""
DELAYS_US: Final = {"during-commit": 3_000, "during-insert": 25_000}
"""The delay is drawn from 0 to this: somewhere inside the step."""


@dataclass
class Seen:
    """What the callers saw in one round."""

    begun: set[str] = field(default_factory=set)
    whole: dict[str, Json] = field(default_factory=dict)
    """Name → receipt of an answer that was read to its very end."""


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[TollGate]:
    with ScriptedUpstream() as upstream:
        gate = opened_gate(tmp_path, upstream)
        gate.program.stop()
        yield gate
        gate.end()


@pytest.mark.parametrize("point", [*POINTS, "random"])
def test_kills(gate: TollGate, point: str) -> None:
    dice = random.Random(point)
    rounds = [_round(gate, point, dice) for _ in range(ROUNDS)]
    gate.program.entry = ["-m", "keytoll"]
    gate.program.environment.pop("E2E_KILL_POINT", None)
    gate.program.start()
    checked = gate.program.command("verify", "--drift", "--json")
    assert checked.returncode == 0, (checked.stdout, checked.stderr)
    gate.program.stop()
    checked = gate.program.command("verify", "--json")
    assert checked.returncode == 0, (checked.stdout, checked.stderr)
    _check_books(gate, point, rounds)


def _round(gate: TollGate, point: str, dice: random.Random) -> Seen:
    """Start, load, die."""
    program = gate.program
    if point != "random":
        program.entry = ["-m", "tests.e2e.killable"]
        program.environment |= {
            "E2E_KILL_POINT": point,
            "E2E_KILL_PASSAGE": str(dice.randint(1, PASSAGES[point])),
            "E2E_KILL_DELAY_US": str(dice.randint(0, DELAYS_US.get(point, 0))),
        }
    try:
        program.start()
    except (AssertionError, httpx.TransportError):
        # Some points are passed by during the start already: it died there.
        assert program.process.wait(5) == -signal.SIGKILL, program.log_text()
        return Seen()
    delay_s = dice.uniform(0.05, 0.6) if point == "random" else None
    seen = asyncio.run(_load(gate, delay_s))
    assert program.process.wait(10) == -signal.SIGKILL, program.log_text()
    return seen


async def _load(gate: TollGate, kill_after_s: float | None) -> Seen:
    """Callers that call until the program is dead."""
    seen = Seen()
    program = gate.program
    headers = {"authorization": f"Bearer {program.api_keys['caller']}"}
    async with (
        asyncio.timeout(ROUND_S_MAX),
        httpx.AsyncClient(base_url=program.base_url, headers=headers, verify=False) as client,
        asyncio.TaskGroup() as tasks,
    ):
        for number in range(CALLERS):
            tasks.create_task(_caller(client, seen, number))
        if kill_after_s is not None:
            await asyncio.sleep(kill_after_s)
            program.process.kill()
    return seen


async def _caller(client: httpx.AsyncClient, seen: Seen, number: int) -> None:
    provider = ("openai", "anthropic")[number % 2]
    stream = number % 4 < 2
    while True:
        name = new_name()
        seen.begun.add(name)
        body = asking("plain", name, provider=provider, stream=stream)
        try:
            answer = await client.post("/v1/chat/completions", json=body, timeout=20)
        except httpx.TransportError:
            return  # the program is dead, or its connection is
        assert answer.status_code == 200, answer.text
        if not stream:
            seen.whole[name] = answer.json()["x_keytoll"]
        else:
            blocks = answer.text.split("\n\n")
            assert blocks[-2:] == ["data: [DONE]", ""], answer.text
            seen.whole[name] = json.loads(blocks[-3].removeprefix("data: "))["x_keytoll"]


def _check_books(gate: TollGate, point: str, rounds: list[Seen]) -> None:
    """Every promise of BILLING.md 5, from the log and the upstream's own count."""
    requests = gate.program.requests()
    by_name: dict[str, str] = {}
    for identity, events in requests.items():
        topics = [event["topic"] for event in events]
        assert topics[0] == "request.routed"
        assert len(topics) == 2, (identity, topics)
        name = events[0]["data"]["tags"]["call"]
        assert name not in by_name, f"{name} was recorded twice"
        by_name[name] = identity
    served = {each.name: each for each in gate.upstream.served}
    assert len(served) == len(gate.upstream.served), "a call reached the upstream twice"
    assert served.keys() <= by_name.keys(), "a served call is in no book"

    lost_in_all = 0
    for seen in rounds:
        lost = {n for n in seen.begun if _failure(requests, by_name.get(n)) == "process_lost"}
        assert not lost & seen.whole.keys(), "a whole answer was written off"
        assert len(lost) <= CALLERS
        lost_in_all += len(lost)
        for name, receipt in seen.whole.items():
            assert receipt["request_id"] == by_name[name]
            terminal = requests[by_name[name]][1]
            assert terminal["topic"] == "request.usage-reported"
            usage = terminal["data"]["usage"]
            for unit in ("input_tokens", "output_tokens"):
                assert receipt["usage"][unit] == usage[unit]
            assert usage["input_tokens"] == served[name].prompt_tokens
            assert usage["output_tokens"] == served[name].completion_tokens
    ends = Counter(events[1]["topic"].removeprefix("request.") for events in requests.values())
    print(
        f"\n{point:>22}: {len(rounds)} kills, {sum(len(s.begun) for s in rounds)} calls begun,"
        f" {len(requests)} recorded, {len(served)} served,"
        f" {sum(len(s.whole) for s in rounds)} seen whole, {lost_in_all} lost,"
        f" {dict(sorted(ends.items()))}"
    )


def _failure(requests: dict[str, list[Json]], identity: str | None) -> str | None:
    if identity is None:
        return None
    failure: str | None = requests[identity][1]["data"].get("failure")
    return failure
