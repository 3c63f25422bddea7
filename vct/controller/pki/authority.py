"""The testbed's certification authority: made once, signs nodes' requests and the server's own.

Its key is a file that only the controller reads, generated per testbed: P-256, as making it takes
no time; the RSA key of an older testbed stays. Certificates are valid for four years, a node's
common name is its management address, as in the original.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
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
from vct.controller.pki import signing
from vct.controller.pki.models import Certificate
from vct.controller.pki.signing import Issuer, PrivateKey, PublicKey
from vct.errors import VctError

REQUEST_MAX = 16_384


def make_authority(common_name: str, organization: str) -> str:
    """Makes key and certificate unless they are there; the certificate in PEM.

    `common_name` is the main server's management address.
    """
    if certificate_path().exists():
        return authority_certificate()
    key = generate_private_key(SECP256R1())
    certificate = signing.to_pem(signing.own_certificate(key, common_name, organization))
    # without its certificate the key is made again: it has signed nothing
    write_file(key_path(), private_pem(key), 0o600)
    write_file(certificate_path(), certificate.encode(), 0o644)
    return certificate


def authority_certificate() -> str:
    """In PEM. Raises VctError before it is made."""
    try:
        return certificate_path().read_text()
    except FileNotFoundError as error:
        raise VctError(
            "the testbed has no certification authority yet", hint="run: vct init"
        ) from error


def make_server_certificate(common_name: str, hosts: Iterable[str]) -> bool:
    """The TLS server's key and certificate in one file; whether they had to be made or renewed.

    `hosts` are the addresses and names that clients call it by.
    """
    hosts = tuple(hosts)
    issuer = _issuer()
    try:
        key = _private(server_path())
        certificate = x509.load_pem_x509_certificate(server_path().read_bytes())
    except (OSError, ValueError):
        key = generate_private_key(SECP256R1())
    else:
        public = key.public_key()
        if signing.is_current(certificate, issuer=issuer.certificate, key=public, hosts=hosts):
            return False
    pem = signing.to_pem(signing.issue(issuer, key.public_key(), common_name, hosts))
    write_file(server_path(), private_pem(key) + pem.encode(), 0o600)
    return True


def sign_request(node: Node, request_pem: str) -> str:
    """A certificate in PEM for a node's PKCS#10 request; it is recorded, not put to use.

    Of the request its key and common name count, nothing else. Raises ValidationError unless the
    key is strong and the name is the node's management address.
    """
    key = _requested_key(node, request_pem)
    address = str(mgmt_address(node))
    certificate = signing.issue(_issuer(), key, address, [address])
    pem = signing.to_pem(certificate)
    Certificate.objects.create(
        node=node,
        serial=f"{certificate.serial_number:x}",
        subject=certificate.subject.rfc4514_string()[:300],
        pem=pem,
        ends_on=signing.ends_on(certificate),
    )
    return pem


def node_certificate(node: Node, request_pem: str) -> str:
    """The certificate that the node has if it is of the request's key and lasts, else a new one.

    Raises ValidationError, as `sign_request`.
    """
    key = _requested_key(node, request_pem)
    if node.api_cert:
        known = x509.load_pem_x509_certificate(node.api_cert.encode())
        issuer = _issuer().certificate
        if signing.is_current(known, issuer=issuer, key=key, hosts=[str(mgmt_address(node))]):
            return node.api_cert
    return sign_request(node, request_pem)


def key_path() -> Path:
    return Path(settings.CONFIG.pki) / "ca.key"


def certificate_path() -> Path:
    return Path(settings.CONFIG.pki) / "ca.crt"


def server_path() -> Path:
    """The server's key, then its certificate."""
    return Path(settings.CONFIG.pki) / "server.pem"


def private_pem(key: PrivateKey) -> bytes:
    """In the key's own form (PKCS#1, SEC 1), which tinc and everything else reads."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def write_file(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all; never readable by others meanwhile."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)


def _issuer() -> Issuer:
    certificate = x509.load_pem_x509_certificate(authority_certificate().encode())
    return Issuer(certificate, _private(key_path()))


def _private(path: Path) -> PrivateKey:
    return cast(PrivateKey, load_pem_private_key(path.read_bytes(), password=None))


def _requested_key(node: Node, pem: str) -> PublicKey:
    """Of a request that is in order. Raises ValidationError."""
    try:
        if len(pem) > REQUEST_MAX:
            raise ValueError("too long")
        request = x509.load_pem_x509_csr(pem.encode())
        key = request.public_key()
        good = request.is_signature_valid
    # Debian's library (38) calls a key of a kind that OpenSSL does not know an internal error.
    except (ValueError, UnsupportedAlgorithm, InternalError) as error:
        raise ValidationError("This is not a certificate request in PEM.") from error
    if not good:
        raise ValidationError("The request is not signed by its own key.")
    if not signing.strong_enough(key):
        raise ValidationError("The key must be P-256, P-384, or RSA of at least 2048 bits.")
    wanted = str(mgmt_address(node))
    names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if [name.value for name in names] != [wanted]:
        raise ValidationError(f"The common name must be the node's management address, {wanted}.")
    return cast(PublicKey, key)
