"""The address plan: which IPv6 address everything has, and whose an address is. Pure.

The formulas are CONFINE's (M, D and P are the management, debug and private /48 prefixes, N a
node's id, S a slice's, I an interface number):

    server r  M:0:0:r          node n     M:N::2, its network M:N::/64
    host h    M:0:2000:h       gateway g  M:0:1:g
    sliver interfaces          management M:N:10II:S, debug D:N:10II:S, private P:0:10II:S
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Network

from vct.wire.limits import NODE_LAST, InterfaceType

_HOSTS, _GATEWAYS = 0x2000 << 48, 0x1 << 48
_48_BITS = (1 << 48) - 1


class Owner(StrEnum):
    """What can have an address in the management network."""

    SERVER = "server"
    NODE = "node"
    HOST = "host"
    GATEWAY = "gateway"
    SLIVER = "sliver"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The three /48 prefixes of a testbed, as the addresses of their networks."""

    mgmt: IPv6Address
    debug: IPv6Address
    private: IPv6Address

    def mgmt_address(self, owner: Owner, number: int) -> IPv6Address:
        """Of a server, node, host or gateway by its id. Raises ValueError for a sliver."""
        if owner is Owner.NODE:
            return self.mgmt + (number << 64) + 2
        if owner is Owner.SLIVER:
            raise ValueError("a sliver has an address for each interface")
        base = {Owner.SERVER: 0, Owner.HOST: _HOSTS, Owner.GATEWAY: _GATEWAYS}[owner]
        return self.mgmt + base + number

    def mgmt_network(self, owner: Owner, number: int) -> IPv6Network:
        """What tinc routes to it: a node has a /64, others their address."""
        address = self.mgmt_address(owner, number)
        return IPv6Network((address - 2, 64)) if owner is Owner.NODE else IPv6Network(address)

    def interface_address(
        self, kind: InterfaceType, number: int, *, node: int, slice_id: int
    ) -> IPv6Address | None:
        """Of a sliver's interface; None for those whose address the controller does not know."""
        suffix = ((0x1000 + number) << 48) + slice_id
        match kind:
            case InterfaceType.MANAGEMENT:
                return self.mgmt + (node << 64) + suffix
            case InterfaceType.DEBUG:
                return self.debug + (node << 64) + suffix
            case InterfaceType.PRIVATE:
                return self.private + suffix
        return None

    def whose(self, address: IPv6Address) -> tuple[Owner, int, int] | None:
        """(what, its id, 0) or (SLIVER, slice id, node id) of a management address, else None."""
        bits = int(address)
        if bits >> 80 != int(self.mgmt) >> 80:
            return None
        node, word, low = (bits >> 64) & 0xFFFF, (bits >> 48) & 0xFFFF, bits & _48_BITS
        if node == 0:
            owner = {0: Owner.SERVER, 0x2000: Owner.HOST, 0x1: Owner.GATEWAY}.get(word)
            return (owner, low, 0) if owner and low else None
        if node > NODE_LAST:
            return None
        if word == 0 and low == 2:
            return Owner.NODE, node, 0
        return (Owner.SLIVER, low, node) if word >> 8 == 0x10 and low else None
