"""Reads the price book that travels with the program."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

import orjson

from domain.errors import UnsafeSetup
from pricing.book import Books, Entries, PriceBook
from pricing.names import Names

DATA: Final = Path(__file__).parent / "data" / "prices"


def shipped_lines(folder: Path = DATA) -> list[bytes]:
    """Every entry under the folder, merged into the one order by `n`.

    The files per provider are there for people. Raises UnsafeSetup when an entry is missing or
    doubled: a book with another history would price differently.
    """
    numbered: list[tuple[int, bytes]] = []
    for path in sorted(folder.rglob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            if line:
                numbered.append((orjson.loads(line)["n"], line))
    numbered.sort()
    for expected, (n, _) in enumerate(numbered, 1):
        if n != expected:
            raise UnsafeSetup(f"the price book has no single entry {expected}")
    return [line for _, line in numbered]


def shipped_book(folder: Path = DATA) -> PriceBook:
    """The whole book of this program."""
    return PriceBook(Entries(shipped_lines(folder)))


def shipped_books(folder: Path = DATA) -> Books:
    """The book of this program and, on demand, every earlier one."""
    return Books(shipped_book(folder))


def shipped_names(path: Path = DATA.parent / "aliases.toml") -> Names:
    """The rules for canonical names, with our aliases."""
    return Names(tomllib.loads(path.read_text("utf-8")))
