"""A chunk that is not parsed must say nothing that parsing would have shown."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.providers.chat_completions.mould import Mould

PLAIN: dict[str, object] = {
    "id": "c",
    "model": "m",
    "choices": [{"index": 0, "delta": {"content": "blue"}, "finish_reason": None}],
    "usage": None,
    "obfuscation": "abc",
}


def text_of(found: object) -> bytes:
    return json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode()


def mould_of(found: dict[str, object]) -> Mould:
    mould = Mould.of(found, text_of(found))
    assert mould is not None
    return mould


def with_content(content: object, **more: object) -> dict[str, object]:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": None}
    return {**PLAIN, "choices": [choice], **more}


@pytest.mark.parametrize("words", ["red", " usage", "finish_reason", "[DONE]", "data: x", "{}"])
def test_other_words_fit(words: str) -> None:
    mould = mould_of(PLAIN)
    assert mould.fits(text_of(with_content(words)))
    assert mould.fits(text_of(with_content(words, obfuscation="")))


@pytest.mark.parametrize(
    "found",
    [
        with_content(""),
        with_content('say "usage"'),
        with_content("line\n"),
        with_content("é"),
        with_content("red", id="d"),
        with_content("red", model="n"),
        with_content("red", usage={"prompt_tokens": 1}),
        with_content("red", error={"message": "x"}),
        with_content("red", x_keytoll={}),
        {**PLAIN, "choices": []},
        {**PLAIN, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**PLAIN, "choices": [{"index": 1, "delta": {"content": "a"}, "finish_reason": None}]},
    ],
)
def test_anything_else_is_parsed(found: dict[str, object]) -> None:
    assert not mould_of(PLAIN).fits(text_of(found))


@pytest.mark.parametrize(
    "found",
    [
        with_content("red", usage={"prompt_tokens": 1}),
        with_content("red", error=None),
        with_content("red", x_keytoll=None),
        with_content(None),
        with_content('say "it"'),
        {"choices": [{"delta": {"content": "a", "refusal": "b"}, "finish_reason": None}]},
        {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]},
        {"choices": [{"delta": {"content": "a"}}, {"delta": {"content": "b"}}]},
        {"choices": [{"delta": {"content": "a"}, "x": {"content": "a"}}]},
        {"choices": "abc"},
        {},
    ],
)
def test_only_plain_chunks_make_a_mould(found: dict[str, object]) -> None:
    assert Mould.of(found, text_of(found)) is None


@given(data=st.data())
def test_a_fit_says_what_the_first_one_said(data: st.DataObject) -> None:
    """Change any bytes: if it still fits, only the words and the noise differ."""
    mould = mould_of(PLAIN)
    changed = bytearray(text_of(PLAIN))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(changed)))
        changed[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.sampled_from([b'"', b"\\", b"x", b"", b'","usage":{"a":1},"z":"', b"}", b",", b" "])
        )
    if mould.fits(bytes(changed)):
        found = orjson.loads(bytes(changed))
        words = found["choices"][0]["delta"]["content"]
        assert words
        assert found == {**with_content(words), "obfuscation": found["obfuscation"]}
