"""Events into tables: the one place where rows are inserted, whoever brings the events.

Events may come twice, in any order, from several processes at once. What is in `log_lines` is in
every other table too, because `log_lines` is written last; so a line that stands there is not
inserted again, and dying anywhere only means that equal rows are, which collapse.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from domain.errors import DomainError
from domain.eventlog.port import HasChains, Recorded, stores_of
from projections.batch import Batch, Batcher
from projections.migrate import migrations
from projections.rows import Cells, columns, conflict
from projections.store.port import ProjectionStore

DEAD_LETTERS_MIN: Final = 20
DEAD_LETTER_SHARE: Final = 20
"""More than a twentieth of a batch, and more than twenty: the fault is ours, not the data's."""
_SPREAD_MAX: Final = 4
"""Seqs that lie so close together, on average, are asked for as one range."""
_ASKED_MAX: Final = 1_000
"""Single seqs in one question: they travel in its address."""

_Key = tuple[str, int]
"""Store and seq."""


class TooManyDeadLetters(DomainError):
    """So many events are unreadable that the program, not the data, must be wrong."""


class Inserter:
    """Inserts into the tables of one generation. One thread at a time."""

    def __init__(self, store: ProjectionStore, batcher: Batcher) -> None:
        self._store = store
        self._batcher = batcher
        self._schema = len(migrations())

    @property
    def store(self) -> ProjectionStore:
        """Where the tables are."""
        return self._store

    def insert(
        self,
        events: Sequence[Recorded],
        *,
        damaged: Sequence[Cells] = (),
        foreign: Sequence[Cells] = (),
        new: bool = False,
    ) -> None:
        """Put the rows of these events into the tables; all are there when this returns.

        `damaged` and `foreign`: rows of dead_letters for what came instead of events. `new`: none
        of the events was ever inserted, so the tables need not be asked. Raises TooManyDeadLetters
        (nothing is inserted), UnknownBook, StoreUnavailable and ProjectionUnavailable; all of it
        can then be inserted again.
        """
        first, second = (events, []) if new else self._sorted(events)
        batch = self._batcher.batch(first)
        self._check(batch.dead + len(damaged), len(events) + len(damaged))
        letters = [*damaged, *foreign]
        if letters:
            batch.add("dead_letters", *letters)
        if second:
            places = [self._batcher.place(recorded) for recorded in second]
            batch.lines += places
            batch.add("conflicts", *map(conflict, places))
        self._write(batch, self._token(batch, letters))

    def retry_dead_letters(self, log: HasChains) -> int:
        """Try what could not be read once more, from the log and by today's program; how many
        succeeded."""
        stores = {store.store_id: store for store in stores_of(log)}
        letters = self._store.query(
            "SELECT store_id, seq, hash, account_id, topic, toUnixTimestamp64Micro(recorded_at),"
            " error FROM $db.dead_letters FINAL WHERE resolved = 0 ORDER BY store_id, seq"
        )
        return sum(
            self._retry(recorded, (*letter, 1))
            for letter in letters
            if letter[0] in stores
            for recorded in stores[letter[0]].read(after=letter[1] - 1, limit=1)
            if recorded.seq == letter[1]
        )

    def _retry(self, recorded: Recorded, resolved: Cells) -> bool:
        batch = self._batcher.batch([recorded])
        if batch.dead:
            return False
        token = f"retry-{recorded.hash}"
        self._write(batch, token)
        self._store.insert("dead_letters", columns("dead_letters", [resolved]), token=token)
        return True

    def _sorted(self, events: Sequence[Recorded]) -> tuple[list[Recorded], list[Recorded]]:
        """Those to insert, and those whose seq is there with another payload: the first stands."""
        known = {key: set(hashes) for key, hashes in self._known(events).items()}
        first: list[Recorded] = []
        second: list[Recorded] = []
        for recorded in events:
            there = known.setdefault((recorded.store_id, recorded.seq), set())
            line_hash = bytes.fromhex(recorded.hash)
            if line_hash not in there:
                (second if there else first).append(recorded)
                there.add(line_hash)
        return first, second

    def _known(self, events: Iterable[Recorded]) -> dict[_Key, set[bytes]]:
        """Hashes of the lines that the tables hold under these seqs."""
        wanted: dict[str, set[int]] = {}
        for recorded in events:
            wanted.setdefault(recorded.store_id, set()).add(recorded.seq)
        found: dict[_Key, set[bytes]] = {}
        for store_id, seqs in wanted.items():
            for seq, line_hash in self._lines(store_id, sorted(seqs)):
                found.setdefault((store_id, seq), set()).add(line_hash)
        return found

    def _lines(self, store_id: str, seqs: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        close = seqs[-1] - seqs[0] < _SPREAD_MAX * len(seqs)
        size = len(seqs) if close else _ASKED_MAX
        for start in range(0, len(seqs), size):
            asked = seqs[start : start + size]
            rows = self._store.query(
                "SELECT seq, hash FROM $db.log_lines WHERE store_id = {store:String}"
                " AND seq BETWEEN {first:UInt64} AND {last:UInt64}"
                " AND ({close:Bool} OR seq IN {seqs:Array(UInt64)})",
                {
                    "store": store_id,
                    "first": asked[0],
                    "last": asked[-1],
                    "close": close,
                    "seqs": [] if close else asked,
                },
            )
            yield from ((seq, line_hash) for seq, line_hash in rows)

    def _write(self, batch: Batch, token: str) -> None:
        for table, rows in batch.rows.items():
            self._store.insert(table, columns(table, rows), token=token)
        if batch.lines:
            # Last, because it says that everything else is there.
            self._store.insert("log_lines", columns("log_lines", batch.lines), token=token)

    def _token(self, batch: Batch, letters: Sequence[Cells]) -> str:
        """Of the ids, payloads and schema; the store keeps tokens apart by table."""
        digest = hashlib.sha256(str(self._schema).encode())
        for place in batch.lines:
            digest.update(place.event_id)
            digest.update(place.hash)
        digest.update(repr(letters).encode() if letters else b"")
        return digest.hexdigest()

    @staticmethod
    def _check(dead: int, of: int) -> None:
        if dead > max(DEAD_LETTERS_MIN, of // DEAD_LETTER_SHARE):
            raise TooManyDeadLetters(f"{dead} of {of} events are unreadable")
