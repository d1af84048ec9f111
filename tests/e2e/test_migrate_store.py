"""An installation moves from its files to Postgres and goes on: nothing lost, nothing twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from domain import sqlite
from domain.postgres import connect
from tests.e2e.conftest import opened_gate
from tests.e2e.gate import TollGate
from tests.e2e.program import Program
from tests.e2e.test_commands import asked, closed_period, ran, recompute
from tests.e2e.upstream import ScriptedUpstream

pytestmark = pytest.mark.services


def lines_of(path: Path) -> list[bytes]:
    connection = sqlite.connect(path, read_only=True)
    rows = connection.execute("SELECT state FROM stored_events ORDER BY rowid").fetchall()
    connection.close()
    return [row[0] for row in rows]


def lines_in(dsn: str) -> list[bytes]:
    with connect(dsn, purpose="test") as database:
        rows = database.execute("SELECT state FROM stored_events ORDER BY notification_id")
        return [row[0] for row in rows]


def moved(gate: TollGate, dsn: str) -> Program:
    """The same installation, which lies in the database from now on."""
    program = gate.program
    settings = {"KEYTOLL_STORE": dsn, "KEYTOLL_MASTER_KEY_FILE": str(program.folder / "data.key")}
    program.environment.update(settings)
    return program


def refused(program: Program, *words: str) -> str:
    done = program.command(*words)
    assert done.returncode == 2, (done.stdout, done.stderr)
    (line,) = done.stderr.splitlines()
    return line


def test_a_moved_installation_goes_on_with_all_that_it_had(
    tmp_path: Path, upstream: ScriptedUpstream, postgres_dsn: str
) -> None:
    gate = opened_gate(tmp_path, upstream)
    gate.post("plain", provider="openai").raise_for_status()
    before = closed_period("2026-01-01")
    (old,) = asked(gate.program, "close", "--period", before, "--grace", "0")["invoices"]
    gate.post("plain", provider="anthropic").raise_for_status()
    assert "in use" in refused(gate.program, "migrate-store", "--to", postgres_dsn)
    gate.end()

    told = asked(gate.program, "migrate-store", "--to", postgres_dsn)
    copied = lines_of(Path(told["files"]) / "events.sqlite")
    assert lines_in(postgres_dsn) == copied
    assert told["events"] == len(copied) == sum(each["size"] for each in told["stores"])
    assert "moved to Postgres" in refused(gate.program, "serve")
    # Asked again, as after a kill: the same answer, and nothing changes.
    assert asked(gate.program, "migrate-store", "--to", postgres_dsn) == told
    assert lines_in(postgres_dsn) == copied

    program = moved(gate, postgres_dsn)
    program.start()
    gate = TollGate(program, upstream, gate.credentials)
    try:
        gate.post("plain", provider="openai").raise_for_status()
        start = before.partition("/")[2]
        closed = asked(program, "close", "--period", closed_period(start), "--grace", "0")
        (invoice,) = closed["invoices"]
        assert sum(line["requests"] for line in invoice["lines"]) == 2
        assert set(invoice["cutoff"]) > {told["store_id"]}
        for what in ("events", "prices"):
            ran(program, "export", what, "--out", str(tmp_path / f"{what}.jsonl"))
        for each in (old, invoice):
            path = tmp_path / "invoice.json"
            path.unlink(missing_ok=True)
            ran(program, "invoice", "export", each["id"], "--out", str(path))
            done = recompute(tmp_path, "invoice.json")
            assert done.returncode == 0, done.stdout + done.stderr
        assert ran(program, "verify", "--drift")
        assert ran(program, "replay", "--check")
    finally:
        gate.end()
    now = lines_in(postgres_dsn)
    assert now[: len(copied)] == copied
    first = json.loads(now[len(copied)])
    assert (first["store_id"], first["seq"]) == (told["store_id"], 1)
    places = [(line["store_id"], line["seq"]) for line in map(json.loads, now)]
    assert len(set(places)) == len(places)


def test_what_cannot_be_moved_stays_where_it_was(
    gate: TollGate, tmp_path: Path, postgres_dsn: str
) -> None:
    program = gate.program
    program.stop()
    copy = tmp_path / "copy"
    shutil.copytree(program.data, copy)
    for dsn, said in (
        ("mysql://x@y/z", "postgresql://"),
        ("postgresql://keytoll:hidden@127.0.0.1:1/none", "cannot be used"),
        (f"{postgres_dsn} {postgres_dsn}2", "one database"),
    ):
        line = refused(program, "migrate-store", "--to", dsn)
        assert said in line
        assert "hidden" not in line
    asked(program, "migrate-store", "--to", postgres_dsn)
    # Another installation does not go behind this one.
    other = Program(tmp_path / "other", upstreams={})
    shutil.copytree(copy, other.data)
    shutil.copy(program.folder / "data.key", other.folder / "data.key")
    other.start()
    other.stop()
    assert "another log" in refused(other, "migrate-store", "--to", postgres_dsn)
    other.start()
    other.stop()
    assert "no embedded installation" in refused(
        Program(tmp_path, upstreams={}), "migrate-store", "--to", postgres_dsn
    )
