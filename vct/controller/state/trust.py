"""Whether a certificate that a node shows is that node's. Pure but for reading the time.

Nodes are known by address, and their certificates have it as common name, as the original's do.
`ssl` checks only names in an extension which these have not: so the certificate is looked at here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What is known of one node: its address, its certificate, the testbed's authority (PEM)."""

    address: str = ""
    certificate: str = ""
    authority: str = ""


def is_trusted(shown: bytes | None, trust: Trust, now: datetime | None = None) -> bool:
    """Whether the certificate (DER) is the one on record, or one that the authority signed."""
    if not shown:
        return False
    try:
        leaf = x509.load_der_x509_certificate(shown)
        if trust.certificate and leaf == x509.load_pem_x509_certificate(trust.certificate.encode()):
            return True
        if not trust.authority:
            return False
        issuer = x509.load_pem_x509_certificate(trust.authority.encode())
        _check_signature(leaf, issuer)
    except (ValueError, InvalidSignature, UnsupportedAlgorithm):
        return False
    names = [name.value for name in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    now = now or datetime.now(UTC)
    return names == [trust.address] and _begins(leaf) <= now <= _ends(leaf)


def _check_signature(leaf: x509.Certificate, issuer: x509.Certificate) -> None:
    """Raises InvalidSignature, UnsupportedAlgorithm (as for RSA-PSS), ValueError.

    The authority's key is of a curve, in older testbeds RSA.
    """
    if leaf.issuer != issuer.subject:
        raise ValueError("it is not of this authority")
    key, algorithm = issuer.public_key(), leaf.signature_hash_algorithm
    if isinstance(key, EllipticCurvePublicKey) and algorithm:
        key.verify(leaf.signature, leaf.tbs_certificate_bytes, ECDSA(algorithm))
    elif isinstance(key, RSAPublicKey) and algorithm:
        key.verify(leaf.signature, leaf.tbs_certificate_bytes, PKCS1v15(), algorithm)
    else:
        raise ValueError("no authority of a testbed signs so")


def _begins(certificate: x509.Certificate) -> datetime:
    """Debian 12's cryptography has the time without its zone only, which is UTC."""
    return certificate.not_valid_before.replace(tzinfo=UTC)


def _ends(certificate: x509.Certificate) -> datetime:
    return certificate.not_valid_after.replace(tzinfo=UTC)
