"""OpenAI's protocol: what goes up, and odd answers that the recorded cases do not show."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.providers.chat_completions.dialect import ChatCompletions
from api.providers.chat_completions.options import ChatOptions
from api.providers.failures import FailureRules
from api.providers.port import ChatCall, Chunk, Outcome
from tests.instants import AT

HI = [{"role": "user", "content": "Hi"}]


def call(*, stream: bool = False, choices: int = 1, **body: Any) -> ChatCall:
    return ChatCall(
        body={"model": "asked", "messages": HI, **body},
        model="upstream",
        stream=stream,
        wants_usage=False,
        choices=choices,
        at=AT,
    )


def sent(asked: ChatCall, **options: Any) -> dict[str, Any]:
    dialect = ChatCompletions(ChatOptions(**options))
    request = dialect.request(asked, {"apiKey": "sk-x"}, "https://a.test/v1")
    found: dict[str, Any] = json.loads(request.body)
    return found


def read(data: bytes, asked: ChatCall, **options: Any) -> tuple[list[Chunk], Outcome]:
    reader = ChatCompletions(ChatOptions(**options)).reader(asked, {})
    chunks = list(reader.feed(data))
    outcome = reader.finish()
    return [*chunks, *outcome.tail], outcome


def events(*objects: Any) -> bytes:
    return b"".join(b"data: %s\n\n" % json.dumps(found).encode() for found in objects)


def chunk(text: str | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {} if text is None else {"content": text}
    return {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


def test_unknown_fields_pass_and_the_model_is_the_upstream_s() -> None:
    body = sent(call(made_up={"a": [1]}, seed=2**60, temperature=0.1))
    assert body == {
        "model": "upstream",
        "messages": HI,
        "made_up": {"a": [1]},
        "seed": 2**60,
        "temperature": 0.1,
    }


def test_usage_is_asked_for_on_streams_only() -> None:
    assert "stream_options" not in sent(call())
    assert sent(call(stream=True))["stream_options"] == {"include_usage": True}
    options = {"include_usage": False, "include_obfuscation": False}
    asked = call(stream=True, stream_options=options)
    assert sent(asked)["stream_options"] == {"include_usage": True}
    assert sent(asked, obfuscation=True)["stream_options"] == {
        "include_usage": True,
        "include_obfuscation": False,
    }
    assert "stream_options" not in sent(call(stream_options=options))
    assert "stream_options" not in sent(asked, usage_may_be_declined=True)
    assert "stream_options" in sent(call(stream=True), usage_may_be_declined=True)
    assert sent(call(stream=True, stream_options="x"))["stream_options"] == {"include_usage": True}
    assert "stream_options" not in sent(call(stream=True), ask_usage=False)


def test_a_row_may_know_one_name_of_the_token_limit_and_drop_fields() -> None:
    asked = call(max_completion_tokens=5, user="u")
    body = sent(asked, limit_field="max_tokens", drop=frozenset({"user"}))
    assert body["max_tokens"] == 5
    assert "max_completion_tokens" not in body
    assert "user" not in body
    assert (
        sent(call(max_tokens=6), limit_field="max_completion_tokens")["max_completion_tokens"] == 6
    )


@pytest.mark.parametrize("place", ["finish", "after", "both", "thrice"])
def test_usage_counts_once_wherever_it_stands(place: str) -> None:
    last = {"id": "c", "choices": [], "usage": USAGE}
    finish = chunk(None, "stop", usage=None if place == "after" else USAGE)
    later = [] if place == "finish" else [last] * (2 if place == "thrice" else 1)
    _, outcome = read(events(chunk("a"), finish, *later, chunk("", usage=None)), call(stream=True))
    assert outcome.usage == {"input_tokens": 5, "output_tokens": 2}
    assert outcome.complete_usage
    assert len(outcome.usage_raw) == 1


@pytest.mark.parametrize("half", [{"total_time": 0.4}, {"completion_tokens": 9}, {}, None])
def test_half_a_report_does_not_undo_a_whole_one(half: object) -> None:
    whole = {"choices": [], "usage": USAGE}
    late = {"choices": [], "usage": half}
    _, outcome = read(events(chunk("a", "stop"), whole, late), call(stream=True))
    assert outcome.usage == {"input_tokens": 5, "output_tokens": 2}
    assert outcome.complete_usage
    # A running count is no report: what comes at the end is the last word, though it lacks one.
    running = chunk("a", usage=USAGE)
    _, outcome = read(events(running, chunk(None, "stop"), late), call(stream=True))
    assert not outcome.complete_usage


def test_a_running_count_is_not_a_report() -> None:
    _, outcome = read(events(chunk("a", usage=USAGE)), call(stream=True))
    assert outcome.usage == {"input_tokens": 5, "output_tokens": 2}
    assert not outcome.complete_usage


def test_a_chunk_whose_choices_are_missing_or_null_is_not_for_everybody() -> None:
    chunks, _ = read(events({"id": "c"}, {"id": "c", "choices": None}), call(stream=True))
    assert [found.has_choices for found in chunks] == [False, False]


def test_words_about_usage_are_only_words() -> None:
    text = '"usage":{"prompt_tokens":9} [DONE] finish_reason":"stop'
    chunks, outcome = read(events(chunk("a"), chunk(text), chunk(text)), call(stream=True))
    assert outcome.usage == {}
    assert not outcome.ended
    assert not chunks[-1].finished
    assert outcome.finish_reason is None


def test_nothing_is_read_after_the_end() -> None:
    data = events(chunk("a", "stop")) + b"data: [DONE]\n\n" + events(chunk("b", usage=USAGE))
    chunks, outcome = read(data, call(stream=True))
    assert len(chunks) == 1
    assert outcome.usage == {}


def test_an_error_event_is_a_failure_and_keeps_the_usage() -> None:
    error = {"error": {"message": "bad key sk-abcdefgh", "code": 429}, "usage": USAGE}
    chunks, outcome = read(events(chunk("a"), error, chunk("b")), call(stream=True))
    assert [json.loads(found.data)["choices"][0]["delta"] for found in chunks] == [{"content": "a"}]
    assert outcome.failure is not None
    assert outcome.failure.kind == "rate_limited"
    assert "abcdefgh" not in outcome.failure.message
    assert outcome.usage == {"input_tokens": 5, "output_tokens": 2}
    named = b'event: error\ndata: {"message":"x"}\n\n'
    assert read(named, call(stream=True))[1].failure is not None


def test_a_whole_answer_to_a_stream_is_no_stream_but_its_usage_counts() -> None:
    body = json.dumps({"choices": [{"message": {"content": "a"}}], "usage": USAGE}).encode()
    reader = ChatCompletions().reader(
        call(stream=True), {"content-type": "application/json; charset=utf-8"}
    )
    reader.feed(body)
    outcome = reader.finish()
    assert outcome.failure is not None
    assert outcome.failure.kind == "invalid_response"
    assert outcome.complete_usage


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"choices":null}', b"null", b"", b'{"choices":'])
def test_what_is_no_completion(body: bytes) -> None:
    _, outcome = read(body, call())
    assert outcome.failure is not None
    assert outcome.failure.kind == "invalid_response"
    assert outcome.answer == b""


@pytest.mark.parametrize(
    "body", ['[{"error":{"code":429,"message":"x"}}]', '{"error":{"code":429}}']
)
def test_an_error_with_status_200(body: str) -> None:
    _, outcome = read(body.encode(), call())
    assert outcome.failure is not None
    assert outcome.failure.kind == "rate_limited"


def test_an_answer_is_given_as_it_was_written() -> None:
    body = (
        b' {"id":"c","object":"chat.completion", "created":1,"model":"m",\n"choices" : [{"index":0,'
        b'"message":{"role":"assistant","content":"\\u00e9\\/"},"finish_reason":"stop"}],\n "x":'
        b' 1.10, "usage":null}\n'
    )
    _, outcome = read(body, call())
    assert outcome.answer == body
    assert outcome.usage == {}
    assert not outcome.complete_usage


def test_absurd_texts_do_not_fill_the_log() -> None:
    usage = {**USAGE, "x": "y" * 100_000}
    body = json.dumps({"id": "i" * 9999, "model": "m" * 9999, "choices": [], "usage": usage})
    _, outcome = read(body.encode(), call())
    assert outcome.usage == {"input_tokens": 5, "output_tokens": 2}
    assert outcome.usage_raw == []
    assert outcome.anomalies == ["usage_raw_too_long"]
    assert len(outcome.model or "") == len(outcome.upstream_id or "") == 200


def test_rows_read_errors_their_own_way() -> None:
    rules = FailureRules(money_codes=frozenset({"1113"}))
    dialect = ChatCompletions(ChatOptions(failures=rules))
    failure = dialect.failure(429, {}, b'{"error":{"code":"1113","message":"no balance"}}')
    assert failure.kind == "credential_out_of_money"


def test_the_texts_of_an_answer() -> None:
    tool = {"function": {"name": "fn", "arguments": "{}"}}
    deltas = [
        {"content": "a"},
        {"reasoning_content": "b", "reasoning": "b"},
        {"reasoning": "c"},
        {"refusal": "d"},
        {"tool_calls": [tool]},
        {"audio": {"transcript": "e"}},
        {"function_call": {"name": "f"}},
    ]
    data = events(*({"choices": [{"index": 0, "delta": delta}]} for delta in deltas))
    reader = ChatCompletions().reader(call(stream=True), {})
    reader.feed(data)
    assert reader.received_text() == "abcdfn{}ef"
