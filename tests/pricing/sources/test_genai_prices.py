"""genai-prices' data, from a copy that is made here."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path

import pytest

from pricing.sources.decisions import Decisions
from pricing.sources.genai_prices import GenaiPrices
from pricing.sources.merge import merged
from pricing.sources.offer import Offer, klass

HEAD = """
from datetime import date, time
from decimal import Decimal
from types import SimpleNamespace as Of

def one(*prices, **units):
    return Of(**{name: Decimal(value) for name, value in units.items()})

def model(id, *spelled, prices, variants=()):
    match = Of(or_=[Of(equals=each) for each in spelled or [id]])
    return Of(id=id, match=match, prices=prices, price_variants=[
        Of(when=when, prices=each) for when, each in variants])

def host(id, *models):
    def find(name):
        return next((m for m in models if name in [c.equals for c in m.match.or_]), None)
    return Of(id=id, models=models, find_model=find)

def since(day, prices):
    return Of(constraint=Of(start_date=day), prices=prices)

def hours(start, end, prices):
    return Of(constraint=Of(start_time=start, end_time=end), prices=prices)

def always(prices):
    return Of(constraint=None, prices=prices)
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "genai_prices").mkdir()
    (tmp_path / "genai_prices/__init__.py").write_text("")
    return tmp_path


def source(package: Path, hosts: str) -> GenaiPrices:
    text = f"{HEAD}\nproviders = [{hosts}]\n"
    (package / "genai_prices/data.py").write_text(text)
    return GenaiPrices(package, "genai-prices 1", "2026-11-09")


def only(package: Path, hosts: str) -> Offer:
    (offer,) = source(package, hosts).offers()
    return offer


def test_units_tiers_and_searches(package: Path) -> None:
    tiered = "Of(base=Decimal('2'), tiers=[Of(start=200000, price=Decimal('4'))])"
    prices = f"Of(input_mtok={tiered}, output_mtok=Decimal('8'), web_searches_kcount=Decimal('14'))"
    offer = only(package, f"host('groq', model('m', prices={prices}))")
    assert offer.standard.prices == {
        "input": Decimal(2),
        "output": Decimal(8),
        "web_search_per_call": Decimal("0.014"),
    }
    assert offer.standard.tiers == {200_000: {"input": Decimal(4)}}


def test_a_service_class_is_not_dated_by_when_it_was_first_modelled(package: Path) -> None:
    variants = "[({'processing': 'batch'}, one(input_mtok='1')), ({'route': 'eu'}, one())]"
    prices = "one(input_mtok='2', output_mtok='8')"
    offer = only(package, f"host('groq', model('m', prices={prices}, variants={variants}))")
    assert offer.terms[klass(batch=True)].prices == {"input": Decimal(1)}
    assert len(offer.terms) == 2
    assert all("effective_from" not in row for row in merged([offer], Decisions([])).rows)


DATED = """host('groq', model('m', prices=[
    always(one(input_mtok='1', output_mtok='4')),
    since(date(2026, 8, 17), one(input_mtok='2', output_mtok='8')),
    since(date(2027, 1, 1), one(input_mtok='3', output_mtok='12')),
]))"""


def test_past_present_and_announced_prices(package: Path) -> None:
    offer = only(package, DATED)
    assert (offer.since, offer.standard.prices["input"]) == ("2026-08-17", Decimal(2))
    assert [(start, end, t.prices["input"]) for start, end, t in offer.before] == [
        (None, "2026-08-17", Decimal(1))
    ]
    assert [(day, terms.prices["input"]) for day, terms in offer.announced] == [
        ("2027-01-01", Decimal(3))
    ]


def test_hours_of_the_day_hold_only_since_the_newest_price(package: Path) -> None:
    offer = only(
        package,
        """host('groq', model('m', prices=[
            always(one(input_mtok='1', output_mtok='4')),
            since(date(2026, 8, 17), one(input_mtok='2', output_mtok='8')),
            hours(time(1), time(4), one(input_mtok='5', output_mtok='9')),
        ]))""",
    )
    past, now = merged([offer], Decisions([])).rows
    assert "time_overrides" not in past
    (override,) = now["time_overrides"]
    assert (override["utc_windows"], override["input"]) == (["01:00-04:00"], "5")


def test_a_free_slug_without_a_price_is_free_and_anything_else_unknown(package: Path) -> None:
    models = "model('a/b:free', prices=one()), model('a/b', prices=one())"
    offers = {
        each.model: each for each in source(package, f"host('openrouter', {models})").offers()
    }
    assert offers["a/b:free"].free
    assert not offers["a/b"].standard.prices


def test_openrouter_is_seen_only_on_dated_days(package: Path) -> None:
    models = f"model('a/b', prices=one(input_mtok='1', output_mtok='1')), {DATED[13:-1]}"
    offers = source(package, f"host('openrouter', {models})").offers()
    assert {each.model: each.as_of for each in offers} == {"a/b": None, "m": "2026-08-17"}


def test_fireworks_models_go_by_their_path(package: Path) -> None:
    path = "accounts/fireworks/models/glm-4p7"
    prices = "one(input_mtok='1', output_mtok='1')"
    offer = only(package, f"host('fireworks', model('glm-4p7', '{path}', prices={prices}))")
    assert (offer.model, offer.also) == (path, ("glm-4p7",))
    found = source(package, f"host('fireworks', model('glm-4p7', '{path}', prices={prices}))")
    assert found.find("fireworks", path) == offer


def test_profiles_of_several_regions_go_by_their_own_ids(package: Path) -> None:
    spelled = "'anthropic.claude-x', 'us.anthropic.claude-x', 'eu.anthropic.claude-x', 'claude-x'"
    prices = "one(input_mtok='1', output_mtok='1')"
    offers = source(
        package, f"host('aws', model('regional.anthropic.claude-x', {spelled}, prices={prices}))"
    ).offers()
    assert [offer.model for offer in offers] == ["eu.anthropic.claude-x", "us.anthropic.claude-x"]


def test_other_hosts_prices_never_stand_in(package: Path) -> None:
    prices = "one(input_mtok='1', output_mtok='1')"
    found = source(
        package, f"host('azure'), host('deepseek', model('deepseek-r1', prices={prices}))"
    )
    assert found.find("azure", "deepseek-r1") is None


def test_what_others_sell_is_not_openais(package: Path) -> None:
    prices = "one(input_mtok='1', output_mtok='1')"
    ids = ("gpt-oss-20b", "gpt-4o:extended", "ft:gpt-4o", "text-embedding-3-small", "gpt-4o")
    models = ", ".join(f"model('{each}', prices={prices})" for each in ids)
    found = source(package, f"host('openai', {models})").offers()
    assert [offer.model for offer in found] == ["gpt-4o"]


def test_nothing_of_the_package_stays_behind(package: Path) -> None:
    source(package, DATED)
    assert not [name for name in sys.modules if name.partition(".")[0] == "genai_prices"]
    assert str(package) not in sys.path
