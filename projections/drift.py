"""Does every table say what the log says? The rows are made anew from the log and compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final
from uuid import UUID

from domain.eventlog.port import HasChains, bases_of, stores_of
from domain.money import text_of
from pricing.book import Books
from projections.batch import Batch, Batcher
from projections.rows import COLUMNS, Cells
from projections.store.port import ProjectionStore

PAGE: Final = 20_000
FOUND_MAX: Final = 100
TABLES: Final = ("log_lines", "request_lines", "closed_periods")

_INSTANTS: Final = frozenset(
    {
        *("recorded_at", "terminal_at", "routed_at", "price_at"),
        *("issued_at", "period_start", "period_end"),
    }
)


def drift(
    *,
    log: HasChains,
    store: ProjectionStore,
    books: Books,
    until: Mapping[str, int],
) -> list[str]:
    """What differs, one sentence each, at most a hundred; empty when nothing does.

    `until`: each store that is written → the seq up to which to compare.

    Dead letters and conflicts are differences too: what they stand for is not in the tables.
    """
    found = [*_troubles(store)]
    batcher = Batcher(history=log.stream, books=books, bases=bases_of(log))
    sources = stores_of(log)
    several = len(sources) > 1
    for source in sources:
        position, end = 0, until.get(source.store_id, source.head())
        while position < end and len(found) < FOUND_MAX:
            events = source.read(after=position, limit=min(PAGE, end - position))
            if not events:
                found.append(f"{source.store_id} ends at seq {position}, the tables reach {end}")
                break
            of_page = _of_page(store, batcher.batch(events))
            found += [f"{source.store_id} {each}" for each in of_page] if several else of_page
            position = events[-1].seq
    return found[:FOUND_MAX]


def _of_page(store: ProjectionStore, batch: Batch) -> Iterable[str]:
    expected = {"log_lines": list[Cells](batch.lines), **batch.rows}
    first, last = batch.lines[0], batch.lines[-1]
    for table in TABLES:
        stored = _stored(store, table, first.store_id, first.seq, last.seq)
        yield from _differences(table, expected.get(table, []), stored)


def _troubles(store: ProjectionStore) -> Iterable[str]:
    for store_id, seq, error in store.query(
        "SELECT store_id, seq, error FROM $db.dead_letters FINAL WHERE resolved = 0"
        " ORDER BY store_id, seq LIMIT 100"
    ):
        yield f"{store_id} seq {seq}: could not be read: {error}"
    for store_id, seq in store.query(
        "SELECT DISTINCT store_id, seq FROM $db.conflicts ORDER BY store_id, seq LIMIT 100"
    ):
        yield f"{store_id} seq {seq}: came with two payloads"


def _stored(
    store: ProjectionStore, table: str, store_id: str, first: int, last: int
) -> list[Cells]:
    names = ", ".join(
        f"toUnixTimestamp64Micro({name})" if name in _INSTANTS else name for name in COLUMNS[table]
    )
    sql = (
        f"SELECT {names} FROM $db.{table} FINAL"  # noqa: S608 - our own names
        " WHERE store_id = {store:String} AND seq BETWEEN {first:UInt64} AND {last:UInt64}"
    )
    rows = store.query(sql, {"store": store_id, "first": first, "last": last})
    return [tuple(row) for row in rows]


def _differences(table: str, expected: list[Cells], stored: list[Cells]) -> Iterable[str]:
    place = COLUMNS[table].index("seq")
    wanted, there = Counter(map(_text, expected)), Counter(map(_text, stored))
    if wanted == there:
        return
    seq_of = {_text(row): row[place] for row in (*expected, *stored)}
    missing = {seq_of[text] for text in wanted - there}
    surplus = {seq_of[text] for text in there - wanted}
    for seq in sorted(missing | surplus, key=str):
        if seq in missing and seq in surplus:
            yield f"seq {seq}: {table} does not say what the log says"
        elif seq in missing:
            yield f"seq {seq}: {table} lacks a row"
        else:
            yield f"seq {seq}: {table} has a row that the log does not account for"


def _text(row: Cells) -> str:
    """A row by value: 0.50 equals 0.5, and a map its copy in another order."""
    return repr([_plain(cell) for cell in row])


def _plain(cell: object) -> object:
    if isinstance(cell, dict):
        return sorted(cell.items())
    if isinstance(cell, UUID):
        return cell.bytes
    if isinstance(cell, bool):
        return int(cell)
    if isinstance(cell, Decimal):
        return text_of(cell)
    if isinstance(cell, list | tuple):
        return list(cell)
    return cell
