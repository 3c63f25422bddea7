"""The files of the management network: what tinc 1.0 reads. Pure text, standard library only.

Host files (addresses, subnets, public key), tinc.conf, tinc-up and tinc-down, rendered and parsed
as CONFINE wrote them. All that comes from elsewhere is checked here, so that no name, address or
key can bring a line of its own. The controller, nodes' firmware and `vct tinc hosts` use it.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from vct.wire.limits import TINC_PORT

SERVER = "server"  # the main server's name; others are `node_1`, `host_1`, `server_3`
NET = "confine"
INTERFACE = "confine"
DEVICE = "/dev/net/tun"
MTU = 1400
PREFIX_LENGTH = 48
MAX_TIMEOUT_S = 1  # between attempts to reach a lost peer: a node that restarted is out so long
KEY_BITS_MIN = 2048
KEY_BITS_MAX = 16384
HOST_FILE_MAX = 64 * 1024  # octets; what is longer is no host file
NAME_MAX = 64

_NAME = re.compile(r"[A-Za-z0-9_]+")  # tinc.conf(5)
_ADDRESS = re.compile(r"[0-9A-Za-z_:][0-9A-Za-z.:_-]{0,127}")
_INTERFACE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,14}")
_KINDS = ("RSA PUBLIC KEY", "PUBLIC KEY")
_RSA_ENCRYPTION = bytes.fromhex("06092a864886f70d0101010500")  # RFC 8017: its OID, then NULL


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Address:
    """Where a host is reached: an IP address or a host name, and a port of TCP and UDP."""

    addr: str
    port: int = TINC_PORT

    def __post_init__(self) -> None:
        if not _ADDRESS.fullmatch(self.addr):
            raise ValueError(f"{self.addr!r} is no IP address or host name")
        if not 1 <= self.port <= 0xFFFF:
            raise ValueError(f"{self.port} is no port")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFile:
    """What others know of a host. `pubkey` is PEM of an RSA key, kept in its canonical form."""

    pubkey: str
    subnets: tuple[IPv6Network, ...]
    addresses: tuple[Address, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "pubkey", canonical_key(self.pubkey))


@dataclass(frozen=True, slots=True, kw_only=True)
class Conf:
    """A daemon's tinc.conf. `strict`: only subnets of its own copies of host files count."""

    name: str
    connect_to: tuple[str, ...] = ()
    strict: bool = False
    interface: str = INTERFACE
    port: int = TINC_PORT

    def __post_init__(self) -> None:
        for name in (self.name, *self.connect_to):
            check_name(name)
        if not _INTERFACE.fullmatch(self.interface):
            raise ValueError(f"{self.interface!r} is no name for a network interface")
        if not 1 <= self.port <= 0xFFFF:
            raise ValueError(f"{self.port} is no port")


def check_name(name: str) -> str:
    """The name itself. Raises ValueError unless tinc takes it; it is a file's name, too."""
    if not _NAME.fullmatch(name) or len(name) > NAME_MAX:
        raise ValueError(f"{name!r} is no name of a tinc host: letters, digits and _ only")
    return name


def host_name(kind: str, number: int) -> str:
    """`node_2578` of ("node", 0x0a12): the name of everything but the main server."""
    return check_name(f"{kind}_{number}")


def canonical_key(pem: str) -> str:
    """The one PEM block in a text, lines of 64, with a newline at its end.

    Takes SubjectPublicKeyInfo (`PUBLIC KEY`) and PKCS#1 (`RSA PUBLIC KEY`), as tinc does, and keeps
    the kind. Raises ValueError unless it is an RSA key of 2048 to 16384 bits and nothing else.
    """
    kind, body = _block(pem)
    try:
        der = b64decode(body, validate=True)
        bits = _bits(der if kind.startswith("RSA") else _unwrapped(der))
    except (binascii.Error, IndexError) as error:
        raise ValueError("the public key is damaged") from error
    if not KEY_BITS_MIN <= bits <= KEY_BITS_MAX:
        raise ValueError(f"a key of {bits} bits; at least {KEY_BITS_MIN} are needed")
    body = b64encode(der).decode()
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return "\n".join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", ""])


def uncompressed(address: IPv6Address) -> str:
    """`fd65:fc41:c50f:2:0:0:0:0`: all words, without leading zeros, as CONFINE writes them.

    Raises ValueError for one with a scope, which may be any text.
    """
    return ":".join(f"{int(word, 16):x}" for word in address.exploded.split(":"))


def render_host(host: HostFile) -> str:
    """A host file: `Address = IP PORT` and `Subnet = network` lines, a blank line, the key."""
    lines = [f"Address = {address.addr} {address.port}" for address in host.addresses]
    lines += [
        f"Subnet = {uncompressed(subnet.network_address)}/{subnet.prefixlen}"
        for subnet in host.subnets
    ]
    return "\n".join([*lines, "", host.pubkey])


def parse_host(text: str) -> HostFile:
    """Reads what `render_host` and the original write. Raises ValueError for anything else."""
    if len(text) > HOST_FILE_MAX:
        raise ValueError("too long for a host file")
    head, begin, key = text.partition("-----BEGIN ")
    addresses: list[Address] = []
    subnets: list[IPv6Network] = []
    for word, value in _settings(head):
        match word:
            case "address":
                addr, _, port = value.partition(" ")
                addresses.append(Address(addr=addr, port=_number(port or str(TINC_PORT))))
            case "subnet":
                subnets.append(IPv6Network(value))
            case _:
                raise ValueError(f"a host file has no {word!r} here")
    return HostFile(pubkey=begin + key, subnets=tuple(subnets), addresses=tuple(addresses))


def render_conf(conf: Conf) -> str:
    """tinc.conf of a router with a tun device."""
    lines = [
        f"Name = {conf.name}",
        "Mode = router",
        f"Device = {DEVICE}",
        f"Interface = {conf.interface}",
        f"MaxTimeout = {MAX_TIMEOUT_S}",
        *(["StrictSubnets = yes"] if conf.strict else []),
        *([f"Port = {conf.port}"] if conf.port != TINC_PORT else []),
        *(f"ConnectTo = {name}" for name in conf.connect_to),
    ]
    return "\n".join([*lines, ""])


def parse_conf(text: str) -> Conf:
    """Reads what `render_conf` writes; words that it does not know are passed over."""
    told = list(_settings(text))
    last = dict(told)
    return Conf(
        name=last.get("name", ""),
        connect_to=tuple(value for word, value in told if word == "connectto"),
        strict=last.get("strictsubnets", "no").lower() == "yes",
        interface=last.get("interface", INTERFACE),
        port=_number(last.get("port", str(TINC_PORT))),
    )


def render_up(address: IPv6Address) -> str:
    """The script that tincd runs (mode 0755) once its interface is there."""
    return (
        "#!/bin/sh -e\n"
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"
        f'ip link set dev "$INTERFACE" mtu {MTU} up\n'
        f'ip -6 address replace {uncompressed(address)}/{PREFIX_LENGTH} dev "$INTERFACE" nodad\n'
    )


def render_down(address: IPv6Address) -> str:
    """The script that tincd runs (mode 0755) before its interface goes."""
    return (
        "#!/bin/sh\n"
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"
        f'ip -6 address del {uncompressed(address)}/{PREFIX_LENGTH} dev "$INTERFACE"\n'
        'ip link set dev "$INTERFACE" down\n'
    )


def _block(pem: str) -> tuple[str, str]:
    """The kind and the base64 text of the one PEM block."""
    lines = [line.strip() for line in pem.strip().splitlines()] if len(pem) <= HOST_FILE_MAX else []
    for kind in _KINDS:
        if lines[:1] == [f"-----BEGIN {kind}-----"] and lines[-1] == f"-----END {kind}-----":
            return kind, "".join(lines[1:-1])
    raise ValueError("this is not one public key in PEM")


def _settings(text: str) -> Iterator[tuple[str, str]]:
    """`Word = value` or `Word value` lines, words in lower case; comments are passed over."""
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        word, _, value = line.replace("=", " ", 1).partition(" ")
        yield word.lower(), " ".join(value.split())


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is no number")
    return int(text)


def _unwrapped(der: bytes) -> bytes:
    """The RSAPublicKey in a SubjectPublicKeyInfo (RFC 5280, 4.1)."""
    algorithm, rest = _value(_whole(der, 0x30), 0x30)
    if algorithm != _RSA_ENCRYPTION:
        raise ValueError("tinc needs an RSA key")
    return _whole(rest, 0x03)[1:]  # the first octet says how many bits are unused: none


def _bits(der: bytes) -> int:
    """Of the modulus of an RSAPublicKey (RFC 8017, A.1.1)."""
    modulus, rest = _value(_whole(der, 0x30), 0x02)
    exponent = int.from_bytes(_whole(rest, 0x02), "big")
    number = int.from_bytes(modulus, "big")
    if not number & exponent & 1 or exponent < 3 or modulus[0] & 0x80:
        raise ValueError("these are not the numbers of an RSA key")
    return number.bit_length()


def _whole(der: bytes, tag: int) -> bytes:
    value, rest = _value(der, tag)
    if rest:
        raise ValueError("something follows the public key")
    return value


def _value(der: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of the first element, which must have this tag, and what follows it."""
    length, start = der[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[2:start], "big")
    if der[0] != tag or len(der) < start + length:
        raise ValueError("the public key is damaged")
    return der[start : start + length], der[start + length :]
