from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from domain.errors import UnsafeSetup
from domain.secret import Secret
from domain.vault.local_key import load_master_key, parse_master_key


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def test_a_first_start_makes_a_key_that_only_we_can_read(data: Path) -> None:
    file = data.with_suffix(".key")
    first = load_master_key(value=None, file=file, data=data, may_create=True)
    assert first.created
    assert file.stat().st_mode & 0o777 == 0o600
    again = load_master_key(value=None, file=file, data=data, may_create=False)
    assert not again.created
    assert again.master.key_id == first.master.key_id


def test_two_keys_are_never_the_same(data: Path, tmp_path: Path) -> None:
    keys = {
        load_master_key(value=None, file=tmp_path / name, data=data, may_create=True).master.key_id
        for name in ("a", "b")
    }
    assert len(keys) == 2


def test_a_vault_without_its_key_gets_no_fresh_one(data: Path) -> None:
    file = data.with_suffix(".key")
    with pytest.raises(UnsafeSetup, match="missing"):
        load_master_key(value=None, file=file, data=data, may_create=False)
    assert not file.exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_key_that_others_can_touch_is_refused(data: Path, mode: int) -> None:
    file = data.with_suffix(".key")
    load_master_key(value=None, file=file, data=data, may_create=True)
    file.chmod(mode)
    with pytest.raises(UnsafeSetup, match="chmod 600"):
        load_master_key(value=None, file=file, data=data, may_create=True)


def test_a_key_inside_the_data_folder_is_refused_however_it_is_named(
    data: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(data)
    for file in (
        data / "master.key",
        data / "deeper" / "k",
        data / ".." / "data" / "k",
        link / "k",
    ):
        with pytest.raises(UnsafeSetup, match="inside"):
            load_master_key(value=None, file=file, data=data, may_create=True)
    assert list(data.iterdir()) == []


def test_a_link_out_of_the_data_folder_is_judged_by_where_it_points(
    data: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.key"
    load_master_key(value=None, file=outside, data=data, may_create=True)
    pointer = tmp_path / "pointer"
    inside = data / "real.key"
    inside.write_bytes(outside.read_bytes())
    inside.chmod(0o600)
    pointer.symlink_to(inside)
    with pytest.raises(UnsafeSetup, match="inside"):
        load_master_key(value=None, file=pointer, data=data, may_create=True)


@pytest.mark.parametrize(
    "text", ["", "short", "0" * 63, "0" * 65, "é" * 32, base64.b64encode(bytes(31)).decode()]
)
def test_what_is_no_key_is_refused_without_being_told(text: str, data: Path) -> None:
    with pytest.raises(UnsafeSetup) as raised:
        parse_master_key(Secret(text), what="KEYTOLL_MASTER_KEY")
    assert not text or text not in str(raised.value)
    file = data.with_suffix(".key")
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(UnsafeSetup):
        load_master_key(value=None, file=file, data=data, may_create=True)


def test_base64_url_safe_base64_and_hex_mean_the_same_key() -> None:
    material = bytes(range(224, 256))
    texts = (
        base64.b64encode(material).decode(),
        base64.urlsafe_b64encode(material).decode().rstrip("="),
        material.hex(),
        f"  {material.hex().upper()}\n",
    )
    assert len({parse_master_key(Secret(text), what="x").key_id for text in texts}) == 1


def test_a_given_value_needs_no_file(data: Path) -> None:
    value = Secret(os.urandom(32).hex())
    loaded = load_master_key(value=value, file=data / "ignored", data=data, may_create=False)
    assert not loaded.created
    assert value.reveal() not in repr(loaded)
    assert list(data.iterdir()) == []
