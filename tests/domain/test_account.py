from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from domain.account import BACKDATING_MAX, Account, ApiKeyNotFound, Routing, parse_expiry
from domain.errors import BadValue

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
KEY = "key_" + "0" * 32
SHA = "0" * 64


@pytest.fixture
def account() -> Account:
    return Account(currency="USD")


def test_an_account_with_no_agreement_pays_the_default_rate(account: Account) -> None:
    assert account.markup_rate_at(NOW) == "0.05"


def test_the_agreement_that_begins_last_holds(account: Account) -> None:
    account.agree_markup(rate="0.03", effective_from=NOW - timedelta(days=400), now=NOW)
    account.agree_markup(rate="0.1", effective_from=NOW + timedelta(days=10), now=NOW)
    account.agree_markup(rate="0.07", effective_from=NOW + timedelta(days=5), now=NOW)
    assert account.markup_rate_at(NOW - timedelta(days=401)) == "0.05"
    assert account.markup_rate_at(NOW) == "0.03"
    assert account.markup_rate_at(NOW + timedelta(days=5) - timedelta(microseconds=1)) == "0.03"
    assert account.markup_rate_at(NOW + timedelta(days=5)) == "0.07"
    assert account.markup_rate_at(NOW + timedelta(days=10)) == "0.1"


def test_of_two_that_begin_together_the_later_agreement_holds(account: Account) -> None:
    account.agree_markup(rate="0.03", effective_from=NOW, now=NOW)
    account.agree_markup(rate="0.04", effective_from=NOW, now=NOW)
    assert account.markup_rate_at(NOW) == "0.04"


def test_only_the_first_agreement_may_begin_in_the_past(account: Account) -> None:
    account.agree_markup(rate="0.03", effective_from=NOW - timedelta(days=1), now=NOW)
    account.agree_markup(rate="0.04", effective_from=NOW - BACKDATING_MAX, now=NOW)
    early = NOW - BACKDATING_MAX - timedelta(microseconds=1)
    with pytest.raises(BadValue) as raised:
        account.agree_markup(rate="0.05", effective_from=early, now=NOW)
    assert raised.value.param == "from"


@pytest.mark.parametrize(
    ("rate", "kept"), [("0", "0"), ("1", "1"), ("0.123456", "0.123456"), ("0.0500000", "0.05")]
)
def test_rates_from_nothing_to_all_with_six_places(account: Account, rate: str, kept: str) -> None:
    account.agree_markup(rate=rate, effective_from=NOW, now=NOW)
    assert account.markup_rate_at(NOW) == kept


@pytest.mark.parametrize("rate", ["1.000001", "-0.01", "0.1234567", "5e-2", ".05", "5%", "NaN", ""])
def test_other_rates_are_refused(account: Account, rate: str) -> None:
    with pytest.raises(BadValue) as raised:
        account.agree_markup(rate=rate, effective_from=NOW, now=NOW)
    assert raised.value.param == "rate"
    assert account.markups == []


def test_saying_the_same_again_is_no_event(account: Account) -> None:
    account.suspend()
    account.prefer_routing(Routing(providers=("openai",)))
    account.set_tax(rate="0.19", note="VAT")
    before = len(account.pending_events)
    account.suspend()
    account.prefer_routing(Routing(providers=("openai",)))
    account.set_tax(rate="0.190", note="VAT")
    assert len(account.pending_events) == before
    account.resume()
    account.resume()
    assert len(account.pending_events) == before + 1


def test_a_revoked_api_key_stays_revoked(account: Account) -> None:
    account.issue_api_key(key_id=KEY, role="caller", secret_sha256=SHA)
    account.revoke_api_key(KEY)
    assert account.api_keys[KEY].revoked
    with pytest.raises(ApiKeyNotFound):
        account.revoke_api_key(KEY)
    with pytest.raises(ApiKeyNotFound):
        account.revoke_api_key("key_" + "1" * 32)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"role": "god"}, "role"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"requests_per_minute": 1_000_001}, "requests_per_minute"),
        ({"models": []}, "models"),
        ({"models": ["ok", "not ok"]}, "models.1"),
        ({"models": ["m"] * 201}, "models"),
        ({"secret_sha256": "abc"}, None),
        ({"key_id": "kt_secret"}, None),
    ],
)
def test_an_api_key_that_cannot_be_is_refused(
    account: Account, change: dict[str, object], param: str | None
) -> None:
    with pytest.raises(BadValue) as raised:
        account.issue_api_key(
            **{"key_id": KEY, "role": "caller", "secret_sha256": SHA, **change}  # type: ignore[arg-type]
        )
    assert raised.value.param == param
    assert account.api_keys == {}


@pytest.mark.parametrize(
    ("routing", "param"),
    [
        (Routing(providers=("a", "a")), "providers"),
        (Routing(providers=("not a slug",)), "providers.0"),
        (Routing(on_disconnect="explode"), "on_disconnect"),  # type: ignore[arg-type]
    ],
)
def test_a_routing_that_cannot_be_is_refused(
    account: Account, routing: Routing, param: str
) -> None:
    with pytest.raises(BadValue) as raised:
        account.prefer_routing(routing)
    assert raised.value.param == param


def test_remainders_of_sandbox_and_real_invoices_are_apart(account: Account) -> None:
    assert account.remainder(sandbox=False) == "0"
    account.carry_remainder(invoice_id="inv_1", sandbox=False, amount="-0.004")
    account.carry_remainder(invoice_id="inv_2", sandbox=True, amount="0.0010")
    account.carry_remainder(invoice_id="inv_3", sandbox=False, amount="0.002")
    assert account.remainder(sandbox=False) == "0.002"
    assert account.remainder(sandbox=True) == "0.001"


def test_an_expiry_is_to_come() -> None:
    assert parse_expiry(None, now=NOW) is None
    assert parse_expiry("2026-11-01T12:00:00.000001Z", now=NOW) is not None
    for text in ("2026-11-01T12:00:00Z", "2020-01-01", "tomorrow"):
        with pytest.raises(BadValue) as raised:
            parse_expiry(text, now=NOW)
        assert raised.value.param == "expires_at"
