"""Whose certificate a node shows: signed by authorities of either kind, or by something odd."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.controller.factories import rsa_key
from vct.controller.state.trust import Trust, is_trusted

NOW = datetime(2026, 3, 4, tzinfo=UTC)
NODE = "fd65::2:2"
CURVE = ec.generate_private_key(ec.SECP256R1())
RSA_SHA256 = bytes.fromhex("2a864886f70d01010b")
RSA_PSS = bytes.fromhex("2a864886f70d01010a")


def certificate(name: str, key: Any, signer: Any) -> x509.Certificate:
    """Of the one key, signed with the other by "vct", good for a day from NOW."""
    subject, issuer = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (name, "vct")
    )
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
    builder = builder.serial_number(7).public_key(key.public_key())
    builder = builder.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    without = isinstance(signer, ed25519.Ed25519PrivateKey)
    return builder.sign(signer, None if without else hashes.SHA256())


def shown_by_node(signer: Any) -> bytes:
    return certificate(NODE, rsa_key(1), signer).public_bytes(Encoding.DER)


def trusted(shown: bytes, key: Any) -> bool:
    """By who has the authority with that key on record."""
    authority = certificate("vct", key, key).public_bytes(Encoding.PEM).decode()
    return is_trusted(shown, Trust(address=NODE, authority=authority), NOW)


@pytest.mark.parametrize("key", [CURVE, rsa_key(0)], ids=["curve", "RSA"])
def test_it_works(key: Any) -> None:
    assert trusted(shown_by_node(key), key)
    for other in (ec.generate_private_key(ec.SECP256R1()), rsa_key(1)):
        assert not trusted(shown_by_node(key), other)


@pytest.mark.parametrize("odd", [RSA_PSS, RSA_PSS[:-1] + b"\x77"], ids=["RSA-PSS", "unknown"])
@pytest.mark.parametrize("key", [CURVE, rsa_key(0)], ids=["curve", "RSA"])
def test_a_signature_of_an_odd_kind_is_no_trust_and_no_fault(odd: bytes, key: Any) -> None:
    assert not trusted(shown_by_node(rsa_key(0)).replace(RSA_SHA256, odd), key)


def test_an_authority_of_an_odd_kind_signs_nothing() -> None:
    odd = ed25519.Ed25519PrivateKey.generate()
    assert not trusted(shown_by_node(odd), odd)
