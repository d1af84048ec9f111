"""Settings: defaults, refusals in one clear line, and the table in the manual."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from domain.errors import BadValue, UnsafeSetup
from domain.secret import Secret
from keytoll.setting_table import SETTINGS, documentation
from keytoll.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_nothing_given_means_the_documented_defaults(somewhere: Path) -> None:
    settings = Settings.from_environment({})
    assert settings.data == somewhere / "data"
    assert str(settings.listen) == "127.0.0.1:8080"
    assert settings.master_key is None
    assert settings.master_key_file == somewhere / "data.key"
    assert settings.checkpoints == somewhere / "data.checkpoints"
    assert settings.upstreams == {}
    assert settings.sandbox
    assert str(settings.sandbox_listen) == "127.0.0.1:0"
    assert settings.cors_origins == ()
    assert settings.unknown == ()


def test_an_empty_value_counts_as_not_given() -> None:
    empty = dict.fromkeys((setting.name for setting in SETTINGS), " ")
    assert Settings.from_environment(empty) == Settings.from_environment({})


def test_values_are_read(somewhere: Path) -> None:
    settings = Settings.from_environment(
        {
            "KEYTOLL_DATA": "elsewhere/store",
            "KEYTOLL_LISTEN": "[::1]:0",
            "KEYTOLL_MASTER_KEY": "correct horse",
            "KEYTOLL_UPSTREAMS": '{"openai": "http://127.0.0.1:9/v1/", "aws": "https://h"}',
            "KEYTOLL_SANDBOX": "off",
            "KEYTOLL_CORS_ORIGINS": "https://a.example, http://localhost:3000",
            "KEYTOLL_BODY_BYTES_MAX": "1024",
        }
    )
    assert settings.data == somewhere / "elsewhere/store"
    assert settings.master_key_file == somewhere / "elsewhere/store.key"
    assert (settings.listen.host, settings.listen.port) == ("::1", 0)
    assert settings.master_key == Secret("correct horse")
    assert settings.upstreams == {"openai": "http://127.0.0.1:9/v1", "aws": "https://h"}
    assert not settings.sandbox
    assert settings.cors_origins == ("https://a.example", "http://localhost:3000")
    assert settings.body_bytes_max == 1024


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KEYTOLL_LISTEN", "8080"),
        ("KEYTOLL_LISTEN", "127.0.0.1:65536"),
        ("KEYTOLL_LISTEN", "::1:8080"),
        ("KEYTOLL_SANDBOX", "yes"),
        ("KEYTOLL_CORS_ORIGINS", "https://app.example/path"),
        ("KEYTOLL_PUBLIC_URL", "toll.example"),
        ("KEYTOLL_PUBLIC_URL", "https://toll.example/"),
        ("KEYTOLL_PUBLIC_URL", "https://owner@toll.example"),
        ("KEYTOLL_PUBLIC_URL", "javascript://toll.example"),
        ("KEYTOLL_LOG_FORMAT", "xml"),
        ("KEYTOLL_LOG_LEVEL", "INFO"),
        ("KEYTOLL_BODY_BYTES_MAX", "1023"),
        ("KEYTOLL_BODY_BYTES_MAX", "1073741825"),
        ("KEYTOLL_BODY_BYTES_MAX", "32MB"),
        ("KEYTOLL_CONNECT_TIMEOUT_S", "0"),
        ("KEYTOLL_CONNECT_TIMEOUT_S", "1.5"),
        ("KEYTOLL_SEAL_INTERVAL_S", "3601"),
        ("KEYTOLL_CORS_ORIGINS", "https://a.example/path"),
        ("KEYTOLL_CORS_ORIGINS", "a.example"),
        ("KEYTOLL_UPSTREAMS", "openai=http://h"),
        ("KEYTOLL_UPSTREAMS", "[]"),
        ("KEYTOLL_UPSTREAMS", '{"openai": 1}'),
        ("KEYTOLL_UPSTREAMS", '{"Open AI": "http://h"}'),
        ("KEYTOLL_UPSTREAMS", '{"openai": "ftp://h"}'),
        ("KEYTOLL_UPSTREAMS", '{"openai": "http://"}'),
        ("KEYTOLL_UPSTREAMS", '{"openai": "http://h:99999"}'),
        ("KEYTOLL_UPSTREAMS", '{"openai": "http://h/v1?x=1"}'),
        ("KEYTOLL_UPSTREAMS", '{"openai": "http://h/\\n"}'),
        ("KEYTOLL_UPSTREAMS", '{"openai": "http://a", "openai": "http://b"}'),
        ("KEYTOLL_UPSTREAMS", "[" * 100_000),
        ("KEYTOLL_STORE", "host=h dbname=d"),
        ("KEYTOLL_STORE", "mysql://h/d"),
        ("KEYTOLL_STORE", "postgresql:///d"),
        ("KEYTOLL_STORE", "postgresql://h/d postgresql://h/d"),
        ("KEYTOLL_KAFKA", "h"),
        ("KEYTOLL_KAFKA", "h:9092,"),
        ("KEYTOLL_CLICKHOUSE", "h:8123"),
        ("KEYTOLL_CLICKHOUSE", "http://h:port/d"),
        ("KEYTOLL_CLICKHOUSE_CLUSTER", "a'b"),
        ("KEYTOLL_LEASE_S", "2"),
        ("KEYTOLL_METRICS_LISTEN", "9100"),
    ],
)
def test_a_bad_value_is_refused_in_one_line_that_names_the_setting(name: str, value: str) -> None:
    with pytest.raises(BadValue) as refusal:
        Settings.from_environment({name: value})
    assert str(refusal.value).startswith(f"{name}: ")
    assert "\n" not in str(refusal.value)
    assert refusal.value.param == name


@pytest.mark.parametrize(
    "environment",
    [
        {"KEYTOLL_DATA": "/"},
        {"KEYTOLL_MASTER_KEY": "k", "KEYTOLL_MASTER_KEY_FILE": "k.key"},
        {"KEYTOLL_MASTER_KEY_FILE": "data/master.key"},
        {"KEYTOLL_DATA": "store", "KEYTOLL_CHECKPOINTS": "store/sub/../checkpoints"},
        {"KEYTOLL_SANDBOX_LISTEN": "0.0.0.0:9000"},
        {"KEYTOLL_CORS_ORIGINS": "*"},
        {"KEYTOLL_UPSTREAMS": '{"openai": "http://user:pass@h/v1"}'},
        {"KEYTOLL_CLICKHOUSE_CLUSTER": "all"},
        {"POSTGRES_ENABLE_DB_FUNCTIONS": "y"},
    ],
)
def test_an_unsafe_setup_does_not_start(environment: dict[str, str]) -> None:
    with pytest.raises(UnsafeSetup) as refusal:
        Settings.from_environment(environment)
    assert any(name in str(refusal.value) for name in environment)
    assert "\n" not in str(refusal.value)


def test_a_key_file_behind_a_link_into_the_data_folder_is_found_out(somewhere: Path) -> None:
    (somewhere / "data").mkdir()
    (somewhere / "aside").symlink_to("data")
    with pytest.raises(UnsafeSetup, match="inside the data folder"):
        Settings.from_environment({"KEYTOLL_MASTER_KEY_FILE": "aside/master.key"})


def test_the_last_value_within_a_limit_is_accepted_on_either_side() -> None:
    low = Settings.from_environment({"KEYTOLL_SEAL_INTERVAL_S": "1"})
    high = Settings.from_environment({"KEYTOLL_SEAL_INTERVAL_S": "3600"})
    assert (low.seal_interval_s, high.seal_interval_s) == (1, 3600)


def test_unknown_names_are_kept_for_a_warning() -> None:
    settings = Settings.from_environment({"KEYTOLL_SERVICE_HOST": "h", "KEYTOL_DATA": "x"})
    assert settings.unknown == ("KEYTOLL_SERVICE_HOST",)


SCALED = {
    "KEYTOLL_STORE": "postgresql://u:horse@a/d  postgres://u:horse@b/d",
    "KEYTOLL_KAFKA": "k1:9092, k2:9092",
    "KEYTOLL_CLICKHOUSE": "https://u:horse@c:8443/d",
}


def test_the_scaled_mode_is_chosen_by_any_of_its_settings() -> None:
    settings = Settings.from_environment(SCALED)
    assert [url.reveal()[-4:] for url in settings.store] == ["@a/d", "@b/d"]
    assert settings.kafka == ("k1:9092", "k2:9092")
    assert settings.clickhouse == Secret("https://u:horse@c:8443/d")
    assert settings.scaled
    for name, value in SCALED.items():
        assert not Settings.from_environment({name: value}).scaled


@pytest.mark.parametrize(
    ("given", "grouped"),
    [
        ("", False),
        ("KAFKA", True),
        ("CLICKHOUSE", False),
        ("STORE", False),
        ("KAFKA CLICKHOUSE", True),
        ("KAFKA STORE", False),
        ("STORE CLICKHOUSE", False),
        ("KAFKA STORE CLICKHOUSE", True),
    ],
)
def test_a_group_fills_the_tables_where_there_is_a_topic_and_they_are_one(
    given: str, grouped: bool
) -> None:
    named = {f"KEYTOLL_{word}" for word in given.split()}
    chosen = {name: value for name, value in SCALED.items() if name in named}
    assert Settings.from_environment(chosen).grouped is grouped


def test_the_sandbox_is_off_where_processes_share_a_store_unless_it_is_asked_for() -> None:
    store = {"KEYTOLL_STORE": "postgresql://h/d"}
    assert not Settings.from_environment(store).sandbox
    assert Settings.from_environment({**store, "KEYTOLL_SANDBOX": "on"}).sandbox
    assert Settings.from_environment({"KEYTOLL_KAFKA": "h:9092"}).sandbox


def test_no_secret_prints() -> None:
    settings = Settings.from_environment({"KEYTOLL_MASTER_KEY": "correct horse", **SCALED})
    assert "horse" not in repr(settings)


@pytest.mark.parametrize("name", ["KEYTOLL_STORE", "KEYTOLL_CLICKHOUSE"])
def test_a_refused_url_is_not_repeated(name: str) -> None:
    with pytest.raises(BadValue) as refusal:
        Settings.from_environment({name: "horse://u:horse@h/d"})
    assert "horse" not in str(refusal.value)


def test_the_manual_has_the_table_of_all_settings() -> None:
    manual = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    assert documentation() in manual, (
        "docs/operations.md: the table of settings is out of date; paste the output of "
        '`python -c "from keytoll.setting_table import documentation as d; print(d())"`'
    )


def test_every_setting_is_used() -> None:
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "keytoll").rglob("*.py")
        if path.name not in {"settings.py", "setting_table.py"}
    )
    unused = [field.name for field in fields(Settings) if f"settings.{field.name}" not in source]
    assert not unused, f"keytoll/settings.py: nothing reads {', '.join(unused)}"
