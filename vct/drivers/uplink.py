"""The way out: one veth pair between host and fabric, NAT at both ends, the host's forwarding.

NAT happens twice on purpose: the fabric hides 10.241.0.0/16 behind its uplink address, the host
hides that behind its own, so two testbeds with the same addresses never meet. A door (to the
controller) is at the fabric's uplink address, which is each testbed's own. Each side has one
nftables table of ours, told from others' by its comment; nothing else of the firewall is touched.
"""

from __future__ import annotations

import json
from ipaddress import IPv4Network, ip_interface
from typing import Any

from vct import names
from vct.drivers import hostwide
from vct.drivers.netns import inside_command
from vct.drivers.network import HOST, Network
from vct.drivers.process import CommandError, run
from vct.drivers.rtnetlink import Netlink
from vct.drivers.rtnetlink_messages import (
    Interface,
    add_veth,
    get_links,
    get_routes,
    move_link,
    parse_link,
    parse_route,
    set_default_route,
    set_link,
)
from vct.errors import RefusedError
from vct.plan.things import Uplink

FABRIC_INTERFACE = "uplink"


class UplinkDriver:
    """Makes and observes a testbed's uplink."""

    kind = Uplink
    workers = 1

    def __init__(self, network: Network, host: hostwide.HostWide) -> None:
        self._network = network
        self._host = host
        self._table = names.firewall_table(network.testbed)
        self._interface = names.uplink_interface(network.testbed)

    def observe(self) -> list[Uplink]:
        network = self._network
        near = self._own_interface()
        far = network.snapshot.get(network.fabric, {}).get(FABRIC_INTERFACE)
        here = self._has_table(HOST)
        inner = self._listing(network.fabric) if far is not None else ""
        there = parse_tables(inner).get(self._table) == network.mark
        if near is None and far is None and not here:
            return []
        return [
            Uplink(
                interface=self._interface,
                host_address=near.addresses[0].address if near and near.addresses else "",
                fabric_address=far.addresses[0].address if far and far.addresses else "",
                nat=here and there,
                forwarding=hostwide.forwarding(),
                door=parse_door(inner, self._table),
            )
        ]

    def claim(self, thing: Uplink) -> None:
        found = self._network.host_interface(thing.interface)
        if found is not None and found.alias != self._network.mark:
            raise RefusedError(
                f"an interface {thing.interface} exists on the host and is not ours",
                hint="rename your testbed (name: in its file), or remove the interface yourself",
            )
        if self._tables(HOST).get(self._table, self._network.mark) != self._network.mark:
            raise RefusedError(
                f"an nftables table {self._table} exists on the host and is not ours",
                hint=f"look at it: nft list table ip {self._table}",
            )

    def create(self, thing: Uplink) -> None:
        network = self._network
        self._delete_pair(thing)
        network.do(network.fabric, add_veth(FABRIC_INTERFACE, thing.interface))
        # Marked before the host can see it.
        network.do(network.fabric, set_link(thing.interface, alias=network.mark))
        with network.opened(HOST) as host:
            network.do(network.fabric, move_link(thing.interface, host))
        network.do(HOST, set_link(thing.interface, up=True))
        network.give(HOST, thing.interface, [thing.host_address])
        network.do(network.fabric, set_link(FABRIC_INTERFACE, up=True))
        network.give(network.fabric, FABRIC_INTERFACE, [thing.fabric_address])
        network.do(network.fabric, set_default_route(str(ip_interface(thing.host_address).ip)))
        inner = str(names.LOCAL_NETWORK)
        self._load(network.fabric, inner, f'oifname "{FABRIC_INTERFACE}"', door=thing.door)
        source = str(ip_interface(thing.host_address).network)
        self._load(HOST, source, f'oifname != "{thing.interface}"')
        self._host.want_forwarding()

    def change(self, was: Uplink, thing: Uplink) -> None:
        self.claim(thing)  # parts of it may be gone, and others' in their place
        self.create(thing)

    def delete(self, thing: Uplink) -> None:
        self._delete_pair(thing)
        if self._has_table(HOST):
            self._nft(HOST, f"delete table ip {self._table}")
        self._host.release()

    def _delete_pair(self, thing: Uplink) -> None:
        if self._own_interface():
            self._network.delete_interface(HOST, thing.interface)
        # Still there when a crash came before the other end was moved to the host.
        self._network.delete_interface(self._network.fabric, FABRIC_INTERFACE)

    def _own_interface(self) -> Interface | None:
        """The host's end, if it is there and ours."""
        found = self._network.host_interface(self._interface)
        return found if found is not None and found.alias == self._network.mark else None

    def _load(self, namespace: str, source: str, way_out: str, *, door: str = "") -> None:
        mark = self._network.mark
        rules = render_nat(self._table, mark, source=source, way_out=way_out, door=door)
        self._nft(namespace, rules)

    def _has_table(self, namespace: str) -> bool:
        return self._tables(namespace).get(self._table) == self._network.mark

    def _tables(self, namespace: str) -> dict[str, str]:
        """Tables of family ip by name, with their mark."""
        return parse_tables(self._listing(namespace))

    def _listing(self, namespace: str) -> str:
        return run(inside(namespace, ["nft", "-j", "list", "ruleset", "ip"])).stdout

    def _nft(self, namespace: str, rules: str) -> None:
        try:
            run(inside(namespace, ["nft", "-f", "-"]), input=rules)
        except CommandError as error:
            error.hint = "does this kernel have nftables NAT? ask: vct doctor"
            raise


def taken_networks(testbed: str) -> list[IPv4Network]:
    """Networks that the host has routes to, but for the default route and the testbed's own."""
    with Netlink() as netlink:
        links = map(parse_link, netlink.dump(get_links()))
        own = {link.index for link in links if link.name == names.uplink_interface(testbed)}
        routes = map(parse_route, netlink.dump(get_routes()))
        return [
            route.network
            for route in routes
            if route.network.prefixlen and route.interface not in own
        ]


def inside(namespace: str, command: list[str]) -> list[str]:
    """The argv for a namespace, or for the host."""
    return command if namespace == HOST else inside_command(namespace, command)


def render_nat(table: str, mark: str, *, source: str, way_out: str, door: str = "") -> str:
    """An nft script that makes our table anew: what comes from `source` and leaves by `way_out`
    gets the address of the interface it leaves by; what comes by the uplink for the port of
    `door`, `address:port`, goes there. A rule's comment is the mark (nft 1.0 does not show a
    table's comment in JSON)."""
    port = door.rpartition(":")[2]
    inward = f"""\
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    iifname "{FABRIC_INTERFACE}" tcp dport {port} dnat to {door} comment "{mark}"
  }}
"""
    return f"""\
table ip {table}
delete table ip {table}
table ip {table} {{
{inward if door else ""}\
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {source} {way_out} masquerade comment "{mark}"
  }}
}}
"""


def parse_door(listing: str, table: str) -> str:
    """Where our table's dnat rule leads, `address:port`; empty without one."""
    objects: list[dict[str, Any]] = json.loads(listing or "{}").get("nftables", [])
    for rule in (item["rule"] for item in objects if "rule" in item):
        for part in rule.get("expr", []):
            if rule["table"] == table and "dnat" in part:
                return f"{part['dnat'].get('addr', '')}:{part['dnat'].get('port', '')}"
    return ""


def parse_tables(listing: str) -> dict[str, str]:
    """Tables by name, with the comment of their last rule (empty without), from `nft -j`."""
    objects: list[dict[str, Any]] = json.loads(listing or "{}").get("nftables", [])
    found = {item["table"]["name"]: "" for item in objects if "table" in item}
    for item in objects:
        if "rule" in item:
            found[item["rule"]["table"]] = item["rule"].get("comment", "")
    return found
