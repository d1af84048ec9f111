"""Answers in OpenAI's form, for dialects that translate: completions, chunks, usage, time."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from api.providers.failures import unreadable
from api.providers.port import Chunk, Headers, Outcome, RawObject
from api.providers.verbatim import written


class ChunkWriter:
    """Writes chunks that all say who answers; that part is made once."""

    def __init__(self, *, identity: str, created: int, model: str) -> None:
        head = {
            "id": identity,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
        }
        self._head = orjson.dumps(head)[:-1] + b',"choices":['
        self._last: dict[tuple[int, str], int] = {}
        """Choice and list of its message → the number of the last item."""

    def delta(
        self, delta: RawObject, logprobs: RawObject | None = None, *, choice: int = 0
    ) -> Chunk:
        """A piece of the answer, with the log probabilities of its tokens."""
        for name, items in delta.items():
            if isinstance(items, list):
                delta = {**delta, name: [self._numbered(choice, name, item) for item in items]}
        return Chunk(self._chunk(choice, delta, b"null", logprobs), True, False)

    def finish(
        self,
        delta: RawObject,
        reason: str,
        logprobs: RawObject | None = None,
        *,
        choice: int = 0,
        last: bool = True,
    ) -> Chunk:
        """The last chunk of a choice, and, if it is the last one, of them all."""
        return Chunk(self._chunk(choice, delta, orjson.dumps(reason), logprobs), True, last)

    def usage(self, usage: Mapping[str, int]) -> Chunk:
        """The usage in OpenAI's meaning, beside no choices."""
        told = orjson.dumps(openai_usage(usage, cached=0))
        return Chunk(b"".join((self._head, b'],"usage":', told, b"}")), False, True)

    def _numbered(self, choice: int, name: str, item: RawObject) -> RawObject:
        """An item of a list, with the `index` by which clients that add up deltas tell items apart:
        OpenAI's SDK takes equal numbers for pieces of one item, and breaks on none at all."""
        if name == "tool_calls":
            return item
        last, index = self._last.get((choice, name), -1), item.get("index")
        self._last[choice, name] = number = (
            index if type(index) is int and index > last else last + 1
        )
        return {**item, "index": number}

    def _chunk(
        self, choice: int, delta: RawObject, reason: bytes, logprobs: RawObject | None
    ) -> bytes:
        return b"".join(
            (
                self._head,
                b'{"index":%d,"delta":' % choice,
                orjson.dumps(delta),
                b',"logprobs":',
                b"null" if logprobs is None else orjson.dumps(logprobs),
                b',"finish_reason":',
                reason,
                b"}]}",
            )
        )


def give_completion(
    outcome: Outcome,
    choices: list[RawObject],
    *,
    created: int,
    model: str,
    identity: str | None = None,
    **more: Any,
) -> None:
    """Make the whole answer that was not streamed, by what `outcome` knows of it.

    `model` and `identity` stand in for what the provider did not tell.
    """
    answer = written(
        {
            "id": identity or outcome.upstream_id or "",
            "object": "chat.completion",
            "created": created,
            "model": outcome.model or model,
            "choices": choices,
            **more,
            "usage": openai_usage(outcome.usage, cached=0),
        }
    )
    if answer is None:
        outcome.failure = unreadable("The provider's answer is nested too deeply.")
    else:
        outcome.answer = answer


def choice_of(message: RawObject, reason: str, logprobs: RawObject | None = None) -> RawObject:
    """The only choice of a whole answer."""
    return {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": reason}


def openai_usage(usage: Mapping[str, int], *, cached: int | None = None) -> RawObject:
    """The usage object of an answer, in OpenAI's meaning; unknown counts are left out.

    `cached`: what it means if nothing was told of tokens read from a cache; None: unknown.
    """
    prompt, completion = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    details: RawObject = {}
    cached = usage.get("cached_input_tokens", cached)
    if cached is not None:
        details["cached_tokens"] = cached
    writes = sum(count for unit, count in usage.items() if unit.startswith("cache_write"))
    if writes:
        details["cache_write_tokens"] = writes
    found: RawObject = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if details:
        found["prompt_tokens_details"] = details
    if "reasoning_tokens" in usage:
        found["completion_tokens_details"] = {"reasoning_tokens": usage["reasoning_tokens"]}
    return found


def created(headers: Headers) -> int:
    """When the answer was made, for protocols whose bodies tell no time: its head's date, or 0."""
    try:
        return int(parsedate_to_datetime(headers.get("date", "")).timestamp())
    except (ValueError, TypeError, OverflowError):
        return 0
