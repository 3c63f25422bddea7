"""The testbed's certification authority: made once, signs nodes' requests.

Its key is a file that only the controller reads, generated per testbed. The formats are those of
the original: RSA 2048, SHA-256, four years, a node's common name is its management address.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from django.conf import settings
from django.core.exceptions import ValidationError

from vct.controller.mgmt.models import mgmt_address
from vct.controller.nodes.models import Node
from vct.controller.pki.models import Certificate
from vct.errors import VctError

KEY_BITS, EXPONENT = 2048, 65537
LIFETIME = timedelta(days=4 * 365)
CLOCK_SKEW = timedelta(days=1)  # nodes without a clock battery come up in the past
REQUEST_MAX = 16_384


def make_authority(common_name: str, organization: str) -> str:
    """Makes key and certificate unless they are there; the certificate in PEM.

    `common_name` is the main server's management address.
    """
    if certificate_path().exists():
        return authority_certificate()
    key = generate_private_key(EXPONENT, KEY_BITS)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
        ]
    )
    certificate = (
        _builder(name, name)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(Encoding.PEM)
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    key_path().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(key_path(), key_pem, 0o600)
    _write(certificate_path(), pem, 0o644)
    return pem.decode()


def authority_certificate() -> str:
    """In PEM. Raises VctError before it is made."""
    try:
        return certificate_path().read_text()
    except FileNotFoundError as error:
        raise VctError(
            "the testbed has no certification authority yet", hint="run: vct init"
        ) from error


def sign_request(node: Node, request_pem: str) -> str:
    """A certificate in PEM for a node's PKCS#10 request; it is recorded, not put to use.

    Raises ValidationError unless it is one whose common name is the node's management address.
    """
    request = _parse(request_pem)
    names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    wanted = str(mgmt_address(node))
    if [name.value for name in names] != [wanted]:
        raise ValidationError(f"The common name must be the node's management address, {wanted}.")
    issuer = x509.load_pem_x509_certificate(authority_certificate().encode())
    key = cast(RSAPrivateKey, load_pem_private_key(key_path().read_bytes(), password=None))
    certificate = (
        _builder(request.subject, issuer.subject)
        .public_key(request.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(Encoding.PEM).decode()
    Certificate.objects.create(
        node=node,
        serial=f"{certificate.serial_number:x}",
        subject=request.subject.rfc4514_string()[:300],
        pem=pem,
        ends_on=datetime.now(UTC) + LIFETIME,
    )
    return pem


def key_path() -> Path:
    return Path(settings.CONFIG.pki) / "ca.key"


def certificate_path() -> Path:
    return Path(settings.CONFIG.pki) / "ca.crt"


def _parse(pem: str) -> x509.CertificateSigningRequest:
    try:
        if len(pem) > REQUEST_MAX:
            raise ValueError("too long")
        request = x509.load_pem_x509_csr(pem.encode())
    except ValueError as error:
        raise ValidationError("This is not a certificate request in PEM.") from error
    if not request.is_signature_valid:
        raise ValidationError("The request is not signed by its own key.")
    return request


def _builder(subject: x509.Name, issuer: x509.Name) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + LIFETIME)
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all; never readable by others meanwhile."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
