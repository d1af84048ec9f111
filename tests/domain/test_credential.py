from __future__ import annotations

from collections.abc import Callable

import pytest

from domain.credential import Credential, CredentialNotFound, fields_of, secret_of
from domain.errors import BadValue


@pytest.fixture
def credential() -> Credential:
    return Credential(
        account_id="acc_" + "a" * 32,
        provider="openai",
        key_suffix="9Qkx",
        fingerprint="f" * 64,
        secret_version=1,
        position=1,
    )


def rotate(credential: Credential) -> None:
    credential.rotate(key_suffix="new1", fingerprint="e" * 64, secret_version=2)


def test_the_status_is_that_of_the_last_check(credential: Credential) -> None:
    seen: list[str] = [credential.status]
    credential.check("rejected", "invalid_key")
    seen.append(credential.status)
    credential.check("verified", "answered_a_call")
    seen.append(credential.status)
    assert seen == ["unverified", "rejected", "verified"]


def test_being_disabled_hides_the_last_check_without_forgetting_it(credential: Credential) -> None:
    credential.check("verified", "listed_models")
    credential.disable()
    seen: list[str] = [credential.status]
    credential.enable()
    seen.append(credential.status)
    assert seen == ["disabled", "verified"]


def test_nobody_has_checked_a_rotated_secret(credential: Credential) -> None:
    credential.check("rejected", "invalid_key")
    rotate(credential)
    assert (credential.status, credential.checked_reason) == ("unverified", None)
    assert (credential.key_suffix, credential.secret_version) == ("new1", 2)


def test_a_rotation_never_goes_back_to_an_older_secret(credential: Credential) -> None:
    rotate(credential)
    with pytest.raises(BadValue):
        rotate(credential)


def test_only_news_is_an_event(credential: Credential) -> None:
    credential.check("verified", "listed_models")
    credential.check("verified", "answered_a_call")
    credential.check("rejected", "invalid_key")
    credential.check("rejected", "invalid_key")
    credential.check("rejected", "expired")
    credential.restrict(None)
    credential.enable()
    credential.reorder(1)
    topics = [type(each).__name__ for each in credential.collect_events()]
    assert topics == ["KeyAdded", "KeyChecked", "KeyChecked", "KeyChecked"]


COMMANDS: list[Callable[[Credential], None]] = [
    lambda each: each.check("verified", "ok"),
    lambda each: each.restrict(["m"]),
    lambda each: each.reorder(2),
    Credential.disable,
    Credential.enable,
    rotate,
    Credential.remove,
]


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_can_be_done_to_a_removed_credential(
    credential: Credential, command: Callable[[Credential], None]
) -> None:
    credential.remove()
    with pytest.raises(CredentialNotFound):
        command(credential)


@pytest.mark.parametrize(
    "command",
    [
        lambda each: each.check("fine", "ok"),
        lambda each: each.check("verified", "Has spaces, maybe sk-secret"),
        lambda each: each.reorder(-1),
        lambda each: each.restrict([]),
    ],
)
def test_what_cannot_be_is_refused(
    credential: Credential, command: Callable[[Credential], None]
) -> None:
    with pytest.raises(BadValue):
        command(credential)
    assert len(credential.pending_events) == 1


def test_the_fields_of_a_key_become_one_text_and_back() -> None:
    fields = {"region": "us-east-1", "apiKey": "ü"}
    secret = secret_of(fields)
    assert secret == secret_of(dict(reversed(fields.items())))
    assert fields_of(secret) == fields
    assert "us-east" not in repr(secret)
