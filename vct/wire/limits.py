"""The values, numbers and name rules that controller and node must agree on.

Kinds of sliver interfaces, resources, architectures, VLAN tags and the shape of names. Both sides
check against these: a controller that accepts more than a node does makes nodes go to debug.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

VLAN_TAG_FIRST, VLAN_TAG_LAST = 0x100, 0xFFE  # 0xfff is reserved (IEEE 802.1Q, table 9-2)
VLAN_TAGS = VLAN_TAG_LAST - VLAN_TAG_FIRST + 1
NODE_LAST = 0xFFF0
INTERFACE_NUMBER_LAST = 0xFF  # one octet of the MAC and of the address
SLICE_LAST = (1 << 48) - 1
TINC_PORT = 655
SLICE_LIFETIME_DAYS = 30
EXPIRY_WARNING_DAYS = 4
HEARTBEAT_TIMEOUT_S = 7200  # a node that fetches nothing for so long has crashed
STALE_AFTER_POLLS = 3.5  # what was asked longer ago than this many intervals is no data

PROPERTY_NAME = re.compile(r"[a-z][a-z0-9_]*[a-z0-9]")
INTERFACE_NAME = re.compile(r"[a-z]+[0-9]*")
INTERFACE_NAME_MAX = 10
DIRECT_INTERFACE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,14}")  # IFNAMSIZ less the zero
SHA256 = re.compile(r"[0-9a-f]{64}")


class Arch(StrEnum):
    """Machines by the words of `uname -m`."""

    X86_64 = "x86_64"
    I586 = "i586"
    I686 = "i686"


class TemplateType(StrEnum):
    """The systems that a node can prepare a sliver of."""

    DEBIAN = "debian"
    OPENWRT = "openwrt"


class InterfaceType(StrEnum):
    """The networks that a sliver can be in."""

    PRIVATE = "private"
    MANAGEMENT = "management"
    PUBLIC4 = "public4"
    PUBLIC6 = "public6"
    DEBUG = "debug"
    ISOLATED = "isolated"

    @property
    def main_number(self) -> int:
        """If a sliver has interfaces of this type, one of them must have this number."""
        return list(InterfaceType).index(self)

    @property
    def default_name(self) -> str:
        return ("priv", "mgmt0", "pub0", "pub1", "dbg0", "iso0")[self.main_number]


ONE_OF_A_KIND = (InterfaceType.PRIVATE, InterfaceType.MANAGEMENT, InterfaceType.PUBLIC4)


class MgmtBackend(StrEnum):
    """How something is reached in the management network: by tinc, or without help."""

    TINC = "tinc"
    NATIVE = "native"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceKind:
    """One kind of resource: its unit, what a node offers by default, and its ceiling."""

    unit: str
    max_req: int
    dflt_req: int
    ceiling: int
    requestable: bool


RESOURCES = {
    "disk": ResourceKind(unit="MiB", max_req=1000, dflt_req=200, ceiling=10000, requestable=True),
    "memory": ResourceKind(unit="MiB", max_req=2048, dflt_req=32, ceiling=10000, requestable=True),
    "pub_ipv4": ResourceKind(unit="addrs", max_req=1, dflt_req=0, ceiling=256, requestable=False),
    "pub_ipv6": ResourceKind(unit="addrs", max_req=0, dflt_req=0, ceiling=0, requestable=False),
}
VLAN_RESOURCE = ResourceKind(unit="tags", max_req=1, dflt_req=0, ceiling=1, requestable=False)
