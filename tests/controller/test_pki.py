"""The testbed's authority: made once, signs what carries the right name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from django.core.exceptions import ValidationError
from pytest_django import Settings

from tests.controller.factories import a_node, rsa_key
from vct.controller.mgmt.models import mgmt_address
from vct.controller.pki import authority
from vct.controller.pki.models import Certificate
from vct.errors import VctError

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, settings: Settings) -> None:
    settings.CONFIG = replace(settings.CONFIG, data=str(tmp_path))


def a_request(common_name: str) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    return builder.sign(rsa_key(), hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def test_it_works() -> None:
    root = x509.load_pem_x509_certificate(authority.make_authority("fd65::2", "vct").encode())
    node = a_node()
    signed = x509.load_pem_x509_certificate(
        authority.sign_request(node, a_request(str(mgmt_address(node)))).encode()
    )
    key = root.public_key()
    assert isinstance(key, RSAPublicKey)
    key.verify(signed.signature, signed.tbs_certificate_bytes, PKCS1v15(), hashes.SHA256())
    assert signed.issuer == root.subject
    assert signed.version is x509.Version.v3
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


@pytest.mark.parametrize("name", ["fd65:fc41:c50f:ffff::2", "example.org"])
def test_another_name_is_not_signed(name: str) -> None:
    authority.make_authority("fd65::2", "vct")
    with pytest.raises(ValidationError, match="management address"):
        authority.sign_request(a_node(), a_request(name))
    assert Certificate.objects.count() == 0


@pytest.mark.parametrize("text", ["", "hello", "-----BEGIN CERTIFICATE REQUEST-----", "x" * 20_000])
def test_what_is_no_request_is_refused(text: str) -> None:
    authority.make_authority("fd65::2", "vct")
    with pytest.raises(ValidationError, match="PEM"):
        authority.sign_request(a_node(), text)
