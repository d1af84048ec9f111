"""What the operator's forms write, and what they say when it is wrong."""

from __future__ import annotations

import pytest

from api.errors import ApiError
from api.web.forms import Refused
from api.web.operator.fields import (
    instant_of_field,
    percent,
    share,
    tags_of,
    tags_text,
)
from domain.errors import BadValue


@pytest.mark.parametrize(
    ("typed", "rate"),
    [
        ("5", "0.05"),
        ("7.5", "0.075"),
        ("7,5", "0.075"),
        (" 0 ", "0"),
        ("100", "1"),
        ("5 %", "0.05"),
    ],
)
def test_per_cent_is_a_rate(typed: str, rate: str) -> None:
    assert share(typed, param="rate") == rate


@pytest.mark.parametrize("typed", ["", "-1", "5%%", "1e2", "five", "100.01", "999", "٥", "5 5"])
def test_what_is_no_per_cent_is_refused(typed: str) -> None:
    with pytest.raises(BadValue) as caught:
        share(typed, param="rate")
    assert caught.value.param == "rate"


@pytest.mark.parametrize(("rate", "shown"), [("0.05", "5"), ("0.0725", "7.25"), ("1", "100")])
def test_a_rate_is_shown_as_per_cent(rate: str, shown: str) -> None:
    assert percent(rate) == shown


@pytest.mark.parametrize(
    ("typed", "instant"),
    [
        ("", None),
        ("  ", None),
        ("2026-12-01T00:00", "2026-12-01T00:00:00Z"),
        ("2026-12-01T00:00:59", "2026-12-01T00:00:59Z"),
    ],
)
def test_a_day_and_a_time_are_of_utc(typed: str, instant: str | None) -> None:
    assert instant_of_field(typed, param="from") == instant


@pytest.mark.parametrize(
    "typed", ["tomorrow", "2026-12-01", "٢026-12-01T00:00", "2026-12-01T00:00+01:00"]
)
def test_what_is_no_time_is_refused(typed: str) -> None:
    with pytest.raises(BadValue) as caught:
        instant_of_field(typed, param="from")
    assert caught.value.param == "from"


def test_tags_are_one_on_a_line() -> None:
    assert tags_of("team=a\r\n\n env = prod \n") == {"team": "a", "env": "prod"}
    assert tags_of("") == {}
    assert tags_text({"team": "a", "env": "prod"}) == "env=prod\nteam=a"


@pytest.mark.parametrize("typed", ["team", "team=a\nteam=b"])
def test_tags_that_make_no_sense_are_refused(typed: str) -> None:
    with pytest.raises(BadValue) as caught:
        tags_of(typed)
    assert caught.value.param == "default_tags"


def test_a_message_stands_beside_its_field_only() -> None:
    error = ApiError(400, "invalid_parameter_value", "No.", param="default_tags.team")
    refused = Refused.of(error, "labels", {"name": "typed"})
    assert refused.about("labels", "default_tags") == "No."
    assert refused.about("labels", "name") == ""
    assert refused.about("open", "default_tags") == ""
    assert refused.beside("labels", "name", "default_tags") == ""
    assert refused.beside("labels", "name") == "No."
    assert refused.beside("open", "name") == ""
    assert refused.value("labels", "name", "stored") == "typed"
    assert refused.value("markup", "name", "stored") == "stored"


@pytest.mark.parametrize(
    ("message", "param", "said"),
    [
        ("name must be one line", "name", "Must be one line."),
        ("'role': Input should be 'caller'.", "role", "Input should be 'caller'."),
        ("entry 1: prices.input must be plain", "prices.input", "Must be plain."),
        (
            "entry 2: prices.input must be plain",
            "prices.input",
            "Entry 2: prices.input must be plain.",
        ),
        ("There is no such account.", "account", "There is no such account."),
        ("The account is full", None, "The account is full."),
    ],
)
def test_a_message_beside_its_field_does_not_name_it(
    message: str, param: str | None, said: str
) -> None:
    error = ApiError(400, "invalid_parameter_value", message, param=param)
    assert Refused.of(error, "form", {}).problem == said


def test_nothing_refused_says_nothing() -> None:
    assert Refused().about("labels", "name") == ""
    assert Refused().beside("labels", "name") == ""
    assert Refused().value("labels", "name", "stored") == "stored"
