"""Backup while calls are served, restore elsewhere, go on: nothing lost, nothing billed twice."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

from tests.e2e.conftest import opened_gate
from tests.e2e.gate import TollGate
from tests.e2e.program import Program
from tests.e2e.test_commands import asked, closed_period, ran, recompute
from tests.e2e.upstream import ScriptedUpstream


def test_a_restored_folder_goes_on_where_the_backup_was_made(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    gate = opened_gate(first, upstream)
    gate.post("plain", provider="openai").raise_for_status()
    before = closed_period("2026-01-01")
    asked(gate.program, "close", "--period", before, "--grace", "0")
    gate.post("plain", provider="anthropic").raise_for_status()
    backup = tmp_path / "backup.tar"
    asked(gate.program, "backup", str(backup))
    gate.post("plain", provider="openai").raise_for_status()  # after the backup: not in it
    gate.end()

    restored = Program(second, upstreams=upstream.base_urls())
    store_id = asked(restored, "restore", str(backup))["store_id"]
    refused = restored.command("serve")
    assert refused.returncode == 2, "without the master key nothing starts"
    assert "master key" in refused.stderr
    shutil.copy(first / "data.key", second / "data.key")
    restored.account_id, restored.api_keys = gate.program.account_id, gate.program.api_keys
    restored.start()
    gate = TollGate(restored, upstream, gate.credentials)
    try:
        gate.post("plain", provider="openai").raise_for_status()
        start = before.partition("/")[2]
        closed = asked(restored, "close", "--period", closed_period(start), "--grace", "0")
        (invoice,) = closed["invoices"]
        assert sum(line["requests"] for line in invoice["lines"]) == 2
        assert set(invoice["cutoff"]) == set(invoice["merkle"]) > {store_id}
        for what in ("events", "prices"):
            ran(restored, "export", what, "--out", str(tmp_path / f"{what}.jsonl"))
        ran(restored, "invoice", "export", invoice["id"], "--out", str(tmp_path / "invoice.json"))
        done = recompute(tmp_path, "invoice.json")
        assert done.returncode == 0, done.stdout + done.stderr
        assert ran(restored, "verify", "--drift")
        assert ran(restored, "replay", "--check")
        again = restored.command("restore", str(backup))
        assert again.returncode == 2, "a folder in use is never overwritten"
    finally:
        gate.end()


def test_a_backup_that_was_changed_is_refused(gate: TollGate, tmp_path: Path) -> None:
    backup = tmp_path / "backup.tar"
    asked(gate.program, "backup", str(backup))
    whole = backup.read_bytes()
    flip = whole.index(b"SQLite format 3") + 20_000  # inside the log, not in the archive's padding
    for name, content in {
        "flipped": whole[:flip] + bytes([whole[flip] ^ 1]) + whole[flip + 1 :],
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "other": b"not a backup at all" * 1000,
        "nested": _with_manifest(b"[" * 60_000),
    }.items():
        path = tmp_path / f"{name}.tar"
        path.write_bytes(content)
        target = Program(tmp_path / name, upstreams={})
        target.folder.mkdir()
        done = target.command("restore", str(path))
        assert done.returncode == 2, (name, done.stdout, done.stderr)
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert not (target.data / "events.sqlite").exists(), name


def test_a_backup_holds_neither_master_key_nor_secrets(gate: TollGate, tmp_path: Path) -> None:
    backup = tmp_path / "backup.tar"
    asked(gate.program, "backup", str(backup))
    assert backup.stat().st_mode & 0o777 == 0o600
    content = backup.read_bytes()
    key = (gate.program.folder / "data.key").read_bytes().strip()
    assert key not in content
    for secret in (b"e2eOpenAi0001", b"e2eAnthropic0001", b"play-money-0001"):
        assert secret not in content
    with tarfile.open(backup) as archive:
        names = sorted(archive.getnames())
    assert names == ["events.sqlite", "labels.sqlite", "manifest.json", "vault.sqlite"]
    again = gate.program.command("backup", str(backup))
    assert again.returncode == 2, "a backup is never overwritten"


def _with_manifest(manifest: bytes) -> bytes:
    """A backup but for its manifest."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for name in ("manifest.json", "events.sqlite", "vault.sqlite", "labels.sqlite"):
            content = manifest if name == "manifest.json" else b""
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return whole.getvalue()
