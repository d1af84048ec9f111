"""The workers of a process: started together, watched together, ended together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import structlog

from keytoll.wiring.jobs import Job
from workers.loop import State, Worker

_log = structlog.get_logger("keytoll.workers")


class Workforce:
    """One thread for each job."""

    def __init__(
        self, jobs: Sequence[Job], *, on_failure: Callable[[State], None] | None = None
    ) -> None:
        """`on_failure` is told, in the worker's thread, of one that cannot go on."""
        self._on_failure = on_failure
        self._jobs = [
            (
                job,
                Worker(job.name, job.step, on_change=self._changed, retry_s_max=job.retry_s_max),
            )
            for job in jobs
        ]

    def start(self) -> None:
        """Begin all of it."""
        for _, worker in self._jobs:
            worker.start()

    def stop(self) -> None:
        """End each after its running step, the last one first, and let others do its work."""
        for job, worker in reversed(self._jobs):
            if worker.stop():
                job.release()

    def states(self) -> Sequence[State]:
        """What each is doing."""
        return [worker.state for _, worker in self._jobs]

    def backlogs(self) -> Mapping[str, float]:
        """Store that is relayed here → its events that are not known to be in the topic."""
        found = [job.relay() for job, _ in self._jobs if job.relay is not None]
        return {state.store_id: state.backlog for state in found if state is not None}

    def lag(self) -> float:
        """Records of the topic that this member of the group has not read; not a number while
        that is unknown."""
        for job, _ in self._jobs:
            member = None if job.member is None else job.member()
            if member is not None and member.lag is not None:
                return member.lag
        return math.nan

    def why_not_ready(self) -> str | None:
        """What keeps one of them from its work; None when all get on."""
        for state in self.states():
            if state.status != "running":
                return f"{state.name} is {state.status}: {state.error or 'no error'}"
        return None

    def _changed(self, state: State) -> None:
        say = _log.info if state.error is None else _log.error
        say("worker", worker=state.name, status=state.status, error=state.error)
        if state.status == "failed" and self._on_failure is not None:
            self._on_failure(state)
