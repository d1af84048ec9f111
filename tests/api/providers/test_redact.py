"""No piece of the key that a call used stays in a message, whatever the provider made of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.providers.redact import FRAGMENT_CHARS, MESSAGE_CHARS_MAX, redacted, without_key

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = "IQoJb3JpZ2luX2VjEPv//////////wEaCXVzLWVhc3QtMSJHMEUC/x9a+Zy=="
AWS = {
    "accessKeyId": "ASIAIOSFODNN7EXAMPLE",
    "secretAccessKey": SECRET,
    "sessionToken": TOKEN,
    "region": "eu-central-1",
}
SIGNED = (
    "The Canonical String for this request should have been 'POST /model/x/converse"
    " host:bedrock-runtime.eu-central-1.amazonaws.com x-amz-security-token:{}'"
)


def shown(message: str, key: dict[str, str]) -> str:
    return without_key(redacted(message), key)


def pieces(secret: str) -> set[str]:
    return {secret[at : at + FRAGMENT_CHARS] for at in range(len(secret) - FRAGMENT_CHARS + 1)}


@pytest.mark.parametrize("secret", [SECRET, TOKEN])
@pytest.mark.parametrize("text", [SIGNED, "{}", "bad {} here", "{0}{0}", "x{}y"])
def test_an_echoed_key_of_no_known_form(secret: str, text: str) -> None:
    assert not any(piece in shown(text.format(secret), AWS) for piece in pieces(secret))


def test_a_key_that_is_cut_in_the_middle() -> None:
    """The message ends inside the key: its beginning does not stay."""
    message = shown("n " * (MESSAGE_CHARS_MAX // 2 - 12) + SECRET, AWS)
    assert SECRET[:FRAGMENT_CHARS] not in message
    assert len(message) <= MESSAGE_CHARS_MAX


def test_what_is_no_secret_stays() -> None:
    key = {
        "apiKey": "opaque-0123-4567",
        "endpoint": "https://mine.openai.azure.com",
        "deploymentName": "my-deployment",
        "apiVersion": "2025-04-01-preview",
    }
    message = "my-deployment does not exist in 2025-04-01-preview at https://mine.openai.azure.com"
    assert without_key(message, key) == message
    assert without_key("key opaque-0123-4567 is unknown", key) == "key [redacted] is unknown"
    assert without_key("", key) == ""


@given(
    st.text(st.characters(codec="ascii", categories=("L", "N", "P")), min_size=8, max_size=60),
    st.text(max_size=40),
    st.text(max_size=40),
    st.integers(0, 60),
)
def test_no_piece_of_any_key_stays(key: str, before: str, after: str, skipped: int) -> None:
    message = without_key(before + key[skipped:] + after, {"apiKey": key})
    rest = message.replace("[redacted]", "\0")
    assert not any(piece in rest for piece in pieces(key))
