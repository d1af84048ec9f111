"""JSON that is almost JSON is read; what was said around the flaw is not changed."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.providers.lenient import MENDED_BYTES_MAX, loads


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'{"a":"x\ud83d"}', {"a": "x�"}),
        (r'{"a":"\ude00x"}', {"a": "�x"}),
        (r'{"a":"\uD83D\uDE00\ud83d"}', {"a": "😀�"}),
        (r'{"a":"\\ud83d \ud83d"}', {"a": r"\ud83d �"}),
        (r'{"a":"\\\ud83d"}', {"a": "\\�"}),
        (
            r'{"a":NaN,"b":[-Infinity,Infinity],"c":"NaN"}',
            {"a": None, "b": [None, None], "c": "NaN"},
        ),
        (r'{"a":NaN,"c":"\" NaN"}', {"a": None, "c": '" NaN'}),
        ('\ufeff{"a":1}', {"a": 1}),
    ],
)
def test_what_was_meant_is_read(text: str, value: object) -> None:
    assert loads(text.encode()) == value


@pytest.mark.parametrize("text", ["", "{", r'{"a":"\ud83d', r'{"a":"\ud8', "nan", '{"a":1e400}'])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        loads(text.encode())


def test_mending_is_bounded() -> None:
    with pytest.raises(ValueError, match=r"."):
        loads(b'["\\ud83d", "%s"]' % (b"x" * MENDED_BYTES_MAX))


@given(st.recursive(st.none() | st.integers(-9, 9) | st.text(), st.lists, max_leaves=9))
def test_proper_json_reads_as_ever(value: object) -> None:
    assert loads(orjson.dumps(value)) == value


@given(st.lists(st.text(st.characters(codec=None), max_size=4)))
def test_any_text_that_python_writes_is_read(texts: list[str]) -> None:
    found = loads(json.dumps(texts).encode())
    assert [len(text.encode("utf-16", "surrogatepass")) for text in texts] == [
        len(text.encode("utf-16")) for text in found
    ]
