"""The terminal event: what is reported stays, what is missing is estimated, nothing is made up."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.chat.inflight import InFlight
from api.chat.settle import (
    Ending,
    Facts,
    Settlement,
    failed,
    needs_estimate,
)
from api.providers.port import Outcome, ProviderFailure
from domain.clock import FixedClock
from domain.eventlog.log import StoredLog
from domain.eventlog.memory import open_memory_log
from domain.events.base import JsonObject
from domain.events.requests import (
    RequestFailed,
    RequestRouted,
    TerminalEvent,
    UsageEstimated,
    UsageReported,
)
from domain.usage import UNITS
from tests.api.chat.calls import ESTIMATOR, START
from tests.domain.events.samples import sample

REQUEST = UUID(int=7)
FACTS = Facts(request=REQUEST, upstream_status=200, delivered="part", first_byte_ms=1, total_ms=2)
BODY = {"messages": [{"role": "user", "content": "How are you today?"}]}
OVERLOADED = ProviderFailure(kind="overloaded", status=200, message="Overloaded")


@pytest.fixture
def log() -> Iterator[StoredLog]:
    log = open_memory_log(clock=FixedClock(START))
    yield log
    log.close()


def books(log: StoredLog, context: JsonObject | None = None) -> Settlement:
    like = sample("request.routed")
    assert isinstance(like, RequestRouted)
    routed = RequestRouted(**{**vars(like), "originator_id": REQUEST})
    in_flight = InFlight(log, per_account_max=9, drains_max=9)
    return Settlement(log, ESTIMATOR, in_flight, routed, context or {})


async def settled(
    log: StoredLog, outcome: Outcome, ending: Ending, received: str = "I am fine."
) -> TerminalEvent:
    return await books(log).terminal_event(
        outcome, ending, FACTS, model="gpt-4o", body=BODY, received=lambda: received
    )


def outcome(**members: Any) -> Outcome:
    usage = members.get("usage", {})
    return Outcome(**{"provenance": dict.fromkeys(usage, "reported"), **members})


REPORT = {"input_tokens": 50, "output_tokens": 9}


async def test_a_final_report_is_the_truth_however_the_answer_ended(log: StoredLog) -> None:
    endings: tuple[Ending, ...] = ("complete", "cut_off", "disconnected", "shutdown")
    for ending in endings:
        event = await settled(log, outcome(usage=dict(REPORT), complete_usage=True), ending)
        assert isinstance(event, UsageReported)
        assert event.usage == REPORT
        assert set(event.provenance.values()) == {"reported"}


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ("complete", "not_reported"),
        ("cut_off", "cut_off"),
        ("disconnected", "disconnected"),
        ("shutdown", "shutdown"),
    ],
)
async def test_what_was_not_reported_is_counted(
    log: StoredLog, ending: Ending, reason: str
) -> None:
    event = await settled(log, outcome(generated=True), ending)
    assert isinstance(event, UsageEstimated)
    assert event.reason == reason
    assert set(event.provenance.values()) == {"estimated"}
    assert event.method["counted"] == ["prompt", "received_output"]
    assert 0 < event.usage["output_tokens"] <= 5
    assert 0 < event.usage["input_tokens"] <= 20


async def test_what_the_key_says_about_the_price_yields_to_the_answer(log: StoredLog) -> None:
    known = books(log, {"region": "eu-west-1", "service_tier": "flex"})
    told = outcome(usage=dict(REPORT), complete_usage=True, context={"service_tier": "priority"})
    event = await known.terminal_event(
        told, "complete", FACTS, model="gpt-4o", body=BODY, received=lambda: ""
    )
    assert isinstance(event, UsageReported)
    assert event.context == {"region": "eu-west-1", "service_tier": "priority"}


async def test_what_was_reported_stays_reported(log: StoredLog) -> None:
    """Anthropic tells the input at the start; an explicit zero is a report too."""
    told = {"input_tokens": 50, "cached_input_tokens": 0}
    event = await settled(log, outcome(usage=told, generated=True), "disconnected")
    assert isinstance(event, UsageEstimated)
    assert event.usage["input_tokens"] == 50
    assert event.provenance == {
        "input_tokens": "reported",
        "cached_input_tokens": "reported",
        "output_tokens": "estimated",
    }
    assert event.method["counted"] == ["received_output"]
    for unit in ("input_tokens", "output_tokens"):
        zero = await settled(log, outcome(usage={unit: 0}, generated=True), "cut_off")
        assert isinstance(zero, UsageEstimated)
        assert (zero.usage[unit], zero.provenance[unit]) == (0, "reported")


async def test_parts_without_their_whole_are_named_and_not_priced(log: StoredLog) -> None:
    event = await settled(
        log, outcome(usage={"cached_input_tokens": 900}, generated=True), "cut_off"
    )
    assert isinstance(event, UsageEstimated)
    assert event.anomalies == ["inconsistent_usage_totals_kept"]
    assert event.usage.keys() == {"input_tokens", "output_tokens"}
    assert event.usage["input_tokens"] <= 20


@pytest.mark.parametrize(
    ("found", "ending", "failure"),
    [
        (outcome(failure=OVERLOADED), "complete", "overloaded"),
        (outcome(failure=OVERLOADED), "cut_off", "overloaded"),
        (outcome(), "cut_off", "invalid_response"),
        (outcome(), "disconnected", "cancelled_before_answer"),
        (outcome(), "shutdown", "cancelled_before_answer"),
    ],
)
async def test_nothing_received_is_not_billed(
    log: StoredLog, found: Outcome, ending: Ending, failure: str
) -> None:
    event = await settled(log, found, ending)
    assert isinstance(event, RequestFailed)
    assert event.failure == failure
    assert not needs_estimate(found, ending)


async def test_an_error_after_output_bills_the_output(log: StoredLog) -> None:
    event = await settled(log, outcome(generated=True, failure=OVERLOADED), "complete")
    assert isinstance(event, UsageEstimated)


async def test_a_whole_answer_without_a_word_is_still_a_call(log: StoredLog) -> None:
    """It ended in order, so the provider billed its prompt."""
    event = await settled(log, outcome(), "complete", received="")
    assert isinstance(event, UsageEstimated)
    assert event.usage["output_tokens"] == 0


@given(st.dictionaries(st.sampled_from(UNITS), st.integers(-5, 10**6), max_size=8))
async def test_no_report_is_too_strange_to_end_the_request(usage: dict[str, int]) -> None:
    log = open_memory_log(clock=FixedClock(START))
    try:
        event = await settled(log, outcome(usage=usage, complete_usage=True), "complete")
        assert isinstance(event, UsageReported)
        assert await books(log).store(event)
    finally:
        log.close()


async def test_only_an_estimate_is_corrected_by_a_late_report(log: StoredLog) -> None:
    settlement = books(log)
    late = outcome(usage=dict(REPORT), complete_usage=True)
    estimate = await settled(log, outcome(generated=True), "complete")
    for event in (estimate, await settled(log, late, "complete")):
        await settlement.late_report(outcome(generated=True), event, FACTS)
    assert not log.stream(REQUEST)
    await settlement.late_report(late, await settled(log, late, "complete"), FACTS)
    assert not log.stream(REQUEST)
    await settlement.late_report(late, estimate, FACTS)
    (corrected,) = log.stream(REQUEST)
    assert (corrected.topic, corrected.originator_version) == ("request.usage-corrected", 3)


async def test_a_second_terminal_event_is_never_stored(log: StoredLog) -> None:
    settlement = books(log)
    lost = failed(FACTS, "process_lost")
    assert await settlement.store(lost)
    assert await settlement.store(failed(FACTS, "timeout"))
    assert [each.originator_version for each in log.stream(REQUEST)] == [2]


def test_a_message_is_kept_as_its_hash() -> None:
    event = failed(FACTS, "timeout", "no answer")
    assert event.message_hash == hashlib.sha256(b"no answer").hexdigest()
    assert failed(FACTS, "timeout").message_hash is None
