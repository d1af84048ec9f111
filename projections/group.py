"""The tables as a group of projectors fills them from the feed, each some of its partitions.

Nothing here depends on who holds which partition: a record that comes again, out of order, or to
two members at once makes the same rows, or none (`Inserter`). What must be right is where a member
begins: not past what is in the tables, whatever offsets the group has committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from domain.clock import Clock
from domain.eventlog.feed import Delivery, Partition
from domain.eventlog.port import HasChains, bases_of
from pricing.book import Books, UnknownBook
from projections.batch import Batcher, OnDeadLetter
from projections.deliveries import OnBadRecord, Sorter
from projections.inserter import Inserter
from projections.migrate import database_of, generation_in_force
from projections.store.port import Columns, ProjectionStore, ProjectionUnavailable

Offsets = Mapping[Partition, int]


class GroupTables:
    """Puts deliveries into the tables in force. One thread at a time."""

    def __init__(
        self,
        *,
        log: HasChains,
        store: ProjectionStore,
        books: Books,
        follow_books: Callable[[], object],
        clock: Clock,
        on_dead_letter: OnDeadLetter | None = None,
        on_bad_record: OnBadRecord | None = None,
    ) -> None:
        """`log` is only read: for the history of requests, and for what the feed damaged.

        `follow_books` takes in the price books that were published since.
        """
        self._log = log
        self._store = store
        self._books = books
        self._follow_books = follow_books
        self._on_dead_letter = on_dead_letter
        self._on_bad_record = on_bad_record
        self._clock = clock
        self._sorter = Sorter(log, clock=clock, on_bad_record=on_bad_record)
        self._generation = 0
        self._lives: dict[Partition, int] = {}
        self._inserter = self._new_inserter(store)

    def follow(self) -> bool:
        """Go on in the tables in force; whether these are others than before.

        Then what was inserted into the others counts no longer, and every partition must be begun
        anew where `begin` says. Raises ProjectionUnavailable.
        """
        generation = generation_in_force(self._store)
        if not generation:
            raise ProjectionUnavailable("the tables were not made yet")
        if generation == self._generation:
            return False
        self._generation = generation
        tables = self._store.at(database_of(self._store, generation))
        self._inserter = self._new_inserter(tables)
        return True

    def anew(self) -> GroupTables:
        """Another one of the same, that shares nothing with this one, which may be at work."""
        return GroupTables(
            log=self._log,
            store=self._store,
            books=self._books,
            follow_books=self._follow_books,
            clock=self._clock,
            on_dead_letter=self._on_dead_letter,
            on_bad_record=self._on_bad_record,
        )

    def begin(self, partitions: Iterable[Partition], committed: Offsets, ends: Offsets) -> Offsets:
        """Where to read each partition from: the next offset that the group has committed, or that
        the tables lack, whichever is lower. Raises ProjectionUnavailable."""
        highest = highest_offsets(self._inserter.store)
        places = {}
        for partition in partitions:
            life, there = highest.get(partition, (1, None))
            if there is not None and there >= ends[partition]:
                # The topic was made anew: its offsets have nothing to do with those of before.
                life, there = life + 1, None
            self._lives[partition] = life
            known = 0 if there is None else there + 1
            places[partition] = min(known, committed.get(partition, 0))
        return places

    def insert(self, deliveries: Sequence[Delivery]) -> Offsets:
        """Put them into the tables; the offsets to commit. All or nothing counts, and nothing of it
        harms when it is repeated.

        Raises TooManyDeadLetters; ProjectionUnavailable and StoreUnavailable for what passes, which
        a price book that this program does not have (yet) does too.
        """
        inserter = self._inserter
        found = self._sorter.sort(deliveries)
        try:
            inserter.insert(found.events, damaged=found.damaged, foreign=found.foreign)
        except UnknownBook as error:
            # It was published before the call was routed, but by another store, or in another
            # partition.
            self._follow_books()
            raise ProjectionUnavailable(f"waiting for a price book: {error}") from error
        highest = {delivery.partition: delivery.offset for delivery in deliveries}
        self._remember(inserter.store, highest)
        return {partition: offset + 1 for partition, offset in highest.items()}

    def retry_dead_letters(self) -> int:
        """`Inserter.retry_dead_letters`."""
        return self._inserter.retry_dead_letters(self._log)

    def _remember(self, tables: ProjectionStore, highest: Offsets) -> None:
        rows = [
            (at.topic, at.number, self._lives.get(at, 1), offset) for at, offset in highest.items()
        ]
        token = ",".join(f"{topic}/{number}:{life}:{at}" for topic, number, life, at in rows)
        tables.insert("feed_offsets", _offset_columns(rows), token=token)

    def _new_inserter(self, tables: ProjectionStore) -> Inserter:
        batcher = Batcher(
            history=self._log.stream,
            books=self._books,
            bases=bases_of(self._log),
            on_dead_letter=self._on_dead_letter,
        )
        return Inserter(tables, batcher)


def highest_offsets(tables: ProjectionStore) -> dict[Partition, tuple[int, int]]:
    """Partition → (life of its topic, highest offset in these tables). Raises
    ProjectionUnavailable."""
    rows = tables.query(
        "SELECT topic, partition, max((life, highest)) FROM $db.feed_offsets"
        " GROUP BY topic, partition"
    )
    return {Partition(topic, number): (life, offset) for topic, number, (life, offset) in rows}


def carry_offsets(highest: Mapping[Partition, tuple[int, int]], tables: ProjectionStore) -> None:
    """Let other tables, which hold all that these offsets stand for, say so too."""
    rows = [(at.topic, at.number, life, offset) for at, (life, offset) in highest.items()]
    if rows:
        tables.insert("feed_offsets", _offset_columns(rows), token=f"carried-{sorted(rows)}")


def _offset_columns(rows: Sequence[tuple[str, int, int, int]]) -> Columns:
    return Columns(("topic", "partition", "life", "highest"), tuple(zip(*rows, strict=True)))
