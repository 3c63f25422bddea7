"""Every name, MAC and address that vct derives. Pure: no I/O, no state, nothing of vct but errors.

The formulas are CONFINE's and VCT's (node addresses, MACs, tinc names, sliver numbers), so that
documents and tutorials of the original still apply; the names of namespaces and of interfaces on
the host are ours. Node ids are strings of four lower-case hex digits, `0001` to `fff0`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from vct.errors import UsageError

INTERFACE_NAME_MAX = 15  # IFNAMSIZ less the terminating zero (linux/if.h)
DIRECT_INTERFACES_MAX = 0xFF  # the MAC has one octet for the interface, and eth0 is taken
TESTBED_NAME = re.compile(r"(?!.*-(?:[0-9a-f]{4}|ctl)$)(?:[a-z][a-z0-9-]{0,30}[a-z0-9]|[a-z])")
SEGMENT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,10}")
NODE_ID = re.compile(r"[0-9a-f]{4}")
LAST_NODE = 0xFFF0
CONTROLLER = "ctl"  # among node ids, where namespaces and ports are named
MEMBER = re.compile(f"{NODE_ID.pattern}|{CONTROLLER}")

LOCAL_BRIDGE = "vct-local"
LOCAL_NETWORK = IPv4Network("10.241.0.0/16")
LOCAL_GATEWAY = IPv4Address("10.241.0.254")
DHCP_FIRST, DHCP_LAST = IPv4Address("10.241.0.1"), IPv4Address("10.241.0.199")
CONTROLLER_IPV4 = IPv4Address("10.241.255.250")  # no node's, as ids end at fff0
CONTROLLER_PORT = 80
CONTROLLER_HOSTNAME = "controller"
LINK_NETWORK = IPv4Network("10.242.0.0/16")
UPLINK_NETWORK = IPv4Network("10.240.0.0/16")
DOMAIN = "vct"

PRIVATE_IPV6_PREFIX = IPv6Address("fdbd:e804:6aa9::")
DEBUG_IPV6_PREFIX = IPv6Address("fd5f:eee5:e6ad::")
MANAGEMENT_IPV6_PREFIX = IPv6Address("fd65:fc41:c50f::")
RESCUE_GATEWAY = IPv6Address("fdbd:e804:6aa9:2::2")
CONTROLLER_MANAGEMENT_IPV6 = MANAGEMENT_IPV6_PREFIX + 2
SLIVER_PRIVATE_NETWORK = IPv4Network("192.168.241.0/25")
SLIVERS_MAX = 125  # of one node; .126 is the node itself
INTERNAL_IPV4, INTERNAL_IPV6 = IPv4Address("192.168.241.126"), PRIVATE_IPV6_PREFIX + 1
RECOVERY1_IPV4 = IPv4Address("192.168.241.130")
RECOVERY1_IPV6 = PRIVATE_IPV6_PREFIX + (1 << 64) + 2


# --- what people write ---------------------------------------------------------------------------


def check_testbed_name(name: str) -> str:
    """The name itself. Raises UsageError unless it is 1-32 of a-z, 0-9, dash, letter first."""
    if not TESTBED_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a testbed name",
            hint="use 1 to 32 lower-case letters, digits and dashes; a letter first, no dash last, "
            "and no end like a node's (-0001) or the controller's (-ctl)",
        )
    return name


def check_node_id(text: str) -> str:
    """The node id itself. Raises UsageError unless it is 4 lower-case hex digits, 0001..fff0."""
    if not NODE_ID.fullmatch(text) or not 1 <= int(text, 16) <= LAST_NODE:
        raise UsageError(
            f"{text!r} is not a node id",
            hint="node ids are 4 lower-case hex digits, 0001 to fff0",
        )
    return text


def node_number(node: str) -> int:
    """`"0a12"` to 2578."""
    return int(check_node_id(node), 16)


def node_id(number: int) -> str:
    """2578 to `"0a12"`."""
    return check_node_id(f"{number:04x}")


def parse_node_set(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """The nodes a node set names, in the testbed's order, each once.

    Forms: `all`, `0001`, `0001-0004` (those of the range that exist), `0001,0007`, and mixtures.
    Raises UsageError for a malformed set, a node that `known` has not, and an empty range.
    """
    wanted: set[str] = set()
    for part in text.split(","):
        wanted |= _node_set_part(part.strip(), known)
    return tuple(node for node in known if node in wanted)


def _node_set_part(part: str, known: Sequence[str]) -> set[str]:
    have = f"this testbed has {render_node_set(known) or 'no nodes'}"
    if part == "all":
        return set(known)
    if "-" in part:
        first, last = (node_number(end) for end in part.split("-", 1))
        found = {node for node in known if first <= node_number(node) <= last}
        if not found:
            raise UsageError(f"no node is in the range {part}", hint=have)
        return found
    if check_node_id(part) not in known:
        raise UsageError(f"there is no node {part}", hint=have)
    return {part}


def render_node_set(nodes: Iterable[str]) -> str:
    """The shortest node set for these nodes: `0001-0004,0007`. The inverse of parse_node_set."""
    runs: list[list[int]] = []
    for number in sorted({node_number(node) for node in nodes}):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(
        f"{first:04x}" if first == last else f"{first:04x}-{last:04x}" for first, last in runs
    )


# --- namespaces, interfaces, files on the host ---------------------------------------------------


def fabric_namespace(testbed: str) -> str:
    """The network namespace that holds a testbed's bridges, DHCP and firewall."""
    return f"vct-{testbed}"


def node_namespace(testbed: str, node: str) -> str:
    """The network namespace of one node: `vct-ring-0001`. No testbed name ends like a node id."""
    return f"vct-{testbed}-{check_node_id(node)}"


def controller_namespace(testbed: str) -> str:
    """The network namespace of the controller: `vct-ring-ctl`. No testbed name ends like it."""
    return f"vct-{testbed}-{CONTROLLER}"


def uplink_interface(testbed: str) -> str:
    """The one interface that the host sees of a testbed: `vct-ring`; long names are shortened.

    The underscore cannot be in a testbed name, so a shortened name never equals a full one.
    """
    name = f"vct-{testbed}"
    if len(name) <= INTERFACE_NAME_MAX:
        return name
    digest = hashlib.sha256(testbed.encode()).hexdigest()
    return f"vct-{testbed[:3]}_{digest[:7]}"


def firewall_table(testbed: str) -> str:
    """Our nftables table, on the host and in the fabric."""
    return f"vct-{testbed}"


def direct_interface(index: int) -> str:
    """`eth1`, `eth2`, …: a node's direct interfaces; eth0 is the local network."""
    return f"eth{index}"


def local_port(member: str) -> str:
    """The fabric's end of the eth0 of a node, or of the controller."""
    return f"local-{member if member == CONTROLLER else check_node_id(member)}"


def segment_bridge(segment: str) -> str:
    """The bridge of a shared segment in the fabric: `seg-roof`."""
    return f"seg-{segment}"


def segment_port(node: str, index: int) -> str:
    """The fabric's end of a node's direct interface on a segment: `port-0001-2`."""
    return f"port-{check_node_id(node)}-{index}"


def hostname(node: str) -> str:
    """`rd0001`: a node's host name, as CONFINE's node system sets it (rd: research device)."""
    return f"rd{check_node_id(node)}"


# --- MACs and addresses --------------------------------------------------------------------------


def mac(interface: int, node: str) -> str:
    """MAC of a node's interface: `52:54:00:xx:NN:NN`, xx the interface (eth0 is 00)."""
    if not 0 <= interface <= 0xFF:
        raise UsageError(f"a node has at most 256 interfaces, {interface} is too many")
    high, low = divmod(node_number(node), 0x100)
    return f"52:54:00:{interface:02x}:{high:02x}:{low:02x}"


LOCAL_BRIDGE_MAC = "52:54:00:00:00:00"  # node 0000 does not exist


CONTROLLER_MAC = "52:54:00:00:ff:fa"  # as its address: beyond all nodes


def segment_bridge_mac(segment: str) -> str:
    """MAC of a segment's bridge: no node's prefix, the same for the same name."""
    digest = hashlib.sha256(segment.encode()).hexdigest()
    return f"52:54:01:{digest[:2]}:{digest[2:4]}:{digest[4:6]}"


def eui64(mac_address: str) -> int:
    """The interface identifier of a MAC (RFC 4291, appendix A): ff:fe inserted, bit 1 flipped."""
    octets = [int(part, 16) for part in mac_address.split(":")]
    octets[0] ^= 0x02
    return int.from_bytes(bytes([*octets[:3], 0xFF, 0xFE, *octets[3:]]), "big")


def link_local_ipv6(mac_address: str) -> IPv6Address:
    """The address that the kernel gives an interface with this MAC."""
    return IPv6Address("fe80::") + eui64(mac_address)


def local_ipv4(node: str) -> IPv4Address:
    """A node's address on the local network: `10.241.NN.NN`.

    Node 00fe would be the gateway 10.241.0.254: it gets 10.241.255.254, which no node has, as ids
    end at fff0.
    """
    address = LOCAL_NETWORK.network_address + node_number(node)
    return IPv4Address("10.241.255.254") if address == LOCAL_GATEWAY else address


def link_ipv4(node: str) -> IPv4Address:
    """A node's address on all links and segments: `10.242.NN.NN`, each neighbour a /32 route."""
    return LINK_NETWORK.network_address + node_number(node)


def uplink_ipv4(slot: int) -> tuple[IPv4Address, IPv4Address]:
    """Host and fabric address of uplink number 0..16383, a /30 of 10.240.0.0/16 each."""
    base = UPLINK_NETWORK.network_address + 4 * (slot % UPLINK_SLOTS)
    return base + 1, base + 2


def controller_url(slot: int) -> str:
    """Where the host finds the controller of the testbed with this uplink number."""
    port = "" if CONTROLLER_PORT == 80 else f":{CONTROLLER_PORT}"
    return f"http://{uplink_ipv4(slot)[1]}{port}/"


UPLINK_SLOTS = UPLINK_NETWORK.num_addresses // 4


def uplink_slot(testbed: str) -> int:
    """Where the search for a free uplink network begins: the same testbed, the same place."""
    return int.from_bytes(hashlib.sha256(testbed.encode()).digest()[:4], "big") % UPLINK_SLOTS


def rescue_ipv6(node: str) -> IPv6Address:
    """The address that works when nothing else does: `fdbd:e804:6aa9:2::/64` + EUI-64 of eth0."""
    return PRIVATE_IPV6_PREFIX + (2 << 64) + eui64(mac(0, node))


def controller_rescue_ipv6() -> IPv6Address:
    """The controller's rescue address: made as a node's."""
    return PRIVATE_IPV6_PREFIX + (2 << 64) + eui64(CONTROLLER_MAC)


MANAGEMENT_PREFIX_LENGTH = 48  # on the interface: all of the testbed is near


def management_ipv6(node: str) -> IPv6Address:
    """A node's address in the management network: `fd65:fc41:c50f:NNNN::2`."""
    return MANAGEMENT_IPV6_PREFIX + (node_number(node) << 64) + 2


def management_network(node: str) -> IPv6Network:
    """The subnet that a node has in the tinc mesh: `fd65:fc41:c50f:NNNN::/64`."""
    return IPv6Network((MANAGEMENT_IPV6_PREFIX + (node_number(node) << 64), 64))


def node_api_url(node: str) -> str:
    """Where a node publishes its state.

    Lower case throughout: the original wrote node ids in upper case here and in lower case
    elsewhere, so that its URLs did not compare equal as text.
    """
    return f"http://[{management_ipv6(node)}]/confine/api/"


def debug_ipv6(node: str) -> IPv6Address:
    """A node's address in the debug network: `fd5f:eee5:e6ad:NNNN::2`."""
    return DEBUG_IPV6_PREFIX + (node_number(node) << 64) + 2


def tinc_name(node: str) -> str:
    """`node_2578`: a node's host name in the tinc mesh (decimal, as the original's)."""
    return f"node_{node_number(node)}"


# --- slivers -------------------------------------------------------------------------------------


def sliver_mac(node: str, sliver: int, interface: int) -> str:
    """MAC of a sliver's interface: `54:c0:NN:NN:SS:II`; sliver and interface are 0..255."""
    if not (0 <= sliver <= 0xFF and 0 <= interface <= 0xFF):
        raise UsageError(f"sliver {sliver}, interface {interface} has no MAC: 0 to 255 have")
    high, low = divmod(node_number(node), 0x100)
    return f"54:c0:{high:02x}:{low:02x}:{sliver:02x}:{interface:02x}"


def sliver_hostname(node: str, slice_number: int) -> str:
    """`00000000000c_0a12`: slice number in 12 hex digits, node id."""
    return f"{_check_slice(slice_number):012x}_{check_node_id(node)}"


def sliver_private_ipv4(sliver: int) -> IPv4Address:
    """Private address of the node's sliver number 1..125, the same on every node."""
    if not 1 <= sliver <= SLIVERS_MAX:
        raise UsageError(f"there is no sliver number {sliver}: a node has 1 to {SLIVERS_MAX}")
    return SLIVER_PRIVATE_NETWORK.network_address + sliver


def sliver_private_ipv6(slice_number: int) -> IPv6Address:
    """`fdbd:e804:6aa9:0:1000::slice`: private address of a slice's slivers, on interface 00."""
    return PRIVATE_IPV6_PREFIX + _sliver_suffix(0, slice_number)


def sliver_management_ipv6(node: str, interface: int, slice_number: int) -> IPv6Address:
    """`fd65:fc41:c50f:NNNN:10II::slice`: management address of a sliver's interface."""
    prefix = MANAGEMENT_IPV6_PREFIX + (node_number(node) << 64)
    return prefix + _sliver_suffix(interface, slice_number)


def _sliver_suffix(interface: int, slice_number: int) -> int:
    return ((0x1000 + interface) << 48) + _check_slice(slice_number)


def _check_slice(slice_number: int) -> int:
    if not 0 <= slice_number < 1 << 48:
        raise UsageError(f"there is no slice number {slice_number}: it has at most 48 bits")
    return slice_number
