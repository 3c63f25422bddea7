"""Public keys of tinc hosts: RSA of at least 2048 bits, in PKCS#1 or X.501 PEM."""

from __future__ import annotations

import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from django.core.exceptions import ValidationError

from vct.wire.tinc import canonical_key

PUBKEY_MAX = 8192


def fingerprint(pem: str) -> str:
    """SHA-256 of the key itself, 64 hex digits, whatever it is encoded in.

    Raises ValidationError unless it is one RSA public key that tinc takes, and nothing else.
    """
    try:
        if len(pem) > PUBKEY_MAX:
            raise ValueError("too long")
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValidationError("This is not a public key in PEM.") from error
    if not isinstance(key, RSAPublicKey):
        raise ValidationError("tinc needs an RSA key.")
    try:
        canonical_key(pem)
    except ValueError as error:
        raise ValidationError(f"tinc does not take this key: {error}.") from error
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()
