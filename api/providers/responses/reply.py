"""A JSON answer of Responses as a chat completion, and what streams share with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from api.providers.chunks import choice_of, created, give_completion
from api.providers.failures import FailureRules, classify_inside, unreadable
from api.providers.lenient import json_object, objects
from api.providers.port import ChatCall, Headers, Outcome, ProviderFailure, RawObject
from api.providers.responses.items import Items, Said, message_of
from api.providers.responses.usage import count_searches, normalise_responses_usage
from api.providers.usage import Normalised, keep_raw, report_usage, told_word
from api.providers.whole_body import WholeBody

RULES: Final = FailureRules(
    request_codes=frozenset(
        {
            *("bio_policy", "data_residency_mismatch", "invalid_prompt"),
            *("misalignment_policy_violation", "empty_image_file", "failed_to_download_image"),
            *("image_content_policy_violation", "image_file_not_found", "image_file_too_large"),
            *("image_parse_error", "image_too_large", "image_too_small", "invalid_base64_image"),
            *("invalid_image", "invalid_image_format", "invalid_image_mode", "invalid_image_url"),
            "unsupported_image_media_type",
        }
    )
)
"""The codes of a failed response that openai's SDK (3.54) lists; the others are the provider's."""
SECONDS_MAX: Final = 2**53
_STATUSES: Final = (None, "completed", "incomplete")
_INCOMPLETE: Final = {"max_output_tokens": "length", "content_filter": "content_filter"}


class BodyReader(WholeBody):
    """Reads an answer that is one response object."""

    def __init__(self, call: ChatCall, headers: Headers) -> None:
        super().__init__()
        self._call = call
        self._headers = headers

    def finish(self) -> Outcome:
        """The whole response, if that is what it is."""
        outcome = Outcome()
        data = self.body
        found = json_object(data)
        if found is None:
            outcome.failure = unreadable("The provider's answer is not a JSON object.")
            return outcome
        outcome.ended = True
        items = Items()
        said = said_by(items, found)
        outcome.generated = bool(said)
        learn(outcome, found)
        settle(outcome, self._call, items, (found, data, ("usage",)))
        outcome.failure = failure_of(found)
        if outcome.failure is None and (
            not isinstance(found.get("output"), list) or self._call.stream
        ):
            outcome.failure = unreadable("The provider's answer is not what was asked for.")
        if outcome.failure is None:
            outcome.finish_reason = finish_reason(found, calls=items.calls)
            self._answer(outcome, found, said)
        return outcome

    def received_text(self) -> str:
        """What the model said."""
        items = Items()
        said_by(items, json_object(self.body) or {})
        return "".join(items.words)

    def _answer(self, outcome: Outcome, found: RawObject, said: list[Said]) -> None:
        message, logprobs = message_of(said)
        give_completion(
            outcome,
            [choice_of(message, outcome.finish_reason or "stop", logprobs)],
            created=made_at(found, self._headers),
            model=self._call.model,
            identity=identity(outcome),
            service_tier=outcome.context.get("service_tier"),
        )


def said_by(items: Items, response: Mapping[str, Any]) -> list[Said]:
    """All that the items of a response say and have not said yet."""
    return [
        said
        for place, item in enumerate(objects(response.get("output")))
        for said in items.end(place, item)
    ]


def identity(outcome: Outcome) -> str:
    """The id of the completion."""
    return "chatcmpl-" + (outcome.upstream_id or "").removeprefix("resp_")


def made_at(response: Mapping[str, Any], headers: Headers) -> int:
    """When the response was made, in seconds."""
    told = response.get("created_at")
    if isinstance(told, int | float) and 0 <= told < SECONDS_MAX:
        return int(told)
    return created(headers)


def learn(outcome: Outcome, response: Mapping[str, Any]) -> None:
    """What a response says about itself; the last word counts."""
    outcome.upstream_id = told_word(response.get("id")) or outcome.upstream_id
    outcome.model = told_word(response.get("model")) or outcome.model
    tier = told_word(response.get("service_tier"))
    if tier is not None:
        outcome.context["service_tier"] = tier


def settle(
    outcome: Outcome,
    call: ChatCall,
    items: Items,
    report: tuple[RawObject, bytes, tuple[str, ...]],
) -> None:
    """Usage out of the last response that told it; `complete_usage` if it told all."""
    response, data, path = report
    usage = response.get("usage")
    found, texts = Normalised(), list[str]()
    if isinstance(usage, dict) and usage:
        found = normalise_responses_usage(usage, outcome.model or call.model)
        texts = keep_raw(found, data, usage, *path)
    count_searches(found, response, items.searches)
    report_usage(outcome, found, texts)


def finish_reason(response: Mapping[str, Any], *, calls: int) -> str:
    """Why the answer ended, in the words of chat completions."""
    if response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, Mapping) else None
        return _INCOMPLETE.get(reason, "stop") if isinstance(reason, str) else "stop"
    return "tool_calls" if calls else "stop"


def failure_of(response: Mapping[str, Any]) -> ProviderFailure | None:
    """The failure that a response stands for; None if it is an answer."""
    if response.get("error") or response.get("status") == "failed":
        return classify_inside(response.get("error"), RULES)
    if response.get("status") not in _STATUSES:
        return unreadable("The provider's answer is not finished.")
    return None
