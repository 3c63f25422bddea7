"""Keys of every kind become lines; what is no key keeps nobody else out."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from tests.agent.a_registry import KEY
from vct.agent.admins import render
from vct.agent.orders import User

RSA = rsa.generate_private_key(65537, 2048).public_key()
EC = {
    bits: ec.generate_private_key(curve).public_key()
    for bits, curve in ((256, ec.SECP256R1()), (384, ec.SECP384R1()), (521, ec.SECP521R1()))
}
ED = ed25519.Ed25519PrivateKey.generate().public_key()


def line_of(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def lines(*tokens: str, present: str = "", user: int = 7) -> list[str]:
    return render(present, [User(user, tokens)])[0].splitlines()


def problems(*tokens: str) -> list[str]:
    return [one.message for one in render("", [User(7, tokens)])[1]]


def test_it_works() -> None:
    assert lines(KEY) == [f"{KEY.rpartition(' ')[0]} CONFINE_USER=7"]


@pytest.mark.parametrize("key", [RSA, ED, *EC.values()], ids=["rsa", "ed25519", *map(str, EC)])
def test_every_type_of_key_is_taken(
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey,
) -> None:
    assert lines(f"{line_of(key)} me@home") == [f"{line_of(key)} CONFINE_USER=7"]


@pytest.mark.parametrize(
    "kind", ["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"]
)
def test_a_key_in_a_security_token_is_taken(kind: str) -> None:
    from base64 import b64encode

    blob = len(kind).to_bytes(4, "big") + kind.encode() + b"\0\0\0\1a"
    assert lines(f"{kind} {b64encode(blob).decode()}")


@pytest.mark.parametrize("form", [PublicFormat.PKCS1, PublicFormat.SubjectPublicKeyInfo])
def test_an_rsa_key_in_pem_is_written_in_opensshs_form(form: PublicFormat) -> None:
    pem = RSA.public_bytes(Encoding.PEM, form).decode()
    assert lines(pem) == [f"{line_of(RSA)} CONFINE_USER=7"]


def test_a_certificate_is_not_for_ssh_and_no_problem() -> None:
    pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    assert (lines(pem), problems(pem)) == ([], [])


@pytest.mark.parametrize(
    "token",
    [
        "",
        "ssh-dss AAAAB3NzaC1kc3MAAAAB",
        "ssh-ed25519",
        "ssh-ed25519 not!base64",
        f"ssh-rsa {KEY.split()[1]}",
        f'command="rm -r /" {KEY}',
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
        EC[256].public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    ],
)
def test_what_is_no_key_is_told_and_harms_no_other(token: str) -> None:
    assert len(lines(token, KEY)) == 1
    (problem,) = problems(token, KEY)
    assert "user 7" in problem


def test_a_token_cannot_bring_a_second_line() -> None:
    assert lines(f"{KEY}\nssh-rsa evil") == lines(KEY)


def test_who_left_is_taken_out_and_others_lines_stay() -> None:
    present = "# by hand\nssh-rsa AAAA x\nssh-rsa BBBB CONFINE_USER=3\n"
    assert lines(present=present) == ["# by hand", "ssh-rsa AAAA x"]


@given(st.lists(st.text(max_size=200), max_size=4))
def test_no_token_whatever_makes_a_line_without_our_tag(tokens: list[str]) -> None:
    assert all(line.endswith(" CONFINE_USER=7") for line in lines(*tokens))
