"""One setting, and how its text is read and checked."""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from domain.errors import BadValue, UnsafeSetup
from domain.secret import Secret

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens. Port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Setting(Generic[T_co]):
    """One environment variable. An empty value counts as not given."""

    name: str
    default: str
    meaning: str
    read: Callable[[str], T_co]
    shown: str = ""
    """The default in words, where the text itself says too little."""

    def of(self, environment: Mapping[str, str]) -> T_co:
        """The value in this environment, else the default. Raises BadValue or UnsafeSetup."""
        text = environment.get(self.name, "").strip() or self.default
        try:
            return self.read(text)
        except BadValue as error:
            raise BadValue(f"{self.name}: {error}", param=self.name) from None
        except UnsafeSetup as error:
            raise UnsafeSetup(f"{self.name}: {error}") from None


def count(low: int, high: int) -> Callable[[str], int]:
    """A whole number from `low` to `high`."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,15}", text) or not low <= int(text) <= high:
            raise BadValue(f"must be a whole number from {low} to {high}, not {text[:40]!r}")
        return int(text)

    return read


def one_of(*choices: str) -> Callable[[str], str]:
    """One of the given words."""

    def read(text: str) -> str:
        if text not in choices:
            raise BadValue(f"must be one of {', '.join(choices)}, not {text[:40]!r}")
        return text

    return read


def switch_if_given(text: str) -> bool | None:
    """`on` or `off`, or None."""
    return one_of("on", "off")(text) == "on" if text else None


def name_if_given(text: str) -> str | None:
    """A plain name, or None."""
    if text and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,199}", text):
        raise BadValue("must be a name of letters, digits, '_', '.' and '-'")
    return text or None


def folder(text: str) -> Path:
    """An absolute path, not the root."""
    path = Path(os.path.abspath(text))
    if path.parent == path:
        raise UnsafeSetup("the root of the file system is no data folder")
    return path


def file(text: str) -> Path | None:
    """An absolute path, or None."""
    return Path(os.path.abspath(text)) if text else None


def secret(text: str) -> Secret | None:
    """Text that never prints, or None."""
    return Secret(text) if text else None


def address(text: str) -> Address:
    """host:port, the host of IPv6 in brackets."""
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})", text)
    if not match or int(match[2]) > 65535:
        raise BadValue(f"must be host:port, for example 127.0.0.1:8080, not {text[:60]!r}")
    return Address(host=match[1].strip("[]"), port=int(match[2]))


def address_if_given(text: str) -> Address | None:
    """host:port, or None."""
    return address(text) if text else None


def bootstrap_servers(text: str) -> tuple[str, ...]:
    """host:port, several separated by commas."""
    return tuple(str(address(part.strip())) for part in text.split(",")) if text else ()


def topic(text: str) -> str:
    """A name that Kafka allows."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,200}", text) or text in {".", ".."}:
        raise BadValue("must be a name of letters, digits, '.', '_' and '-'")
    return text


def kafka_options(text: str) -> Secret | None:
    """A JSON object, or None. What it says is never repeated."""
    if not text:
        return None
    try:
        valid = isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        valid = False
    if not valid:
        raise BadValue('must be a JSON object such as {"security_protocol": "SSL"}')
    return Secret(text)


def postgres_urls(text: str) -> tuple[Secret, ...]:
    """URLs of databases, separated by white space. What they say is never repeated."""
    urls = tuple(Secret(each) for each in text.split())
    for url in urls:
        _check_url(url, schemes=("postgresql", "postgres"), form="postgresql://user@host/database")
    if len(set(urls)) != len(urls):
        raise BadValue("names a database twice")
    return urls


def clickhouse_url(text: str) -> Secret | None:
    """The URL of a server's HTTP port, or None. What it says is never repeated."""
    if not text:
        return None
    _check_url(
        Secret(text),
        schemes=("http", "https", "clickhouse", "clickhouses"),
        form="http(s)://user@host:8123/database",
    )
    return Secret(text)


def _check_url(url: Secret, *, schemes: tuple[str, ...], form: str) -> None:
    try:
        parts = urlsplit(url.reveal())
        valid = parts.scheme in schemes and bool(parts.netloc) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise BadValue(f"must be a URL of the form {form}")


def loopback(text: str) -> Address:
    """An address that only this machine reaches."""
    where = address(text)
    if not is_loopback(where.host):
        raise UnsafeSetup(f"the sandbox accepts any key, so it listens on loopback, not on {text}")
    return where


def origin(text: str) -> str | None:
    """The origin of a web page: scheme, host and port, nothing behind them; or None."""
    if text and not re.fullmatch(
        r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", text
    ):
        raise BadValue(f"{text[:80]!r} is not an origin such as https://app.example.com")
    return text or None


def origins(text: str) -> tuple[str, ...]:
    """Origins of web pages, separated by commas."""
    if "*" in text:
        raise UnsafeSetup("name the origins that may call; * would let any page use a key")
    named = [origin(part.strip()) for part in text.split(",")]
    return tuple(each for each in named if each is not None)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) != len(pairs):
        raise BadValue("names a provider twice")
    return dict(pairs)


def upstreams(text: str) -> Mapping[str, str]:
    """Slug to base URL, from a JSON object; the URL loses a slash at its end."""
    try:
        table = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise BadValue('must be a JSON object such as {"openai": "https://host/v1"}') from None
    if not isinstance(table, dict):
        raise BadValue('must be a JSON object such as {"openai": "https://host/v1"}')
    return {slug: _base_url(slug, url) for slug, url in table.items()}


def _base_url(slug: str, url: object) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]*", slug):
        raise BadValue(f"{slug[:40]!r} is not the slug of a provider")
    if not isinstance(url, str):
        raise BadValue(f"the base URL of {slug} must be text")
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or re.search(r"[\s\\]", url):
        raise BadValue(f"the base URL of {slug} must be http(s)://host[:port][/path]")
    if "@" in parts.netloc:
        raise UnsafeSetup(f"the base URL of {slug} holds a user name; keys belong to credentials")
    if parts.query or parts.fragment:
        raise BadValue(f"the base URL of {slug} ends before the path: no query, no fragment")
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether the host names this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
