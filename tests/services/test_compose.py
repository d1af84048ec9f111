"""docker-compose.yml, run: what it starts bills what the embedded mode bills."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.services import compose_file
from tests.services.compose import Compose, levels
from tests.services.compose_file import VariableMissing
from tests.services.server import DidNotStart
from tests.services.smoke import said, smoke, variables


@pytest.fixture
def compose(tmp_path: Path) -> Iterator[Compose]:
    """Nothing of it runs yet."""
    compose = Compose(tmp_path / "composed", variables())
    yield compose
    compose.remove()


def test_services_start_after_those_that_they_need() -> None:
    services = compose_file.services(variables())
    assert [sorted(level) for level in levels(services, ["close", "relay"])] == [
        ["clickhouse", "kafka", "postgres"],
        ["close", "relay"],
    ]
    assert list(levels(services, ["kafka"])) == [["kafka"]]


def test_services_that_wait_for_each_other_are_refused() -> None:
    services = dict(compose_file.services(variables()))
    services["postgres"] = replace(services["postgres"], needs=("api",))
    with pytest.raises(DidNotStart, match="api, postgres"):
        list(levels(services, ["api"]))


def test_a_variable_that_is_missing_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(VariableMissing, match="POSTGRES_PASSWORD: run deploy/secrets once"):
        Compose(tmp_path, {})


@pytest.mark.services
def test_what_the_file_starts_bills_what_one_process_bills(
    compose: Compose, tmp_path: Path
) -> None:
    smoke(compose, tmp_path / "embedded")
    assert not any(process.running() for ours in compose.processes.values() for process in ours)


@pytest.mark.services
@pytest.mark.parametrize("lost", ["kafka", "clickhouse"])
def test_what_is_lost_is_filled_again_from_the_log(compose: Compose, lost: str) -> None:
    said(compose.run("api", "init"))
    compose.up("relay", "project")
    wait_for_all_events(compose)
    for process in compose.processes["project"]:
        process.stop()
    said(compose.execute("api", "account", "open"))
    compose.infrastructure[lost].lose()
    compose.up(lost, "project")
    wait_for_all_events(compose)
    said(compose.execute("api", "verify", "--drift"))


def wait_for_all_events(compose: Compose) -> None:
    """Until tables, and topic, have what the log has."""
    deadline = time.monotonic() + 120
    while True:
        done = compose.execute("api", "status", "--json")
        if done.returncode == 0:
            stores = json.loads(done.stdout)["stores"]
            if all(s["events"] == s["projected"] == s["relayed"] for s in stores):
                return
        assert time.monotonic() < deadline, done.stdout + done.stderr
        time.sleep(1)
