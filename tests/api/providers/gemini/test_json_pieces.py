"""Objects out of an array that arrives in pieces."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.providers.gemini.json_pieces import JsonPieces

_ANY = st.recursive(
    st.none() | st.integers() | st.text(alphabet='a"\\{}[],:\n€', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(alphabet='k"\\}{', max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
_OBJECTS = st.lists(st.dictionaries(st.text(max_size=3), _ANY, max_size=3), max_size=4)


def pieces(*parts: bytes) -> list[bytes]:
    decoder = JsonPieces()
    return [found for part in parts for found in decoder.feed(part)]


@settings(deadline=None)
@given(
    objects=_OBJECTS, indent=st.sampled_from([None, 2]), ascii_only=st.booleans(), data=st.data()
)
def test_an_array_cut_anywhere(
    objects: list[object], indent: int | None, ascii_only: bool, data: st.DataObject
) -> None:
    text = json.dumps(objects, indent=indent, ensure_ascii=ascii_only).encode()
    places = data.draw(st.lists(st.integers(0, len(text)), max_size=6).map(sorted))
    found = pieces(*(text[a:b] for a, b in pairwise([0, *places, len(text)])))
    assert [json.loads(piece) for piece in found] == objects
    for piece in found:
        assert piece in text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b'{"a":1}', [b'{"a":1}']),
        (b'{"a":1}\n{"b":2}', [b'{"a":1}', b'{"b":2}']),
        (b'[{"a":"}\\"]"}', [b'{"a":"}\\"]"}']),
        (b'[{"a":1},{"b":', [b'{"a":1}']),
        (b'["text {", 3]', []),
        (b"}}", []),
        (b"", []),
    ],
)
def test_what_else_comes(text: bytes, wanted: list[bytes]) -> None:
    assert pieces(text) == wanted
    assert pieces(*(text[at : at + 1] for at in range(len(text)))) == wanted
