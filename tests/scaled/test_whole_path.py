"""Calls through two servers, over Postgres, Kafka and ClickHouse, to an invoice and its proof."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import psutil
import pytest

from tests.e2e.program import REPOSITORY
from tests.scaled.processes import Installation, answers, eventually, free_port, installed
from tests.services.fixtures import fresh_database, fresh_name, in_database

pytestmark = pytest.mark.services
RECOMPUTE = REPOSITORY / "tests" / "recompute" / "recompute.py"
CALLS = 12


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: str,
    kafka_bootstrap: str,
    clickhouse_server: str,
) -> Iterator[tuple[Installation, list[str]]]:
    """Two servers, a relay, two projectors, a sweeper; and where the servers are."""
    folder = tmp_path_factory.mktemp("scaled")
    with fresh_database(postgres_server) as store:
        settings = {
            "KEYTOLL_STORE": store,
            "KEYTOLL_KAFKA": kafka_bootstrap,
            "KEYTOLL_KAFKA_TOPIC": fresh_name(),
            "KEYTOLL_KAFKA_PARTITIONS": "4",
            "KEYTOLL_KAFKA_REPLICAS": "1",
            "KEYTOLL_CLICKHOUSE": in_database(clickhouse_server, fresh_name()),
        }
        with installed(folder, settings) as installation:
            installation.init()
            servers = [installation.start(f"serve-{n}", "serve") for n in (1, 2)]
            installation.start("relay", "work", "relay")
            for member in ("one", "two"):
                installation.start(f"project-{member}", "work", "project", KEYTOLL_MEMBER=member)
            installation.start("sweep", "work", "sweep")
            yield installation, [server.address() for server in servers]


def test_calls_through_both_become_an_invoice_that_anybody_can_recompute(
    running: tuple[Installation, list[str]], tmp_path: Path
) -> None:
    installation, addresses = running
    installation.store_key(addresses[0])
    time.sleep(2)
    fees = Decimal(0)
    for number in range(CALLS):
        answer = installation.call(addresses[number % 2], "word " * (number + 1))
        assert answer.status_code == 200, answer.text
        fees += Decimal(answer.json()["x_keytoll"]["fee_usd"])

    usage = eventually(
        lambda: reported(installation, addresses[1]), lambda: "the calls are missing"
    )
    assert Decimal(usage["totals"]["fee_usd"]) == fees
    served = [served_by(installation, address) for address in addresses]
    assert served[0]["totals"] == served[1]["totals"]

    period = f"2026-01-01/{datetime.now(UTC).isoformat(timespec='microseconds')}"
    time.sleep(0.01)
    closed = installation.asked("close", "--period", period, "--grace", "0")
    [invoice] = closed["invoices"]
    assert closed["refused"] == {}
    again = installation.asked("close", "--period", period, "--grace", "0")
    assert again["invoices"] == closed["invoices"]

    installation.ran("export", "events", "--out", str(tmp_path / "events.jsonl"))
    installation.ran("export", "prices", "--out", str(tmp_path / "prices.jsonl"))
    path = tmp_path / "invoice.json"
    installation.ran("invoice", "export", invoice["id"], "--out", str(path))
    document = json.loads(path.read_text())
    assert Decimal(document["fee_usd_exact"]) == fees
    done = subprocess.run(
        [sys.executable, "-S", "-E", str(RECOMPUTE), "events.jsonl", "prices.jsonl", str(path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr

    assert "everything is what it was" in installation.ran("verify")
    installation.ran("recompute", "--period", period)
    compared = eventually(lambda: level(installation), lambda: "log and tables are not level")
    assert compared["records"] >= CALLS * 2
    installation.ran("replay", "--check")


def test_status_tells_of_every_store_relay_and_group(
    running: tuple[Installation, list[str]],
) -> None:
    installation, _ = running

    def settled() -> object:
        status = installation.asked("status")
        [store] = status["stores"]
        level = store["events"] == store["projected"] == store["relayed"]
        return level and status["consumer_lag"] == 0 and status

    status = eventually(settled, lambda: installation.ran("status"))
    assert isinstance(status, dict)
    assert status["open_requests"] == 0
    assert status["dead_letters"] == 0
    assert status["alive_processes"] == 2


def test_what_is_revoked_at_one_server_is_refused_by_the_other_within_two_seconds(
    running: tuple[Installation, list[str]],
) -> None:
    installation, (first, second) = running
    with installation.client(first) as owner:
        made = owner.post("/api/user/api-keys", json={"role": "caller", "name": "short"}).json()
        headers = {"authorization": f"Bearer {made['secret']}"}

        def known() -> bool:
            return answered(installation, second, headers) == 200

        eventually(known, lambda: "the new key is not known", s=2)
        assert owner.delete(f"/api/user/api-keys/{made['id']}").status_code == 200
        revoked_s = time.monotonic()
        while answered(installation, second, headers) != 401:
            assert time.monotonic() - revoked_s < 2.0
            time.sleep(0.02)


def test_a_command_is_seen_by_the_servers_within_two_seconds(
    running: tuple[Installation, list[str]],
) -> None:
    installation, (_, second) = running
    opened = installation.asked("account", "open")
    key = installation.asked(
        "api-key", "issue", "--account", opened["account_id"], "--role", "owner"
    )
    issued_s = time.monotonic()
    headers = {"authorization": f"Bearer {key['key']}"}
    while answered(installation, second, headers) != 200:
        assert time.monotonic() - issued_s < 2.0
        time.sleep(0.02)


def test_several_processes_serve_on_one_port_and_a_dead_one_is_started_anew(
    running: tuple[Installation, list[str]],
) -> None:
    installation, _ = running
    ports = (free_port(), free_port())
    metrics = f"127.0.0.1:{min(ports)}"
    parent = installation.start("many", "serve", "--workers", "2", KEYTOLL_METRICS_LISTEN=metrics)
    address = parent.address()
    own = [f"http://127.0.0.1:{min(ports) + n}" for n in (0, 1)]
    for each in own:
        eventually(lambda at=each: answers(f"{at}/readyz"), parent.said)  # type: ignore[misc]
    assert installation.call(address).status_code == 200
    with installation.client(address) as client:
        assert client.get("/metrics").status_code == 404

    first = children(parent.process.pid)
    first[0].kill()
    eventually(lambda: not answers(f"{own[0]}/readyz"), parent.said)
    eventually(lambda: answers(f"{own[0]}/readyz"), parent.said)
    assert installation.call(address).status_code == 200
    second = children(parent.process.pid)
    assert len(second) == 2
    parent.end()
    assert not [each for each in second if each.is_running()]


def children(pid: int) -> list[psutil.Process]:
    return sorted(psutil.Process(pid).children(), key=lambda each: each.create_time())


def answered(installation: Installation, address: str, headers: dict[str, str]) -> int:
    with installation.client(address) as client:
        return client.get("/api/v1/models", headers=headers).status_code


def served_by(installation: Installation, address: str) -> dict[str, dict[str, object]]:
    with installation.client(address) as client:
        answer = client.get("/api/v1/usage")
    assert answer.status_code in {200, 503}, answer.text
    return dict(answer.json())


def reported(installation: Installation, address: str) -> dict[str, dict[str, str]] | None:
    usage: dict[str, dict[str, str]] = served_by(installation, address)  # type: ignore[assignment]
    there = "totals" in usage and usage["totals"]["requests"] == CALLS  # type: ignore[comparison-overlap]
    return usage if there else None


def level(installation: Installation) -> dict[str, int]:
    compared: dict[str, int] = installation.asked("drift")
    assert compared["equal"], compared
    return compared
