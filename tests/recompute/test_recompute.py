"""The script agrees with the program to the last digit, and finds what was tampered with."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from domain.events.base import JsonObject
from domain.invoice import Period
from domain.money import ZERO
from projections.store.port import ProjectionStore
from tests.projections.world import START
from tests.recompute.month import SHIPPED, Month
from tests.recompute.recompute import Trail, recompute
from tests.workers.office import Office

FOLDER = Path(__file__).parent


def trail_of(month: Month) -> Trail:
    return Trail(month.lines(), SHIPPED.lines())


def disagreements(trail: Trail, invoice: JsonObject) -> list[str]:
    return recompute(trail, json.loads(json.dumps(invoice)))


@pytest.mark.parametrize("seed", range(12))
def test_random_months_agree(seed: int) -> None:
    month = Month(Random(seed), play=seed % 4 == 3)
    month.calls(60)
    invoice = month.invoice(carried_in=ZERO)
    assert disagreements(trail_of(month), invoice) == []
    assert len(invoice["lines"]) > 5
    assert invoice["total"] != "0"


def month_of_thirty() -> tuple[Month, JsonObject]:
    month = Month(Random(5))
    month.calls(30)
    return month, month.invoice(carried_in=ZERO)


def one_more(text: str) -> str:
    """The same figure with its last digit moved by one."""
    return text[:-1] + str((int(text[-1]) + 1) % 10)


@pytest.mark.parametrize(
    "name", ["fee_usd_exact", "carried_in", "carried_out", "subtotal", "tax", "total"]
)
def test_one_digit_of_any_figure_is_found(name: str) -> None:
    month, invoice = month_of_thirty()
    invoice[name] = one_more(invoice[name])
    assert any(line.startswith(name) for line in disagreements(trail_of(month), invoice))


@pytest.mark.parametrize("name", ["at_cost_usd", "fee_usd", "amount", "requests", "output_tokens"])
def test_one_digit_of_any_line_is_found(name: str) -> None:
    month, invoice = month_of_thirty()
    trail, changed = trail_of(month), 0
    for position, line in enumerate(invoice["lines"]):
        if line[name] is None:
            continue
        tampered = deepcopy(invoice)
        text = one_more(str(line[name]))
        tampered["lines"][position][name] = int(text) if isinstance(line[name], int) else text
        assert disagreements(trail, tampered), line
        changed += 1
    assert changed > 5


def test_a_line_left_out_or_made_up_is_found() -> None:
    month, invoice = month_of_thirty()
    trail = trail_of(month)
    assert disagreements(trail, {**invoice, "lines": invoice["lines"][1:]})
    assert disagreements(trail, {**invoice, "lines": [*invoice["lines"], invoice["lines"][0]]})


def test_a_changed_event_is_found() -> None:
    month, invoice = month_of_thirty()
    lines = month.lines()
    for position, line in enumerate(lines):
        event = json.loads(line)
        if event["topic"] == "request.routed" and event["data"]["markup_rate"] == "0.05":
            event["data"]["markup_rate"] = "0.051"
            tampered = [*lines[:position], json.dumps(event).encode(), *lines[position + 1 :]]
            assert recompute(Trail(tampered, SHIPPED.lines()), invoice)
            return
    raise AssertionError("no call at the usual rate")


def test_a_changed_price_is_found() -> None:
    month, invoice = month_of_thirty()
    prices = [*SHIPPED.lines()]
    prices[0] = prices[0].replace(b"echo", b"ecno")
    with pytest.raises(ValueError, match="no first lines of the prices"):
        recompute(Trail(month.lines(), prices), invoice)


def run(folder: Path, month: Month, invoice: JsonObject) -> subprocess.CompletedProcess[str]:
    (folder / "events.jsonl").write_bytes(b"".join(line + b"\n" for line in month.lines()))
    (folder / "prices.jsonl").write_bytes(b"".join(line + b"\n" for line in SHIPPED.lines()))
    (folder / "invoice.json").write_text(json.dumps(invoice))
    command = [sys.executable, "-E", "-S", str(FOLDER / "recompute.py")]
    files = [str(folder / name) for name in ("events.jsonl", "prices.jsonl", "invoice.json")]
    return subprocess.run([*command, *files], capture_output=True, text=True, check=False)


def test_it_runs_alone_with_nothing_installed(tmp_path: Path) -> None:
    month, invoice = month_of_thirty()
    done = run(tmp_path, month, invoice)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "agrees to the last digit: KT-2026-000001\n"
    invoice["total"] = one_more(invoice["total"])
    done = run(tmp_path, month, invoice)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("total: the invoice says")


def test_it_knows_nothing_of_the_program_and_no_inexact_number() -> None:
    for name in ("recompute.py", "second_rating.py"):
        tree = ast.parse((FOLDER / name).read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert {each.name for each in node.names} <= set(sys.stdlib_module_names) - {
                    "decimal"
                }
            if isinstance(node, ast.ImportFrom):
                top = (node.module or "").split(".")[0]
                ours = node.module == "tests.recompute.second_rating" or top == "second_rating"
                assert ours or top in set(sys.stdlib_module_names) - {"decimal", "fractions"}
            assert not isinstance(node, ast.Div)
            assert not (isinstance(node, ast.Constant) and isinstance(node.value, float))


def issued(office: Office, period: Period) -> list[JsonObject]:
    return [json.loads(json.dumps(invoice)) for invoice in office.close(period)]


def spend(office: Office, random: Random, account: str, calls: int) -> list[Any]:
    """Calls of the small world's models, some of them without a price yet."""
    made = []
    for _ in range(calls):
        provider, model = random.choice(
            [("openai", "gpt-x"), ("anthropic", "claude-x"), ("openai", "new-x")]
        )
        usage = {"input_tokens": random.randrange(10**6), "output_tokens": random.randrange(10**5)}
        made.append(office.world.call(account, provider=provider, model=model, usage=usage))
        office.world.tick()
    office.world.call(account, provider="sandbox", model="echo")
    return made


def test_closed_periods_with_late_changes_agree(tables: ProjectionStore) -> None:
    """Three periods in a row through the real closing; usage and prices change after the first."""
    office, random = Office(tables), Random(1)
    world = office.world
    account = world.open_account("a", tax="0.19")
    documents = []
    late: list[Any] = []
    for number in range(3):
        period = Period(
            START + timedelta(days=10 * number), START + timedelta(days=10 * number + 10)
        )
        for request in late[:4]:
            if random.random() < 0.5:
                world.rerated(request, account, version=3)
            else:
                world.corrected(request, account, version=3, input_tokens=5, output_tokens=7)
        late = spend(office, random, account, 12)
        office.go_to(period.end)
        documents += issued(office, period)
    lines = [each.line for each in world.log.read(after=0, limit=10**6)]
    assert len(documents) == 6
    for document in documents:
        trail = Trail(lines, world.full_book.lines())
        assert recompute(trail, document) == []
    kinds = [line["kind"] for document in documents for line in document["lines"]]
    assert kinds.count("adjustment") >= 2
    assert any(document["carried_in"] != "0" for document in documents)
