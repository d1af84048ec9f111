"""Takes out of a provider's message what must not be passed on: keys, their tails, account ids."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import groupby
from typing import Final

MASK: Final = "[redacted]"
MESSAGE_CHARS_MAX: Final = 500
FRAGMENT_CHARS: Final = 6
"""So many characters of a key in a row are taken out of a message, wherever they stand."""
_PUBLIC: Final = frozenset(
    {"apiVersion", "deploymentName", "deployments", "endpoint", "models", "region"}
)
"""Fields of a credential that are no secret."""

_SIGN: Final = r"[A-Za-z0-9_\-.*•…+/=]"
_PATTERNS: Final = (
    # "Incorrect API key provided: …": whatever follows is the key or its tail, also a wrong one.
    re.compile(
        r"((?:api[ _-]?key|(?:access|auth|bearer|session)[ _-]?token|credential|secret)s?"
        r"(?: provided| given)?\s*[:=]\s*)\S+",
        re.I,
    ),
    re.compile(r"((?:authorization|x-api-key|api-key)\s*[:=]\s*)\S+(?:\s+\S+)?", re.I),
    re.compile(r"(\bbearer\s+)\S{6,}", re.I),
    re.compile(r"(\bkey ending (?:in|with)\s+)\S+", re.I),
    re.compile(
        r"()(?<![A-Za-z0-9])(?:sk-|sk_|rk-|pk-|or-v1-|kt_|gsk_|nvapi-|csk-|vck_|fw_|tgp_v1_|cpk_"
        rf"|nvta_|AIza|AQ\.|ABSK|bedrock-api-key-|AKIA|ASIA|eyJ){_SIGN}{{4,}}"
    ),
    # Masked forms: "abcd****wxyz", "…wxyz", "...wxyz".
    re.compile(r"()[A-Za-z0-9_\-]{0,64}(?:\*{3,}|•{2,})[A-Za-z0-9_\-]*(?:\*+[A-Za-z0-9_\-]*)*"),
    re.compile(r"()[A-Za-z0-9_\-]{0,64}…[A-Za-z0-9]{4}\b"),
    re.compile(r"()(?<![A-Za-z0-9)\]])\.{3}[A-Za-z0-9]{4}\b"),
    re.compile(r"()\b(?:org|proj|acct|user|team)[-_](?=[A-Za-z]*\d)[A-Za-z0-9]{6,}"),
    re.compile(
        r"(\b(?:account|organi[sz]ation|project|team|user)(?:[ _-]?id)?\s*[:=]?\s*(['\"`]))"
        r"[^'\"`]{4,}(?=\2)",
        re.I,
    ),
    re.compile(r"(\baccounts/)(?!fireworks/)[A-Za-z0-9_\-]{3,}"),
    re.compile(r"()\b\d{12}\b"),
    re.compile(r"()[A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9\-]+\.[A-Za-z0-9.\-]+"),
    re.compile(r"()\b(?=[A-Za-z_]*\d)(?=[0-9_]*[A-Za-z])[A-Za-z0-9_]{32,}\b"),
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\u2028\u2029\ud800-\udfff]+")


def redacted(message: str) -> str:
    """The message on one line, bounded, without anything that looks like a key or an account."""
    # Cut first, generously: the patterns must not be made to work on megabytes.
    text = _CONTROL.sub(" ", message[: 4 * MESSAGE_CHARS_MAX]).strip()
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\g<1>{MASK}", text)
    if len(text) > MESSAGE_CHARS_MAX:
        text = text[: MESSAGE_CHARS_MAX - 1] + "…"
    return text


def without_key(message: str, key: Mapping[str, str]) -> str:
    """The message without any piece of this credential's secrets.

    Patterns know the usual forms only; a session token in an echoed request, a key of no known
    form, or what cutting and masking have left of one are found by comparing.
    """
    secrets = [value for name, value in key.items() if name not in _PUBLIC]
    hidden = [False] * len(message)
    for start in range(len(message) - FRAGMENT_CHARS + 1):
        end = start + FRAGMENT_CHARS
        if any(message[start:end] in secret for secret in secrets):
            hidden[start:end] = [True] * FRAGMENT_CHARS
    runs = groupby(zip(hidden, message, strict=True), key=lambda sign: sign[0])
    shown = "".join(MASK if hide else "".join(sign for _, sign in run) for hide, run in runs)
    return shown[:MESSAGE_CHARS_MAX]
