"""Gemini's responses, whole or streamed, as pieces of OpenAI's choices."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

import orjson

from api.providers.failures import FailureRules, classify_inside, unreadable
from api.providers.gemini.grounding import Grounding
from api.providers.gemini.partial import PartialCall
from api.providers.gemini.usage import billed_searches, normalise_gemini_usage
from api.providers.lenient import objects, text_of
from api.providers.port import ChatCall, Outcome, ProviderFailure, RawObject
from api.providers.usage import keep_raw, report_usage, told_word
from api.providers.verbatim import written

RULES: Final = FailureRules(
    # What others say of an empty account, Google says of a limit per minute or day.
    money_words=re.compile(r"prepayment credits are depleted", re.I)
)
_FILTERED: Final = frozenset(
    {"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"}
)
_REASONS: Final = {
    1: "STOP",
    2: "MAX_TOKENS",
    3: "SAFETY",
    4: "RECITATION",
    7: "BLOCKLIST",
    8: "PROHIBITED_CONTENT",
    9: "SPII",
    11: "IMAGE_SAFETY",
}
"""Numbers stand for words where an answer was asked for with `enum-encoding=int`."""
_WHOLE: Final = "promptTokenCount"
_BLOCKED: Final = "The provider blocked the prompt"


class Piece(NamedTuple):
    """What one response adds to one choice."""

    choice: int
    delta: RawObject
    finish_reason: str | None = None
    logprobs: RawObject | None = None


class Answer:
    """All that the responses of one call have told so far."""

    def __init__(self, call: ChatCall) -> None:
        self.outcome = Outcome()
        self.said: list[str] = []
        self._call = call
        self._candidates: dict[int, _Candidate] = {}
        self._usage: RawObject = {}
        self._usage_from = b""

    @property
    def finished(self) -> bool:
        """Every choice that was asked for has ended."""
        ended = sum(candidate.finish is not None for candidate in self._candidates.values())
        return ended >= self._call.choices

    @property
    def all_ended(self) -> bool:
        """Every choice that began has ended. (Google may give fewer than were asked for.)"""
        candidates = self._candidates.values()
        return bool(candidates) and all(one.finish is not None for one in candidates)

    def take(self, found: RawObject, data: bytes) -> Iterator[Piece]:
        """What one response says."""
        outcome = self.outcome
        if found.get("error"):
            self.fail(classify_inside(found, RULES))
        if outcome.failure is not None:
            return
        outcome.upstream_id = outcome.upstream_id or told_word(found.get("responseId"))
        model = told_word(found.get("modelVersion"))
        outcome.model = model.removeprefix("models/") if model else outcome.model
        usage = found.get("usageMetadata")
        if isinstance(usage, dict) and usage and (_WHOLE in usage or _WHOLE not in self._usage):
            # Each report is the whole as of then; one without the prompt's count is none.
            self._usage, self._usage_from = usage, data
        candidates = objects(found.get("candidates"))
        for place, candidate in enumerate(candidates):
            index = candidate.get("index", place)
            yield from self._candidate(index if type(index) is int else place, candidate)
        if not candidates and not self._candidates:
            yield from self._blocked(found.get("promptFeedback"))

    def fail(self, failure: ProviderFailure) -> None:
        """Note a failure; the first one is the cause, what follows are consequences."""
        if self.outcome.failure is None:
            self.outcome.failure = failure

    def result(self, *, whole: bool = False) -> Outcome:
        """What it amounts to as of now; finding no choice at all is a failure.

        `whole`: nothing can come any more, whether or not the choices gave a reason to stop.
        """
        outcome = replace(self.outcome, ended=whole or self.all_ended)
        reasons = [one.finish for one in self._candidates.values() if one.finish]
        outcome.finish_reason = reasons[0] if reasons else None
        if outcome.failure is None and not self._candidates:
            outcome.failure = self._no_answer()
        if self._usage:
            self._settle_usage(outcome)
        return outcome

    def _settle_usage(self, outcome: Outcome) -> None:
        found = normalise_gemini_usage(self._usage, outcome.model or self._call.model)
        texts = keep_raw(found, self._usage_from, self._usage, "usageMetadata")
        if not outcome.ended and found.usage.get("output_tokens") == 0:
            # Nothing yet is not nothing.
            del found.usage["output_tokens"], found.provenance["output_tokens"]
        self._count_searches(found.usage, found.provenance)
        report_usage(outcome, found, texts)
        outcome.complete_usage = found.final and outcome.ended

    def _count_searches(self, usage: dict[str, int], provenance: dict[str, str]) -> None:
        """Where the report does not say what was billed, the queries that were made do."""
        queries = {query for one in self._candidates.values() for query in one.grounding.queries}
        if queries and "web_search_calls" not in usage:
            model = self.outcome.model or self._call.model
            usage["web_search_calls"] = billed_searches(len(queries), model)
            provenance["web_search_calls"] = "derived"

    def _no_answer(self) -> ProviderFailure:
        if self._usage and _WHOLE not in self._usage:
            # What Google sends when Model Armor stopped the call: nothing but the traffic type.
            return ProviderFailure(
                kind="bad_request",
                status=200,
                message="The provider gave no answer and no reason; a filter of its owner's may "
                "have stopped the call.",
                code="content_filter",
            )
        return unreadable("The provider's answer holds no candidate.")

    def _blocked(self, feedback: Any) -> Iterator[Piece]:
        reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
        if not reason:
            return
        told = text_of(feedback, "blockReasonMessage") or f"{_BLOCKED} ({str(reason)[:40]})."
        for index in range(self._call.choices):
            self._candidates[index] = candidate = _Candidate()
            candidate.finish = "content_filter"
            yield Piece(index, {"role": "assistant", "refusal": told})
            yield Piece(index, {}, "content_filter")

    def _candidate(self, index: int, found: RawObject) -> Iterator[Piece]:
        candidate = self._candidates.get(index)
        if candidate is None:
            candidate = self._candidates[index] = _Candidate()
            yield Piece(index, {"role": "assistant", "content": ""})
        content = found.get("content")
        logprobs = _logprobs(found.get("logprobsResult"))
        for part in objects(content.get("parts")) if isinstance(content, dict) else ():
            for delta in self._part(index, candidate, part):
                yield Piece(index, delta, None, logprobs)
                logprobs = None
        annotations = candidate.grounding.take(found.get("groundingMetadata"), candidate.text)
        if annotations:
            yield Piece(index, {"annotations": annotations})
        reason = found.get("finishReason")
        reason = _REASONS.get(reason, "OTHER") if type(reason) is int else reason
        if isinstance(reason, str) and reason and reason != "FINISH_REASON_UNSPECIFIED":
            for delta in self._close(index, candidate):
                yield Piece(index, delta)
            yield self._end(index, candidate, reason, found, logprobs)

    def _end(
        self,
        index: int,
        candidate: _Candidate,
        reason: str,
        found: RawObject,
        logprobs: RawObject | None,
    ) -> Piece:
        delta: RawObject = {}
        if candidate.signature:
            delta["extra_content"] = _signed(candidate.signature)
        candidate.finish = _finish_reason(reason, calls=candidate.calls)
        told = text_of(found, "finishMessage")
        if candidate.finish == "content_filter" and told:
            delta["refusal"] = told
        return Piece(index, delta, candidate.finish, logprobs)

    def _part(self, index: int, candidate: _Candidate, part: RawObject) -> Iterator[RawObject]:
        signature = text_of(part, "thoughtSignature") or None
        called = part.get("functionCall")
        if isinstance(called, dict):
            yield from self._call_part(index, candidate, called, signature)
            return
        yield from self._close(index, candidate)
        thought = part.get("thought") is True
        text = text_of(part, "text")
        if text:
            self._say(text)
            if not thought:
                candidate.text.append(text)
            yield {"reasoning_content" if thought else "content": text}
        image = _image(part.get("inlineData"))
        if image:
            self.outcome.generated = True
        if image and not thought:
            # A picture among the thoughts is a draft.
            yield {"images": [image]}
        if signature and "text" in part:
            # Given once, with the end: clients that add up what they do not know would join two.
            candidate.signature = signature

    def _call_part(
        self, index: int, candidate: _Candidate, called: RawObject, signature: str | None
    ) -> Iterator[RawObject]:
        if called.get("name"):
            yield from self._close(index, candidate)
            candidate.open = PartialCall(called, signature)
        if candidate.open is None:
            return
        candidate.open.add(called)
        if called.get("willContinue") is not True:
            yield from self._close(index, candidate)

    def _close(self, index: int, candidate: _Candidate) -> Iterator[RawObject]:
        """The open tool call, if there is one, in OpenAI's words."""
        call, candidate.open = candidate.open, None
        if call is None:
            return
        self.outcome.generated = True
        arguments = written(call.args)
        if arguments is None:
            self.fail(unreadable("The provider's answer is nested too deeply."))
            return
        self._say(str(call.name), arguments.decode())
        place, candidate.calls = candidate.calls, candidate.calls + 1
        if place and self._call.body.get("parallel_tool_calls") is False:
            # Gemini cannot be told to call one tool only; the client was promised one.
            return
        given: RawObject = {
            "index": place,
            "id": told_word(call.id) or self._identity(index, place, call, arguments),
            "type": "function",
            "function": {"name": call.name, "arguments": arguments.decode()},
        }
        if call.signature:
            given["extra_content"] = _signed(call.signature)
        yield {"tool_calls": [given]}

    def _identity(self, index: int, place: int, call: PartialCall, arguments: bytes) -> str:
        """The same bytes give the same id; other answers give others."""
        named = [self.outcome.upstream_id, index, place, str(call.name), arguments.decode()]
        return "call_" + hashlib.sha256(orjson.dumps(named)).hexdigest()[:24]

    def _say(self, *texts: str) -> None:
        self.outcome.generated = True
        self.said.extend(texts)


class _Candidate:
    """A choice that is being written."""

    __slots__ = ("calls", "finish", "grounding", "open", "signature", "text")

    def __init__(self) -> None:
        self.calls = 0
        self.finish: str | None = None
        self.grounding = Grounding()
        self.open: PartialCall | None = None
        self.signature: str | None = None
        self.text: list[str] = []


def _finish_reason(reason: str, *, calls: int) -> str:
    if reason == "MAX_TOKENS":
        return "length"
    if reason in _FILTERED or reason.startswith("IMAGE_"):
        return "content_filter"
    return "tool_calls" if calls and reason == "STOP" else "stop"


def _signed(signature: str) -> RawObject:
    """Where Google's own OpenAI endpoint puts a thought signature."""
    return {"google": {"thought_signature": signature}}


def _image(data: Any) -> RawObject | None:
    """Bytes of an image as others give them in chat completions."""
    if not isinstance(data, dict):
        return None
    media_type, encoded = text_of(data, "mimeType"), text_of(data, "data")
    if not media_type.startswith("image/") or not encoded:
        return None
    return {"type": "image_url", "image_url": {"url": f"data:{media_type};base64,{encoded}"}}


def _logprobs(found: Any) -> RawObject | None:
    if not isinstance(found, Mapping):
        return None
    chosen = objects(found.get("chosenCandidates"))
    top = objects(found.get("topCandidates"))
    content = []
    for place, token in enumerate(chosen):
        others = objects(top[place].get("candidates")) if place < len(top) else []
        content.append({**_token(token), "top_logprobs": [_token(other) for other in others]})
    return {"content": content, "refusal": None} if content else None


def _token(found: Mapping[str, Any]) -> RawObject:
    token = text_of(found, "token")
    logprob = found.get("logProbability")
    return {
        "token": token,
        "logprob": logprob if type(logprob) in (int, float) else 0,
        "bytes": list(token.encode(errors="replace")),
    }
