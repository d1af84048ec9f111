"""The jobs of a process: watched together, ended in order."""

from __future__ import annotations

import math
import threading
import time

from domain.eventlog.port import StoreUnavailable
from keytoll.wiring.jobs import Job
from keytoll.workforce import Workforce
from workers.loop import State
from workers.project_group import Membership
from workers.relay import RelayState


def idle() -> float:
    return 60.0


def test_what_was_held_is_let_go_of_after_the_end_the_last_first() -> None:
    ended: list[str] = []
    force = Workforce([Job(name, idle, lambda at=name: ended.append(at)) for name in "abc"])  # type: ignore[misc]
    force.start()
    force.stop()
    assert ended == ["c", "b", "a"]
    assert {state.status for state in force.states()} == {"stopped"}


def test_a_part_that_waits_makes_the_process_not_ready_and_says_why() -> None:
    seen = threading.Event()

    def away() -> float:
        seen.set()
        raise StoreUnavailable("the database is away")

    failures: list[State] = []
    force = Workforce([Job("relay", away)], on_failure=failures.append)
    force.start()
    assert seen.wait(10)
    for _ in range(1000):
        reason = force.why_not_ready()
        if reason is not None and "retrying" in reason:
            break
        time.sleep(0.01)
    force.stop()
    assert reason == "relay is retrying: StoreUnavailable: the database is away"
    assert not failures


def test_a_part_that_cannot_go_on_is_told_of() -> None:
    failures: list[State] = []
    told = threading.Event()

    def broken() -> float:
        raise ValueError("tables of another log")

    def on_failure(state: State) -> None:
        failures.append(state)
        told.set()

    force = Workforce([Job("project", broken), Job("seal", idle)], on_failure=on_failure)
    force.start()
    assert told.wait(10)
    force.stop()
    assert [(state.name, state.error) for state in failures] == [
        ("project", "ValueError: tables of another log")
    ]


def test_figures_of_relay_and_group() -> None:
    def relay(store: str, backlog: int) -> Job:
        return Job("relay", idle, relay=lambda: RelayState(store, True, 5, backlog))

    member = Job("project", idle, member=lambda: Membership(3, 17))
    force = Workforce([relay("st_a", 2), relay("st_b", 0), member])
    assert force.backlogs() == {"st_a": 2, "st_b": 0}
    assert force.lag() == 17


def test_what_has_not_begun_has_no_figures() -> None:
    force = Workforce(
        [Job("relay", idle, relay=lambda: None), Job("project", idle, member=lambda: None)]
    )
    assert force.backlogs() == {}
    assert math.isnan(force.lag())
    assert math.isnan(Workforce([]).lag())
