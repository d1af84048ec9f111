"""Whichever of the three services is given: it starts, serves a call, reports and bills it."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain, combinations
from pathlib import Path

import pytest

from tests.scaled.processes import Installation, eventually, installed
from tests.services.fixtures import fresh_database, fresh_name, in_database

pytestmark = pytest.mark.services

SERVICES = ("store", "kafka", "clickhouse")
SUBSETS = list(chain.from_iterable(combinations(SERVICES, n) for n in range(3)))
"""All three together are test_whole_path.py."""


@pytest.mark.parametrize("given", SUBSETS, ids=lambda given: "+".join(given) or "none")
def test_any_subset_of_the_services_bills_a_call(
    given: tuple[str, ...], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with ExitStack() as services:
        settings = {}
        if "store" in given:
            server = request.getfixturevalue("postgres_server")
            settings["KEYTOLL_STORE"] = services.enter_context(fresh_database(server))
        if "kafka" in given:
            settings["KEYTOLL_KAFKA"] = request.getfixturevalue("kafka_bootstrap")
            settings["KEYTOLL_KAFKA_TOPIC"] = fresh_name()
            settings["KEYTOLL_KAFKA_PARTITIONS"] = "2"
            settings["KEYTOLL_KAFKA_REPLICAS"] = "1"
        if "clickhouse" in given:
            server = request.getfixturevalue("clickhouse_server")
            settings["KEYTOLL_CLICKHOUSE"] = in_database(server, fresh_name())
        with installed(tmp_path, settings) as installation:
            bills_a_call(installation, projects={"store", "clickhouse"} <= {*given})


def bills_a_call(installation: Installation, *, projects: bool) -> None:
    """With `projects`, a process of its own fills the tables; commands go into the server's
    folder, where they find it if it owns anything there."""
    installation.init("serve")
    server = installation.start("serve", "serve")
    if projects:
        installation.start("project", "work", "project")
    address = server.address()
    installation.store_key(address)
    answer = installation.call(address)
    assert answer.status_code == 200, answer.text
    fee = Decimal(answer.json()["x_keytoll"]["fee_usd"])
    assert fee > 0

    def shown() -> bool:
        with installation.client(address) as client:
            usage = client.get("/api/v1/usage")
        return usage.status_code == 200 and usage.json()["totals"]["requests"] == 1

    eventually(shown, server.said)
    period = f"2026-01-01/{datetime.now(UTC).isoformat(timespec='microseconds')}"
    time.sleep(0.01)
    words = ("close", "--period", period, "--grace", "0")
    [invoice] = installation.asked(*words, name="serve")["invoices"]
    exported = installation.asked("invoice", "show", invoice["id"], name="serve")
    assert Decimal(exported["fee_usd_exact"]) == fee
    eventually(
        lambda: "say what the log says" in installation.ran("drift", name="serve"), server.said
    )
