"""OpenAI's messages as Converse's: what stands where, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.providers.converse.calls import HI, LLAMA, MISTRAL, NOVA, refused, sent

PNG = "data:image/png;base64,iVBORw0KGgo="

MARK = {"type": "ephemeral"}
POINT = {"cachePoint": {"type": "default"}}


def turns(*messages: Any, model: str = NOVA) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sent(model, messages=list(messages))["messages"]
    return found


def user(*content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content), **more}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def calling(*ids: str, **more: Any) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": each, "type": "function", "function": {"name": "paint", "arguments": "{}"}}
            for each in ids
        ],
        **more,
    }


def result(identity: str, content: Any = "done", **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": content, **more}


def file(filename: str | None, data: str) -> dict[str, Any]:
    named = {"filename": filename} if filename else {}
    return {"type": "file", "file": {**named, "file_data": data}}


def test_instructions_before_the_first_turn_are_the_system_s() -> None:
    body = sent(
        messages=[
            {"role": "system", "content": "One."},
            {"role": "developer", "content": [text("Two.")]},
            *HI,
            {"role": "system", "content": "Three."},
        ]
    )
    assert body["system"] == [{"text": "One."}, {"text": "Two."}]
    assert body["messages"] == [
        {"role": "user", "content": [{"text": "Hello"}, {"text": "Three."}]},
    ]
    assert refused(messages=[{"role": "system", "content": [{"type": "image_url"}]}]) == (
        "messages.0.content.0"
    )


def test_neighbours_of_one_role_are_one_turn() -> None:
    found = turns(*HI, *HI, {"role": "assistant", "content": "Yes?"}, *HI)
    assert [turn["role"] for turn in found] == ["user", "assistant", "user"]
    assert found[0]["content"] == [{"text": "Hello"}, {"text": "Hello"}]


def test_words_of_white_space_are_left_out() -> None:
    found = turns(user(text(" \n"), text("a")), {"role": "assistant", "content": ""}, user())
    assert found == [{"role": "user", "content": [{"text": "a"}]}]


def test_a_prefill_does_not_end_in_white_space() -> None:
    assert turns(*HI, {"role": "assistant", "content": "It is \n"})[1]["content"] == [
        {"text": "It is"}
    ]


@pytest.mark.parametrize(
    ("media_type", "form"),
    [("png", "png"), ("jpeg", "jpeg"), ("JPG", "jpeg"), ("gif", "gif"), ("webp", "webp")],
)
def test_images(media_type: str, form: str) -> None:
    url = f"data:image/{media_type};base64,AAAA"
    for given in ({"url": url, "detail": "low"}, url):
        found = turns(user(text("See:"), {"type": "image_url", "image_url": given}))
        assert found[0]["content"][1] == {"image": {"format": form, "source": {"bytes": "AAAA"}}}


@pytest.mark.parametrize(
    "url",
    [
        *("https://example.test/a.png", "http://example.test/a.png", "s3://bucket/key", "", None),
        *("data:image/bmp;base64,AAAA", "data:image/png,AAAA", 5),
    ],
)
def test_an_image_that_would_have_to_be_fetched_is_refused(url: Any) -> None:
    content = [{"type": "image_url", "image_url": {"url": url}}]
    assert refused(NOVA, messages=[user(*content)]) == "messages.0.content.0"


@pytest.mark.parametrize(
    ("filename", "data", "form", "name"),
    [
        ("My report, v1.2.pdf", "data:application/pdf;base64,AAAA", "pdf", "My report v1 2"),
        (None, "data:application/pdf;base64,AAAA", "pdf", "document"),
        ("plain.pdf", "AAAA", "pdf", "plain"),
        ("a  b\t(1) [x]-y.csv", "data:text/csv;base64,AAAA", "csv", "a b (1) [x]-y"),
        ("n.txt", "data:text/plain;charset=utf-8;base64,AAAA", "txt", "n"),
        ("n.md", "data:text/markdown;base64,AAAA", "md", "n"),
        ("n.docx", "data:application/octet-stream;base64,AAAA", "docx", "n"),
        ("n.XLSX", "data:application/octet-stream;base64,AAAA", "xlsx", "n"),
        ("名前.pdf", "data:application/pdf;base64,AAAA", "pdf", "document"),
        ("x" * 300 + ".pdf", "data:application/pdf;base64,AAAA", "pdf", "x" * 195),
    ],
)
def test_documents(filename: str | None, data: str, form: str, name: str) -> None:
    found = turns(user(text("Read:"), file(filename, data)))
    assert found[0]["content"][1] == {
        "document": {"format": form, "name": name, "source": {"bytes": "AAAA"}}
    }


def test_no_two_documents_share_a_name() -> None:
    pdf = file("a.pdf", "AAAA")
    found = turns(user(text("Read:"), pdf, pdf), {"role": "assistant", "content": "."}, user(pdf))
    names = [
        block["document"]["name"]
        for turn in found
        for block in turn["content"]
        if "document" in block
    ]
    assert names == ["a", "a (2)", "a (3)"]


@pytest.mark.parametrize(
    "given",
    [
        {"file_id": "file-1"},
        {"file_data": "https://example.test/a.pdf"},
        {"file_data": "data:application/zip;base64,AAAA", "filename": "a.zip"},
        {"file_data": "data:application/pdf,AAAA"},
        {"file_data": ""},
        {},
        None,
    ],
)
def test_files_that_cannot_be_read_are_refused(given: Any) -> None:
    content = {"type": "file", "file": given}
    assert refused(NOVA, messages=[user(content)]) == "messages.0.content.0"


@pytest.mark.parametrize("kind", ["input_audio", "video_url", None, {"a": 1}])
def test_content_of_other_kinds_is_refused(kind: Any) -> None:
    assert refused(NOVA, messages=[user({"type": kind})]) == "messages.0.content.0"


def test_calls_and_their_results() -> None:
    found = turns(*HI, calling("a.1", "b:2"), result("a.1"), result("b:2", [text("x")]), *HI)
    assert found[1]["content"] == [
        {"toolUse": {"toolUseId": "a.1", "name": "paint", "input": {}}},
        {"toolUse": {"toolUseId": "b:2", "name": "paint", "input": {}}},
    ]
    assert found[2]["content"] == [
        {"toolResult": {"toolUseId": "a.1", "content": [{"text": "done"}]}},
        {"toolResult": {"toolUseId": "b:2", "content": [{"text": "x"}]}},
        {"text": "Hello"},
    ]


def test_results_stand_before_what_was_said_with_them() -> None:
    found = turns(*HI, calling("a", "b"), result("a", cache_control=MARK), *HI, result("b"))
    kinds = [next(iter(block)) for block in found[2]["content"]]
    assert kinds == ["toolResult", "cachePoint", "toolResult", "text"]


def test_results_may_hold_pictures_fail_or_be_empty() -> None:
    picture = {"type": "image_url", "image_url": {"url": PNG}}
    found = turns(*HI, calling("a", "b"), result("a", [picture], is_error=True), result("b", ""))
    first, second = (block["toolResult"] for block in found[2]["content"])
    assert first["status"] == "error"
    assert first["content"][0]["image"]["format"] == "png"
    assert second == {"toolUseId": "b", "content": []}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("call_1", "call_1"),
        ("call|1 ü", "call_1__"),
        ("x" * 64, "x" * 64),
        (None, "call_0"),
        ("", "call_0"),
    ],
)
def test_ids_keep_to_the_signs_that_are_allowed(given: Any, found: str) -> None:
    conversation = turns(*HI, calling(given), result(given))
    assert conversation[1]["content"][0]["toolUse"]["toolUseId"] == found
    assert conversation[2]["content"][0]["toolResult"]["toolUseId"] == found


def test_long_ids_and_those_of_mistral_stay_apart_and_together() -> None:
    long, longer = "x" * 65, "x" * 66
    for model, given in ((NOVA, (long, longer)), (MISTRAL, ("call_1", "call_2"))):
        found = turns(*HI, calling(*given), *(result(each) for each in given), model=model)
        called = [block["toolUse"]["toolUseId"] for block in found[1]["content"]]
        answered = [block["toolResult"]["toolUseId"] for block in found[2]["content"]]
        assert called == answered
        assert len(set(called)) == 2
        length = 9 if model == MISTRAL else 64
        assert all(len(each) == length and each.isalnum() for each in called)


@pytest.mark.parametrize("arguments", ["[1]", "nonsense", 5, '"text"'])
def test_arguments_are_an_object(arguments: Any) -> None:
    broken = {"id": "a", "function": {"name": "paint", "arguments": arguments}}
    assert refused(NOVA, messages=[*HI, {"role": "assistant", "tool_calls": [broken]}]) == (
        "messages.1.tool_calls.0.function"
    )


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("text", "messages.0"),
        ({"role": "critic", "content": "x"}, "messages.0.role"),
        ({"role": "user", "content": 5}, "messages.0.content"),
        ({"role": "user", "content": ["x"]}, "messages.0.content.0"),
        ({"role": "assistant", "tool_calls": {"a": 1}}, "messages.0.tool_calls"),
        ({"role": "assistant", "tool_calls": ["x"]}, "messages.0.tool_calls.0"),
        ({"role": "assistant", "tool_calls": [{"type": "custom"}]}, "messages.0.tool_calls.0"),
        ({"role": "assistant", "function_call": {"name": "x"}}, "messages.0.function_call"),
    ],
)
def test_what_is_no_message_is_refused(message: Any, param: str) -> None:
    assert refused(NOVA, messages=[message]) == param
    assert refused(NOVA, messages="x") == "messages"


def test_thoughts_go_back_as_they_came() -> None:
    details = [
        {"type": "reasoning.text", "text": "Hm.", "signature": "c2ln", "index": 0},
        {"type": "reasoning.encrypted", "data": "aGlkZGVu", "index": 1},
        {"type": "reasoning.text", "text": "unsigned"},
        "nonsense",
    ]
    found = turns(*HI, calling("a", content="So.", reasoning_details=details), result("a"))
    assert found[1]["content"][:3] == [
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": "aGlkZGVu"}},
        {"text": "So."},
    ]
    unsigned = {"role": "assistant", "content": "So.", "reasoning_content": "Hm."}
    assert turns(*HI, unsigned)[1]["content"] == [{"text": "So."}]


def test_a_refusal_is_what_the_assistant_said() -> None:
    spoken = {"role": "assistant", "content": None, "refusal": "No."}
    parts = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    assert turns(*HI, spoken)[1] == turns(*HI, parts)[1]


def test_a_mark_stands_after_what_it_marks() -> None:
    long_lived = {"type": "ephemeral", "ttl": "1h"}
    body = sent(
        messages=[
            {"role": "system", "content": "One.", "cache_control": long_lived},
            user(text("a", cache_control=MARK), text("b")),
            calling("x", cache_control=MARK),
            result("x", cache_control=MARK),
            user(text("c"), cache_control={"type": "ephemeral", "ttl": "9h"}),
        ]
    )
    assert body["system"][1] == {"cachePoint": {"type": "default", "ttl": "1h"}}
    first, second, third = (turn["content"] for turn in body["messages"])
    assert first == [{"text": "a"}, POINT, {"text": "b"}]
    assert second[1:] == [POINT]
    assert third[1:] == [POINT, {"text": "c"}, POINT]


def test_marks_inside_a_result_stand_after_it() -> None:
    found = turns(*HI, calling("x"), result("x", [text("a", cache_control=MARK)]))
    assert found[2]["content"][1:] == [POINT]


def test_two_marks_at_one_place_are_one() -> None:
    long_lived = {"type": "ephemeral", "ttl": "1h"}
    found = turns(user(text("a", cache_control=MARK), cache_control=long_lived))
    assert found[0]["content"][1:] == [{"cachePoint": {"type": "default", "ttl": "1h"}}]


def test_marks_are_dropped_where_nothing_is_cached() -> None:
    marked = user(text("a", cache_control=MARK), cache_control=MARK)
    assert turns(marked, model=LLAMA) == [{"role": "user", "content": [{"text": "a"}]}]
