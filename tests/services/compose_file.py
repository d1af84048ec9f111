"""docker-compose.yml as Compose reads it: merged, with the variables put in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.services.server import REPOSITORY

FILE: Final = REPOSITORY / "docker-compose.yml"
_VARIABLE: Final = re.compile(r"\$(?:\$|\{(\w+)(?:(:-|:\?)([^}]*))?\})")
_DURATION: Final = re.compile(r"(\d+)(ms|s|m|h)")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class VariableMissing(Exception):
    """A `${NAME:?why}` without NAME."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """One service, as far as it can be run without a container."""

    name: str
    image: str
    built: bool
    """Ours: made from the Dockerfile."""
    command: Sequence[str]
    environment: Mapping[str, str]
    healthcheck: Sequence[str]
    """The words of the check; exit code 0 means healthy."""
    patience_s: float
    """From its start until it counts as unhealthy."""
    stop_s: float
    needs: Sequence[str]
    """Services that must be healthy before it starts."""
    volumes: Mapping[str, str]
    """Path in the container → name of the volume."""
    replicas: int


def raw(file: Path = FILE) -> dict[str, Any]:
    """The file with merges done and variables as they are written."""
    loaded: dict[str, Any] = yaml.safe_load(file.read_text())
    return loaded


def services(variables: Mapping[str, str], file: Path = FILE) -> Mapping[str, Service]:
    """Every service by name. Raises VariableMissing."""
    filled = _filled(raw(file)["services"], variables)
    return {name: _service(name, about) for name, about in filled.items()}


def texts(node: object) -> Iterator[str]:
    """Every text in a piece of the file."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for part in node.values():
            yield from texts(part)
    elif isinstance(node, list):
        for part in node:
            yield from texts(part)


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """`${NAME}`, `${NAME:-default}`, `${NAME:?why}` and `$$`. Raises VariableMissing."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        if name is None:
            return "$"
        given = variables.get(name, "")
        if given or kind is None:
            return given
        if kind == ":?":
            raise VariableMissing(f"{name}: {rest}")
        return str(rest)

    return _VARIABLE.sub(value, text)


def seconds(duration: str) -> float:
    """`1m30s` → 90.0."""
    return sum(int(number) * _UNITS[unit] for number, unit in _DURATION.findall(duration))


def _filled(node: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(node, str):
        return interpolated(node, variables)
    if isinstance(node, dict):
        return {key: _filled(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(part, variables) for part in node]
    return node


def _service(name: str, about: Mapping[str, Any]) -> Service:
    check = about["healthcheck"]
    kind, *words = check["test"]
    assert kind == "CMD", f"{name}: a health check is a list of words that begins with CMD"
    retries = int(check["retries"])
    return Service(
        name=name,
        image=about["image"],
        built="build" in about,
        command=about.get("command", []),
        environment=about.get("environment", {}),
        healthcheck=words,
        patience_s=seconds(check.get("start_period", "0s")) + retries * seconds(check["interval"]),
        stop_s=seconds(about.get("stop_grace_period", "10s")),
        needs=tuple(_needs(name, about.get("depends_on", {}))),
        volumes=dict(_volume(mount) for mount in about.get("volumes", [])),
        replicas=about.get("deploy", {}).get("replicas", 1),
    )


def _needs(name: str, depends_on: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for needed, how in depends_on.items():
        assert how == {"condition": "service_healthy"}, f"{name} needs {needed}: {how}"
        yield needed


def _volume(mount: str) -> tuple[str, str]:
    source, target, *_ = mount.split(":")
    return target, source
