"""What vct says to the kernel about interfaces, addresses and routes, and what it hears. Pure.

Renders requests and parses what dumps tell (linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h,
rtnetlink(7)). Interfaces are named; the kernel wants the index only where addresses are given.
Called by vct.drivers.network and the drivers around it.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_address, ip_interface

from vct.drivers.rtnetlink_codec import (
    CREATE,
    EXCLUSIVE,
    REPLACE,
    Request,
    attribute,
    attributes,
    head,
    number,
    number_attribute,
    text,
    text_attribute,
)

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
ADDRESS = struct.Struct("=BBBBi")  # ifaddrmsg: family, prefix length, flags, scope, index
# rtmsg: family, destination's and source's length, tos, table, protocol, scope, type, flags
ROUTE = struct.Struct("=8BI")
IFF_UP = 1
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO = 1, 3, 4, 10, 18
IFLA_IFALIAS, IFLA_NET_NS_FD, IFLA_EXT_MASK = 20, 28, 29
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFLA_BR_FORWARD_DELAY, IFLA_BR_MCAST_SNOOPING = 1, 23
SKIP_STATISTICS = 8  # RTEXT_FILTER_SKIP_STATS
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
IFA_F_NODAD = 0x02  # usable at once, nobody else can have this address
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_TABLE = 1, 4, 5, 15
RT_TABLE_MAIN, RTPROT_STATIC, RTN_UNICAST, RTN_UNREACHABLE = 254, 4, 1, 7
IPV4_OCTETS, IPV6_OCTETS = 4, 16
DEFAULT_MTU = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """`address/prefix` on an interface; `peer` is the neighbour it points at, if any."""

    address: str
    peer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """What netlink says about one interface. `kind` is veth, bridge, tun, … or empty; `master` is
    the index of the bridge it is on, or 0; `mtu` is its largest frame in octets."""

    index: int
    name: str
    mac: str
    alias: str
    kind: str
    up: bool
    master: int
    mtu: int
    addresses: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An IPv4 route: `network` is 0.0.0.0/0 for the default one; `gateway` is empty and
    `interface` (an index) 0 where it has none."""

    network: IPv4Network
    gateway: str
    interface: int
    table: int


# --- interfaces ----------------------------------------------------------------------------------


def get_links() -> Request:
    """For a dump of all interfaces, without their counters."""
    body = LINK.pack(0, 0, 0, 0, 0) + number_attribute(IFLA_EXT_MASK, SKIP_STATISTICS)
    return Request(RTM_GETLINK, 0, body, "list interfaces")


def get_link(name: str) -> Request:
    """For one interface; nothing is told if there is none of this name."""
    body = _named(name) + number_attribute(IFLA_EXT_MASK, SKIP_STATISTICS)
    return Request(RTM_GETLINK, 0, body, f"look at interface {name}", (errno.ENODEV,))


def add_veth(
    name: str,
    peer: str,
    peer_namespace: int | None = None,
    *,
    mac: str = "",
    peer_mac: str = "",
    master: int = 0,
) -> Request:
    """A veth pair, its far end in the namespace open at a file descriptor. With a `master`, an
    index, the near end is up and on that bridge. (The far end cannot be up before the pair is
    whole, and an alias is taken by set_link only.)"""
    far = _named(peer) + _mac(peer_mac)
    if peer_namespace is not None:
        far += number_attribute(IFLA_NET_NS_FD, peer_namespace)
    body = _named(name, up=bool(master)) + _mac(mac)
    body += _link_info("veth", attribute(VETH_INFO_PEER, far))
    if master:
        body += number_attribute(IFLA_MASTER, master)
    return Request(RTM_NEWLINK, CREATE | EXCLUSIVE, body, f"make veth pair {name} and {peer}")


def add_bridge(name: str, mac: str) -> Request:
    """A bridge that forwards at once. Snooping would drop neighbour discovery until somebody
    queries; nobody does."""
    data = number_attribute(IFLA_BR_FORWARD_DELAY, 0) + attribute(IFLA_BR_MCAST_SNOOPING, b"\0")
    body = _named(name) + _mac(mac) + _link_info("bridge", data)
    return Request(RTM_NEWLINK, CREATE | EXCLUSIVE, body, f"make bridge {name}")


def set_link(name: str, *, up: bool = False, alias: str = "", mac: str = "") -> Request:
    """Change what is given of an interface."""
    body = _named(name, up=up) + _mac(mac)
    body += text_attribute(IFLA_IFALIAS, alias) if alias else b""
    return Request(RTM_SETLINK, 0, body, f"set up interface {name}")


def move_link(name: str, namespace: int) -> Request:
    """Move an interface into the namespace open at a file descriptor."""
    body = _named(name) + number_attribute(IFLA_NET_NS_FD, namespace)
    return Request(RTM_SETLINK, 0, body, f"move interface {name}")


def delete_link(name: str) -> Request:
    """Remove an interface, and the other end of its pair; no error if it is gone."""
    return Request(RTM_DELLINK, 0, _named(name), f"remove interface {name}", (errno.ENODEV,))


def parse_link(payload: bytes, addresses: Mapping[int, list[Address]] | None = None) -> Interface:
    """An interface as a dump tells it. Raises NetlinkError when that makes no sense."""
    _, _, index, flags, _ = head(LINK, payload)
    found = attributes(payload[LINK.size :])
    kind = attributes(found.get(IFLA_LINKINFO, b"")).get(IFLA_INFO_KIND, b"")
    return Interface(
        index=index,
        name=text(found.get(IFLA_IFNAME, b"")),
        mac=found.get(IFLA_ADDRESS, b"").hex(":"),
        alias=text(found.get(IFLA_IFALIAS, b"")),
        kind=text(kind),
        up=bool(flags & IFF_UP),
        master=number(found.get(IFLA_MASTER, b"")),
        mtu=number(found.get(IFLA_MTU, b"")) or DEFAULT_MTU,
        addresses=tuple((addresses or {}).get(index, ())),
    )


# --- addresses -----------------------------------------------------------------------------------


def get_addresses() -> Request:
    """For a dump of all addresses of all interfaces."""
    return Request(RTM_GETADDR, 0, ADDRESS.pack(0, 0, 0, 0, 0), "list addresses")


def add_address(index: int, address: str, peer: str = "") -> Request:
    """Give an interface `address/prefix`, or one that points at a neighbour."""
    what = f"give address {address} for {peer}" if peer else f"give address {address}"
    return Request(RTM_NEWADDR, CREATE | REPLACE, _address(index, address, peer), what)


def delete_address(index: int, address: str) -> Request:
    """Take `address/prefix` from an interface."""
    return Request(RTM_DELADDR, 0, _address(index, address), f"take address {address}")


def parse_address(payload: bytes) -> tuple[int, Address]:
    """An interface's index and one of its addresses, as a dump tells it."""
    _, prefix, _, _, index = head(ADDRESS, payload)
    found = attributes(payload[ADDRESS.size :])
    address, local = (_spelled(found.get(kind, b"")) for kind in (IFA_ADDRESS, IFA_LOCAL))
    peer = address if local and local != address else ""
    return index, Address(address=f"{local or address}/{prefix}", peer=peer)


# --- routes --------------------------------------------------------------------------------------


def get_routes() -> Request:
    """For a dump of all IPv4 routes of all tables."""
    body = ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
    return Request(RTM_GETROUTE, 0, body, "list routes")


def set_default_route(gateway: str) -> Request:
    """The IPv4 default route, in place of the one there was."""
    body = _route(RTN_UNICAST) + attribute(RTA_GATEWAY, ip_address(gateway).packed)
    return Request(RTM_NEWROUTE, CREATE | REPLACE, body, f"set default route {gateway}")


def set_unreachable(network: IPv4Network) -> Request:
    """Nothing of this network is anywhere, unless another route says so."""
    destination = attribute(RTA_DST, network.network_address.packed)
    body = _route(RTN_UNREACHABLE, network.prefixlen) + destination
    return Request(RTM_NEWROUTE, CREATE | REPLACE, body, f"set route of {network}")


def parse_route(payload: bytes) -> Route:
    """An IPv4 route as a dump tells it. Raises NetlinkError when that makes no sense."""
    _, length, _, _, table, *_ = head(ROUTE, payload)
    found = attributes(payload[ROUTE.size :])
    destination = int.from_bytes(found.get(RTA_DST, b"")[:IPV4_OCTETS], "big")
    return Route(
        network=IPv4Network((destination, min(length, 32)), strict=False),
        gateway=_spelled(found.get(RTA_GATEWAY, b"")),
        interface=number(found.get(RTA_OIF, b"")),
        table=number(found.get(RTA_TABLE, b"")) or table,
    )


# --- parts ---------------------------------------------------------------------------------------


def _named(name: str, *, up: bool = False) -> bytes:
    flags = IFF_UP if up else 0
    return LINK.pack(0, 0, 0, flags, flags) + text_attribute(IFLA_IFNAME, name)


def _mac(mac: str) -> bytes:
    return attribute(IFLA_ADDRESS, bytes.fromhex(mac.replace(":", ""))) if mac else b""


def _link_info(kind: str, data: bytes) -> bytes:
    info = text_attribute(IFLA_INFO_KIND, kind) + attribute(IFLA_INFO_DATA, data)
    return attribute(IFLA_LINKINFO, info)


def _address(index: int, address: str, peer: str = "") -> bytes:
    interface = ip_interface(address)
    family = socket.AF_INET6 if interface.version == 6 else socket.AF_INET
    body = ADDRESS.pack(family, interface.network.prefixlen, 0, 0, index)
    body += attribute(IFA_LOCAL, interface.packed)
    body += attribute(IFA_ADDRESS, ip_address(peer).packed if peer else interface.packed)
    if interface.version == 6:
        body += number_attribute(IFA_FLAGS, IFA_F_NODAD)
    return body


def _route(kind: int, length: int = 0) -> bytes:
    table = (RT_TABLE_MAIN, RTPROT_STATIC, 0, kind, 0)
    return ROUTE.pack(socket.AF_INET, length, 0, 0, *table)


def _spelled(payload: bytes) -> str:
    """An address in words; empty for what is none."""
    families = {IPV4_OCTETS: socket.AF_INET, IPV6_OCTETS: socket.AF_INET6}
    family = families.get(len(payload))
    return socket.inet_ntop(family, payload) if family else ""
