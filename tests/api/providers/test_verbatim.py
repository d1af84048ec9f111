"""Parts of a JSON text in the provider's own bytes."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.providers.verbatim import cut, raw_text, without


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"usage":{"a":1}}', '{"a":1}'),
        ('{ "x" : [1, {"usage": {"no": 0}}] , "usage" : { "a" : 1.50e0 } }', '{ "a" : 1.50e0 }'),
        ('{"content":"\\"usage\\": {\\"no\\": 0}","usage":{"a":1}}', '{"a":1}'),
        ('{"usage":{"no":0},"usage":{"a":1}}', '{"a":1}'),
        ('{"usage":{"usage":{"a":1}}}', '{"usage":{"a":1}}'),
        ('{"\\u0075sage":{"a":1}}', '{"a":1}'),
        ('{"a":"é","usage":{"t":"ü"}}', '{"t":"ü"}'),
        ('{"usages":{"a":1}}', None),
        ('{"x":{"usage":{"a":1}}}', None),
        ('[{"usage":{"a":1}}]', None),
        ('{"usage":{"a":1}', None),
        ("", None),
    ],
)
def test_a_member_is_found_by_its_place(text: str, found: str | None) -> None:
    assert cut(text.encode(), "usage") == found


def test_a_path_is_followed() -> None:
    data = b'{"usage":{"no":0},"message":{"id":1,"usage": {"a": 2}},"z":0}'
    assert cut(data, "message", "usage") == '{"a": 2}'


def test_what_does_not_parse_to_what_was_read_is_written_anew() -> None:
    # Too deep for the walk, not for the parser that read it.
    deep = b'{"x":' + b"[" * 990 + b"]" * 990 + b',"usage":{"a": 1}}'
    text, verbatim = raw_text(deep, orjson.loads(deep)["usage"], "usage")
    assert json.loads(text) == {"a": 1}
    assert (text == '{"a": 1}') == verbatim
    assert raw_text(b'{"usage":{"a": 2}}', {"a": 1}, "usage") == ('{"a":1}', False)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"x":1, "a": 2.50}', '{"a": 2.50}'),
        ('{"a": [1, 2] ,"x":{"x":3}}', '{"a": [1, 2]}'),
        ('{"a":1,"x":1,"b":"x","x":2}', '{"a":1,"b":"x"}'),
        ('{"x":1}', "{}"),
    ],
)
def test_a_member_is_taken_out(text: str, left: str) -> None:
    assert without(text.encode(), "x") == left.encode()


_VALUES = st.recursive(
    st.none() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    members=st.dictionaries(st.text() | st.just("usage"), _VALUES), indent=st.none() | st.just(2)
)
def test_what_is_cut_out_is_what_a_parser_sees(
    members: dict[str, object], indent: int | None
) -> None:
    try:
        data = json.dumps(members, ensure_ascii=False, indent=indent).encode()
    except UnicodeEncodeError:
        return
    for name, value in members.items():
        found = cut(data, name)
        assert found is not None
        assert json.loads(found) == value
        assert json.loads(without(data, name) or b"") == {
            key: kept for key, kept in members.items() if key != name
        }
