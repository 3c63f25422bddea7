"""Whether an answer over TLS is said to be verified."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pytest_django import Settings

from tests.controller.a_node_server import NodeServer, a_node_server
from tests.controller.factories import a_safe_node, rsa_key
from vct.controller.nodes.models import Node
from vct.controller.state.models import status_of
from vct.controller.state.rounds import Rounds
from vct.controller.state.trust import Trust, is_trusted

NOW = datetime(2026, 3, 4, tzinfo=UTC)
AUTHORITY = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fd65::2")])


def certificate(name: str, *, issuer: x509.Name = AUTHORITY, key: int = 0) -> x509.Certificate:
    """Of key 1, signed by that key, good for a day from NOW."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
    builder = builder.serial_number(7).public_key(rsa_key(1).public_key())
    builder = builder.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    return builder.sign(rsa_key(key), hashes.SHA256())


def pem(one: x509.Certificate) -> str:
    return one.public_bytes(Encoding.PEM).decode()


def authority() -> str:
    builder = x509.CertificateBuilder().subject_name(AUTHORITY).issuer_name(AUTHORITY)
    builder = builder.serial_number(1).public_key(rsa_key(0).public_key())
    builder = builder.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    return pem(builder.sign(rsa_key(0), hashes.SHA256()))


def trusted(one: x509.Certificate, *, now: datetime = NOW, **known: str) -> bool:
    known = {"address": "fd65::2:2", "authority": authority(), **known}
    return is_trusted(one.public_bytes(Encoding.DER), Trust(**known), now)


def test_it_works() -> None:
    assert trusted(certificate("fd65::2:2"))


def test_the_one_on_record_is_trusted_whoever_signed_it() -> None:
    own = certificate("whatever", key=1)
    assert trusted(own, certificate=pem(own), authority="")
    assert not trusted(certificate("other", key=1), certificate=pem(own), authority="")


def test_another_nodes_certificate_is_not_this_ones() -> None:
    assert not trusted(certificate("fd65::3:2"))


def test_another_authority_of_the_same_name_is_another() -> None:
    assert not trusted(certificate("fd65::2:2", key=1))


@pytest.mark.parametrize("day", [-1, 2])
def test_a_certificate_has_its_time(day: int) -> None:
    assert not trusted(certificate("fd65::2:2"), now=NOW + timedelta(days=day))


def test_without_an_authority_and_without_a_record_nothing_is_trusted() -> None:
    assert not trusted(certificate("fd65::2:2"), authority="")
    assert not is_trusted(None, Trust())
    assert not is_trusted(b"junk", Trust(authority=authority()))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NodeServer]:
    """With a certificate of its own making."""
    key = rsa_key(1).private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    (tmp_path / "pem").write_text(key.decode() + pem(certificate("::1", key=1)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pem")
    with a_node_server(context) as server:
        server.says("node/", b'{"state": "safe"}')
        yield server


@pytest.mark.django_db
@pytest.mark.parametrize("known", [True, False])
def test_what_is_not_verified_is_kept_and_said_to_be_so(
    server: NodeServer, settings: Settings, known: bool
) -> None:
    settings.CONFIG = replace(settings.CONFIG, mgmt_prefix="::")
    on_record = certificate("::1", key=1) if known else certificate("::1", key=0)
    node: Node = a_safe_node(api_base_uri=server.base, api_cert=pem(on_record))
    Rounds().everybody()
    assert (status_of(node).value, status_of(node).verified) == ("safe", known)
