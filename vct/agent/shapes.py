"""The documents that a node publishes: the original's members, all of them, in its words. Pure.

`tree` makes everything out of the orders and what the node sees; `NODE`, `SLIVER` and the like are
the members in their order, which the tests hold against the reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from vct.agent.decide import RESERVED_DISK_MIB, RESERVED_MEMORY_PERCENT, offered, public_ipv4
from vct.agent.kept import Kept
from vct.agent.orders import Orders, SliverOrders
from vct.agent.problems import Problem, entries
from vct.agent.publish import Document, Links, Tree
from vct.agent.seen import Seen
from vct.wire.firmware import NodeConfig
from vct.wire.limits import RESOURCES, MgmtBackend
from vct.wire.relations import Dialect, Function, Resource
from vct.wire.states import NodeState, SliverState
from vct.wire.tinc import host_name

BASE_PATH = "/confine/api"
SLIVER_STATE = str(SliverState.REGISTERED)  # of every one, until there is a machine for them
Json = dict[str, Any]

SLIVER_COPIED = ("description", "properties", "instance_sn", "data_uri", "data_sha256")
TEMPLATE_COPIED = (
    *("name", "description", "type", "node_archs"),
    *("is_active", "image_uri", "image_sha256"),
)
INTERFACE = ("nr", "name", "type", "parent_name", "vlan_tag", "mac_addr", "ipv4_addr", "ipv6_addr")


@dataclass(frozen=True)
class Told:
    """All that a node can say in one cycle. `config` is None while its firmware cannot be read."""

    config: NodeConfig | None
    orders: Orders | None
    seen: Seen
    kept: Kept
    problems: tuple[Problem, ...] = ()
    message: str = ""

    @property
    def base(self) -> str:
        """The node's own: its management address, lower case throughout."""
        address = self.config.mgmt_net.addr if self.config else "::1"
        return f"https://[{IPv6Address(address)}]{BASE_PATH}"

    @property
    def link_base(self) -> str:
        return self.config.registry.link_base if self.config else "http://confine-project.eu/rel/"

    def rel(self, word: str) -> str:
        return f"{self.link_base}{Dialect.NODE}/{word}"


def tree(told: Told) -> Tree:
    """What is published from now on. Slivers and templates are there in production only."""
    documents = {"/": base(told), "/node/": node(told)}
    slivers = told.orders.slivers if told.orders else {}
    if told.kept.state == NodeState.PRODUCTION:
        documents |= _of_slivers(told, slivers)
        hidden = {}
    else:
        hidden = {f"/slivers/{pk}/": SLIVER_STATE for pk in slivers}
    registry = told.config.registry.base_uri if told.config else ""
    return Tree(documents, told.kept.state, told.base, registry, hidden)


def base(told: Told) -> Document:
    """`/`: the testbed's parameters, and where everything is."""
    testbed = told.config.testbed if told.config else None
    registry_base = (told.orders.base if told.orders else None) or {}
    body = {
        "uri": f"{told.base}/",
        "confine_params": {
            "debug_ipv6_prefix": testbed.debug_ipv6_prefix if testbed else None,
            "priv_ipv6_prefix": testbed.priv_ipv6_prefix if testbed else None,
        },
        "testbed_params": {"mgmt_ipv6_prefix": testbed.mgmt_ipv6_prefix if testbed else None},
        "testbed_resources": registry_base.get("testbed_resources", []),
    }
    links = (
        (told.rel(Resource.BASE), f"{told.base}/"),
        (told.rel(Resource.NODE), f"{told.base}/node/"),
        (told.rel(f"{Resource.SLIVER}-list"), f"{told.base}/slivers/"),
        (told.rel(f"{Resource.TEMPLATE}-list"), f"{told.base}/templates/"),
    )
    return Document(body, links)


def node(told: Told) -> Document:
    """`/node/`."""
    config, seen, wanted = told.config, told.seen, told.orders.node if told.orders else {}
    slivers = told.orders.slivers if told.orders else {}
    body = {
        "uri": f"{told.base}/node/",
        "id": config.node.id if config else None,
        "name": wanted.get("name", config.node.name if config else None),
        "description": wanted.get("description", ""),
        "properties": {**seen.properties, **_object(wanted.get("properties"))},
        "cn": wanted.get("cn"),
        "island": wanted.get("island"),
        "api": {"type": "node", "base_uri": f"{told.base}/", "cert": seen.cert or None},
        "arch": seen.arch,
        "addrs": addresses(config, seen),
        "mgmt_net": _mgmt_net(config),
        "tinc": _tinc(config, seen),
        "direct_ifaces": list(told.kept.direct_ifaces),
        "group": wanted.get("group"),
        "boot_sn": told.kept.boot_sn or 0,
        "set_state": wanted.get("set_state"),
        "state": told.kept.state,
        "soft_version": seen.soft_version,
        "slivers": [
            {"uri": f"{told.base}/slivers/{pk}/", "id": one.sliver.get("id")}
            for pk, one in sorted(slivers.items())
        ],
        "resources": _resources(told),
        "message": told.message,
        "errors": entries(told.problems),
    }
    links = (
        (told.rel(Resource.BASE), f"{told.base}/"),
        (told.rel(Function.REFRESH), f"{told.base}/node/{Function.REFRESH.path}"),
        *(_of_registry(told, told.orders.links, told.orders.source) if told.orders else ()),
    )
    return Document(body, links)


def _of_registry(told: Told, links: Links, source: object) -> Links:
    """The relations of the registry's own copy, and where that is."""
    fit = isinstance(source, str) and source.isascii() and source.isprintable()
    fit = fit and not set(str(source)) & set(',<>"')
    return (*links, *(((told.rel("source"), str(source)),) if fit else ()))


def _mgmt_net(config: NodeConfig | None) -> Json | None:
    if config is None:
        return None
    return {"addr": config.mgmt_net.addr, "backend": str(config.mgmt_net.backend)}


def _tinc(config: NodeConfig | None, seen: Seen) -> Json | None:
    if config is None or config.mgmt_net.backend != MgmtBackend.TINC or not seen.tinc_key:
        return None
    return {"name": host_name("node", config.node.id), "pubkey": seen.tinc_key, "addresses": []}


def _resources(told: Told) -> list[Json]:
    if told.config is None:
        return []
    limits = told.kept.limits or offered(told.config)
    left = {
        "disk": max(0, told.seen.disk_free_mib - RESERVED_DISK_MIB),
        "memory": told.seen.memory_mib * (100 - RESERVED_MEMORY_PERCENT) // 100,
        "pub_ipv4": public_ipv4(told.config),
        "pub_ipv6": 0,
    }
    return [
        {
            "name": name,
            "unit": RESOURCES[name].unit,
            "max_req": most,
            "dflt_req": usual,
            "avail": left[name],
        }
        for name, (most, usual) in limits.items()
    ]


# --- addresses -----------------------------------------------------------------------------------


def addresses(config: NodeConfig | None, seen: Seen) -> Json:
    """`addrs`: what the node has of each network, null for what it has not (yet)."""
    if config is None:
        return dict.fromkeys(ADDRESSES)
    local = seen.addresses.get(config.node.local_iface, ())
    every = [one for found in seen.addresses.values() for one in found]
    private, debug = config.testbed.priv_ipv6_prefix, config.testbed.debug_ipv6_prefix
    rescue = IPv6Network(private).network_address
    recovery = str(rescue + (1 << 64) + 2)
    # one private /24 is the same on all nodes: .126 is the node for its slivers, .130 for rescue
    priv24 = config.node.priv_ipv4_prefix.partition("/")[0].rpartition(".")[0]
    unique = IPv6Network((rescue + (2 << 64), 64))
    known = (private, config.testbed.mgmt_ipv6_prefix, debug, "fe80::/10")
    return {
        "mgmt": config.mgmt_net.addr,
        "mgmt_host": None,
        "local_mac": seen.macs.get(config.node.local_iface) or None,
        "debug": _first(one for one in every if _within(one, debug)),
        "internal_ipv4": _first(one for one in every if one == f"{priv24}.126"),
        "internal_ipv6": _first(one for one in every if one == str(rescue + 1)),
        "recovery_ipv4": _first(one for one in every if one == f"{priv24}.130"),
        "recovery_ipv6": _first(one for one in every if one == recovery),
        "recovery_unique": _first(one for one in local if _within(one, str(unique))),
        "local_ipv4": _first(one for one in local if ":" not in one),
        "local_ipv6": _first(
            one for one in local if ":" in one and not any(_within(one, net) for net in known)
        ),
    }


ADDRESSES = (
    *("mgmt", "mgmt_host", "local_mac", "debug", "internal_ipv4", "internal_ipv6"),
    *("recovery_ipv4", "recovery_ipv6", "recovery_unique", "local_ipv4", "local_ipv6"),
)


def _within(address: str, network: str) -> bool:
    return ":" in address and IPv6Address(address) in IPv6Network(network)


def _first(found: Iterable[str]) -> str | None:
    return next(iter(found), None)


# --- slivers and templates -----------------------------------------------------------------------


def _of_slivers(told: Told, slivers: Mapping[int, SliverOrders]) -> dict[str, Document]:
    own = [sliver(told, one) for _, one in sorted(slivers.items())]
    used = {one.template_pk: one for one in slivers.values() if one.template and one.template_pk}
    templates = [template(told, one) for _, one in sorted(used.items())]
    link = ((told.rel(Resource.BASE), f"{told.base}/"),)
    short = ("uri", "id", "node", "slice", "state", "set_state")
    listed = [{name: one.body[name] for name in short} for one in own]
    found = {
        "/slivers/": Document(listed, link),
        "/templates/": Document([one.body for one in templates], link),
    }
    for one in own + templates:
        found[one.body["uri"].removeprefix(told.base)] = one
    return found


@dataclass(frozen=True)
class _Object(Document):
    """A document that is an object, not a list."""

    body: Json


def sliver(told: Told, one: SliverOrders) -> _Object:
    """`/slivers/12/`. Until there is a machine for slivers they are registered, no more."""
    given = one.sliver
    body = {
        "uri": f"{told.base}/slivers/{one.pk}/",
        "id": given.get("id"),
        "node": {
            "uri": f"{told.base}/node/",
            "id": told.config.node.id if told.config else None,
        },
        "slice": _reference(given.get("slice"), one.slice_),
        "state": SLIVER_STATE,
        "set_state": one.set_state,
        **{name: given.get(name) for name in SLIVER_COPIED},
        "template": _template_reference(told, one),
        "mgmt_net": given.get("mgmt_net"),
        "interfaces": [
            {name: interface.get(name) for name in INTERFACE}
            for interface in _objects(given.get("interfaces"))
        ],
        "resources": [
            {**{name: each.get(name) for name in ("name", "unit", "req")}, "alloc": None}
            for each in _objects(given.get("resources"))
        ],
        "nr": None,
        "errors": entries(one.problems),
    }
    links = (
        (told.rel(Resource.BASE), f"{told.base}/"),
        (told.rel(f"{Resource.SLIVER}-list"), f"{told.base}/slivers/"),
        *_of_registry(told, one.links, given.get("uri")),
    )
    return _Object(body, links)


def template(told: Told, one: SliverOrders) -> _Object:
    """`/templates/3/`: only those that slivers of this node use."""
    given = one.template or {}
    body = {
        "uri": f"{told.base}/templates/{one.template_pk}/",
        "id": given.get("id"),
        **{name: given.get(name) for name in TEMPLATE_COPIED},
    }
    links = (
        (told.rel(Resource.BASE), f"{told.base}/"),
        (told.rel(f"{Resource.TEMPLATE}-list"), f"{told.base}/templates/"),
        *_of_registry(told, one.template_links, given.get("uri")),
    )
    return _Object(body, links)


def _reference(given: object, had: Json | None) -> Json | None:
    uri = _object(given).get("uri")
    return {"uri": uri, "id": (had or _object(given)).get("id")} if uri else None


def _template_reference(told: Told, one: SliverOrders) -> Json | None:
    if one.template is None:
        return None
    uri = f"{told.base}/templates/{one.template_pk}/"
    return {"uri": uri, "id": one.template.get("id")}


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
