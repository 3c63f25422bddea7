"""Private keys that the controller makes for nodes which have none: `<private>/keys/<id>/`.

They are made once, kept for later builds, and given to nobody but in the node's firmware. Keys that
a node's maker registered are not here: only their public halves are known.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from django.conf import settings

from vct.controller.mgmt.models import TincHost, mgmt_address
from vct.controller.nodes.models import Node
from vct.controller.pki.authority import private_pem, write_file
from vct.controller.pki.signing import PrivateKey
from vct.wire import firmware

RSA_BITS, RSA_EXPONENT = 2048, 65537


def directory() -> Path:
    return Path(settings.CONFIG.private) / "keys"


def request_for(node: Node) -> str:
    """A certificate request of the node's API key, which is made unless it is there."""
    key = _kept(node, firmware.API_KEY, lambda: generate_ec(SECP256R1()))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(mgmt_address(node)))])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.PEM).decode()


def tinc_pubkey(node: Node) -> str:
    """The public half of the node's tinc key, which is made unless it is there."""
    key = _kept(node, firmware.TINC_KEY, lambda: generate_rsa(RSA_EXPONENT, RSA_BITS))
    return _public(key)


def private_files(node: Node) -> dict[str, str]:
    """Those kept keys that are in use: whose public halves are the registered ones."""
    known = {}
    if node.api_cert:
        certificate = x509.load_pem_x509_certificate(node.api_cert.encode())
        encoded = certificate.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        known[firmware.API_KEY] = encoded.decode()
    if tinc := TincHost.objects.filter(node=node).first():
        known[firmware.TINC_KEY] = tinc.pubkey
    found = {}
    for name, public in known.items():
        key = _load(_path(node, name))
        if key and _public(key).split() == public.split():
            found[name] = private_pem(key).decode()
    return found


def _kept(node: Node, name: str, make: Callable[[], PrivateKey]) -> PrivateKey:
    key = _load(_path(node, name))
    if key is None:
        key = make()
        write_file(_path(node, name), private_pem(key), 0o600)
    return key


def _path(node: Node, name: str) -> Path:
    return directory() / str(node.pk) / Path(name).name


def _load(path: Path) -> PrivateKey | None:
    """None for what is not there or damaged."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError):
        return None
    return key if isinstance(key, PrivateKey) else None


def _public(key: PrivateKey) -> str:
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return public.decode()
