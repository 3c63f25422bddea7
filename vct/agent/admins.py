"""The node administrators' SSH keys in authorized_keys: our lines are tagged, others are let be.

A line of ours is `type key CONFINE_USER=12`. Every type that OpenSSH takes today is one, RSA keys
in PEM are written in its form; what is not a key is told, and keeps nobody else out.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator

from vct.agent.orders import User
from vct.agent.problems import Problem, sentence

TAG = "CONFINE_USER="
TYPES = frozenset(
    {
        "ssh-rsa",
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    }
)
PEM = "-----BEGIN "
_RSA_ENCRYPTION = bytes.fromhex("06092a864886f70d010101")  # RFC 8017, its object identifier
_INTEGER, _BIT_STRING, _SEQUENCE = 0x02, 0x03, 0x30  # X.690


def render(present: str, users: Iterable[User]) -> tuple[str, tuple[Problem, ...]]:
    """The file's text when these users may log in, from the present one, and what was no key."""
    lines = [line for line in present.splitlines() if not _is_ours(line)]
    problems = []
    for user in sorted(users, key=lambda user: user.id):
        for token in user.tokens:
            try:
                lines += [f"{line} {TAG}{user.id}" for line in key_lines(token)]
            except ValueError as error:
                words = f"a key of user {user.id} is left out, {error}"
                problems.append(
                    Problem("/group/user_roles", sentence(words, "replace it in the controller"))
                )
    unique = dict.fromkeys(lines)
    return "".join(f"{line}\n" for line in unique), tuple(problems)


def _is_ours(line: str) -> bool:
    return line.rpartition(" ")[2].startswith(TAG)


def key_lines(token: str) -> Iterator[str]:
    """`type key` of a token; nothing for an X.509 certificate, which is not for SSH.

    Raises ValueError with what is wrong.
    """
    text = token.strip()
    if text.startswith(PEM):
        if "CERTIFICATE" not in text.partition("\n")[0]:
            yield f"ssh-rsa {b64encode(_ssh_rsa(_der(text))).decode()}"
        return
    kind, _, rest = text.partition(" ")
    encoded = rest.strip().partition(" ")[0]
    if kind not in TYPES:
        raise ValueError(f"its type {kind[:40]!r} is not known")
    try:
        blob = b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("it is damaged") from error
    length = int.from_bytes(blob[:4], "big")
    if blob[4 : 4 + length] != kind.encode() or len(blob) <= 4 + length:
        raise ValueError(f"it is not of the type that it says, {kind}")
    yield f"{kind} {encoded}"


def _der(pem: str) -> bytes:
    lines = [line.strip() for line in pem.splitlines()]
    try:
        return b64decode("".join(line for line in lines if not line.startswith("-")), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("it is damaged") from error


def _ssh_rsa(der: bytes) -> bytes:
    """An RSA key as RFC 4253 section 6.6 has it, from PKCS#1 or SubjectPublicKeyInfo."""
    inside = _value(der, _SEQUENCE)[0]
    if inside[:1] == bytes([_SEQUENCE]):
        algorithm, rest = _value(inside, _SEQUENCE)
        if not algorithm.startswith(_RSA_ENCRYPTION):
            raise ValueError("in PEM only RSA keys are for SSH")
        inside = _value(_value(rest, _BIT_STRING)[0][1:], _SEQUENCE)[0]
    modulus, rest = _value(inside, _INTEGER)
    exponent, _ = _value(rest, _INTEGER)
    parts = (b"ssh-rsa", exponent, modulus)
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _value(der: bytes, kind: int) -> tuple[bytes, bytes]:
    """What a DER element of a kind holds, and what follows it."""
    if len(der) < 2 or der[0] != kind:
        raise ValueError("it is damaged")
    start, length = 2, der[1]
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[2:start], "big")
    if len(der) < start + length or not length:
        raise ValueError("it is damaged")
    return der[start : start + length], der[start + length :]
