"""A member of the group that projects from the feed: poll, insert, commit, in this order.

One thread polls, another one asks and fills the tables, so that a slow or absent ClickHouse never
costs the membership: the feed is paused meanwhile. What fails for a reason that passes is tried
again for ever. A batch is committed only by who still holds its partitions, and only once all of
it is in the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Thread
from typing import Final

from domain.clock import Clock
from domain.eventlog.feed import Delivery, Feed, FeedUnavailable, OpenFeed, Partition
from projections.group import GroupTables
from projections.projector import BATCH_EVENTS_MAX
from projections.store.port import ProjectionUnavailable
from workers.loop import INFRASTRUCTURE

POLL_S: Final = 0.25
LINGER_S: Final = 0.5
"""How long records gather into a batch: it costs 20 ms of CPU however small."""
JOIN_S: Final = 10.0
"""How long a revocation waits for what is being inserted: the whole group waits with it."""
LOOK_S: Final = 1.0
"""Between two looks whether a rebuild has put other tables in force."""
RETRY_S: Final = 60.0
"""Between two tries of dead letters."""
MEASURE_S: Final = 5.0
_LONG_AGO: Final = float("-inf")


@dataclass(frozen=True, slots=True)
class Membership:
    """What a member holds and how far behind it is, for operators."""

    partitions: int = 0
    lag: int | None = None
    """Records that were published and not read here; None while unknown."""


class _Job:
    """Something that is done with the tables, in a thread of its own."""

    def __init__(self, work: Callable[[], Callable[[], None]]) -> None:
        """`work` gives what the polling thread is to do about it then."""
        self._work = work
        self.done = Event()
        self.after: Callable[[], None] | None = None
        self.error: Exception | None = None
        Thread(target=self._run, name="project-insert", daemon=True).start()

    def _run(self) -> None:
        try:
            self.after = self._work()
        except Exception as error:
            # For the thread that polls, whatever it is.
            self.error = error
        self.done.set()


class ProjectGroup:
    """The step of the worker. `close` when the worker has ended."""

    def __init__(
        self,
        open_feed: OpenFeed,
        tables: GroupTables,
        *,
        clock: Clock,
        batch_max: int = BATCH_EVENTS_MAX,
        poll_s: float = POLL_S,
        linger_s: float = LINGER_S,
        join_s: float = JOIN_S,
    ) -> None:
        self._open_feed = open_feed
        self._tables = tables
        self._clock = clock
        self._batch_max = batch_max
        self._poll_s = poll_s
        self._linger_s = linger_s
        self._join_s = join_s
        self._feed: Feed | None = None
        self._job: _Job | None = None
        self._trouble: Exception | None = None
        self._batch: list[Delivery] = []
        self._uncommitted: dict[Partition, int] = {}
        self._unplaced: set[Partition] = set()
        """Given to this member, and not begun where the tables need it."""
        self._gathered_s = 0.0
        self._looked_s = self._retried_s = self._measured_s = _LONG_AGO
        self.membership = Membership()

    def __call__(self) -> float:
        """One round. Raises what keeps it from making progress, while that lasts."""
        try:
            self._round(self._feed or self._join())
        except INFRASTRUCTURE:
            raise
        except BaseException:
            # Waiting would not help: leave, so that everybody sees it and others take over.
            self.close()
            raise
        return 0.0

    def close(self) -> None:
        """Finish what is being inserted, if that is soon, and leave the group."""
        feed, self._feed = self._feed, None
        if feed is None:
            return
        self._give_up()
        feed.close()
        self.membership = Membership()

    def _join(self) -> Feed:
        self._feed = self._open_feed(on_assigned=self._assigned, on_revoked=self._revoked)
        self._looked_s = _LONG_AGO
        return self._feed

    def _round(self, feed: Feed) -> None:
        if self._job is None:
            self._commit(feed)
            work = self._due(feed)
            if work is None:
                self._gather(feed)
                return
            feed.pause()
            self._job = _Job(work)
        self._await(feed, self._job)

    def _due(self, feed: Feed) -> Callable[[], Callable[[], None]] | None:
        """What is to be done with the tables before more is read."""
        tables, now_s = self._tables, self._clock.monotonic_s()
        if now_s - self._looked_s >= LOOK_S:
            return lambda: self._followed if tables.follow() else self._looked
        self._unplaced &= feed.assigned()
        if self._unplaced:
            asked = frozenset(self._unplaced), feed.committed(), feed.ends()
            return lambda: self._placing(feed, tables.begin(*asked))
        full = len(self._batch) >= self._batch_max
        if self._batch and (full or now_s - self._gathered_s >= self._linger_s):
            return self._inserting(feed, tables, tuple(self._batch))
        if now_s - self._retried_s >= RETRY_S:
            return self._retrying(tables)
        return None

    def _gather(self, feed: Feed) -> None:
        """Read on."""
        feed.resume()
        limit = self._batch_max - len(self._batch)
        timeout_s = self._poll_s if not self._batch else min(self._poll_s, self._linger_s)
        found = feed.poll(limit=limit, timeout_s=timeout_s)
        if found and not self._batch:
            self._gathered_s = self._clock.monotonic_s()
        # What was given to this member in this very poll is not begun yet.
        self._batch += [each for each in found if each.partition not in self._unplaced]
        self._measure(feed)

    def _await(self, feed: Feed, job: _Job) -> None:
        """Keep the membership while the tables are busy; then go on, or try again."""
        done = job.done.wait(self._poll_s)
        feed.poll(limit=1, timeout_s=0.0)  # paused: it gives nothing
        if self._job is not job:
            return  # revoked meanwhile
        if not done:
            if self._trouble is not None:
                raise self._trouble
            return
        self._job = None
        if job.error is not None:
            if isinstance(job.error, INFRASTRUCTURE):
                self._trouble = job.error
            raise job.error
        self._trouble = None
        if job.after is not None:
            job.after()

    def _inserting(
        self, feed: Feed, tables: GroupTables, batch: tuple[Delivery, ...]
    ) -> Callable[[], Callable[[], None]]:
        def work() -> Callable[[], None]:
            try:
                offsets = tables.insert(batch)
            except ProjectionUnavailable:
                if tables.follow():
                    return self._followed  # they were replaced, and perhaps dropped, meanwhile
                raise
            return lambda: self._inserted(feed, offsets)

        return work

    def _inserted(self, feed: Feed, offsets: Mapping[Partition, int]) -> None:
        self._batch = []
        self._uncommitted |= offsets
        self._commit(feed)

    def _commit(self, feed: Feed) -> None:
        if self._uncommitted:
            feed.commit(self._uncommitted)
            self._uncommitted = {}

    def _placing(self, feed: Feed, places: Mapping[Partition, int]) -> Callable[[], None]:
        def after() -> None:
            for at in places.keys() & feed.assigned():
                feed.seek(at, places[at])
            self._unplaced -= places.keys()

        return after

    def _retrying(self, tables: GroupTables) -> Callable[[], Callable[[], None]]:
        def after() -> None:
            self._retried_s = self._clock.monotonic_s()

        def work() -> Callable[[], None]:
            tables.retry_dead_letters()
            return after

        return work

    def _looked(self) -> None:
        self._looked_s = self._clock.monotonic_s()

    def _followed(self) -> None:
        """Other tables are in force: what went into those before counts no longer."""
        self._looked()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._batch = []
        if self._feed is not None:
            self._unplaced |= self._feed.assigned()

    def _assigned(self, partitions: frozenset[Partition]) -> None:
        self._unplaced |= partitions

    def _revoked(self, partitions: frozenset[Partition]) -> None:
        self._give_up()
        self._unplaced -= partitions
        self._uncommitted = {}

    def _give_up(self) -> None:
        """Let the running job end, or abandon it: nothing of it is committed later."""
        job, self._job = self._job, None
        if job is not None and job.done.wait(self._join_s):
            if job.after is not None:
                with suppress(FeedUnavailable):  # what is not committed is read again
                    job.after()
        elif job is not None:
            # Its thread goes on alone, with tables that nobody here uses any more.
            self._tables = self._tables.anew()
            self._looked_s = _LONG_AGO
        self._begin_anew()

    def _measure(self, feed: Feed) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._measured_s >= MEASURE_S:
            ends = feed.ends()
            lag = sum(max(end - feed.position(at), 0) for at, end in ends.items())
            self.membership = Membership(len(ends), lag)
            self._measured_s = now_s
