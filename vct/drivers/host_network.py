"""What else on this host forwards, filters and routes: things that would stop a testbed's traffic.

Everything here is other people's and is only reported, with the line that would let us through.
Called by `vct doctor`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from vct.drivers import process
from vct.drivers.base import Support
from vct.drivers.host_kernel import UNCHECKED
from vct.names import UPLINK_NETWORK

OURS = "vct-"  # how the uplinks that the host sees are named
WIDE = 9  # networks wider than this (10.0.0.0/8) lose only our /30s, and nobody lives there


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A base chain of nftables that drops what it does not know."""

    family: str
    table: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An IPv4 route of the host's main table."""

    network: IPv4Network
    interface: str


def supports() -> list[Support]:
    """IPv4 forwarding, other people's firewalls, and routes into our address range."""
    return [_forwarding_finding(), _firewall_finding(), _route_finding()]


def _forwarding_finding() -> Support:
    on = Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1"
    return Support(
        what="IPv4 forwarding",
        found=True,
        detail="on" if on else "off; vct init turns it on, vct cleanup off again",
        without="",
        required=False,
    )


def _firewall_finding() -> Support:
    blocked, detail = _blocking_chains()
    return Support(
        what="forwarding firewall",
        found=detail == "",
        detail=detail or "nothing drops what nodes send out",
        without="nodes cannot reach the outside",
        fix="sudo vct doctor" if detail == UNCHECKED else "\n".join(map(render_allow, blocked)),
        required=False,
    )


def _blocking_chains() -> tuple[list[Chain], str]:
    if os.geteuid() != 0:
        return [], UNCHECKED
    if process.find("nft") is None:
        return [], "could not be checked without the program nft"
    rules = process.run(["nft", "--json", "list", "ruleset"], check=False)
    try:
        blocked = find_blocking_chains(rules.stdout)
    except json.JSONDecodeError:
        return [], f"nft did not list its rules: {rules.stderr.strip() or rules.stdout[:60]}"
    names = ", ".join(f"{chain.family} {chain.table} {chain.name}" for chain in blocked)
    return blocked, f"dropped by {names}" if names else ""


def find_blocking_chains(ruleset: str) -> list[Chain]:
    """Chains on the forward hook with policy drop and no rule of theirs that accepts our uplinks.

    `ruleset` is what `nft --json list ruleset` prints (libnftables-json(5)).
    """
    entries = json.loads(ruleset or "{}").get("nftables", [])
    allowed = {_place(rule, rule["chain"]) for rule in _each(entries, "rule") if _accepts_us(rule)}
    return [
        Chain(family=chain["family"], table=chain["table"], name=chain["name"])
        for chain in _each(entries, "chain")
        if chain.get("hook") == "forward"
        and chain.get("policy") == "drop"
        and chain["family"] in ("ip", "inet")
        and _place(chain, chain["name"]) not in allowed
    ]


def _each(entries: list[dict[str, Any]], kind: str) -> Iterator[dict[str, Any]]:
    return (entry[kind] for entry in entries if kind in entry)


def _place(entry: dict[str, Any], chain: str) -> tuple[str, str, str]:
    return entry["family"], entry["table"], chain


def _accepts_us(rule: dict[str, Any]) -> bool:
    """`iifname "vct-*" accept`, as render_allow writes it."""
    expressions = rule.get("expr", [])
    accepts = any("accept" in expression for expression in expressions)
    matches = (expression["match"] for expression in expressions if "match" in expression)
    return accepts and any(
        match.get("left") == {"meta": {"key": "iifname"}}
        and str(match.get("right", "")).startswith(OURS)
        for match in matches
    )


def render_allow(chain: Chain) -> str:
    """The two commands that let our uplinks through a chain, both ways."""
    rule = f"nft insert rule {chain.family} {chain.table} {chain.name}"
    return f"{rule} iifname '\"{OURS}*\"' accept\n{rule} oifname '\"{OURS}*\"' accept"


def _route_finding() -> Support:
    table = Path("/proc/net/route")
    foreign = find_foreign_routes(parse_routes(table.read_text() if table.is_file() else ""))
    names = ", ".join(f"{route.network} by {route.interface}" for route in foreign)
    return Support(
        what="addresses",
        found=not foreign,
        detail=f"{UPLINK_NETWORK} is used: {names}" if names else f"{UPLINK_NETWORK} is free",
        without="a testbed takes another part of the range, or hides a part of that network",
        fix="nothing to do unless that network cannot be reached",
        required=False,
    )


def parse_routes(text: str) -> list[Route]:
    """/proc/net/route: addresses are hexadecimal in the machine's (little-endian) byte order."""
    routes = []
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) >= 8:
            network, mask = (_little_endian(words[column]) for column in (1, 7))
            routes.append(Route(network=IPv4Network(f"{network}/{mask}"), interface=words[0]))
    return routes


def _little_endian(digits: str) -> IPv4Address:
    return IPv4Address(bytes.fromhex(digits)[::-1])


def find_foreign_routes(routes: list[Route]) -> list[Route]:
    """Routes of others that share addresses with our uplinks; wide ones hide behind ours."""
    return [
        route
        for route in routes
        if route.network.prefixlen >= WIDE
        and route.network.overlaps(UPLINK_NETWORK)
        and not route.interface.startswith(OURS)
    ]
