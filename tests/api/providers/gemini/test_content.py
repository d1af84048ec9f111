"""OpenAI's messages as Gemini's contents."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.providers.gemini.calls import (
    BEFORE,
    FLASH,
    HI,
    NEW_FLASH,
    calls,
    refused,
    result,
    sent,
)

USER = {"role": "user", "parts": [{"text": "Hello"}]}


def contents(*messages: dict[str, Any], model: str = FLASH) -> Any:
    return sent(model, messages=list(messages))["contents"]


def parts(content: Any, model: str = FLASH) -> Any:
    return contents({"role": "user", "content": content}, model=model)[0]["parts"]


def test_instructions_stand_apart_as_long_as_nobody_has_spoken() -> None:
    body = sent(
        messages=[
            {"role": "system", "content": "One."},
            {"role": "developer", "content": [{"type": "text", "text": "Two."}]},
            *HI,
            {"role": "system", "content": "Three."},
        ]
    )
    assert body["systemInstruction"] == {"parts": [{"text": "One."}, {"text": "Two."}]}
    assert body["contents"] == [{"role": "user", "parts": [{"text": "Hello"}, {"text": "Three."}]}]


def test_instructions_alone_are_what_the_user_says() -> None:
    body = sent(messages=[{"role": "system", "content": "Greet."}])
    assert body == {"contents": [{"role": "user", "parts": [{"text": "Greet."}]}]}


def test_neighbours_of_one_role_are_one_turn() -> None:
    found = contents(
        *HI,
        {"role": "user", "content": "Are you there?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "assistant", "content": ""},
        *HI,
    )
    assert found == [
        {"role": "user", "parts": [{"text": "Hello"}, {"text": "Are you there?"}]},
        {"role": "model", "parts": [{"text": "Yes."}, {"text": "No."}]},
        USER,
    ]


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        (
            {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,QUJD"}},
            {"inlineData": {"mimeType": "image/jpeg", "data": "QUJD"}},
        ),
        (
            {"type": "image_url", "image_url": "https://a.test/b/C.PNG?x=1"},
            {"fileData": {"fileUri": "https://a.test/b/C.PNG?x=1", "mimeType": "image/png"}},
        ),
        (
            {"type": "video_url", "video_url": {"url": "https://www.youtube.com/watch?v=1"}},
            {"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
            {"inlineData": {"mimeType": "audio/mp3", "data": "QUJD"}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:text/csv;base64,QUJD"}},
            {"inlineData": {"mimeType": "text/csv", "data": "QUJD"}},
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "QUJD"}},
            {"inlineData": {"mimeType": "application/pdf", "data": "QUJD"}},
        ),
        (
            {"type": "file", "file": {"file_id": "files/abc"}},
            {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc"}},
        ),
    ],
)
def test_what_is_no_text(part: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert parts([part]) == [wanted]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "http://a.test/b.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png,abc"}},
        {"type": "image_url"},
        {"type": "file", "file": {"file_id": "file-123"}},
        {"type": "file", "file": {}},
        {"type": "input_audio", "input_audio": {"data": "QUJD"}},
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "a/b"}},
        {"type": "dance"},
        "text",
    ],
)
def test_what_google_cannot_take_is_refused_by_its_place(part: Any) -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "a"}, part]}
    assert refused(messages=[message]).startswith("messages.0.content.1")


def test_tool_calls_and_their_results() -> None:
    found = contents(
        *HI,
        calls(("c1", "add", '{"a":1}'), ("c2", "sub", "")),
        result("c2", '{"value": 2}'),
        result("c1", [{"type": "text", "text": "th"}, {"type": "text", "text": "ree"}]),
        *HI,
    )
    assert found == [
        USER,
        {
            "role": "model",
            "parts": [
                {"functionCall": {"name": "add", "args": {"a": 1}, "id": "c1"}},
                {"functionCall": {"name": "sub", "args": {}, "id": "c2"}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "sub", "id": "c2", "response": {"value": 2}}},
                {"functionResponse": {"name": "add", "id": "c1", "response": {"output": "three"}}},
            ],
        },
        USER,
    ]


@pytest.mark.parametrize(
    "text",
    [
        *("plain", "", "[1]", "3", "null", '{"a":', '{"a": NaN}'),
        '{"a": 9007199254740993}',
        '{"a": [-9007199254740993]}',
    ],
)
def test_results_that_are_no_object_or_would_change_stay_text(text: str) -> None:
    found = contents(*HI, calls(("c1", "f", "{}")), result("c1", text))
    assert found[2]["parts"][0]["functionResponse"]["response"] == {"output": text}


def test_the_last_whole_number_that_does_not_change() -> None:
    found = contents(*HI, calls(("c1", "f", "{}")), result("c1", '{"a": 9007199254740992}'))
    assert found[2]["parts"][0]["functionResponse"]["response"] == {"a": 2**53}


def test_a_result_with_a_picture() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
    found = contents(*HI, calls(("c1", "f", "{}")), result("c1", [picture]), model=NEW_FLASH)
    assert found[2]["parts"][0]["functionResponse"] == {
        "name": "f",
        "id": "c1",
        "response": {"output": ""},
        "parts": [{"inlineData": {"mimeType": "image/png", "data": "QUJD"}}],
    }


def test_an_id_used_again_names_the_latest_call() -> None:
    found = contents(
        calls(("c1", "old", "{}")),
        result("c1", "a"),
        calls(("c1", "new", "{}")),
        result("c1", "b"),
    )
    names = [content["parts"][0].get("functionResponse", {}).get("name") for content in found]
    assert names == [None, "old", None, "new"]


def test_a_result_of_nothing_is_refused_unless_it_says_its_name() -> None:
    assert refused(messages=[*HI, result("c9", "x")]) == "messages.1.tool_call_id"
    found = contents(*HI, result("c9", "x", name="f"))
    assert found[1]["parts"][0]["functionResponse"]["name"] == "f"


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "function", "name": "f", "content": "x"}, "messages.0.role"),
        ({"role": "user", "content": 5}, "messages.0.content"),
        (calls(("c", "f", "[1]")), "messages.0.tool_calls.0.function"),
        (calls(("c", "f", "{")), "messages.0.tool_calls.0.function"),
        ({"role": "assistant", "tool_calls": [{"id": "a"}]}, "messages.0.tool_calls.0"),
        ({"role": "assistant", "tool_calls": {"id": "a"}}, "messages.0.tool_calls"),
        ({"role": "assistant", "function_call": {"name": "f"}}, "messages.0.function_call"),
        ("Hello", "messages.0"),
    ],
)
def test_messages_that_cannot_be_taken(message: Any, param: str) -> None:
    assert refused(messages=[message]) == param


def signed(signature: str) -> dict[str, Any]:
    return {"google": {"thought_signature": signature}}


def test_signatures_go_back_where_they_came_from() -> None:
    message = calls(("c1", "f", "{}"), ("c2", "g", "{}"), extra_content=signed("VEVYVA=="))
    message["content"] = "I look."
    message["tool_calls"][0]["extra_content"] = signed("Q0FMTA==")
    assert contents(*HI, message, model=NEW_FLASH)[1]["parts"] == [
        {"text": "I look.", "thoughtSignature": "VEVYVA=="},
        {
            "functionCall": {"name": "f", "args": {}, "id": "c1"},
            "thoughtSignature": "Q0FMTA==",
        },
        {"functionCall": {"name": "g", "args": {}, "id": "c2"}},
    ]


def test_a_signature_of_no_text_has_a_part_of_its_own() -> None:
    message = {"role": "assistant", "content": None, "extra_content": signed("VEVYVA==")}
    assert contents(*HI, message)[1]["parts"] == [{"text": "", "thoughtSignature": "VEVYVA=="}]


def test_where_a_client_dropped_the_signature_google_is_told_not_to_ask() -> None:
    found = contents(*HI, calls(("c1", "f", "{}"), ("c2", "g", "{}")), model=NEW_FLASH)
    first, second = found[1]["parts"]
    assert first["thoughtSignature"] == "skip_thought_signature_validator"
    assert "thoughtSignature" not in second
    for model in (BEFORE, FLASH):
        # Only Gemini 3 and later ask for it.
        found = contents(*HI, calls(("c1", "f", "{}")), model=model)
        assert "thoughtSignature" not in found[1]["parts"][0]


def test_reasoning_in_words_is_not_sent_back() -> None:
    message = {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}
    assert contents(*HI, message)[1]["parts"] == [{"text": "Yes."}]
