"""Envelope encryption: a fresh data key for each secret, wrapped by a master key. AES-256-GCM.

The home of `cryptography`. What a secret belongs to (account, credential, version) is
authenticated with both layers, so a sealed record that is moved to another place does not open.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, replace
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.secret import Secret
from domain.vault.port import MasterKey, SecretUnreadable

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret as it lies on disk."""

    account_id: str
    credential_id: str
    version: int
    key_id: str
    """The master key that wrapped the data key."""
    wrapped_key: bytes
    box: bytes
    """Nonce and ciphertext of the secret under the data key."""


class LocalMasterKey:
    """A master key whose 32 bytes this process holds."""

    def __init__(self, material: bytes) -> None:
        if len(material) != KEY_BYTES:
            raise ValueError("a master key has 32 bytes")
        self._aead = AESGCM(_derived(material, "wrap"))
        self.key_id: Final = "local-" + _derived(material, "key-id").hex()[:16]

    def wrap(self, data_key: bytes, context: bytes) -> bytes:
        return _seal(self._aead, data_key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        return _open(self._aead, wrapped, context)

    def __repr__(self) -> str:
        return f"LocalMasterKey({self.key_id})"


def seal(
    secret: Secret, *, account_id: str, credential_id: str, version: int, master: MasterKey
) -> Sealed:
    """Seal a secret under a data key that exists nowhere else."""
    context = _context(account_id, credential_id, version)
    data_key = AESGCM.generate_key(bit_length=8 * KEY_BYTES)
    return Sealed(
        account_id=account_id,
        credential_id=credential_id,
        version=version,
        key_id=master.key_id,
        wrapped_key=master.wrap(data_key, context),
        box=_seal(AESGCM(data_key), secret.reveal().encode(), context),
    )


def unseal(sealed: Sealed, *, master: MasterKey) -> Secret:
    """The secret again. Raises SecretUnreadable."""
    context = _context(sealed.account_id, sealed.credential_id, sealed.version)
    data_key = master.unwrap(sealed.wrapped_key, context)
    return Secret(_open(AESGCM(data_key), sealed.box, context).decode())


def rewrapped(sealed: Sealed, *, old: MasterKey, new: MasterKey) -> Sealed:
    """The same secret under the same data key, wrapped by another master key."""
    context = _context(sealed.account_id, sealed.credential_id, sealed.version)
    data_key = old.unwrap(sealed.wrapped_key, context)
    return replace(sealed, key_id=new.key_id, wrapped_key=new.wrap(data_key, context))


def keyed_hash(key: Secret, purpose: str, text: str) -> str:
    """HMAC-SHA-256 of the text, apart for each purpose; hex."""
    message = f"{purpose}\0{text}".encode()
    return hmac.new(key.reveal().encode(), message, hashlib.sha256).hexdigest()


def _context(account_id: str, credential_id: str, version: int) -> bytes:
    return json.dumps([account_id, credential_id, version], separators=(",", ":")).encode()


def _derived(material: bytes, purpose: str) -> bytes:
    return hmac.new(material, f"keytoll vault {purpose}".encode(), hashlib.sha256).digest()


def _seal(aead: AESGCM, plain: bytes, context: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + aead.encrypt(nonce, plain, context)


def _open(aead: AESGCM, box: bytes, context: bytes) -> bytes:
    try:
        return aead.decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], context)
    except (InvalidTag, ValueError):
        # A box cut short raises ValueError; the message of either could quote bytes.
        raise SecretUnreadable("a sealed secret does not open with this master key") from None
