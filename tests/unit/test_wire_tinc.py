"""The files of tinc: rendered, parsed, and closed to whoever wants a line of his own in them."""

from __future__ import annotations

from base64 import b64encode
from ipaddress import IPv6Address, IPv6Network

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from vct.wire import tinc

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
SPKI = KEY.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
PKCS1 = KEY.public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode()
NODE_NET = IPv6Network("fd65:fc41:c50f:a12::/64")

names = st.from_regex(r"[A-Za-z0-9_]{1,64}", fullmatch=True)
addresses = st.builds(
    tinc.Address,
    addr=st.one_of(
        st.ip_addresses().map(str),
        st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,60}[a-z])?", fullmatch=True),
    ),
    port=st.integers(1, 65535),
)
subnets = st.builds(
    lambda number, length: IPv6Network((number, length), strict=False),
    st.integers(0, (1 << 128) - 1),
    st.integers(0, 128),
)
hosts = st.builds(
    tinc.HostFile,
    pubkey=st.sampled_from((SPKI, PKCS1)),
    subnets=st.lists(subnets, max_size=3).map(tuple),
    addresses=st.lists(addresses, max_size=4).map(tuple),
)
confs = st.builds(
    tinc.Conf,
    name=names,
    connect_to=st.lists(names, max_size=5).map(tuple),
    strict=st.booleans(),
    interface=st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,14}", fullmatch=True),
    port=st.integers(1, 65535),
)


def a_host(**changed: object) -> tinc.HostFile:
    told: dict[str, object] = {"pubkey": SPKI, "subnets": (NODE_NET,), **changed}
    return tinc.HostFile(**told)  # type: ignore[arg-type]


def test_it_works() -> None:
    address = tinc.Address(addr="10.241.0.254")
    text = tinc.render_host(a_host(addresses=(address,)))
    assert text == ("Address = 10.241.0.254 655\nSubnet = fd65:fc41:c50f:a12:0:0:0:0/64\n\n" + SPKI)


@given(hosts)
def test_a_host_file_says_what_was_put_in(host: tinc.HostFile) -> None:
    assert tinc.parse_host(tinc.render_host(host)) == host


@given(confs)
def test_a_configuration_says_what_was_put_in(conf: tinc.Conf) -> None:
    assert tinc.parse_conf(tinc.render_conf(conf)) == conf


@given(st.text(max_size=300))
def test_whatever_is_read_is_a_host_file_or_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        tinc.parse_host(text)


@given(st.binary(max_size=60))
def test_whatever_is_a_key_is_one_or_an_error(der: bytes) -> None:
    body = b64encode(der).decode()
    for kind in ("RSA PUBLIC KEY", "PUBLIC KEY"):
        with pytest.raises(ValueError, match="key"):
            tinc.canonical_key(f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n")


@pytest.mark.parametrize("pem", [SPKI, PKCS1])
def test_both_kinds_of_key_are_kept_as_they_are(pem: str) -> None:
    assert tinc.canonical_key(pem) == pem
    assert tinc.canonical_key("\n" + pem.replace("\n", "\r\n") + "\n\n") == pem


def test_the_original_s_host_files_are_read() -> None:
    server = (
        "Address = 10.241.0.254 655\nAddress = server.example.org\n"
        "Subnet = fd65:fc41:c50f:0:0:0:0:2\n\n" + SPKI.strip()
    )
    read = tinc.parse_host(server)
    assert read.subnets == (IPv6Network("fd65:fc41:c50f::2/128"),)
    assert read.addresses == (
        tinc.Address(addr="10.241.0.254"),
        tinc.Address(addr="server.example.org"),
    )


@pytest.mark.parametrize(
    "head",
    [
        "PublicKeyFile = /etc/shadow",
        "Subnet = 10.0.0.0/8",
        "Subnet = fd65::1/64",
        "Address = 10.0.0.1 0",
        "Address = 10.0.0.1 65536",
        "Address = 10.0.0.1 ssh",
        "Address = $(reboot)",
        "Address = -oops",
    ],
)
def test_what_a_host_file_must_not_say_is_refused(head: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        tinc.parse_host(f"{head}\n\n{SPKI}")


@pytest.mark.parametrize(
    "name", ["", "node-1", "node 1", "node_1\n", "../node_1", ".", "n" * 65, "nöde", "a/b"]
)
def test_a_name_that_tinc_does_not_take_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="letters, digits"):
        tinc.check_name(name)
    with pytest.raises(ValueError, match="letters, digits"):
        tinc.Conf(name="server", connect_to=(name,))


def test_other_keys_than_rsa_of_enough_bits_are_refused() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
    for key in (
        weak.public_key(),
        ec.generate_private_key(ec.SECP256R1()).public_key(),
        ed25519.Ed25519PrivateKey.generate().public_key(),
    ):
        pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        with pytest.raises(ValueError, match="key"):
            tinc.canonical_key(pem)


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "key",
        SPKI + SPKI,
        SPKI + "ConnectTo = evil\n",
        "ConnectTo = evil\n" + SPKI,
        SPKI.replace("A", "*", 1),
        SPKI.replace("-----BEGIN PUBLIC", "-----BEGIN RSA PUBLIC"),
        "\n".join(SPKI.splitlines()[:-2] + SPKI.splitlines()[-1:]),
        SPKI + "A" * tinc.HOST_FILE_MAX,
    ],
)
def test_what_is_not_one_whole_key_is_refused(pem: str) -> None:
    with pytest.raises(ValueError, match="key"):
        tinc.canonical_key(pem)


def test_only_the_server_is_strict() -> None:
    server = tinc.render_conf(tinc.Conf(name=tinc.SERVER, strict=True, connect_to=("node_1",)))
    assert server.splitlines()[0] == "Name = server"
    assert "StrictSubnets = yes\n" in server
    assert server.endswith("ConnectTo = node_1\n")
    assert "StrictSubnets" not in tinc.render_conf(tinc.Conf(name="node_1"))


def test_the_scripts_give_and_take_the_address() -> None:
    address = IPv6Address("fd65:fc41:c50f:a12::2")
    assert "address replace fd65:fc41:c50f:a12:0:0:0:2/48 dev" in tinc.render_up(address)
    assert "mtu 1400 up" in tinc.render_up(address)
    assert "address del fd65:fc41:c50f:a12:0:0:0:2/48 dev" in tinc.render_down(address)


def test_no_scope_of_an_address_gets_into_a_script() -> None:
    with pytest.raises(ValueError, match="hex digits"):
        tinc.render_up(IPv6Address("fe80::1%$(reboot)"))


def test_names_say_what_a_host_is_of() -> None:
    assert tinc.host_name("node", 0x0A12) == "node_2578"
