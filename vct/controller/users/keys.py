"""Users' public keys: SSH keys of every type that OpenSSH takes today, X.509 keys and certificates.

Nodes write them into authorized_keys files, so one token is one line without options in front: a
token that would be read as something else never gets in.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key, load_ssh_public_key
from django.core.exceptions import ValidationError

TOKEN_MAX = 16_384
ONE_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----[A-Za-z0-9+/=\s]+-----END \1-----")  # RFC 7468
RSA_BITS_MIN = 2048
PLAIN_TYPES = {
    "ssh-rsa",
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
}
# keys that live in a security token, with the plain type that has the same point and the octets of
# it; what follows the point is the application (openssh, PROTOCOL.u2f)
TOKEN_TYPES = {
    "sk-ssh-ed25519@openssh.com": "ssh-ed25519",
    "sk-ecdsa-sha2-nistp256@openssh.com": "ecdsa-sha2-nistp256",
}


def check_auth_token(text: str) -> None:
    """Raises ValidationError unless it is one SSH key line, or a public key in PEM."""
    token = text.strip()
    if not token.isascii() or len(token) > TOKEN_MAX:
        raise ValidationError(f"A key is at most {TOKEN_MAX} ASCII characters.")
    if token.startswith("-----BEGIN "):
        _check_pem(token)
    else:
        _check_ssh(token)


def _check_pem(token: str) -> None:
    """What is around the block would be passed on with it: another key, with options in front."""
    if not ONE_BLOCK.fullmatch(token):
        raise ValidationError("A key in PEM is one block, with nothing around it.")
    try:
        if "-----BEGIN CERTIFICATE-----" in token:
            x509.load_pem_x509_certificate(token.encode())
        else:
            load_pem_public_key(token.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValidationError("This is not a public key or certificate.") from error


def _check_ssh(token: str) -> None:
    if any(ord(sign) < ord(" ") for sign in token):
        raise ValidationError("An SSH key is one line.")
    kind, _, rest = token.partition(" ")
    encoded = rest.split(" ")[0]
    if kind not in PLAIN_TYPES and kind not in TOKEN_TYPES:
        known = ", ".join(sorted(PLAIN_TYPES | TOKEN_TYPES.keys()))
        raise ValidationError(f"An SSH key starts with its type, one of {known}.")
    try:
        blob = base64.b64decode(encoded, validate=True)
        if kind in TOKEN_TYPES:
            kind, blob = _without_application(kind, blob)
        line = f"{kind} {base64.b64encode(blob).decode()}"
        key = load_ssh_public_key(line.encode())
    except (ValueError, UnsupportedAlgorithm, binascii.Error, struct.error) as error:
        raise ValidationError("This is not a whole SSH public key.") from error
    if isinstance(key, RSAPublicKey) and key.key_size < RSA_BITS_MIN:
        raise ValidationError(f"An RSA key needs {RSA_BITS_MIN} bits, this has {key.key_size}.")


def _without_application(kind: str, blob: bytes) -> tuple[str, bytes]:
    """The plain key inside a security token's; raises ValueError for what is not one."""
    parts = []
    while blob:
        (length,) = struct.unpack_from(">I", blob)
        if length > len(blob) - 4:
            raise ValueError("cut off")
        parts.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    plain = TOKEN_TYPES[kind]
    if len(parts) < 3 or parts[0] != kind.encode():
        raise ValueError("not of the type it says")
    inner = [plain.encode(), *parts[1:-1]]
    return plain, b"".join(struct.pack(">I", len(part)) + part for part in inner)
