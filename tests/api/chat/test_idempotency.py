"""Which id a key may run under, from the log alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest

from api.chat.idempotency import PLACES_MAX, RequestIds
from api.errors import ApiError
from domain.clock import FixedClock
from domain.eventlog.log import StoredLog
from domain.eventlog.memory import open_memory_log
from domain.events.requests import (
    FAILURES,
    NOTHING_GENERATED,
    RequestFailed,
    RequestRouted,
)
from domain.ids import public_id
from tests.api.chat.calls import START
from tests.domain.events.samples import sample


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(START)


@pytest.fixture
def log(clock: FixedClock) -> Iterator[StoredLog]:
    log = open_memory_log(clock=clock)
    yield log
    log.close()


FRESH = UUID(int=7)


def ids_of(
    log: StoredLog, clock: FixedClock, *, account: str = "acc_1", key: str | None = "h"
) -> RequestIds:
    return RequestIds(log, clock, account_id=account, hashed_key=key)


def ask(log: StoredLog, clock: FixedClock, *, account: str = "acc_1", key: str = "h") -> UUID:
    return asyncio.run(ids_of(log, clock, account=account, key=key).first(FRESH))


def route(log: StoredLog, request: UUID) -> None:
    like = sample("request.routed")
    assert isinstance(like, RequestRouted)
    event = RequestRouted(**{**vars(like), "originator_id": request})
    log.submit(event, account_id="acc_1").result()


def fail(
    log: StoredLog, request: UUID, failure: str, *, upstream_status: int | None = None
) -> None:
    event = RequestFailed(
        originator_id=request,
        originator_version=2,
        failure=failure,
        upstream_status=upstream_status,
    )
    log.submit(event, account_id="acc_1").result()


def test_the_id_is_derived(log: StoredLog, clock: FixedClock) -> None:
    assert ask(log, clock) == ask(log, clock)
    assert ask(log, clock) != ask(log, clock, account="acc_2")
    assert ask(log, clock) != ask(log, clock, key="other")


def test_a_running_request_holds_its_key(log: StoredLog, clock: FixedClock) -> None:
    request = ask(log, clock)
    route(log, request)
    with pytest.raises(ApiError) as caught:
        ask(log, clock)
    error = caught.value
    assert (error.status, error.code) == (409, "request_in_progress")
    assert error.details == {"request_id": public_id("req", request)}
    assert dict(error.headers)["x-should-retry"] == "false"


@pytest.mark.parametrize("failure", sorted(FAILURES))
def test_only_a_failure_that_generated_nothing_releases_it(
    log: StoredLog, clock: FixedClock, failure: str
) -> None:
    request = ask(log, clock)
    route(log, request)
    fail(log, request, failure)
    if failure in NOTHING_GENERATED:
        assert ask(log, clock) != request
    else:
        with pytest.raises(ApiError) as caught:
            ask(log, clock)
        assert caught.value.code == "idempotency_key_reused"


@pytest.mark.parametrize(("status", "free"), [(503, True), (504, False), (524, False)])
def test_an_edge_that_gave_up_holds_the_key(
    log: StoredLog, clock: FixedClock, status: int, free: bool
) -> None:
    request = ask(log, clock)
    route(log, request)
    fail(log, request, "overloaded", upstream_status=status)
    if free:
        assert ask(log, clock) != request
    else:
        with pytest.raises(ApiError):
            ask(log, clock)


def test_what_may_have_generated_is_not_released() -> None:
    unsure = {"timeout", "process_lost", "provider_error", "invalid_response", "internal_error"}
    assert not unsure & NOTHING_GENERATED
    assert NOTHING_GENERATED <= FAILURES


def test_a_day_later_the_key_is_free(log: StoredLog, clock: FixedClock) -> None:
    request = ask(log, clock)
    route(log, request)
    clock.advance(timedelta(hours=24))
    with pytest.raises(ApiError):
        ask(log, clock)
    clock.advance(timedelta(microseconds=1))
    assert ask(log, clock) != request


def test_a_key_that_fails_for_ever_runs_out(log: StoredLog, clock: FixedClock) -> None:
    for _ in range(PLACES_MAX):
        request = ask(log, clock)
        route(log, request)
        fail(log, request, "rate_limited")
    with pytest.raises(ApiError) as caught:
        ask(log, clock)
    assert caught.value.code == "idempotency_key_reused"


def test_without_a_key_every_attempt_is_fresh(log: StoredLog, clock: FixedClock) -> None:
    ids = ids_of(log, clock, key=None)
    assert asyncio.run(ids.first(FRESH)) == FRESH
    assert len({FRESH, ids.following(), ids.following()}) == 3


def test_attempts_of_one_call_stand_in_the_key_s_own_chain(
    log: StoredLog, clock: FixedClock
) -> None:
    ids = ids_of(log, clock)
    first = asyncio.run(ids.first(FRESH))
    route(log, first)
    fail(log, first, "rate_limited")
    second = ids.following()
    assert ask(log, clock) == second  # the process died between the two: the key is free
    route(log, second)
    with pytest.raises(ApiError) as caught:
        ask(log, clock)
    assert (caught.value.code, caught.value.details) == (
        "request_in_progress",
        {"request_id": public_id("req", second)},
    )
    fail(log, second, "credential_invalid")
    assert ask(log, clock) == ids.following()


def test_the_last_attempt_decides_about_the_key(log: StoredLog, clock: FixedClock) -> None:
    """The first may have generated nothing for certain or not: the second is what counts."""
    ids = ids_of(log, clock)
    first = asyncio.run(ids.first(FRESH))
    route(log, first)
    fail(log, first, "provider_error", upstream_status=500)
    with pytest.raises(ApiError):  # as long as it is the last
        ask(log, clock)
    second = ids.following()
    route(log, second)
    fail(log, second, "overloaded", upstream_status=503)
    assert ask(log, clock) == ids.following()
