"""Who connects to whom in the tinc mesh, and whose host files that takes. Pure.

tincd lets more than ten connections in a moment wait for seconds, but makes any number of them at
once: so the server connects to every host that has an address. A host without one, or with a
gateway chosen for it, connects to that gateway; both ends of a connection need the other's key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Network

from vct.wire.tinc import SERVER, Address, HostFile, render_host


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A tinc host as the registry knows it. Islands are ids; `connect_to` is a name or empty."""

    name: str
    pubkey: str
    subnet: IPv6Network
    addresses: tuple[tuple[Address, int | None], ...] = ()  # each with the island that it serves
    island: int | None = None
    connect_to: str = ""


Members = Mapping[str, Member]  # by name


def gateway_of(member: Member, members: Members) -> str:
    """The name of the host that it connects to; empty when it waits to be connected to.

    The one chosen for it, else one whose address serves its island, else the server.
    """
    chosen = _chosen(member, members)
    if chosen and not _is_in_a_ring(member, members):
        return chosen.name
    if member.addresses or member.name == SERVER:
        return ""
    for other in members.values():
        islands = {island for _, island in other.addresses}
        if member.island is not None and member.island in islands and other.name != member.name:
            return other.name
    return SERVER


def _chosen(member: Member, members: Members) -> Member | None:
    """Everybody's gateway is the server, so choosing that one is choosing none."""
    other = members.get(member.connect_to)
    return other if other and other.addresses and other.name not in (member.name, SERVER) else None


def _is_in_a_ring(member: Member, members: Members) -> bool:
    """Gateways of each other would be connected to nobody else."""
    passed: set[str] = set()
    on = _chosen(member, members)
    while on and on.name not in passed:
        passed.add(on.name)
        on = _chosen(on, members)
    return member.name in passed


def server_connects_to(members: Members) -> list[str]:
    """The names in the server's tinc.conf."""
    return sorted(
        member.name
        for member in members.values()
        if member.name != SERVER and not gateway_of(member, members)
    )


def peers_of(member: Member, members: Members) -> list[str]:
    """Whose host files it needs beside its own: its gateway's, the server's, its clients'."""
    wanted = {SERVER, gateway_of(member, members)}
    wanted |= {one.name for one in members.values() if gateway_of(one, members) == member.name}
    return sorted(wanted & members.keys() - {member.name})


def host_file(member: Member) -> str:
    """Its host file. Raises ValueError for a key that tinc does not take."""
    return render_host(
        HostFile(
            pubkey=member.pubkey,
            subnets=(member.subnet,),
            addresses=tuple(address for address, _ in member.addresses),
        )
    )
