"""What stands in the price book, and the lines that come after it."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from domain.events.base import JsonObject
from pricing.row import CONDITIONS
from pricing.sources.merge import Merged

_COSTS = ("prices", "tiers", "time_overrides", "multiplier")
Slot = tuple[str, str, str]
"""Provider, model, and what conditions a row has."""


class Standing:
    """The book as it grows. An entry is added only where the book does not say the same."""

    def __init__(self, lines: Sequence[bytes], at: str) -> None:
        self.appended: dict[str, list[bytes]] = {}
        self._at = at
        self._n = 0
        self._open: dict[Slot, JsonObject] = {}
        """The row that is in force, of each slot: the latest entry that has begun and not ended."""
        self._coming: dict[tuple[Slot, str], JsonObject] = {}
        self._known: set[tuple[str, str]] = set()
        self._names: dict[tuple[str, str], str] = {}
        self._seen: dict[str, str] = {}
        self._ended: set[str] = set()
        for line in lines:
            self._n += 1
            self._remember(orjson.loads(line))

    def take(self, found: Merged, canonical: str, deprecated: str | None) -> None:
        """Add the rows of one model that the book lacks, its sighting, and its end once it came.

        The past is written once, with the first rows of a model: afterwards the book itself is it.
        Ends to come are left to a later refresh: freshness is measured from the latest instant
        in the book.
        """
        model = (found.rows[0]["provider"], found.rows[0]["model"])
        new = model not in self._known
        canonical = self._names.get(model, canonical)
        for row in found.rows:
            slot = _slot(row)
            start = row.get("effective_from", "")
            if row.get("effective_to"):
                if new:
                    self._row({**row, "canonical": canonical})
                continue
            standing = self._coming.get((slot, start)) if start > self._at else self._open.get(slot)
            if standing is None or not _same(standing, row):
                since = start or _instant(found.seen)
                dated = {"effective_from": since} if standing and since else {}
                self._row({**row, **dated, "canonical": canonical})
        standard = self._open.get((*model, ""))
        if standard is not None:
            self._mark("seen", standard["id"], found.seen)
            if _instant(deprecated) <= self._at:
                self._mark("deprecated", standard["id"], deprecated)

    def name(self, provider: str, model: str, canonical: str) -> None:
        """Let another spelling resolve, unless it does already."""
        if (provider, model) not in self._names:
            entry = {"provider": provider, "model": model, "canonical": canonical}
            self._append(provider, {"name": entry})

    def see_all(self, provider: str) -> None:
        """A sighting, now, of every standard row of a provider whose prices are our own."""
        for (owner, _, conditions), row in list(self._open.items()):
            if owner == provider and not conditions:
                self._mark("seen", row["id"], self._at[:10])

    def _row(self, row: JsonObject) -> None:
        row_id = f"{row['provider']}/{row['model']}~{self._n + 1}"
        whole = {**row, "id": row_id, "recorded_at": self._at}
        self._append(row["provider"], {"row": whole})

    def _mark(self, kind: str, row_id: str, day: str | None) -> None:
        """A sighting later than the last one; an end, once."""
        at = _instant(day)
        fresh = at > self._seen.get(row_id, "") if kind == "seen" else row_id not in self._ended
        if at and fresh:
            self._append(row_id.partition("/")[0], {kind: {"row": row_id, "at": at}})

    def _append(self, provider: str, entry: JsonObject) -> None:
        self._n += 1
        line = orjson.dumps({**entry, "n": self._n}, option=orjson.OPT_SORT_KEYS)
        self.appended.setdefault(provider, []).append(line)
        self._remember(entry)

    def _remember(self, entry: JsonObject) -> None:
        if "row" in entry:
            row = entry["row"]
            model = (row["provider"], row["model"])
            self._known.add(model)
            self._names[model] = row["canonical"]
            start = row.get("effective_from", "")
            if start > self._at:
                self._coming[_slot(row), start] = row
            elif not row.get("effective_to"):
                self._open[_slot(row)] = row
        elif "name" in entry:
            name = entry["name"]
            self._names[name["provider"], name["model"]] = name["canonical"]
        elif "seen" in entry:
            row_id, at = entry["seen"]["row"], entry["seen"]["at"]
            self._seen[row_id] = max(at, self._seen.get(row_id, ""))
        else:
            self._ended.add(entry["deprecated"]["row"])


def _slot(row: JsonObject) -> Slot:
    stated = {name: row[name] for name in CONDITIONS if name in row}
    text = orjson.dumps(stated, option=orjson.OPT_SORT_KEYS).decode() if stated else ""
    return row["provider"], row["model"], text


def _same(one: JsonObject, other: JsonObject) -> bool:
    return all(one.get(name) == other.get(name) for name in _COSTS)


def _instant(day: str | None) -> str:
    return f"{day}T00:00:00.000000Z" if day else ""
