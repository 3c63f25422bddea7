"""Certificates as the authority makes them: X.509 that strict readers accept. Pure.

Python 3.13 and OpenSSL's strict mode want key identifiers and key usage (RFC 5280, 4.2.1). Names
that a certificate is valid for are said by the authority, never copied from a request.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = timedelta(days=4 * 365)
RENEW_BEFORE = timedelta(days=365)
CLOCK_SKEW = timedelta(days=1)  # nodes without a clock battery come up in the past
RSA_BITS_MIN = 2048
CURVES = (SECP256R1.name, SECP384R1.name)

PrivateKey = EllipticCurvePrivateKey | RSAPrivateKey
PublicKey = EllipticCurvePublicKey | RSAPublicKey


@dataclass(frozen=True, slots=True)
class Issuer:
    """The authority: its certificate and key."""

    certificate: x509.Certificate
    key: PrivateKey


def strong_enough(key: object) -> bool:
    """RSA of 2048 bits or more, or one of the two curves that everything has."""
    if isinstance(key, RSAPublicKey):
        return key.key_size >= RSA_BITS_MIN
    return isinstance(key, EllipticCurvePublicKey) and key.curve.name in CURVES


def own_certificate(key: PrivateKey, common_name: str, organization: str) -> x509.Certificate:
    """An authority's, signed by itself."""
    name = _name(common_name, organization)
    public = key.public_key()
    return (
        _builder(name, name, public)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def issue(
    issuer: Issuer, key: PublicKey, common_name: str, hosts: Iterable[str]
) -> x509.Certificate:
    """For the owner of a key, valid for `hosts`: addresses and DNS names."""
    above = issuer.key.public_key()
    return (
        _builder(_name(common_name), issuer.certificate.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_alternatives(hosts)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above), critical=False)
        .sign(issuer.key, hashes.SHA256())
    )


def is_current(
    certificate: x509.Certificate,
    *,
    issuer: x509.Certificate,
    key: PublicKey,
    hosts: Iterable[str],
    now: datetime | None = None,
) -> bool:
    """Whether there is no reason to make another: same issuer, key and hosts, valid for a year."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        above = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    wanted = x509.AuthorityKeyIdentifier.from_issuer_public_key(_known(issuer.public_key()))
    return (
        certificate.issuer == issuer.subject
        and above == wanted
        and _encoded(certificate.public_key()) == _encoded(key)
        and set(names) == set(_alternatives(hosts))
        and ends_on(certificate) - RENEW_BEFORE > (now or datetime.now(UTC))
    )


def ends_on(certificate: x509.Certificate) -> datetime:
    """When it is not valid any more."""
    told: datetime | None = getattr(certificate, "not_valid_after_utc", None)
    if told is None:  # cryptography before 42: Debian 12
        told = certificate.not_valid_after.replace(tzinfo=UTC)
    return told


def to_pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _known(key: object) -> PublicKey:
    if not isinstance(key, EllipticCurvePublicKey | RSAPublicKey):
        raise TypeError(f"an authority has no key of {type(key).__name__}")
    return key


def _encoded(key: object) -> bytes:
    if not isinstance(key, EllipticCurvePublicKey | RSAPublicKey):
        return b""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _name(common_name: str, organization: str = "") -> x509.Name:
    more = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name), *more])


def _alternatives(hosts: Iterable[str]) -> list[x509.GeneralName]:
    """Each once, addresses as such: `[::1]` and `::1` are one."""
    found: dict[str, x509.GeneralName] = {}
    for host in hosts:
        plain = host.removeprefix("[").removesuffix("]")
        try:
            address = ip_address(plain)
        except ValueError:
            found[plain] = x509.DNSName(plain)
        else:
            found[str(address)] = x509.IPAddress(address)
    return list(found.values())


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(subject: x509.Name, issuer: x509.Name, key: PublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )
