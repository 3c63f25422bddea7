"""Checks of single values that nodes and servers have. Pure but for Django's ValidationError."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from urllib.parse import urlsplit

from cryptography import x509
from django.core.exceptions import ValidationError

DHCP_RANGE = re.compile(r"#([0-9]{1,3})")
ADDRESS_RANGE = re.compile(r"([0-9.]{7,15})#([0-9]{1,3})")


def with_slash(uri: str) -> str:
    """A base URI ends with a slash, or paths joined to it would replace its last word."""
    return f"{uri}/" if uri and not uri.endswith("/") else uri


def check_port(member: str, uri: str) -> None:
    """Raises ValidationError on `member`: Django's own check takes any five digits for a port."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return  # no URI, which that check says
    try:
        parts.port  # noqa: B018 - read only now
    except ValueError as error:
        raise ValidationError({member: "Ports go up to 65535."}) from error


def check_certificate(text: str) -> None:
    """Raises ValidationError unless it is an X.509 certificate in PEM."""
    try:
        x509.load_pem_x509_certificate(text.encode())
    except ValueError as error:
        raise ValidationError("This is not a certificate in PEM.") from error


def check_private_24(text: str) -> None:
    """Raises ValidationError unless it is a private /24 network."""
    try:
        network = IPv4Network(text)
    except ValueError as error:
        raise ValidationError("This is not an IPv4 network, as 192.168.241.0/24.") from error
    if network.prefixlen != 24 or not network.is_private:
        raise ValidationError("This must be a private /24, as 192.168.241.0/24.")


def check_public_ipv4(method: str, text: str) -> None:
    """`#N` for DHCP, `A.B.C.D#N` for a range, nothing for none: N addresses, from A.B.C.D on.

    Raises ValidationError on `sliver_pub_ipv4_range`.
    """
    if method == "none":
        good, shape = not text, "empty"
    elif method == "range":
        match = ADDRESS_RANGE.fullmatch(text)
        good, shape = bool(match and _is_address(match[1])), "like 10.241.0.10#8"
    else:
        good, shape = not text or bool(DHCP_RANGE.fullmatch(text)), "like #8"
    if not good:
        words = f"With sliver_pub_ipv4 {method} this must be {shape}."
        raise ValidationError({"sliver_pub_ipv4_range": words})


def _is_address(text: str) -> bool:
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True
