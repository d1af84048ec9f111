"""A consistent copy of log, vault and labels in one file, and a data folder made from it.

The master key is never in it: whoever finds the file can open no provider key. Projections are
not in it either, because they are made anew from the log.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from domain import sqlite
from domain.clock import instant_text
from domain.errors import BadValue, UnsafeSetup
from domain.eventlog.sqlite import begin_new_store
from domain.eventlog.sqlite_file import verify_file
from keytoll import PROGRAM
from keytoll.settings import Settings
from keytoll.wiring import EVENTS_FILE, LABELS_FILE, VAULT_FILE, Stores

MANIFEST: Final = "manifest.json"
FILES: Final = (EVENTS_FILE, VAULT_FILE, LABELS_FILE)
MANIFEST_BYTES_MAX: Final = 64 * 1024
_CHUNK: Final = 1 << 20


def back_up(stores: Stores, path: Path) -> int:
    """Write the backup, also while calls are served; the seq up to which it holds the log.

    Raises BadValue when the file cannot be written or exists already, UnsafeSetup when the stores
    are not files.
    """
    if stores.settings.store:
        raise UnsafeSetup(
            "backup copies the files of the embedded mode; databases are backed up by pg_dump or"
            " a base backup, and keytoll restore --database goes on after one was restored"
        )
    if path.exists():
        raise BadValue(f"{path} exists already", param="FILE")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".keytoll-backup-") as folder:
            copies = Path(folder)
            # No command runs meanwhile, so every credential in the log has its secret in the vault.
            with stores.ledger.hold():
                for name in FILES:
                    sqlite.copy(stores.settings.data / name, copies / name)
            report = verify_file(copies / EVENTS_FILE)
            if not report.ok:
                raise UnsafeSetup(f"the log is damaged: {report.findings[0].message}")
            manifest = {
                "program": PROGRAM,
                "made_at": instant_text(stores.clock.now()),
                "stores": {state.store_id: state.size for state in report.stores},
                "files": {name: _sha256(copies / name) for name in FILES},
            }
            whole = copies / "backup"
            _pack(copies, manifest, whole)
            whole.replace(path)
    except OSError as error:
        raise BadValue(f"{path} cannot be written: {error.strerror}", param="FILE") from None
    return report.stores[-1].size


def restore(settings: Settings, path: Path) -> str:
    """Make the data folder from a backup; the id of the store under which it continues.

    Raises BadValue when the file is not a whole backup, UnsafeSetup when the folder is in use.
    """
    data = settings.data
    if (data / EVENTS_FILE).exists() or (data / VAULT_FILE).exists():
        raise UnsafeSetup(f"{data} holds an installation already; nothing was changed")
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with tempfile.TemporaryDirectory(dir=data, prefix=".restore-") as folder:
            _unpack(path, Path(folder))
            report = verify_file(Path(folder) / EVENTS_FILE)
            if not report.ok:
                raise BadValue(f"the backup is damaged: {report.findings[0].message}", param="FILE")
            # The log goes last: without it the folder does not count as an installation.
            for name in reversed(FILES):
                (Path(folder) / name).replace(data / name)
    except OSError as error:
        raise BadValue(f"{path} cannot be read: {error.strerror}", param="FILE") from None
    _set_checkpoints_aside(settings, [state.store_id for state in report.stores])
    return begin_new_store(data / EVENTS_FILE)


def go_on_in_databases(settings: Settings) -> list[str]:
    """Let databases that were restored go on, each under a new store id; the ids.

    What was recorded after their backup is lost, and no place in a log is given out twice. Raises
    UnsafeSetup when there is no log in one of them.
    """
    # Only here: the embedded mode does without the driver.
    from domain.eventlog.postgres import begin_new_postgres_store  # noqa: PLC0415

    store_ids = [begin_new_postgres_store(url.reveal()) for url in settings.store]
    _set_checkpoints_aside(settings, store_ids)
    return store_ids


def _pack(copies: Path, manifest: Mapping[str, object], target: Path) -> None:
    with target.open("xb") as out:
        target.chmod(0o600)
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            text = json.dumps(manifest, indent=2, sort_keys=True).encode()
            head = tarfile.TarInfo(MANIFEST)
            head.size, head.mode = len(text), 0o600
            archive.addfile(head, io.BytesIO(text))
            for name in FILES:
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = (copies / name).stat().st_size, 0o600
                with (copies / name).open("rb") as source:
                    archive.addfile(entry, source)
        out.flush()
        os.fsync(out.fileno())


def _unpack(path: Path, folder: Path) -> None:
    """Only the files that a backup has, by name, each with the bytes that the manifest promises."""
    with _opened(path) as archive:
        members = {member.name: member for member in archive}
        if set(members) != {MANIFEST, *FILES} or not all(m.isreg() for m in members.values()):
            raise BadValue(f"{path} is not a backup of keytoll", param="FILE")
        if members[MANIFEST].size > MANIFEST_BYTES_MAX:
            raise BadValue(f"{path} has no manifest of ours", param="FILE")
        promised = json.loads(_content(archive, members[MANIFEST]).read())["files"]
        for name in FILES:
            digest = hashlib.sha256()
            source = _content(archive, members[name])
            with (folder / name).open("xb") as out:
                while block := source.read(_CHUNK):
                    digest.update(block)
                    out.write(block)
                os.fsync(out.fileno())
            if digest.hexdigest() != promised.get(name):
                raise BadValue(f"{name} in {path} is not what was backed up", param="FILE")


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, mode="r:") as archive:
            yield archive
    except (tarfile.TarError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise BadValue(f"{path} is not a backup of keytoll", param="FILE") from None


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> io.BufferedReader:
    content = archive.extractfile(member)
    if not isinstance(content, io.BufferedReader):
        raise BadValue("the backup holds something that is not a file", param="FILE")
    return content


def _sha256(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _set_checkpoints_aside(settings: Settings, store_ids: list[str]) -> None:
    """Checkpoints past the backup would report a cut tail for ever: keep them under a name."""
    if settings.checkpoints.exists():
        aside = settings.checkpoints.with_name(f"{settings.checkpoints.name}.of-{store_ids[-1]}")
        settings.checkpoints.replace(aside)
