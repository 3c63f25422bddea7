"""Keys and certificate requests in PEM, made by cryptography. Pure but for randomness.

Slow to load; vct.drivers.node_keys, which calls it, is not.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

KEY_BITS, EXPONENT = 2048, 65537


def tinc_key() -> tuple[str, str]:
    """A private RSA key as tinc 1.0 reads it (PKCS#1), and its public half."""
    key = rsa.generate_private_key(EXPONENT, KEY_BITS)
    made = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return made.decode(), _public(key.public_key())


def api_key() -> str:
    """A private key of a node's REST API: EC P-256, PKCS#8."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_half(key: str) -> str:
    """The public key of a private one (SubjectPublicKeyInfo). Raises ValueError if that is no RSA
    key."""
    private = load_pem_private_key(key.encode(), password=None)
    if not isinstance(private, rsa.RSAPrivateKey):
        raise ValueError("it is no RSA key")
    return _public(private.public_key())


def _public(key: rsa.RSAPublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def certificate_request(key: str, common_name: str) -> str:
    """A PKCS#10 request, signed by the key. Raises ValueError if that is no EC key."""
    private = load_pem_private_key(key.encode(), password=None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise ValueError("it is no EC key")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name)
    return request.sign(private, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
