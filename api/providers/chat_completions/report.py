"""What the objects of an answer have told so far; the last word counts, nothing is summed."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from api.providers.chat_completions.cost import with_decimals
from api.providers.chat_completions.extras import break_down, read_metadata, searches_run
from api.providers.chat_completions.options import ChatOptions
from api.providers.chat_completions.usage import normaliser
from api.providers.failures import classify_inside
from api.providers.lenient import index_of, objects
from api.providers.port import ChatCall, Outcome, ProviderFailure, RawObject
from api.providers.usage import Normalised, keep_raw, report_usage, told_word

_ERRORS: Final = ("detail", "fault", "errors")
_BROKEN: Final = frozenset({"error", "network_error"})
"""Reasons to stop that stand for an error that is not told."""
_SAYING: Final = (
    *("content", "refusal", "reasoning_content", "reasoning", "tool_calls", "function_call"),
    "audio",
)


class _Told(NamedTuple):
    """A usage object, and where it was told."""

    usage: RawObject
    data: bytes
    path: tuple[str, ...]
    final: bool


class Report:
    """Reads completions or chunks, in order, for the outcome of a call."""

    def __init__(self, call: ChatCall, options: ChatOptions) -> None:
        self._call = call
        self._options = options
        self._rules = options.usage
        self._told: dict[str, _Told] = {}
        """Kind of report → the last of its kind."""
        self._recounts = options.usage.recounts[call.stream]
        self._breakdown: Any = None
        self._searches: int | None = None
        self._metadata: RawObject = {}
        self.finished: set[int] = set()
        self.outcome = Outcome()

    @property
    def all_finished(self) -> bool:
        """All choices have told why they ended."""
        return len(self.finished) >= self._call.choices

    def see(self, found: RawObject, data: bytes) -> None:
        """Note the top level of a completion or a chunk; its choices must be noted before."""
        outcome, rules = self.outcome, self._rules
        # Some repeat a growing count on every chunk: only what comes at the end is final.
        final = self.all_finished or not found.get("choices")
        if rules.beside is not None:
            self._see_beside(found.get(rules.beside), data, final)
        for name in ("usage", *self._recounts):
            self._hear(name, found.get(name), data, (name,), final)
        if rules.breakdown is not None and found.get(rules.breakdown):
            self._breakdown = found[rules.breakdown]
        outcome.model = told_word(found.get("model")) or outcome.model
        outcome.upstream_id = told_word(found.get("id")) or outcome.upstream_id
        tier = told_word(found.get("service_tier"))
        if tier is not None:
            outcome.context["service_tier"] = "default" if tier in rules.list_tiers else tier

    def see_choices(self, choices: Any, *, whole: bool) -> None:
        """Note the choices of a completion (whole) or of a chunk."""
        outcome = self.outcome
        for choice in objects(choices):
            said = choice.get("message" if whole else "delta")
            if isinstance(said, dict) and said:
                outcome.generated = outcome.generated or says_something(said)
                self._see_said(said)
            reason = choice.get("finish_reason")
            if reason or whole:
                self.finished.add(index_of(choice))
            if isinstance(reason, str) and reason:
                first = outcome.finish_reason if whole else None
                outcome.finish_reason = first or reason[:40]

    def failure_in(self, found: RawObject, *, named: bool = False) -> ProviderFailure | None:
        """The error that an object of an answer stands for; `named`: its event says that it is."""
        error = found if named or found.get("error") else None
        if error is None and "choices" not in found:
            coded = isinstance(found.get("message"), str) and ("code" in found or "type" in found)
            if coded or any(found.get(name) for name in _ERRORS):
                error = found
        beside = found.get(self._rules.beside) if self._rules.beside is not None else None
        if error is None and isinstance(beside, dict) and beside.get("error"):
            error = beside
        if error is None and any(_broken(choice) for choice in objects(found.get("choices"))):
            error = {"message": "The provider broke off its answer and did not say why."}
        return None if error is None else classify_inside(error, self._options.failures)

    def settle(self) -> None:
        """Work out the usage from the last report."""
        outcome = self.outcome
        name = next((name for name in (*self._recounts, "usage") if name in self._told), None)
        if name is None:
            return
        told = self._told[name]
        model = outcome.model or self._call.model
        found = normaliser(self._rules)(told.usage, model)
        raw = self._raw(found, name)
        if found.provider_cost is not None and raw and self._rules.cost is not None:
            # Once more from the text itself: what was read as JSON has lost digits.
            found.provider_cost = self._rules.cost(with_decimals(raw[0]))
        found.put("web_search_calls", self._searches)
        if self._metadata:
            read_metadata(found, self._metadata)
        if self._breakdown is not None:
            break_down(found, self._breakdown, model)
        report_usage(outcome, found, raw)
        outcome.complete_usage = found.final and (told.final or outcome.ended)

    def _raw(self, found: Normalised, billed: str) -> list[str]:
        """The object that is billed by, then what else the provider counted."""
        told = self._told[billed]
        raw = keep_raw(found, told.data, told.usage, *told.path)
        if billed != "usage" and "usage" in self._told:
            other = self._told["usage"]
            if any(other.usage.get(name) != count for name, count in told.usage.items()):
                found.note("usage_differs_from_recount")
            raw += keep_raw(found, other.data, other.usage, *other.path)
        return raw

    def _see_beside(self, beside: Any, data: bytes, final: bool) -> None:
        if not isinstance(beside, dict):
            return
        path = (str(self._rules.beside), "usage")
        self._hear("usage", beside.get("usage"), data, path, final)
        if self._rules.breakdown is not None and beside.get(self._rules.breakdown):
            self._breakdown = beside[self._rules.breakdown]

    def _hear(self, name: str, told: Any, data: bytes, path: tuple[str, ...], final: bool) -> None:
        """The last report counts; one without both counts does not undo a final one with both."""
        if not isinstance(told, dict) or not told:
            return
        known = self._told.get(name)
        if known is not None and known.final and _counts(known.usage) and not _counts(told):
            return
        self._told[name] = _Told(told, data, path, final)

    def _see_said(self, said: RawObject) -> None:
        rules = self._rules
        if rules.tools_run is not None:
            searches = searches_run(said.get(rules.tools_run))
            if searches is not None:
                # A stream tells of a tool when it starts and again when it has ended.
                self._searches = max(searches, self._searches or 0)
        if rules.metadata is not None and isinstance(said.get(rules.metadata), dict):
            self._metadata = {**self._metadata, **said[rules.metadata]}


def _counts(usage: RawObject) -> bool:
    return usage.get("prompt_tokens") is not None and usage.get("completion_tokens") is not None


def _broken(choice: RawObject) -> bool:
    reason = choice.get("finish_reason")
    return isinstance(reason, str) and reason in _BROKEN


def says_something(message: Any) -> bool:
    """Some output is in it, be it a thought."""
    return isinstance(message, dict) and any(message.get(name) for name in _SAYING)
