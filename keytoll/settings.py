"""What the program was told from outside. The only reader of the environment.

Settings are read once, at start; every other folder receives plain values. `setting_table.py` says
what each is, and a test compares docs/operations.md with it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from domain.errors import UnsafeSetup
from domain.secret import Secret
from keytoll.setting import Address, Setting
from keytoll.setting_table import (
    ACCOUNT_CALLS_MAX,
    ACCOUNT_KEYS_MAX,
    ANSWER_BYTES_MAX,
    ANSWER_TIMEOUT_S,
    BODY_BYTES_MAX,
    CALLS_MAX,
    CHECKPOINTS,
    CLICKHOUSE,
    CLICKHOUSE_CLUSTER,
    CLOSE_GRACE_S,
    CONNECT_TIMEOUT_S,
    CORS_ORIGINS,
    DATA,
    DRAIN_TIMEOUT_S,
    DRAINS_MAX,
    FIRST_BYTE_TIMEOUT_S,
    KAFKA,
    KAFKA_OPTIONS,
    KAFKA_PARTITIONS,
    KAFKA_REPLICAS,
    KAFKA_RETENTION_DAYS,
    KAFKA_TOPIC,
    LEASE_S,
    LISTEN,
    LOG_FORMAT,
    LOG_LEVEL,
    MASTER_KEY,
    MASTER_KEY_FILE,
    MEMBER,
    METRICS_LISTEN,
    PUBLIC_URL,
    SANDBOX,
    SANDBOX_LISTEN,
    SEAL_INTERVAL_S,
    SETTINGS,
    SHUTDOWN_TIMEOUT_S,
    SILENCE_TIMEOUT_S,
    STORE,
    UNRATED_DAYS,
    UPSTREAMS,
    LogFormat,
    LogLevel,
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
    store: tuple[Secret, ...]
    """Postgres URLs; none: SQLite."""
    kafka: tuple[str, ...]
    kafka_options: Secret | None
    kafka_topic: str
    kafka_partitions: int
    kafka_replicas: int
    kafka_retention_days: int
    member: str | None
    clickhouse: Secret | None
    clickhouse_cluster: str | None
    lease_s: int
    metrics_listen: Address | None
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
            sandbox=_sandbox(env),
            sandbox_listen=SANDBOX_LISTEN.of(env),
            store=STORE.of(env),
            kafka=KAFKA.of(env),
            kafka_options=KAFKA_OPTIONS.of(env),
            kafka_topic=KAFKA_TOPIC.of(env),
            kafka_partitions=KAFKA_PARTITIONS.of(env),
            kafka_replicas=KAFKA_REPLICAS.of(env),
            kafka_retention_days=KAFKA_RETENTION_DAYS.of(env),
            member=MEMBER.of(env),
            clickhouse=CLICKHOUSE.of(env),
            clickhouse_cluster=CLICKHOUSE_CLUSTER.of(env),
            lease_s=LEASE_S.of(env),
            metrics_listen=METRICS_LISTEN.of(env),
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

    @property
    def shares_stores(self) -> bool:
        """Log, vault and labels lie in Postgres, where other processes use them too."""
        return bool(self.store)

    @property
    def scaled(self) -> bool:
        """Nothing lies in the data folder, and the workers are processes of their own."""
        return self.shares_stores and self.clickhouse is not None

    @property
    def grouped(self) -> bool:
        """The tables are one for the installation, and a group of projectors fills them (0075)."""
        return bool(self.kafka) and (self.scaled or not self.shares_stores)


def _refuse_unsafe(env: Mapping[str, str]) -> None:
    if CLICKHOUSE_CLUSTER.of(env) and not CLICKHOUSE.of(env):
        raise UnsafeSetup("KEYTOLL_CLICKHOUSE_CLUSTER is set without KEYTOLL_CLICKHOUSE")
    if MASTER_KEY.of(env) and MASTER_KEY_FILE.of(env):
        raise UnsafeSetup("KEYTOLL_MASTER_KEY and KEYTOLL_MASTER_KEY_FILE are both set: keep one")
    if env.get("POSTGRES_ENABLE_DB_FUNCTIONS", "").lower() in {"y", "yes", "t", "true", "on", "1"}:
        raise UnsafeSetup(
            "POSTGRES_ENABLE_DB_FUNCTIONS: readers of the log would miss events; unset it"
        )


def _sandbox(env: Mapping[str, str]) -> bool:
    """As set; else on where one process tries things out, off where several share a store."""
    given = SANDBOX.of(env)
    return not STORE.of(env) if given is None else given


def _beside(data: Path, given: Path | None, setting: Setting[object], suffix: str) -> Path:
    path = given or data.with_name(data.name + suffix)
    if path.resolve().is_relative_to(data.resolve()):
        raise UnsafeSetup(f"{setting.name}: {path} lies inside the data folder {data}")
    return path


def _unknown(env: Mapping[str, str]) -> tuple[str, ...]:
    known = {setting.name for setting in SETTINGS}
    return tuple(sorted(n for n in env if n.startswith("KEYTOLL_") and n not in known))
