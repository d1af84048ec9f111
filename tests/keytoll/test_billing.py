"""Which periods `keytoll close` means, and what `keytoll invoice show` says."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from domain.account import AccountNotFound
from domain.clock import FixedClock
from domain.errors import BadValue
from domain.eventlog.port import heads_of
from domain.invoice import Period, parse_period
from domain.invoice_series import InvoiceIssued, series_of
from keytoll.commands.billing import _show, periods_to_close
from keytoll.commands.port import Console
from keytoll.settings import Settings
from keytoll.wiring import Stores, open_stores
from tests.projections.world import START

DAY = timedelta(days=1)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    settings = Settings.from_environment({"KEYTOLL_DATA": str(tmp_path / "data")})
    opened = open_stores(settings, FixedClock(START), epoch="test")
    yield opened
    opened.close()


def open_account(stores: Stores) -> str:
    account_id, _ = stores.ledger.open_account(api_keys=())
    return account_id


def closed(stores: Stores, account: str, start: datetime, end: datetime, *, number: int) -> None:
    """An invoice of the account over a period."""
    series = series_of(year=2026, sandbox=False)
    figures: dict[str, Any] = dict.fromkeys(
        ("fee_usd_exact", "carried_in", "carried_out", "subtotal", "tax", "total"), "0"
    )
    period = parse_period(f"{start.isoformat()}/{end.isoformat()}")
    event = InvoiceIssued(
        originator_id=series.stream,
        originator_version=number,
        invoice_id=f"inv_{number:032x}",
        number=series.number(number),
        account_id=account,
        sandbox=False,
        start=str(period).partition("/")[0],
        end=str(period).partition("/")[2],
        currency="USD",
        lines=[],
        cutoff=heads_of(stores.log),
        price_books=[],
        merkle={},
        **figures,
    )
    stores.log.submit(event, account_id=account).result()


def test_a_month_and_bounds_mean_everybody(stores: Stores) -> None:
    open_account(stores)
    assert periods_to_close(stores, "2026-11", None) == [(parse_period("2026-11"), None)]
    now = stores.clock.now() + DAY
    stores.clock.advance(DAY)  # type: ignore[attr-defined]
    assert periods_to_close(stores, "2026-11-01/now", "acc_x") == [(Period(START, now), "acc_x")]


def test_without_a_start_each_account_goes_on_where_it_was_closed(stores: Stores) -> None:
    """Or from its opening, to the microsecond."""
    first, second = open_account(stores), open_account(stores)
    stores.clock.advance(10 * DAY)  # type: ignore[attr-defined]
    third = open_account(stores)
    closed(stores, first, START, START + DAY, number=1)
    closed(stores, first, START + DAY, START + 3 * DAY, number=2)
    found = {account: period for period, account in periods_to_close(stores, "/2026-12-01", None)}
    end = datetime(2026, 12, 1, tzinfo=START.tzinfo)
    assert found == {
        first: Period(START + 3 * DAY, end),
        second: Period(START, end),
        third: Period(START + 10 * DAY, end),
    }
    assert periods_to_close(stores, "/2026-12-01", first) == [(found[first], first)]
    # What is closed up to there has nothing left to close.
    assert [account for _, account in periods_to_close(stores, "/2026-11-03", None)] == [second]
    with pytest.raises(AccountNotFound):
        periods_to_close(stores, "/now", "acc_" + "0" * 32)


def test_an_invoice_is_found_by_its_number(stores: Stores) -> None:
    account = open_account(stores)
    closed(stores, account, START, START + DAY, number=1)
    stores.register.catch_up()
    assert stores.register.get("KT-2026-000001") == stores.register.get("inv_" + "0" * 31 + "1")


@pytest.mark.parametrize("text", ["", "/", "/soon", "2026-13", "2026-11-02/2026-11-01"])
def test_what_is_no_period_is_bad_input(stores: Stores, text: str) -> None:
    with pytest.raises(BadValue):
        periods_to_close(stores, text, None)


def test_an_invoice_is_shown_with_what_was_given_back() -> None:
    figures = dict.fromkeys(
        ("fee_usd_exact", "carried_in", "carried_out", "subtotal", "tax", "total"), "0.03"
    )
    period = {"start": "2026-11-01", "end": "2026-12-01"}
    head = {"number": "KT-2026-000001", "status": "paid", "id": "inv_1", "account_id": "acc_1"}
    note = {"number": "KT-2026-000002", "total": "0.01", "reason": "goodwill"}
    out = io.StringIO()
    console = Console(cast(Any, out), cast(Any, io.StringIO()), Path())
    _show({**head, **figures, "period": period, "lines": []}, [note], console)
    assert out.getvalue().splitlines()[-1] == "KT-2026-000002  gives back 0.01: goodwill"
