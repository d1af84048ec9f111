"""The list of an installation: shipped entries and its own, in the order in which they came."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import pytest

from pricing.book import Entries, PriceBook, UnknownBook
from pricing.installed import Edition, InstalledList


def shipped(count: int) -> list[bytes]:
    """What a program ships; a newer one ships more."""
    return [
        b'{"n":%d,"row":{"id":"a/m%d","model":"m%d","prices":{"input":"1"},"provider":"a"}}'
        % (n, n, n)
        for n in range(1, count + 1)
    ]


def row(model: str) -> dict[str, Any]:
    return {"row": {"provider": "a", "model": model, "id": f"a/{model}", "prices": {"input": "9"}}}


def digest(lines: Sequence[bytes]) -> str:
    return "sha256:" + hashlib.sha256(b"".join(line + b"\n" for line in lines)).hexdigest()


def grown(program: Sequence[bytes], *editions: Edition) -> InstalledList:
    installed = InstalledList(program)
    for edition in editions:
        installed.take(edition)
    return installed


def test_without_additions_the_list_is_what_the_program_ships() -> None:
    first = grown(shipped(2)).next()
    assert first == Edition(digest(shipped(2)), 2, 2, [])
    assert grown(shipped(2), first).lines == shipped(2)
    assert grown(shipped(2), first).next() is None
    # A newer program, that has not said yet what it ships.
    assert grown(shipped(3), first).next() == Edition(digest(shipped(3)), 3, 3, [])


def test_an_addition_stands_before_what_a_newer_program_ships() -> None:
    first = grown(shipped(2)).next()
    assert first
    added = grown(shipped(2), first).next([row("own")])
    assert added
    assert (added.rows, added.shipped) == (3, 2)
    assert added.entries == [{**row("own"), "n": 3}]
    newer = grown(shipped(4), first, added).next([row("more")])
    assert newer
    assert (newer.rows, newer.shipped) == (6, 4)
    lines = grown(shipped(4), first, added, newer).lines
    own = b'"row":{"id":"a/own","model":"own","prices":{"input":"9"},"provider":"a"}}'
    assert lines[2] == b'{"n":3,' + own
    # Shipped as 3 and 4, here 4 and 5.
    assert lines[3:5] == [
        shipped(3)[2].replace(b"3", b"4", 1),
        shipped(4)[3].replace(b"4", b"5", 1),
    ]
    assert newer.hash == digest(lines)
    # So every book ever published is a prefix of the list, and can be opened.
    book = PriceBook(Entries(lines))
    assert [book.open_book(each.hash).rows for each in (first, added, newer)] == [2, 3, 6]


def test_a_program_without_what_was_published_says_so() -> None:
    first = grown(shipped(3)).next()
    assert first
    with pytest.raises(UnknownBook):
        grown(shipped(2), first)
    other = [shipped(3)[0], shipped(3)[1].replace(b'"1"', b'"2"'), shipped(3)[2]]
    with pytest.raises(UnknownBook):
        grown(other, first)
    damaged = first._replace(entries=[{**row("own"), "n": 4}])
    with pytest.raises(UnknownBook):
        grown(shipped(3), damaged)
