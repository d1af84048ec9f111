"""A model that no book knows: served, unrated, priced by its operator, rated late, billed once."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from decimal import Decimal
from pathlib import Path

import pytest

from tests.e2e.conftest import Opened
from tests.e2e.gate import TollGate
from tests.e2e.killable import LATE_POINTS
from tests.e2e.program import Json, Program
from tests.e2e.test_commands import asked, closed_period, ran, recompute

MODEL = "nobody-knows-9"
PRICES = {"input": "10", "cached_input": "10", "output": "30"}
ROW = {"provider": "openai", "model": MODEL, "prices": PRICES}


def call(gate: TollGate) -> Json:
    """A call of the model; its receipt as the answer brings it."""
    answer = gate.post("plain", provider="openai", model=MODEL)
    answer.raise_for_status()
    receipt: Json = answer.json()["x_keytoll"]
    return receipt


def receipt_of(gate: TollGate, request_id: str) -> Json:
    with gate.program.client() as client:
        answer = client.get(f"/api/v1/usage/requests/{request_id}")
    answer.raise_for_status()
    receipt: Json = answer.json()
    return receipt


def fee_of(receipt: Json) -> Decimal:
    """5 % of 10 (cached or not) and 30 dollars per million tokens."""
    usage = receipt["usage"]
    return Decimal(10 * usage["input_tokens"] + 30 * usage["output_tokens"]) / 10**6 / 20


def write_rows(folder: Path, *rows: Json) -> str:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def metric(program: Program, name: str) -> float:
    with program.client() as client:
        text = client.get("/metrics").text
    match = re.search(rf"(?m)^{name} (\S+)$", text)
    assert match, name
    return float(match[1])


def eventually(program: Program, name: str, value: float) -> None:
    """The gauges are kept for some seconds."""
    deadline = time.monotonic() + 20
    while metric(program, name) != value:
        assert time.monotonic() < deadline, f"{name} is {metric(program, name)}, not {value}"
        time.sleep(0.1)


def check_all(program: Program) -> None:
    """Everybody who reads the log says the same as the tables."""
    ran(program, "replay", "--check")
    ran(program, "verify", "--drift", "--period", "2026-01-01/2030-01-01")


def export(program: Program, folder: Path) -> None:
    for what in ("events", "prices"):
        ran(program, "export", what, "--out", str(folder / f"{what}.jsonl"))


def test_from_an_unknown_model_to_an_invoice(open_gate: Opened, tmp_path: Path) -> None:
    gate = open_gate()
    program = gate.program
    first = call(gate)
    assert (first["status"], first["fee_usd"]) == ("unrated", None)
    eventually(program, "keytoll_unrated", 1)
    closed = asked(program, "close", "--period", closed_period("2026-01-01"), "--grace", "0")
    (early,) = closed["invoices"]
    assert [line["fee_usd"] for line in early["lines"]] == [None]
    second = call(gate)

    rows, year = write_rows(tmp_path, ROW), "2026-01-01/2030-01-01"
    before = asked(program, "status")["price_book"]
    guess = asked(program, "prices", "what-if", rows, "--period", year)
    assert guess["totals"]["billed"]["unrated_requests"] == 2
    assert Decimal(guess["totals"]["what_if"]["fee_usd"]) == fee_of(first) + fee_of(second)
    assert asked(program, "status")["price_book"] == before
    added = asked(program, "prices", "add", rows)
    assert (added["added"], added["rated"], added["left"]) == (1, 2, 0)
    assert added["price_book"] == guess["price_book"]
    diff = asked(program, "prices", "diff", before, "current", "--period", year)
    assert [(each["kind"], each["model"]) for each in diff["changes"]] == [("added", MODEL)]
    assert Decimal(diff["totals"]["fee_difference_usd"]) == fee_of(first) + fee_of(second)
    again = asked(program, "prices", "add", write_rows(tmp_path, ROW))
    assert (again["added"], again["rated"]) == (0, 0)
    assert again["price_book"] == added["price_book"]
    eventually(program, "keytoll_unrated", 0)
    for receipt in (first, second):
        now = receipt_of(gate, receipt["request_id"])
        assert (now["status"], now["price_book"]) == ("priced", added["price_book"])
        assert Decimal(now["fee_usd"]) == fee_of(receipt)
        assert [event["topic"] for event in now["events"]][2:] == ["request.usage-rerated"]
    third = call(gate)
    assert (third["status"], third["price_book"]) == ("priced", added["price_book"])

    late = asked(program, "close", "--period", "/now", "--grace", "0")
    (invoice,) = late["invoices"]
    assert invoice["period"]["start"] == early["period"]["end"]
    assert asked(program, "invoice", "show", invoice["number"]) == invoice
    lines = {line["kind"]: line for line in invoice["lines"]}
    assert lines.keys() == {"adjustment", "usage"}
    assert lines["adjustment"]["adjusts"] == early["id"]
    assert lines["adjustment"]["requests"] == 0
    assert Decimal(lines["adjustment"]["fee_usd"]) == fee_of(first)
    assert lines["usage"]["requests"] == 2
    assert Decimal(lines["usage"]["fee_usd"]) == fee_of(second) + fee_of(third)

    check_all(program)
    export(program, tmp_path)
    for document in (early, invoice):
        path = tmp_path / "invoice.json"
        ran(program, "invoice", "export", document["id"], "--out", str(path))
        done = recompute(tmp_path, "invoice.json")
        assert done.returncode == 0, done.stdout + done.stderr
    shown = ran(program, "invoice", "export", invoice["id"])
    usage = ran(program, "report", "usage", "--period", "2026-01-01/2030-01-01", "--json")
    assert asked(program, "rebuild")["differences"] == []
    assert ran(program, "invoice", "export", invoice["id"]) == shown
    assert ran(program, "report", "usage", "--period", "2026-01-01/2030-01-01", "--json") == usage


def test_a_row_that_is_added_while_no_server_runs(open_gate: Opened, tmp_path: Path) -> None:
    gate = open_gate()
    program = gate.program
    unrated = call(gate)
    program.stop()
    added = asked(program, "prices", "add", write_rows(tmp_path, ROW))
    assert (added["added"], added["rated"]) == (1, 1)
    explain = ("prices", "explain", "openai", MODEL, "--at", "2026-11-23")
    alone = ran(program, *explain)
    assert "status     priced" in alone
    program.start()
    assert ran(program, *explain) == alone
    assert Decimal(receipt_of(gate, unrated["request_id"])["fee_usd"]) == fee_of(unrated)
    assert call(gate)["price_book"] == added["price_book"]
    backup = tmp_path / "backup.tar"
    ran(program, "backup", str(backup))
    program.stop()

    # The rows are in the log, so they are in its backup too.
    other = Program(tmp_path / "other", upstreams={})
    other.folder.mkdir()
    ran(other, "restore", str(backup))
    other.environment["KEYTOLL_MASTER_KEY_FILE"] = str(program.data) + ".key"
    assert ran(other, "export", "prices") == ran(program, "export", "prices")
    check_all(other)


@pytest.mark.slow
@pytest.mark.parametrize("point", LATE_POINTS)
def test_a_crash_on_the_way_loses_and_doubles_nothing(
    open_gate: Opened, tmp_path: Path, point: str
) -> None:
    """Killed between a new book and its re-ratings, and among them: the next start goes on."""
    gate = open_gate()
    program = gate.program
    receipts = [call(gate) for _ in range(8)]
    eventually(program, "keytoll_unrated", 8)
    program.stop()
    program.entry = ["-m", "tests.e2e.killable"]
    rows = write_rows(tmp_path, ROW)
    deaths = 0
    for passage, delay_us in ((1, 0), (3, 400), (2, 1500)):
        program.environment |= {
            "E2E_KILL_POINT": point,
            "E2E_KILL_PASSAGE": str(passage),
            "E2E_KILL_DELAY_US": str(delay_us),
        }
        program.start()
        program.command("prices", "add", rows)
        try:
            deaths += program.process.wait(3) == -signal.SIGKILL
        except subprocess.TimeoutExpired:
            program.stop()  # the point was not passed as often: nothing was left to do
    assert deaths, f"nothing died at {point}"
    program.entry = ["-m", "keytoll"]
    program.environment.pop("E2E_KILL_POINT")
    program.start()
    ran(program, "prices", "add", rows)
    eventually(program, "keytoll_unrated", 0)
    for receipt in receipts:
        now = receipt_of(gate, receipt["request_id"])
        topics = [event["topic"] for event in now["events"]]
        assert topics.count("request.usage-rerated") == 1
        assert Decimal(now["fee_usd"]) == fee_of(receipt)
    books = [line for line in program.lines() if line["topic"] == "price-book.published"]
    assert [len(line["data"]["entries"]) for line in books] == [0, 1]
    check_all(program)


def test_a_bad_row_is_named_and_nothing_is_added(gate: TollGate, tmp_path: Path) -> None:
    before = asked(gate.program, "status")["price_book"]
    bad = {**ROW, "prices": {"inptu": "2"}}
    done = gate.program.command("prices", "add", write_rows(tmp_path, ROW, bad))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "keytoll: entry 2: prices has no price 'inptu'\n"
    assert asked(gate.program, "status")["price_book"] == before
