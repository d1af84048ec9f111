"""What Gemini answers, whole and streamed, in OpenAI's words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.providers.gemini.dialect import Gemini
from api.providers.port import Chunk, Outcome
from tests.api.providers.gemini.calls import FLASH, NEW_FLASH, call, sent

USAGE = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}


def response(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A response with one candidate; members that a candidate has go there."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}}
    for name in ("index", "finishReason", "finishMessage", "groundingMetadata", "logprobsResult"):
        if name in more:
            candidate[name] = more.pop(name)
    return {"candidates": [candidate], "responseId": "r1", "modelVersion": FLASH, **more}


def stop(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return response(*parts, **{"finishReason": "STOP", "usageMetadata": USAGE, **more})


def whole(found: Any, **body: Any) -> tuple[Outcome, Any]:
    reader = Gemini().reader(call(**body), {"content-type": "application/json"})
    reader.feed(json.dumps(found).encode())
    outcome = reader.finish()
    return outcome, json.loads(outcome.answer) if outcome.answer else None


def message(found: Any, **body: Any) -> Any:
    return whole(found, **body)[1]["choices"][0]["message"]


def streamed(*found: Any, **body: Any) -> tuple[Outcome, list[Chunk]]:
    reader = Gemini().reader(call(**body, stream=True), {})
    chunks: list[Chunk] = []
    for one in found:
        chunks.extend(reader.feed(b"data: " + json.dumps(one).encode() + b"\r\n\r\n"))
    outcome = reader.finish()
    return outcome, [*chunks, *outcome.tail]


def deltas(chunks: list[Chunk]) -> list[Any]:
    return [choice["delta"] for chunk in chunks for choice in json.loads(chunk.data)["choices"]]


def functions(found: dict[str, Any]) -> dict[str, Any]:
    return {"functionCall": found}


@pytest.mark.parametrize(
    ("reason", "parts", "wanted"),
    [
        ("STOP", [{"text": "a"}], "stop"),
        ("STOP", [functions({"name": "f"})], "tool_calls"),
        ("MAX_TOKENS", [functions({"name": "f"})], "length"),
        ("MAX_TOKENS", [], "length"),
        ("SAFETY", [], "content_filter"),
        ("RECITATION", [], "content_filter"),
        ("BLOCKLIST", [], "content_filter"),
        ("PROHIBITED_CONTENT", [], "content_filter"),
        ("SPII", [], "content_filter"),
        ("IMAGE_SAFETY", [], "content_filter"),
        ("IMAGE_RECITATION", [], "content_filter"),
        ("MALFORMED_FUNCTION_CALL", [], "stop"),
        ("UNEXPECTED_TOOL_CALL", [], "stop"),
        ("OTHER", [], "stop"),
        ("SOMETHING_NEW", [], "stop"),
        (1, [], "stop"),
        (2, [], "length"),
        (3, [], "content_filter"),
        (99, [], "stop"),
    ],
)
def test_why_it_ended(reason: Any, parts: list[Any], wanted: str) -> None:
    found = response(*parts, finishReason=reason, usageMetadata=USAGE)
    outcome, answer = whole(found)
    assert answer["choices"][0]["finish_reason"] == wanted
    streamed_outcome, chunks = streamed(found)
    assert outcome.finish_reason == streamed_outcome.finish_reason == wanted
    assert [chunk.finished for chunk in chunks][-2:] == [True, True]
    assert streamed_outcome.complete_usage


def test_a_filter_s_explanation_is_a_refusal() -> None:
    filtered = stop(finishReason="SAFETY", finishMessage="Too dangerous.")
    assert message(filtered) == {"role": "assistant", "content": None, "refusal": "Too dangerous."}
    called = stop({"text": "a"}, finishMessage="Model generated function call(s).")
    assert message(called)["refusal"] is None


def test_thoughts_stand_apart() -> None:
    found = stop({"text": "Hm. ", "thought": True}, {"text": "Ah.", "thought": True}, {"text": "7"})
    assert message(found) == {
        "role": "assistant",
        "content": "7",
        "refusal": None,
        "reasoning_content": "Hm. Ah.",
    }
    outcome, chunks = streamed(found)
    assert [delta for delta in deltas(chunks) if delta] == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "Hm. "},
        {"reasoning_content": "Ah."},
        {"content": "7"},
    ]
    assert outcome.generated


def test_pictures_but_not_the_drafts_among_the_thoughts() -> None:
    def picture(data: str, **more: Any) -> dict[str, Any]:
        return {"inlineData": {"mimeType": "image/png", "data": data}, **more}

    found = stop(picture("ZHJhZnQ=", thought=True), picture("ZG9uZQ=="))
    wanted = {"type": "image_url", "image_url": {"url": "data:image/png;base64,ZG9uZQ=="}}
    assert message(found)["images"] == [wanted]
    assert [delta["images"] for delta in deltas(streamed(found)[1]) if "images" in delta] == [
        [{**wanted, "index": 0}]
    ]
    assert whole(stop(picture("ZHJhZnQ=", thought=True)))[0].generated


def test_ids_are_given_to_calls_without_one_and_differ() -> None:
    same = functions({"name": "f", "args": {"a": 1}})
    found = stop(same, same, functions({"name": "f", "id": "theirs"}))
    calls = message(found)["tool_calls"]
    identities = [one["id"] for one in calls]
    assert len(set(identities)) == 3
    assert identities[2] == "theirs"
    assert all(len(identity) <= 40 for identity in identities)
    assert calls[0]["function"] == {"name": "f", "arguments": '{"a":1}'}
    assert calls[2]["function"]["arguments"] == "{}"
    assert message(found)["tool_calls"] == calls
    other = {**found, "responseId": "r2"}
    assert message(other)["tool_calls"][0]["id"] != identities[0]


def test_calls_of_a_stream_count_on_from_chunk_to_chunk() -> None:
    first, second = functions({"name": "f"}), functions({"name": "g"})
    _, chunks = streamed(response(first), response({"text": "and"}), stop(second))
    calls = [call for delta in deltas(chunks) for call in delta.get("tool_calls", [])]
    assert [(one["index"], one["function"]["name"]) for one in calls] == [(0, "f"), (1, "g")]


def test_one_call_is_all_that_was_asked_for() -> None:
    found = stop(functions({"name": "f"}), functions({"name": "g"}))
    calls = message(found, parallel_tool_calls=False)["tool_calls"]
    assert [one["function"]["name"] for one in calls] == ["f"]
    _, chunks = streamed(found, parallel_tool_calls=False)
    assert sum("tool_calls" in delta for delta in deltas(chunks)) == 1


def test_signatures_come_back_in_the_next_request() -> None:
    found = stop(
        {"text": "I look."},
        {"text": "", "thoughtSignature": "VEVYVA=="},
        {**functions({"name": "f"}), "thoughtSignature": "Q0FMTA=="},
    )
    answered = message(found)
    assert answered["extra_content"] == {"google": {"thought_signature": "VEVYVA=="}}
    messages = [
        {"role": "user", "content": "Look."},
        answered,
        {"role": "tool", "tool_call_id": answered["tool_calls"][0]["id"], "content": "x"},
    ]
    parts = sent(NEW_FLASH, messages=messages)["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == ["VEVYVA==", "Q0FMTA=="]


def test_the_signature_of_a_streamed_text_comes_once_with_the_end() -> None:
    _, chunks = streamed(
        response({"text": "a", "thoughtSignature": "b25l"}),
        stop({"text": "", "thoughtSignature": "dHdv"}),
    )
    extras = [delta for delta in deltas(chunks) if "extra_content" in delta]
    assert extras == [{"extra_content": {"google": {"thought_signature": "dHdv"}}}]


def test_code_that_google_ran_itself_is_left_out() -> None:
    found = stop(
        {"executableCode": {"language": "PYTHON", "code": "print(1)"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
        {"toolCall": {"id": "t", "toolType": "FILE_SEARCH"}},
        {"text": "One."},
    )
    assert message(found) == {"role": "assistant", "content": "One.", "refusal": None}


def test_searches_are_counted_by_the_generation_of_the_model() -> None:
    grounding = {"webSearchQueries": ["a", "b", "a", ""]}
    for model, count in ((NEW_FLASH, 2), ("gemini-2.5-pro", 1)):
        found = stop({"text": "x"}, groundingMetadata=grounding, modelVersion=model)
        assert whole(found)[0].usage["web_search_calls"] == count
        again = (response({"text": "x"}, groundingMetadata=grounding), found)
        assert streamed(*again)[0].usage["web_search_calls"] == count
    billed = {"billedToolCalls": [{"tool": "GOOGLE_SEARCH", "successfulToolCallCount": 4}]}
    told = stop({"text": "x"}, groundingMetadata=grounding, usageMetadata={**USAGE, **billed})
    told["modelVersion"] = NEW_FLASH
    assert whole(told)[0].usage["web_search_calls"] == 4
    del told["modelVersion"]
    assert whole(told)[0].usage["web_search_calls"] == 1
    empty: list[Any] = [{}, {"webSearchQueries": []}, {"webSearchQueries": [""]}]
    for nothing in empty:
        found = stop({"text": "x"}, groundingMetadata=nothing)
        assert "web_search_calls" not in whole(found)[0].usage


def test_the_last_whole_report_counts() -> None:
    reports = [
        {"promptTokenCount": 9, "totalTokenCount": 9},
        {"promptTokenCount": 9, "candidatesTokenCount": 4, "totalTokenCount": 13},
        {"promptTokenCount": 8, "candidatesTokenCount": 6, "totalTokenCount": 14},
        {"trafficType": "ON_DEMAND"},
    ]
    said = [response({"text": "x"}, usageMetadata=report) for report in reports]
    said[2]["candidates"][0]["finishReason"] = "STOP"
    outcome, _ = streamed(*said)
    assert outcome.usage == {"input_tokens": 8, "output_tokens": 6}
    assert json.loads(outcome.usage_raw[0]) == reports[2]


def test_a_report_before_anything_was_said_does_not_say_that_nothing_will_be() -> None:
    early = response(usageMetadata={"promptTokenCount": 9, "totalTokenCount": 9})
    outcome, _ = streamed(early)
    assert outcome.usage == {"input_tokens": 9}
    assert not outcome.complete_usage


def test_fewer_choices_than_were_asked_for_still_end_the_answer() -> None:
    outcome, chunks = streamed(stop({"text": "a"}), n=2)
    assert outcome.ended
    assert outcome.complete_usage
    assert [chunk.finished for chunk in chunks] == [False, False, False, True, True]
    assert chunks[-2].has_choices


def test_the_model_that_served() -> None:
    found = stop({"text": "a"}, modelVersion="models/gemini-2.5-flash-001")
    assert whole(found)[0].model == whole(found)[1]["model"] == "gemini-2.5-flash-001"
    unnamed = {"candidates": found["candidates"]}
    outcome, answer = whole(unnamed)
    assert outcome.model is None
    assert answer["model"] == FLASH


def test_a_blocked_prompt_is_refused_in_every_choice() -> None:
    found = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": USAGE}
    outcome, answer = whole(found, n=2)
    assert [choice["finish_reason"] for choice in answer["choices"]] == ["content_filter"] * 2
    assert answer["choices"][1]["message"]["refusal"] == (
        "The provider blocked the prompt (SAFETY)."
    )
    told = {"blockReason": "OTHER", "blockReasonMessage": "No."}
    assert message({"promptFeedback": told})["refusal"] == "No."
    outcome, chunks = streamed(found)
    assert outcome.failure is None
    assert chunks[-1].finished


@pytest.mark.parametrize(
    ("found", "kind", "code"),
    [
        ({"usageMetadata": {"trafficType": "ON_DEMAND"}}, "bad_request", "content_filter"),
        ({"candidates": [], "usageMetadata": {"promptTokenCount": 3}}, "invalid_response", None),
        ({}, "invalid_response", None),
        ([], "invalid_response", None),
        ({"error": {"code": 500, "message": "Oops", "status": "INTERNAL"}}, "provider_error", None),
        ([{"error": {"code": 429, "message": "Slow"}}], "rate_limited", None),
        (
            {"error": {"code": 400, "message": "API key not valid."}},
            "credential_invalid",
            None,
        ),
    ],
)
def test_no_answer_at_all(found: Any, kind: str, code: str | None) -> None:
    for outcome in (whole(found)[0], streamed(found)[0]):
        assert outcome.failure is not None
        assert (outcome.failure.kind, outcome.failure.code) == (kind, code)
        assert not outcome.generated
        assert outcome.answer == b""


def test_an_error_in_a_stream_ends_it() -> None:
    outcome, chunks = streamed(
        response({"text": "a"}),
        {"error": {"code": 503, "message": "Overloaded.", "status": "UNAVAILABLE"}},
        stop({"text": "b"}),
    )
    assert outcome.failure is not None
    assert outcome.failure.kind == "overloaded"
    assert not outcome.ended
    assert deltas(chunks)[-1] == {"content": "a"}


def test_what_was_read_may_be_asked_before_anything_came() -> None:
    reader = Gemini().reader(call(stream=True), {})
    assert reader.finish().failure is None
    reader.feed(b"\r\n")
    reader.finish()
    chunks = reader.feed(b"data: " + json.dumps(stop({"text": "a"})).encode() + b"\r\n\r\n")
    assert [bool(chunk.finished) for chunk in chunks] == [False, False, True]
    assert reader.finish().failure is None


def test_an_array_in_place_of_one_answer() -> None:
    outcome, answer = whole([response({"text": "a"}), stop({"text": "b"})])
    assert answer["choices"][0]["message"]["content"] == "ab"
    assert outcome.complete_usage
    assert json.loads(outcome.usage_raw[0]) == USAGE
    assert outcome.anomalies == []


def test_an_end_mark_of_a_gateway() -> None:
    reader = Gemini().reader(call(stream=True), {})
    answer = b"data: " + json.dumps(stop({"text": "a"})).encode() + b"\n\n"
    told = []
    for data in (answer, b"data: [DONE]\n\n", answer):
        told.append((len(reader.feed(data)), reader.done))
    assert told == [(3, False), (0, True), (0, True)]
    assert reader.finish().failure is None


def test_probabilities() -> None:
    found = {
        "chosenCandidates": [{"token": "é", "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "e", "logProbability": -1}]}],
    }
    wanted = {
        "content": [
            {
                "token": "é",
                "logprob": -0.5,
                "bytes": [195, 169],
                "top_logprobs": [{"token": "e", "logprob": -1, "bytes": [101]}],
            }
        ],
        "refusal": None,
    }
    assert whole(stop({"text": "é"}, logprobsResult=found))[1]["choices"][0]["logprobs"] == wanted
    _, chunks = streamed(stop({"text": "é"}, logprobsResult=found))
    told = [choice["logprobs"] for chunk in chunks for choice in json.loads(chunk.data)["choices"]]
    assert [one for one in told if one] == [wanted]


def test_partial_arguments_of_odd_paths() -> None:
    def piece(path: str, value: str) -> dict[str, Any]:
        return {"jsonPath": path, "stringValue": value}

    found = stop(
        functions({"name": "f", "willContinue": True, "args": {"z": 1}}),
        functions(
            {
                "partialArgs": [
                    *(piece("$.a", "x"), piece("$.a", "x"), piece("$['b c'].d", "y")),
                    *(piece("$.l[0]", "p"), piece("$.l[0]", "q"), piece("$.l[9]", "far")),
                    *(piece("$", "root"), piece("$.z[0]", "through a number"), {"jsonPath": "$.n"}),
                ],
                "willContinue": True,
            }
        ),
    )
    arguments = message(found)["tool_calls"][0]["function"]["arguments"]
    assert json.loads(arguments) == {"z": 1, "a": "xx", "b c": {"d": "y"}, "l": ["pq"]}
