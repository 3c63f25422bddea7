"""The testbed's authority: made once, signs what carries the right name and a strong key."""

from __future__ import annotations

import ssl
from base64 import encodebytes
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from django.core.exceptions import ValidationError
from pytest_django import Settings

from tests.controller.factories import a_node, rsa_key
from vct.controller.mgmt.models import mgmt_address
from vct.controller.nodes.models import Node
from vct.controller.pki import authority, signing
from vct.controller.pki.models import Certificate
from vct.errors import VctError

pytestmark = pytest.mark.django_db
P256 = ec.generate_private_key(ec.SECP256R1())
HOSTS = ("fd65::2", "[fd65::2]", "10.241.255.250", "controller")


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, settings: Settings) -> None:
    settings.CONFIG = replace(settings.CONFIG, data=str(tmp_path))


def a_request(common_name: str, key: signing.PrivateKey = P256, organization: str = "") -> str:
    names = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        names.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    wanted = x509.SubjectAlternativeName([x509.DNSName("bank.example")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    signed = builder.add_extension(wanted, critical=False).sign(key, hashes.SHA256())
    return signed.public_bytes(Encoding.PEM).decode()


def signed_for(node: Node, **how: object) -> x509.Certificate:
    request = a_request(str(mgmt_address(node)), **how)  # type: ignore[arg-type]
    return x509.load_pem_x509_certificate(authority.sign_request(node, request).encode())


def names_of(certificate: x509.Certificate) -> list[object]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [name.value for name in found]


def test_it_works() -> None:
    root = x509.load_pem_x509_certificate(authority.make_authority("fd65::2", "vct").encode())
    node = a_node()
    signed = signed_for(node)
    key = root.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(signed.signature, signed.tbs_certificate_bytes, ec.ECDSA(hashes.SHA256()))
    assert signed.issuer == root.subject
    assert signed.version is x509.Version.v3
    assert names_of(signed) == [mgmt_address(node)]
    record = Certificate.objects.get()
    assert (record.node, int(record.serial, 16)) == (node, signed.serial_number)
    node.change(api_cert=record.pem)


def test_it_is_made_once_and_its_key_is_nobody_elses() -> None:
    assert authority.make_authority("fd65::2", "vct") == authority.make_authority("other", "x")
    assert authority.key_path().stat().st_mode & 0o777 == 0o600
    assert authority.key_path().parent.stat().st_mode & 0o777 == 0o700


def test_before_it_is_made_it_says_so() -> None:
    with pytest.raises(VctError, match="authority"):
        authority.authority_certificate()


def test_the_rsa_key_of_an_older_testbed_still_signs() -> None:
    key = rsa_key()
    certificate = signing.own_certificate(key, "fd65::2", "vct")
    authority.write_file(authority.key_path(), authority.private_pem(key), 0o600)
    authority.write_file(authority.certificate_path(), signing.to_pem(certificate).encode(), 0o644)
    assert signed_for(a_node()).issuer == certificate.subject


@pytest.mark.parametrize("name", ["fd65:fc41:c50f:ffff::2", "example.org", ""])
def test_another_name_is_not_signed(name: str) -> None:
    authority.make_authority("fd65::2", "vct")
    with pytest.raises(ValidationError, match=r"management address|PEM"):
        authority.sign_request(a_node(), a_request(name or "::"))
    assert Certificate.objects.count() == 0


def test_of_a_request_only_key_and_common_name_count() -> None:
    authority.make_authority("fd65::2", "vct")
    node = a_node()
    signed = signed_for(node, organization="A bank")
    assert signed.subject.rfc4514_string() == f"CN={mgmt_address(node)}"
    assert names_of(signed) == [mgmt_address(node)]
    constraints = signed.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not constraints.ca


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),
        ec.generate_private_key(ec.SECP192R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
)
def test_a_weak_or_odd_key_is_not_signed(key: signing.PrivateKey) -> None:
    authority.make_authority("fd65::2", "vct")
    node = a_node()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(mgmt_address(node)))])
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, digest)
    with pytest.raises(ValidationError, match="2048 bits"):
        authority.sign_request(node, request.public_bytes(Encoding.PEM).decode())


def test_a_request_that_was_tampered_with_is_refused() -> None:
    authority.make_authority("fd65::2", "vct")
    node = a_node()
    pem = a_request(str(mgmt_address(node)))
    der = bytearray(x509.load_pem_x509_csr(pem.encode()).public_bytes(Encoding.DER))
    der[-1] ^= 1
    body = encodebytes(bytes(der)).decode()
    request = f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises(ValidationError, match=r"own key|PEM"):
        authority.sign_request(node, request)


@pytest.mark.parametrize("text", ["", "hello", "-----BEGIN CERTIFICATE REQUEST-----", "x" * 20_000])
def test_what_is_no_request_is_refused(text: str) -> None:
    authority.make_authority("fd65::2", "vct")
    with pytest.raises(ValidationError, match="PEM"):
        authority.sign_request(a_node(), text)


# --- made again only when there is a reason ------------------------------------------------------


def test_a_key_of_a_kind_that_nobody_knows_is_refused() -> None:
    authority.make_authority("::", "")
    node = a_node()
    pem = a_request(str(mgmt_address(node)))
    der = x509.load_pem_x509_csr(pem.encode()).public_bytes(Encoding.DER)
    known, unknown = bytes.fromhex("2a8648ce3d0201"), bytes.fromhex("2a8648ce3d0277")  # RFC 5480
    text = encodebytes(der.replace(known, unknown)).decode()
    odd = f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises(ValidationError, match="not a certificate request"):
        authority.sign_request(node, odd)


def test_a_certificate_that_lasts_is_kept() -> None:
    authority.make_authority("fd65::2", "vct")
    node = a_node()
    request = a_request(str(mgmt_address(node)))
    node.change(api_cert=authority.node_certificate(node, request))
    again = a_request(str(mgmt_address(node)), organization="asks anew")
    assert authority.node_certificate(node, again) == node.api_cert
    assert Certificate.objects.count() == 1


def test_another_key_or_another_authority_needs_another_certificate(tmp_path: Path) -> None:
    authority.make_authority("fd65::2", "vct")
    node = a_node()
    node.change(api_cert=authority.node_certificate(node, a_request(str(mgmt_address(node)))))
    other_key = a_request(str(mgmt_address(node)), ec.generate_private_key(ec.SECP256R1()))
    assert authority.node_certificate(node, other_key) != node.api_cert
    for path in (authority.key_path(), authority.certificate_path()):
        path.unlink()
    authority.make_authority("fd65::2", "vct")
    same_key = a_request(str(mgmt_address(node)))
    assert authority.node_certificate(node, same_key) != node.api_cert


@pytest.mark.parametrize(("days", "current"), [(0, True), (3 * 365 - 2, True), (3 * 365, False)])
def test_a_year_before_its_end_a_certificate_is_renewed(days: int, current: bool) -> None:
    issuer = signing.own_certificate(P256, "fd65::2", "vct")
    above = signing.Issuer(issuer, P256)
    one = signing.issue(above, P256.public_key(), "fd65:1::2", ["fd65:1::2"])
    now = datetime.now(UTC) + timedelta(days=days)
    key, hosts = P256.public_key(), ["fd65:1::2"]
    assert signing.is_current(one, issuer=issuer, key=key, hosts=hosts, now=now) is current


# --- the server's own ----------------------------------------------------------------------------


def handshake(authority_pem: str, server: Path, name: str) -> None:
    """Strict, as Python 3.13 verifies by default. Raises SSLError."""
    told = ssl.create_default_context(cadata=authority_pem)
    told.verify_flags |= ssl.VERIFY_X509_STRICT
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown.load_cert_chain(server)
    here, there = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = told.wrap_bio(here, there, server_hostname=name)
    other = shown.wrap_bio(there, here, server_side=True)
    for side in (client, other, client, other):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert client.getpeercert()


@pytest.mark.parametrize("name", ["fd65::2", "10.241.255.250", "controller"])
def test_the_server_is_who_it_says_by_all_its_names(name: str) -> None:
    pem = authority.make_authority("fd65::2", "vct")
    assert authority.make_server_certificate("fd65::2", HOSTS)
    handshake(pem, authority.server_path(), name)
    assert authority.server_path().stat().st_mode & 0o777 == 0o600


def test_somebody_elses_certificate_is_not_the_servers() -> None:
    authority.make_authority("fd65::2", "vct")
    authority.make_server_certificate("fd65::2", HOSTS)
    stranger = signing.own_certificate(ec.generate_private_key(ec.SECP256R1()), "fd65::2", "vct")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(signing.to_pem(stranger), authority.server_path(), "fd65::2")


@pytest.mark.parametrize(
    ("hosts", "made"), [(HOSTS, False), (HOSTS[::-1], False), ((*HOSTS, "other"), True)]
)
def test_the_servers_certificate_follows_its_names(hosts: Sequence[str], made: bool) -> None:
    authority.make_authority("fd65::2", "vct")
    authority.make_server_certificate("fd65::2", HOSTS)
    before = authority.server_path().read_bytes()
    assert authority.make_server_certificate("fd65::2", hosts) is made
    after = authority.server_path().read_bytes()
    assert (after != before) is made
    assert after.partition(b"-----END EC")[0] == before.partition(b"-----END EC")[0]


def test_a_damaged_server_key_is_made_again() -> None:
    authority.make_authority("fd65::2", "vct")
    authority.make_server_certificate("fd65::2", HOSTS)
    authority.server_path().write_bytes(authority.server_path().read_bytes()[:100])
    assert authority.make_server_certificate("fd65::2", HOSTS)
    certificate = x509.load_pem_x509_certificate(authority.server_path().read_bytes())
    assert ip_address("fd65::2") in names_of(certificate)
