"""What a worker's process tells whoever watches it, over a real socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from api.metrics import Readings
from domain.errors import UnsafeSetup
from keytoll.monitor import Monitor
from keytoll.setting import Address

Start = Callable[[Callable[[], str | None]], str]


@pytest.fixture
def readings() -> Readings:
    made = Readings()
    made.watch("keytoll_log_events", "Events.", lambda: 7)
    made.watch_each("keytoll_worker_up", "Gets on.", "worker", lambda: {"relay": 1, "seal": 0})
    return made


@pytest.fixture
def start(readings: Readings) -> Iterator[Start]:
    monitors: list[Monitor] = []

    def start(why_not_ready: Callable[[], str | None]) -> str:
        monitors.append(Monitor(Address("127.0.0.1", 0), readings, why_not_ready))
        return f"http://127.0.0.1:{monitors[-1].port}"

    yield start
    for monitor in monitors:
        monitor.close()


def get(url: str) -> httpx.Response:
    return httpx.get(url, verify=False)


def test_figures_are_read_when_they_are_asked_for(start: Start) -> None:
    text = get(f"{start(lambda: None)}/metrics").text
    assert "keytoll_log_events 7.0" in text
    assert 'keytoll_worker_up{worker="relay"} 1.0' in text
    assert 'keytoll_worker_up{worker="seal"} 0.0' in text


def test_it_lives_although_it_is_not_ready(start: Start) -> None:
    at = start(lambda: "relay is retrying: FeedUnavailable")
    assert get(f"{at}/healthz").status_code == 200
    ready = get(f"{at}/readyz")
    assert ready.status_code == 503
    assert ready.json() == {"status": "not_ready", "reason": "relay is retrying: FeedUnavailable"}


def test_it_is_ready_when_nothing_speaks_against_it(start: Start) -> None:
    assert get(f"{start(lambda: None)}/readyz").status_code == 200


def test_there_is_nothing_else(start: Start) -> None:
    at = start(lambda: None)
    assert get(f"{at}/").status_code == 404
    assert httpx.post(f"{at}/metrics", verify=False).status_code == 501


def test_a_taken_port_is_told_with_its_setting(readings: Readings) -> None:
    first = Monitor(Address("127.0.0.1", 0), readings, lambda: None)
    try:
        with pytest.raises(UnsafeSetup, match="KEYTOLL_METRICS_LISTEN"):
            Monitor(Address("127.0.0.1", first.port), readings, lambda: None)
    finally:
        first.close()
