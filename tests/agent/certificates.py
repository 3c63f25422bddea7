"""Authorities and certificates for tests: made once, of EC keys, valid when they are told to be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import IPv6Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Signed = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]
NOW = datetime.now(UTC)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


AUTHORITY = "the testbed's"


@cache
def an_authority(name: str) -> Signed:
    """The same one whenever it is named so."""
    key = ec.generate_private_key(ec.SECP256R1())
    made = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=9000))
        .not_valid_after(NOW + timedelta(days=9000))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return made, key


@cache
def a_certificate(
    authority: str = AUTHORITY, address: str = "::1", *, from_days: int = -1, days: int = 365
) -> Signed:
    """Signed by that authority for that address, valid for `days` from `from_days` on."""
    issuer, issuer_key = an_authority(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.IPAddress(IPv6Address(address))])
    made = (
        x509.CertificateBuilder()
        .subject_name(_name(address))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=from_days))
        .not_valid_after(NOW + timedelta(days=from_days + days))
        .add_extension(names, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return made, key


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def write(signed: Signed, directory: Path, name: str = "server") -> tuple[Path, Path]:
    """Certificate and key as files."""
    certificate, key = directory / f"{name}.crt.pem", directory / f"{name}.key.pem"
    certificate.write_text(pem(signed[0]))
    form = serialization.PrivateFormat.PKCS8
    key.write_bytes(
        signed[1].private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    )
    return certificate, key
