"""docker-compose.yml keeps what it promises, as far as a file can."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from keytoll.commands.table import parser
from keytoll.settings import Settings
from tests.services import compose_file, dockerfile
from tests.services.compose_file import VariableMissing, interpolated, seconds
from tests.services.server import REPOSITORY

VARIABLES: Final = {
    "POSTGRES_PASSWORD": "a1" * 24,
    "CLICKHOUSE_PASSWORD": "b2" * 24,
    "KEYTOLL_MASTER_KEY": "c3" * 32,
}
OURS: Final = ("api", "relay", "project", "sweep", "close")
RAW: Final[dict[str, Any]] = compose_file.raw()
SERVICES: Final = compose_file.services(VARIABLES)
ours = pytest.mark.parametrize("name", OURS)


def test_every_process_of_the_design_is_a_service() -> None:
    assert set(SERVICES) == {*OURS, "postgres", "kafka", "clickhouse", "prometheus"}
    assert {name for name, service in SERVICES.items() if service.built} == set(OURS)


@pytest.mark.parametrize("missing", sorted(VARIABLES))
def test_nothing_starts_without_a_password_of_one_s_own(missing: str) -> None:
    given = {name: value for name, value in VARIABLES.items() if name != missing}
    with pytest.raises(VariableMissing, match=missing):
        compose_file.services(given)


def test_no_secret_is_written_into_the_file() -> None:
    for text in compose_file.texts(RAW["services"]):
        for url in re.findall(r"\w+://[^\s\"]+", text):
            assert re.search(r"^\w+://(?:[a-z]+:\$\{\w+:\?[^}]+\}@)?[^@]+$", url), url
    for service in RAW["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|KEY$|SECRET|TOKEN", name):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), f"{name}: {value}"


def test_only_the_proxy_is_published_and_on_loopback() -> None:
    published = {name: service.get("ports") for name, service in RAW["services"].items()}
    ports = {name: given for name, given in published.items() if given}
    assert ports == {"api": ["${KEYTOLL_PUBLISH:-127.0.0.1:8080}:8080"]}


@ours
def test_our_commands_and_settings_are_understood(name: str, monkeypatch: Any) -> None:
    service = SERVICES[name]
    image = dockerfile.last_stage(dockerfile.instructions(REPOSITORY / "Dockerfile"))
    assert parser().parse_args(list(service.command)).command
    settings = Settings.from_environment({**dockerfile.environment(image), **service.environment})
    assert not settings.unknown
    assert settings.scaled
    assert settings.sandbox is False


@ours
def test_our_containers_cannot_write_nor_gain_rights(name: str) -> None:
    service = RAW["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert set(service["depends_on"]) == {"postgres", "kafka", "clickhouse"}
    assert "memory" in service["deploy"]["resources"]["limits"]


@ours
def test_what_we_write_lies_in_a_volume(name: str) -> None:
    for value in SERVICES[name].environment.values():
        if value.startswith("/"):
            assert any(value.startswith(f"{path}/") for path in SERVICES[name].volumes), value


def test_a_stop_gives_running_calls_their_time() -> None:
    settings = Settings.from_environment({})
    assert SERVICES["api"].stop_s > settings.shutdown_timeout_s + 30


def test_every_volume_is_named_and_used() -> None:
    mounted = {source for service in SERVICES.values() for source in service.volumes.values()}
    assert {name for name in mounted if not name.startswith("./")} == set(RAW["volumes"])
    for name in mounted:
        if name.startswith("./"):
            assert (REPOSITORY / name).is_file()


def test_images_are_pinned() -> None:
    for name, service in SERVICES.items():
        tag = service.image.partition(":")[2]
        assert tag, name
        assert tag != "latest", name


def test_variables_are_put_in_as_compose_does() -> None:
    given = {"A": "x", "EMPTY": ""}
    assert interpolated("${A}-${B}-${B:-y}-${EMPTY:-z}-${A:?no}-$$A", given) == "x--y-z-x-$A"
    with pytest.raises(VariableMissing, match="EMPTY: give one"):
        interpolated("${EMPTY:?give one}", given)
    assert [seconds(text) for text in ("5s", "1m30s", "500ms")] == [5.0, 90.0, 0.5]


def test_new_secrets_are_fresh_and_never_replace_old_ones(tmp_path: Path) -> None:
    script = REPOSITORY / "deploy" / "secrets"
    made: list[dict[str, str]] = []
    for name in ("one", "two"):
        file = tmp_path / name
        subprocess.run([script, file], check=True)
        assert file.stat().st_mode & 0o777 == 0o600
        made.append(dict(line.split("=") for line in file.read_text().splitlines()))
        again = subprocess.run([script, file], capture_output=True, check=False)
        assert again.returncode != 0
    first, second = made
    assert set(first) == set(VARIABLES)
    assert not set(first.values()) & set(second.values())
    Settings.from_environment({"KEYTOLL_MASTER_KEY": first["KEYTOLL_MASTER_KEY"]})


def test_prometheus_asks_every_process_of_ours() -> None:
    config = yaml.safe_load((REPOSITORY / "deploy/prometheus.yml").read_text())
    asked = {
        (name, found["port"])
        for job in config["scrape_configs"]
        for found in job["dns_sd_configs"]
        for name in found["names"]
    }
    expected = set()
    for name in OURS:
        port = int(SERVICES[name].environment["KEYTOLL_METRICS_LISTEN"].rpartition(":")[2])
        workers = int(SERVICES[name].command[2]) if name == "api" else 1
        expected |= {(name, port + n) for n in range(workers)}
    assert asked == expected
    assert all((REPOSITORY / "deploy" / name).is_file() for name in config["rule_files"])


@pytest.mark.services
def test_the_file_is_what_the_schema_of_compose_allows() -> None:
    checked = subprocess.run(
        [
            f"{sys.prefix}/bin/check-jsonschema",
            "--builtin-schema=vendor.compose-spec",
            "--output-format=json",
            str(compose_file.FILE),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, json.loads(checked.stdout)
