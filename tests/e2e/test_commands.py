"""The commands: beside a running server and alone, with good input and bad."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from domain import sqlite
from tests.e2e.conftest import Opened, opened_gate
from tests.e2e.gate import TollGate
from tests.e2e.program import REPOSITORY, Program
from tests.e2e.upstream import ScriptedUpstream

RECOMPUTE = REPOSITORY / "tests" / "recompute" / "recompute.py"


@pytest.fixture(scope="module")
def billed(
    tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedUpstream
) -> Iterator[TollGate]:
    """A program of its own, with calls of three providers."""
    gate = opened_gate(tmp_path_factory.mktemp("billed"), upstream)
    for provider in ("openai", "anthropic"):
        for stream in (False, True):
            gate.post("plain", provider=provider, stream=stream).raise_for_status()
    for model in ("sandbox/echo", "sandbox/echo-free", "sandbox/silent", "sandbox/unpriced"):
        gate.post("plain", provider="sandbox", model=model).raise_for_status()
    yield gate
    gate.end()


def ran(program: Program, *words: str, code: int = 0) -> str:
    done = program.command(*words)
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done.stdout


def asked(program: Program, *words: str, code: int = 0) -> Any:
    return json.loads(ran(program, *words, "--json", code=code))


def closed_period(start: str) -> str:
    """From `start` to now: over, as soon as the next microsecond begins."""
    return f"{start}/{datetime.now(UTC).isoformat(timespec='microseconds')}"


# -S: without site-packages, so that only the standard library can be there.
def recompute(folder: Path, invoice: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-S", "-E", str(RECOMPUTE), "events.jsonl", "prices.jsonl", invoice],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_call_becomes_an_invoice_that_anybody_can_recompute(
    billed: TollGate, tmp_path: Path
) -> None:
    program = billed.program
    closed = asked(program, "close", "--period", closed_period("2026-01-01"), "--grace", "0")
    assert closed["refused"] == {}
    assert sorted(each["sandbox"] for each in closed["invoices"]) == [False, True]

    ran(program, "export", "events", "--out", str(tmp_path / "events.jsonl"))
    ran(program, "export", "prices", "--out", str(tmp_path / "prices.jsonl"))
    for invoice in closed["invoices"]:
        path = tmp_path / "invoice.json"
        ran(program, "invoice", "export", invoice["id"], "--out", str(path))
        assert path.read_text() == ran(program, "invoice", "export", invoice["id"])
        done = recompute(tmp_path, "invoice.json")
        assert done.returncode == 0, done.stdout + done.stderr

        document = json.loads(path.read_text())
        document["lines"][0]["fee_usd"] += "1"
        (tmp_path / "changed.json").write_text(json.dumps(document))
        assert recompute(tmp_path, "changed.json").returncode == 1, "a changed digit was missed"


def test_commands_say_the_same_beside_a_server_and_alone(billed: TollGate, tmp_path: Path) -> None:
    program = billed.program
    questions = (
        ("account", "list"),
        ("report", "usage", "--period", "2026-01-01/2027-01-01", "--group-by", "day,model"),
        ("report", "fees", "--period", "2026-01-01/2027-01-01"),
        ("invoice", "list"),
        ("export", "calls"),
        ("replay", "--until", f"{store_of(program)}:5"),
    )
    checks: tuple[tuple[str, ...], ...] = (
        ("verify", "--drift"),
        ("replay", "--check"),
        ("status",),
        ("rebuild",),
    )
    beside = [ran(program, *words) for words in questions]
    for words in checks:
        assert ran(program, *words).strip(), words
    program.stop()
    alone = [ran(program, *words) for words in questions]
    for words, one, other in zip(questions, beside, alone, strict=True):
        assert one == other, words
        assert one.strip(), words
    for words in checks:
        assert ran(program, *words).strip(), words


def store_of(program: Program) -> str:
    return str(asked(program, "status")["store_id"])


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("nonsense",),
        ("close",),
        ("close", "--period", "yesterday"),
        ("close", "--period", "2999-01"),
        ("close", "--period", "2026-01", "--account", "acc_none"),
        ("report", "usage", "--group-by", "colour"),
        ("report", "usage", "--account", "acc_none"),
        ("invoice", "list", "--account", "acc_none"),
        ("export", "calls", "--account", "acc_none"),
        ("replay", "--account", "acc_none"),
        ("invoice", "show", "inv_0"),
        ("invoice", "export", "inv_0", "--out", "x"),
        ("replay", "--until", "elsewhere:1"),
        ("replay", "--at", "noon"),
        ("export", "events", "--out", "no/such/folder/file"),
        ("account", "suspend", "--account", "acc_0"),
        ("account", "markup", "--account", "acc_0", "--rate", "free"),
        ("api-key", "issue", "--role", "king"),
        ("verify", "--checkpoint", "nowhere"),
        ("init",),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(gate: TollGate, words: tuple[str, ...]) -> None:
    done = gate.program.command(*words)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("keytoll: ")


@pytest.mark.parametrize("name", ["data/vault.sqlite", "data/new", "data.key", "data.checkpoints"])
def test_an_export_never_replaces_the_installation_s_own_files(gate: TollGate, name: str) -> None:
    path = gate.program.folder / name
    before = path.read_bytes() if path.exists() else None
    for out in (str(path), f"data/../{name}"):
        done = gate.program.command("export", "events", "--out", out)
        assert done.returncode == 2
        assert "belongs to the installation" in done.stderr
    if name != "data/vault.sqlite":  # which is being written meanwhile
        assert (path.read_bytes() if path.exists() else None) == before


def test_an_init_that_died_at_once_is_made_up_for(tmp_path: Path) -> None:
    program = Program(tmp_path, upstreams={})
    program.data.mkdir()
    (program.data / "events.sqlite").touch()
    program.init()
    assert program.account_id
    again = program.command("init", "--json")
    assert (again.returncode, again.stdout) == (2, "")


def test_a_lost_operator_key_is_replaced_on_the_machine(gate: TollGate) -> None:
    issued = asked(gate.program, "api-key", "issue", "--role", "operator")
    with gate.program.client() as client:
        headers = {"authorization": f"Bearer {issued['key']}"}
        assert client.get("/api/v1/accounts", headers=headers).status_code == 200
        asked(gate.program, "api-key", "revoke", "--key", issued["key_id"])
        assert client.get("/api/v1/accounts", headers=headers).status_code == 401


def test_a_suspended_account_is_refused_at_once_and_resumes(gate: TollGate) -> None:
    opened = asked(gate.program, "account", "open", "--name", "Second")
    headers = {"authorization": f"Bearer {opened['api_keys']['owner']}"}
    with gate.program.client() as client:
        assert client.get("/api/v1/models", headers=headers).status_code == 200
        asked(gate.program, "account", "suspend", "--account", opened["account_id"])
        refused = client.get("/api/v1/models", headers=headers)
        assert refused.json()["error"]["code"] == "account_suspended"
        asked(gate.program, "account", "resume", "--account", opened["account_id"])
        assert client.get("/api/v1/models", headers=headers).status_code == 200


def test_a_second_server_on_the_folder_is_refused(gate: TollGate) -> None:
    done = gate.program.command("serve")
    assert done.returncode == 2
    assert "in use" in done.stderr.splitlines()[-1], done.stderr


def test_a_command_that_ends_lost_calls_still_answers_in_json(open_gate: Opened) -> None:
    gate = open_gate()
    with ThreadPoolExecutor() as pool:
        lost = pool.submit(gate.post, "hold-head", name="lost")
        gate.upstream.wait_at("head", 1)
        gate.program.kill()
        assert isinstance(lost.exception(), httpx.TransportError)
    # Alone with the folder, the command ends the lost call first, and logs that on stderr.
    assert asked(gate.program, "status")["open_requests"] == 0
    assert gate.program.settled("lost")["data"]["failure"] == "process_lost"


@pytest.mark.parametrize("damage", ["byte", "row", "tail"])
def test_damage_is_found_and_named(tmp_path: Path, upstream: ScriptedUpstream, damage: str) -> None:
    gate = opened_gate(tmp_path, upstream)
    for _ in range(3):
        gate.post("plain", provider="sandbox").raise_for_status()
    asked(gate.program, "close", "--period", closed_period("2026-01-01"), "--grace", "0")
    gate.program.stop()
    assert ran(gate.program, "verify")
    harm(gate.program.data / "events.sqlite", damage)
    done = gate.program.command("verify")
    assert done.returncode == 1, done.stdout
    assert "seq" in done.stderr, done.stderr


def harm(path: Path, damage: str) -> None:
    connection = sqlite.connect(path)
    (head,) = connection.execute("SELECT max(rowid) FROM stored_events").fetchone()
    if damage == "byte":
        row = connection.execute("SELECT state FROM stored_events WHERE rowid = ?", (head // 2,))
        (state,) = row.fetchone()
        changed = bytes(state).replace(b"0", b"1", 1)
        connection.execute(
            "UPDATE stored_events SET state = ? WHERE rowid = ?", (changed, head // 2)
        )
    elif damage == "row":
        connection.execute("DELETE FROM stored_events WHERE rowid = ?", (head // 2,))
        connection.execute("DELETE FROM lines WHERE rowid = ?", (head // 2,))
    else:
        connection.execute("DELETE FROM stored_events WHERE rowid >= ?", (head - 2,))
        connection.execute("DELETE FROM lines WHERE rowid >= ?", (head - 2,))
    connection.close()
