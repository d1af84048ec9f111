"""What is done to the processes, when, by the seed: a list of steps that can be replayed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, Literal, TypeVar

from tests.torture.site import Site
from tests.torture.wire import Wire

T = TypeVar("T")
Action = Literal["kill", "stop", "pause", "cut", "silence", "injure"]
WEIGHTS: Final[dict[Action, int]] = {
    "kill": 60,
    "stop": 6,
    "pause": 12,
    "cut": 8,
    "silence": 4,
    "injure": 14,
}
WATCH_S: Final = 0.05
START_S: Final = 45.0
"""A process that has been started is left in peace until it was seen to work, or for so long."""


@dataclass(frozen=True)
class Step:
    """One step: after `wait_s`, do it to the target that `draw` (a part of 1) points at."""

    number: int
    wait_s: float
    action: Action
    draw: float
    amount: float
    """Seconds of being down, stopped or cut; else a part of 1."""

    def __str__(self) -> str:
        return (
            f"{self.number:4d}  +{self.wait_s:.2f} s  {self.action:<8} {self.draw:.3f}"
            f"  {self.amount:.2f}"
        )


def steps_of(seed: int, *, wait_s: float) -> Iterator[Step]:
    """The steps of a seed, without end; `wait_s` is the mean time between two."""
    dice = Random(f"steps of {seed}")
    number = 0
    while True:
        number += 1
        [action] = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))
        longest = {"pause": 9.0, "cut": 6.0, "silence": 6.0, "injure": 1.0}.get(action, 2.0)
        if action == "pause" and dice.random() < 0.1:
            longest = 40.0  # longer than the session of a group's member: it comes back as a zombie
        yield Step(
            number,
            dice.uniform(0.2 * wait_s, 1.8 * wait_s),
            action,
            dice.random(),
            dice.uniform(0.02 * longest, longest),
        )


@dataclass
class Done:
    """What really happened."""

    at: float
    step: Step
    target: str
    outcome: str


@dataclass
class Chaos:
    """Carries out the steps, and starts again what has died."""

    site: Site
    steps: Iterator[Step]
    say: Callable[[str], None]
    done: list[Done] = field(default_factory=list)
    _healing: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def run(self, *, enough: Callable[[], bool]) -> None:
        """Until it is enough."""
        for step in self.steps:
            self.rest(step.wait_s, enough=enough)
            if enough():
                return
            target, outcome = self._carry_out(step)
            self.done.append(Done(time.time(), step, target, outcome))
            self.say(f"{step}  {target}: {outcome}")

    def heal(self) -> None:
        """Everything runs and every line is whole again."""
        self._healing.clear()
        for wire in self.site.wires:
            wire.heal()
        for process in self.site.processes:
            process.resume()
            process.watch(restart=False)
        for process in self.site.processes:
            # Also those that still have a death built in.
            process.disarm()

    def rest(self, seconds: float, *, enough: Callable[[], bool] = lambda: False) -> None:
        """Let time pass; what is due is healed, what has died is started again."""
        until = time.time() + seconds
        while True:
            now = time.time()
            for due, heal in [each for each in self._healing if each[0] <= now]:
                self._healing.remove((due, heal))
                heal()
            for process in self.site.processes:
                process.watch(restart=True, armed=True)
            if now >= until or enough():
                return
            time.sleep(WATCH_S)

    def _carry_out(self, step: Step) -> tuple[str, str]:
        if step.action == "injure":
            return self._injure(step)
        if step.action in {"cut", "silence"}:
            return self._break(step)
        process = _drawn(self.site.processes, step.draw)
        if step.action == "kill" or (step.action == "stop" and process.foreign):
            return process.name, "killed" if process.kill(down_s=step.amount) else "was down"
        if step.action == "stop":
            return process.name, "stopped" if process.stop(down_s=step.amount) else "was down"
        if not process.pause():
            return process.name, "was down"
        self._healing.append((time.time() + step.amount, process.resume))
        return process.name, f"stood still {step.amount:.1f} s"

    def _break(self, step: Step) -> tuple[str, str]:
        if not self.site.wires:
            return "-", "no wires"
        wire: Wire = _drawn(self.site.wires, step.draw)
        if wire.state != "whole":
            return wire.name, "was broken"
        if step.action == "cut":
            wire.cut()
        else:
            wire.silence()
        self._healing.append((time.time() + step.amount, wire.heal))
        return wire.name, f"{wire.state} {step.amount:.1f} s"

    def _injure(self, step: Step) -> tuple[str, str]:
        if not self.site.injuries:
            return "-", "no injuries"
        kind = _drawn(self.site.injuries, step.draw)
        return kind, self.site.injure(kind, step.amount) or "not possible now"


def _drawn(choice: Sequence[T], draw: float) -> T:
    return choice[int(draw * len(choice))]


def hits(done: Sequence[Done], site: Site) -> Counter[tuple[str, str]]:
    """(what, how) → how often."""
    found: Counter[tuple[str, str]] = Counter()
    for death in site.deaths:
        found["close", f"killed at {death.detail}"] += 1
    for process in site.processes:
        for death in process.deaths:
            how = f"killed at {death.detail}" if death.cause == "point" else _WORDS[death.cause]
            found[process.role, how] += 1
        found[process.role, "stood still (SIGSTOP)"] += len(process.stops)
    for each in done:
        if each.step.action in {"cut", "silence", "injure"} and not each.outcome.startswith(
            _NOTHING
        ):
            found[
                each.target,
                {"cut": "cut off", "silence": "fell silent"}.get(each.step.action, "done"),
            ] += 1
    return +found


_WORDS: Final = {
    "kill": "kill -9 at random",
    "stop": "asked to stop (SIGTERM)",
    "yield": "gave up at its start",
    "own": "ended by itself",
}
_NOTHING: Final = ("no wires", "no injuries", "was broken", "not possible now", "failed")
