"""Every setting: its name, its default and what it means. The only reader of the environment.

Settings are read once, at start; every other folder receives plain values. The table in
docs/operations.md is written from the same list (`documentation()`), and a test compares them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

from domain.errors import UnsafeSetup
from domain.secret import Secret
from keytoll.setting import (
    Address,
    Setting,
    address,
    count,
    file,
    folder,
    loopback,
    one_of,
    origin,
    origins,
    secret,
    switch,
    upstreams,
)

LogFormat = Literal["auto", "json", "text"]
LogLevel = Literal["debug", "info", "warning", "error"]

DATA: Final = Setting("KEYTOLL_DATA", "./data", "Folder of the embedded stores.", folder)
LISTEN: Final = Setting("KEYTOLL_LISTEN", "127.0.0.1:8080", "Address of the server.", address)
MASTER_KEY: Final = Setting(
    "KEYTOLL_MASTER_KEY",
    "",
    "Master key of the vault. Give this or the file, not both.",
    secret,
    shown="none",
)
MASTER_KEY_FILE: Final = Setting(
    "KEYTOLL_MASTER_KEY_FILE",
    "",
    "File of the master key, made on first start with mode 0600. Never inside the data folder, "
    "so that a copy of the folder opens nothing.",
    file,
    shown="the data folder's path with `.key` added",
)
CHECKPOINTS: Final = Setting(
    "KEYTOLL_CHECKPOINTS",
    "",
    "File that each seal of the log is also written to. Outside the data folder, so that a cut "
    "or rewritten log is found out; best on another disk.",
    file,
    shown="the data folder's path with `.checkpoints` added",
)
UPSTREAMS: Final = Setting(
    "KEYTOLL_UPSTREAMS",
    "{}",
    "JSON object, slug to base URL, in place of the provider's own. Naming a host here allows "
    "it, also over http and on loopback.",
    upstreams,
)
SANDBOX: Final = Setting(
    "KEYTOLL_SANDBOX",
    "on",
    "`on` or `off`: the sandbox provider. Off, its slug is unknown.",
    switch,
    shown="on (off in the scaled mode)",
)
SANDBOX_LISTEN: Final = Setting(
    "KEYTOLL_SANDBOX_LISTEN",
    "127.0.0.1:0",
    "Loopback address of the sandbox provider.",
    loopback,
    shown="a free loopback port",
)
STORE: Final = Setting("KEYTOLL_STORE", "", "Postgres DSN (scaled mode).", secret, shown="embedded")
KAFKA: Final = Setting(
    "KEYTOLL_KAFKA", "", "Kafka bootstrap servers (scaled mode).", secret, shown="embedded"
)
CLICKHOUSE: Final = Setting(
    "KEYTOLL_CLICKHOUSE", "", "ClickHouse DSN (scaled mode).", secret, shown="embedded"
)
CORS_ORIGINS: Final = Setting(
    "KEYTOLL_CORS_ORIGINS",
    "",
    "Origins, separated by commas, whose pages may call. No wildcard.",
    origins,
    shown="none: CORS is off",
)
PUBLIC_URL: Final = Setting(
    "KEYTOLL_PUBLIC_URL",
    "",
    "Where people reach the server, such as `https://toll.example.com`: shown in example calls. "
    "With https the pages' cookie never travels over http.",
    origin,
    shown="the host that a browser asked for, over http",
)
LOG_FORMAT: Final = Setting(
    "KEYTOLL_LOG_FORMAT",
    "auto",
    "`json`, `text` or `auto` (text on a terminal, else JSON). Logs go to stderr.",
    cast("Callable[[str], LogFormat]", one_of("auto", "json", "text")),
)
LOG_LEVEL: Final = Setting(
    "KEYTOLL_LOG_LEVEL",
    "info",
    "`debug`, `info`, `warning` or `error`.",
    cast("Callable[[str], LogLevel]", one_of("debug", "info", "warning", "error")),
)
BODY_BYTES_MAX: Final = Setting(
    "KEYTOLL_BODY_BYTES_MAX",
    "33554432",
    "Largest body of a chat completion, in bytes; more answers 413. Other routes take 1 MiB.",
    count(1024, 1 << 30),
)
ANSWER_BYTES_MAX: Final = Setting(
    "KEYTOLL_ANSWER_BYTES_MAX",
    "134217728",
    "Largest answer of a provider, in bytes; the rest is cut off and the call settled.",
    count(65536, 1 << 32),
)
CALLS_MAX: Final = Setting(
    "KEYTOLL_CALLS_MAX", "1000", "Calls that may run at once.", count(1, 1_000_000)
)
ACCOUNT_CALLS_MAX: Final = Setting(
    "KEYTOLL_ACCOUNT_CALLS_MAX",
    "256",
    "Calls of one account that may run at once; more answer 429.",
    count(1, 1_000_000),
)
ACCOUNT_KEYS_MAX: Final = Setting(
    "KEYTOLL_ACCOUNT_KEYS_MAX",
    "100",
    "Provider credentials, and API keys, that one account may hold.",
    count(1, 100_000),
)
CONNECT_TIMEOUT_S: Final = Setting(
    "KEYTOLL_CONNECT_TIMEOUT_S", "10", "Seconds to reach a provider.", count(1, 600)
)
FIRST_BYTE_TIMEOUT_S: Final = Setting(
    "KEYTOLL_FIRST_BYTE_TIMEOUT_S",
    "600",
    "Seconds until the first byte of an answer.",
    count(1, 86_400),
)
SILENCE_TIMEOUT_S: Final = Setting(
    "KEYTOLL_SILENCE_TIMEOUT_S",
    "300",
    "Seconds that an answer may pause once it has begun.",
    count(1, 86_400),
)
ANSWER_TIMEOUT_S: Final = Setting(
    "KEYTOLL_ANSWER_TIMEOUT_S",
    "3600",
    "Seconds that a whole answer may take.",
    count(1, 604_800),
)
DRAINS_MAX: Final = Setting(
    "KEYTOLL_DRAINS_MAX",
    "100",
    "Answers read to their end at once after the client has gone; more are cancelled.",
    count(0, 1_000_000),
)
DRAIN_TIMEOUT_S: Final = Setting(
    "KEYTOLL_DRAIN_TIMEOUT_S",
    "300",
    "Seconds that an answer is read on after the client has gone.",
    count(1, 86_400),
)
SHUTDOWN_TIMEOUT_S: Final = Setting(
    "KEYTOLL_SHUTDOWN_TIMEOUT_S",
    "30",
    "Seconds that running calls get when the server stops; what remains is settled as estimated.",
    count(0, 3600),
)
SEAL_INTERVAL_S: Final = Setting(
    "KEYTOLL_SEAL_INTERVAL_S",
    "3600",
    "Seconds between seals of the log; an idle log is sealed too.",
    count(1, 3600),
)
CLOSE_GRACE_S: Final = Setting(
    "KEYTOLL_CLOSE_GRACE_S",
    "3600",
    "Seconds after a period's end before it may be closed; `keytoll close --grace` overrules.",
    count(0, 604_800),
)
UNRATED_DAYS: Final = Setting(
    "KEYTOLL_UNRATED_DAYS",
    "60",
    "Days that a call without a price waits for one; after that it is written off.",
    count(1, 3650),
)

SETTINGS: Final[tuple[Setting[object], ...]] = (
    DATA,
    LISTEN,
    MASTER_KEY,
    MASTER_KEY_FILE,
    CHECKPOINTS,
    UPSTREAMS,
    SANDBOX,
    SANDBOX_LISTEN,
    STORE,
    KAFKA,
    CLICKHOUSE,
    CORS_ORIGINS,
    PUBLIC_URL,
    LOG_FORMAT,
    LOG_LEVEL,
    BODY_BYTES_MAX,
    ANSWER_BYTES_MAX,
    CALLS_MAX,
    ACCOUNT_CALLS_MAX,
    ACCOUNT_KEYS_MAX,
    CONNECT_TIMEOUT_S,
    FIRST_BYTE_TIMEOUT_S,
    SILENCE_TIMEOUT_S,
    ANSWER_TIMEOUT_S,
    DRAINS_MAX,
    DRAIN_TIMEOUT_S,
    SHUTDOWN_TIMEOUT_S,
    SEAL_INTERVAL_S,
    CLOSE_GRACE_S,
    UNRATED_DAYS,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What the program was told from outside. Never holds a secret in the open."""

    data: Path
    listen: Address
    master_key: Secret | None
    master_key_file: Path
    checkpoints: Path
    upstreams: Mapping[str, str]
    sandbox: bool
    sandbox_listen: Address
    cors_origins: tuple[str, ...]
    public_url: str | None
    log_format: LogFormat
    log_level: LogLevel
    body_bytes_max: int
    answer_bytes_max: int
    calls_max: int
    account_calls_max: int
    account_keys_max: int
    connect_timeout_s: int
    first_byte_timeout_s: int
    silence_timeout_s: int
    answer_timeout_s: int
    drains_max: int
    drain_timeout_s: int
    shutdown_timeout_s: int
    seal_interval_s: int
    close_grace_s: int
    unrated_days: int
    unknown: tuple[str, ...]
    """KEYTOLL_ names that mean nothing here: worth a warning. Not an error, because container
    platforms set such names by themselves (KEYTOLL_SERVICE_HOST, KEYTOLL_PORT)."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read and check every setting. Raises BadValue or UnsafeSetup, each naming the setting."""
        env = os.environ if environment is None else environment
        _refuse_unsafe(env)
        data = DATA.of(env)
        return cls(
            data=data,
            listen=LISTEN.of(env),
            master_key=MASTER_KEY.of(env),
            master_key_file=_beside(data, MASTER_KEY_FILE.of(env), MASTER_KEY_FILE, ".key"),
            checkpoints=_beside(data, CHECKPOINTS.of(env), CHECKPOINTS, ".checkpoints"),
            upstreams=UPSTREAMS.of(env),
            sandbox=SANDBOX.of(env),
            sandbox_listen=SANDBOX_LISTEN.of(env),
            cors_origins=CORS_ORIGINS.of(env),
            public_url=PUBLIC_URL.of(env),
            log_format=LOG_FORMAT.of(env),
            log_level=LOG_LEVEL.of(env),
            body_bytes_max=BODY_BYTES_MAX.of(env),
            answer_bytes_max=ANSWER_BYTES_MAX.of(env),
            calls_max=CALLS_MAX.of(env),
            account_calls_max=ACCOUNT_CALLS_MAX.of(env),
            account_keys_max=ACCOUNT_KEYS_MAX.of(env),
            connect_timeout_s=CONNECT_TIMEOUT_S.of(env),
            first_byte_timeout_s=FIRST_BYTE_TIMEOUT_S.of(env),
            silence_timeout_s=SILENCE_TIMEOUT_S.of(env),
            answer_timeout_s=ANSWER_TIMEOUT_S.of(env),
            drains_max=DRAINS_MAX.of(env),
            drain_timeout_s=DRAIN_TIMEOUT_S.of(env),
            shutdown_timeout_s=SHUTDOWN_TIMEOUT_S.of(env),
            seal_interval_s=SEAL_INTERVAL_S.of(env),
            close_grace_s=CLOSE_GRACE_S.of(env),
            unrated_days=UNRATED_DAYS.of(env),
            unknown=_unknown(env),
        )


def _refuse_unsafe(env: Mapping[str, str]) -> None:
    for setting in (STORE, KAFKA, CLICKHOUSE):
        if setting.of(env):
            raise UnsafeSetup(
                f"{setting.name}: this version runs embedded only; start it without the setting"
            )
    if MASTER_KEY.of(env) and MASTER_KEY_FILE.of(env):
        raise UnsafeSetup("KEYTOLL_MASTER_KEY and KEYTOLL_MASTER_KEY_FILE are both set: keep one")
    if env.get("POSTGRES_ENABLE_DB_FUNCTIONS", "").lower() in {"y", "yes", "t", "true", "on", "1"}:
        raise UnsafeSetup(
            "POSTGRES_ENABLE_DB_FUNCTIONS: readers of the log would miss events; unset it"
        )


def _beside(data: Path, given: Path | None, setting: Setting[object], suffix: str) -> Path:
    path = given or data.with_name(data.name + suffix)
    if path.resolve().is_relative_to(data.resolve()):
        raise UnsafeSetup(f"{setting.name}: {path} lies inside the data folder {data}")
    return path


def _unknown(env: Mapping[str, str]) -> tuple[str, ...]:
    known = {setting.name for setting in SETTINGS}
    return tuple(sorted(n for n in env if n.startswith("KEYTOLL_") and n not in known))


def documentation() -> str:
    """The table of docs/operations.md, as Markdown."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for setting in SETTINGS:
        default = setting.shown or f"`{setting.default}`"
        rows.append(f"| `{setting.name}` | {default} | {setting.meaning} |")
    return "\n".join(rows) + "\n"
