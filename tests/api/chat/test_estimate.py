"""Estimates: tiktoken's own numbers, never above, bounded on hostile text, and no network."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.chat import encodings
from api.chat.encodings import DamagedEncoding, EncodingName
from api.chat.estimate import BLOCK_CHARS, FAMILIES, OTHER, Estimator, family_of
from api.chat.prompt_text import ToolForm, prompt_texts
from bench.estimate import PAIRS, Row, compare

TOOL: Any = {
    "type": "function",
    "function": {
        "name": "find_trains",
        "description": "Trains between two stations",
        "parameters": {
            "type": "object",
            "properties": {
                "from": {"type": "string", "description": "Where it starts"},
                "stops": {"type": "array", "items": {"type": "integer"}},
                "class": {"enum": ["first", "second"]},
            },
            "required": ["from"],
        },
    },
}


@pytest.fixture(scope="module")
def estimator() -> Estimator:
    return Estimator.load()


def whole(estimator: Estimator, text: str, model: str) -> int:
    """tiktoken's count of the undivided text."""
    return len(estimator.encodings[estimator.encoding_for(model)].encode_ordinary(text))


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base"])
def test_the_carried_encodings_are_the_published_ones(name: EncodingName) -> None:
    published = encodings.original(name)
    assert hashlib.sha256(published).hexdigest() == encodings.PUBLISHED_SHA256[name]
    assert len(encodings.ranks(name)) == encodings.TOKENS[name]


def test_a_damaged_encoding_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    damaged = encodings.pack(b"YQ== 0\nYg== 1\n")
    (tmp_path / "cl100k_base.bin").write_bytes(damaged)
    monkeypatch.setattr(encodings, "files", lambda _: tmp_path)
    with pytest.raises(DamagedEncoding, match="cl100k_base"):
        encodings.ranks("cl100k_base")


def test_ranks_with_a_gap_are_not_packed() -> None:
    with pytest.raises(DamagedEncoding):
        encodings.pack(b"YQ== 0\nYg== 2\n")


# Token ids of these texts are documented with tiktoken and can be looked up in any tokenizer demo.
@pytest.mark.parametrize(
    ("model", "text", "tokens"),
    [
        ("gpt-4", "hello world", 2),
        ("gpt-4o", "hello world", 2),
        ("gpt-4o", "", 0),
        ("gpt-4", "tiktoken is great!", 6),
        ("gpt-4", "antidisestablishmentarianism", 6),
        ("gpt-4", "2 + 2 = 4", 7),
        ("gpt-4", "お誕生日おめでとう", 9),
        ("gpt-4o", "お誕生日おめでとう", 8),
    ],
)
def test_counts_are_those_of_tiktoken(
    estimator: Estimator, model: str, text: str, tokens: int
) -> None:
    assert estimator.count(text, model) == tokens


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-4", "gpt-cl100k"),
        ("gpt-4-turbo-2024-04-09", "gpt-cl100k"),
        ("gpt-35-turbo", "gpt-cl100k"),
        ("openai/gpt-3.5-turbo", "gpt-cl100k"),
        ("gpt-4o", "gpt"),
        ("gpt-4.1-mini", "gpt"),
        ("gpt-4-5-preview", "gpt"),
        ("gpt-5.2", "gpt"),
        ("o4-mini", "gpt"),
        ("openai/o1", "gpt"),
        ("openai/gpt-oss-120b", "gpt-oss"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude"),
        ("google/gemini-2.5-flash", "gemini"),
        ("meta-llama/Llama-3.3-70B-Instruct-Turbo", "llama"),
        ("deepseek-ai/DeepSeek-R1", "deepseek"),
        ("us.amazon.nova-micro-v1:0", "nova"),
        ("qwen/qwen3-32b", "open"),
        ("sandbox/echo", "other"),
        ("", "other"),
    ],
)
def test_a_model_belongs_to_a_family(model: str, family: str) -> None:
    assert family_of(model).name == family


def test_an_unknown_model_gets_the_smallest_factor() -> None:
    assert all(OTHER.per_mille <= family.per_mille <= 1000 for family in FAMILIES)


def test_the_method_lets_anybody_reckon_again(estimator: Estimator) -> None:
    text = "The quick brown fox jumps over the lazy dog. " * 40
    method = estimator.method("gemini-2.5-pro", ["received_output"])
    assert method == {
        "encoding": "o200k_base",
        "factor": "0.9",
        "family": "gemini",
        "counted": ["received_output"],
    }
    counted = estimator.count(text, "gemini-2.5-pro")
    assert estimator.estimate([text], "gemini-2.5-pro") == (counted * 900 + 500) // 1000
    assert estimator.method("claude-sonnet-4-5", [])["factor"] == "1"
    assert estimator.method("gpt-4o", [])["factor"] == "0.99"


@pytest.mark.parametrize("model", ["gpt-4", "gpt-4o"])
def test_prose_in_blocks_counts_like_the_whole(estimator: Estimator, model: str) -> None:
    prose = (
        "Ein Haus, two trees;\n\n    def f(x):\n\treturn 1 + x  # naïve?\n"
        "日本語の文章 mixed in -- and 12345678 numbers…  trailing   spaces \r\n"
    ) * 700
    assert len(prose) > 5 * BLOCK_CHARS
    assert estimator.count(prose, model) == whole(estimator, prose, model)


RUNS = st.tuples(
    st.sampled_from(["a", "ab", " ", "\n", " \n", "!", "漢字", "😀", "é", "1", "aB", "= ", "x y "]),
    st.integers(1, 12_000),
)


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(RUNS | st.text(max_size=40).map(lambda t: (t, 1)), max_size=6))
@pytest.mark.parametrize("model", ["gpt-4", "gpt-4o"])
def test_blocks_never_count_more_than_the_whole(
    estimator: Estimator, model: str, parts: list[tuple[str, int]]
) -> None:
    text = "".join(unit * times for unit, times in parts)[:60_000]
    assert estimator.count(text, model) <= whole(estimator, text, model)


@pytest.mark.parametrize("unit", ["a", " ", "\n", "!", "=", "漢", "\U0001f600", "aB", "\ud800"])
@pytest.mark.parametrize("model", ["gpt-4", "gpt-4o"])
def test_a_megabyte_of_one_run_stays_bounded(estimator: Estimator, model: str, unit: str) -> None:
    # A million spaces in one piece make tiktoken's splitter overflow its stack; a million letters
    # in one piece take seconds. In blocks each takes a quarter of a second at most when idle.
    text = unit * (1_000_000 // len(unit))
    start = time.process_time()
    estimator.count(text, model)
    assert time.process_time() - start < 5


async def test_a_long_text_is_counted_off_the_event_loop(estimator: Estimator) -> None:
    for text in ("short " * 10, "long " * 20_000):
        assert await estimator.estimate_async([text], "gpt-4") == estimator.estimate(
            [text], "gpt-4"
        )


def test_a_prompt_is_the_text_that_goes_out() -> None:
    body = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                ],
            },
            {
                "role": "assistant",
                "content": "<think>The user shows me a cat.</think>A cat.",
                "reasoning_content": "hidden",
                "tool_calls": [{"function": {"name": "f", "arguments": '{"x":1}'}}],
            },
            {"role": "tool", "content": "42"},
            {"role": "user", "content": "<think>is not ours to drop</think>"},
            None,
        ]
    }
    assert prompt_texts(body) == [
        "Be brief.",
        "What is this?",
        "A cat.",
        '{"x":1}',
        "42",
        "<think>is not ours to drop</think>",
    ]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("names", "find_trains Trains between two stations from Where it starts stops class"),
        (
            "signature",
            (
                "// Trains between two stations\n"
                "type find_trains = (_: {\n"
                "// Where it starts\n"
                "from: string,\n"
                "stops?: number[],\n"
                'class?: "first" | "second",\n'
                "}) => any;"
            ),
        ),
    ],
)
def test_a_tool_is_counted_in_the_form_the_model_sees(form: ToolForm, text: str) -> None:
    assert prompt_texts({"tools": [TOOL]}, form) == [text]


def test_functions_in_the_old_form_count_too() -> None:
    call = {"role": "assistant", "function_call": {"name": "f", "arguments": '{"y":2}'}}
    body = {"messages": [call], "functions": [TOOL["function"]]}
    assert prompt_texts(body)[0] == '{"y":2}'
    assert prompt_texts(body)[1:] == prompt_texts({"tools": [TOOL]})


def test_tools_that_may_not_be_called_are_not_counted() -> None:
    assert prompt_texts({"tools": [TOOL], "tool_choice": "none"}, "json") == []


@pytest.mark.parametrize("form", ["names", "signature", "json"])
def test_no_schema_breaks_the_estimate(form: ToolForm) -> None:
    deep: Any = {}
    for _ in range(3000):
        deep = {"properties": {"x": deep}, "enum": [deep], "items": deep}
    shapes: list[Any] = [deep, [], 1, {"properties": [], "required": 5}, {"type": ["string"]}]
    for parameters in shapes:
        tool = {"function": {"name": 1, "parameters": parameters}}
        prompt_texts({"tools": [tool, 7, {"function": None}]}, form)


@pytest.mark.corpus
@pytest.mark.skipif(not PAIRS.is_file(), reason=f"no recorded pairs at {PAIRS}")
@pytest.mark.parametrize("side", ["prompt", "output"])
def test_at_most_one_in_two_hundred_recorded_estimates_is_above(
    estimator: Estimator, side: str
) -> None:
    row = Row([c for c in compare(PAIRS, estimator) if c.side == side])
    assert len(row.compared) > 1400
    assert 1000 * row.above() <= 5 * len(row.compared)
