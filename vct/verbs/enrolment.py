"""Nodes become CONFINE's: each gets its firmware from the testbed's controller, and wakes up to it.

Wanted, seen, differences, done, as the registration before it; a second time there is nothing to
do. Private keys are made in the node's own files and stay there (vct.drivers.node_keys). Orders
are people's: only a node that the controller never knew goes to production by itself, once.
Called by vct.verbs.controller after the registration, when nodes and controller are up.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vct import names
from vct.drivers.container_config import parse_config
from vct.drivers.controller_api import Api, ControllerError
from vct.drivers.firmware_files import (
    choose_boot,
    has_agent,
    install,
    leave_mesh,
    reread_inittab,
    restart_services,
)
from vct.drivers.node_keys import PublicKeys, Wish, ensure_keys, forget_keys
from vct.drivers.textfiles import read
from vct.errors import RefusedError, VctError
from vct.model.testbed import Node, Testbed
from vct.paths import Confine, Home, TestbedPaths
from vct.verbs.registration import MACHINES, Registry
from vct.wire import firmware, tinc
from vct.wire.limits import TINC_PORT, MgmtBackend
from vct.wire.relations import Function
from vct.wire.states import NodeSetState

WORKERS = 4
CERTIFICATE_OLD_S = 3 * 365 * 86_400  # it is signed for four years; see vct.controller.pki
REPLACED = "the controller has another {} of it"

Json = Mapping[str, Any]
Rows = Mapping[str, Json]
Due = tuple[Node, str]  # with the reason
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Whose nodes, and which controller."""

    home: Home
    paths: TestbedPaths
    testbed: Testbed
    api: Api


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """What was told, in words, and of which nodes; the set states of all; nodes that cannot be
    enrolled, and why."""

    told: tuple[str, ...]
    changed: frozenset[str]
    orders: Mapping[str, str]
    left_out: Mapping[str, str]


def enrol(
    place: Place,
    registry: Registry,
    nodes: Sequence[Node],
    *,
    renew: Collection[str] = (),
    on_change: Say = lambda _words: None,
) -> Enrolled:
    """Bring these nodes' firmware, and what the registry knows of them, to what they should be.

    `registry` has all nodes of the testbed. Nodes in `renew` get new keys. Raises VctError for the
    first node for which the controller refused.
    """
    rows = {f"{int(row['id']):04x}": row for row in registry.nodes}
    told = _forget_removed(place, rows, on_change)
    left_out = {node.id: why for node in nodes if (why := _unfit(place, node))}
    fit = [node for node in nodes if node.id not in left_out]
    todo = [(node, why) for node in fit if (why := _due(place, node, rows, renew))]
    _mark_new(place, rows, todo, renew)
    stages = _stages(place, fit, todo)
    keys = _keys(place, {node.id: node for stage in stages for node, _ in stage}, on_change)
    may = {group["uri"]: bool(group["allow_nodes"]) for group in registry.groups}
    orders = {node.id: str(rows[node.id]["set_state"]) for node in nodes}

    def one(item: Due) -> str:
        node, why = item
        on_change(f"enrol node {node.id}: {why}")
        row = {**rows[node.id], "set_state": orders[node.id]}
        production = may.get(row["group"]["uri"], False)
        orders[node.id] = _enrol_one(place, node, row, keys[node.id], production=production)
        return f"enrol node {node.id}: {why}"

    pool = ThreadPoolExecutor(max_workers=WORKERS)
    try:
        for stage in stages:
            told += pool.map(one, stage)
    finally:  # after an error, or Ctrl-C, no other node is begun
        pool.shutdown(cancel_futures=True)
    changed = frozenset(node.id for stage in stages for node, _ in stage)
    return Enrolled(told=tuple(told), changed=changed, orders=orders, left_out=left_out)


def _due(place: Place, node: Node, rows: Rows, renew: Collection[str]) -> str:
    return "new keys were asked for" if node.id in renew else _reason(place, node, rows)


def _mark_new(place: Place, rows: Rows, todo: Sequence[Due], renew: Collection[str]) -> None:
    """Before anything is told: keys that nobody wants are gone, and nodes that the controller never
    knew are known to be new, even to the next vct if this one is killed."""
    for node, _ in todo:
        paths, row = place.paths.node(node.id), rows[node.id]
        if node.id in renew:
            forget_keys(paths.confine)
        if row["set_state"] == NodeSetState.DEBUG and not _is_known(row):
            paths.new.touch()


def _stages(place: Place, nodes: Sequence[Node], todo: Sequence[Due]) -> list[list[Due]]:
    """Nodes that have a gateway after the gateways, whose keys they need; then the gateways (once
    more), as these need those nodes' keys, and those that are none any more."""
    behind = [item for item in todo if item[0].gateway]
    first = [item for item in todo if not item[0].gateway]
    gateways = {node.gateway: "nodes are behind it" for node, _ in behind}
    due = {node.id for node, _ in todo}
    last = [
        (node, why)
        for node in nodes
        if (why := gateways.get(node.id) or (node.id not in due and _gateway_reason(place, node)))
    ]
    return [first, behind, last]


def _keys(place: Place, nodes: Mapping[str, Node], on_change: Say) -> dict[str, PublicKeys]:
    wishes = [
        Wish(
            files=place.paths.node(node.id).confine,
            address=str(names.management_ipv6(node.id)),
            tinc=_in_mesh(place.testbed),
        )
        for node in nodes.values()
    ]
    made = ensure_keys(
        wishes, place.home.key_pool, lambda count: on_change(f"make tinc keys: {count} done")
    )
    return dict(zip(nodes, made, strict=True))


def _in_mesh(testbed: Testbed) -> bool:
    return testbed.management.backend == MgmtBackend.TINC


# --- what differs --------------------------------------------------------------------------------


def _unfit(place: Place, node: Node) -> str:
    """Why a node cannot be enrolled; empty when it can."""
    root = Path(parse_config(read(place.paths.node(node.id).config), node.id).root)
    if has_agent(root, node.boot):
        return ""
    return f"its image {node.image} has no node agent: vct build {node.image}; vct init"


def _reason(place: Place, node: Node, rows: Rows) -> str:
    """Why a node must be enrolled (again); empty when all is as it should be."""
    files, row = place.paths.node(node.id).confine, rows[node.id]
    if not files.config.exists():
        return "it has no firmware"
    try:
        config = firmware.parse(read(files.config))
    except ValueError as error:
        return f"its firmware is damaged: {error}"
    if place.paths.node(node.id).new.exists():
        return "its enrolment was interrupted"
    if not _is_known(row):
        return "the controller does not know its keys"
    if row["api"]["cert"].strip() != read(files.api_cert).strip() or not files.api_key.exists():
        return REPLACED.format("certificate")
    if time.time() - files.api_cert.stat().st_mtime > CERTIFICATE_OLD_S:
        return "its certificate is old"
    said = (config.node.name, config.node.arch, str(config.mgmt_net.backend))
    if said != (row["name"], MACHINES[node.arch], place.testbed.management.backend):
        return "its firmware is out of date"
    return _mesh_reason(place, node, row) if _in_mesh(place.testbed) else ""


def _is_known(row: Json) -> bool:
    """Whether the controller has the keys of a node; a native one has none of tinc's."""
    native = row["mgmt_net"]["backend"] == MgmtBackend.NATIVE
    return bool(row["api"] and row["api"]["cert"] and (row["tinc"] or native))


def _mesh_reason(place: Place, node: Node, row: Json) -> str:
    files = place.paths.node(node.id).confine
    if not files.tinc_key.exists():
        return "its tinc key is gone"
    if _key(row["tinc"]["pubkey"]) != _key(read(files.tinc_public)):
        return REPLACED.format("tinc key")
    reached = {(one["addr"], one["port"]) for one in row["tinc"]["addresses"]}
    if not reached.issuperset((one["addr"], one["port"]) for one in addresses(node)):
        return REPLACED.format("address")
    try:
        conf = tinc.parse_conf(read(files.tinc / "tinc.conf"))
    except ValueError as error:
        return f"its firmware is damaged: {error}"
    if node.gateway and names.tinc_name(node.gateway) not in conf.connect_to:
        return f"its gateway is {node.gateway}"
    if not node.gateway and any(one.startswith("node_") for one in conf.connect_to):
        return "it has no gateway any more"
    return ""


def _gateway_reason(place: Place, node: Node) -> str:
    """A gateway has the host files of the nodes behind it, other nodes have none but their own and
    their gateway's."""
    files = place.paths.node(node.id).confine
    behind = [one.id for one in place.testbed.nodes if one.gateway == node.id]
    for one in behind:
        if not _has_key_of(place, one, files):
            return f"node {one} is behind it"
    have = {path.name for path in (files.tinc / "hosts").glob("node_*")}
    near = (node.id, *behind, *([node.gateway] if node.gateway else []))
    gone = have - {names.tinc_name(one) for one in near}
    return f"{min(gone)} is not behind it any more" if gone else ""


def _has_key_of(place: Place, node: str, files: Confine) -> bool:
    theirs = _key(read(place.paths.node(node).confine.tinc_public))
    try:
        return tinc.parse_host(read(files.tinc_host(names.tinc_name(node)))).pubkey == theirs
    except ValueError:
        return False


def _key(pem: str) -> str:
    try:
        return tinc.canonical_key(pem)
    except ValueError:
        return ""


def addresses(node: Node) -> list[dict[str, Any]]:
    """Where others reach a node's tincd."""
    return [{"addr": str(names.local_ipv4(node.id)), "port": TINC_PORT}]


# --- one node ------------------------------------------------------------------------------------


def _enrol_one(place: Place, node: Node, row: Json, keys: PublicKeys, *, production: bool) -> str:
    """Tell the controller, write what it answers, wake the node; returns its set state. A node that
    is new goes to `production`, if its group may have such nodes."""
    paths = place.paths.node(node.id)
    # The model's own rule: with its keys known, a node in debug is safe.
    debug = row["set_state"] == NodeSetState.DEBUG
    order = str(NodeSetState.SAFE) if debug else str(row["set_state"])
    body: dict[str, Any] = {
        "tinc_pubkey": keys.tinc,
        "api_csr": keys.request,
        "tinc_addresses": addresses(node) if keys.tinc else [],
        "gateway": names.tinc_name(node.gateway) if node.gateway else "",
        "mgmt_backend": place.testbed.management.backend,
    }
    if paths.new.exists() and production and order == NodeSetState.SAFE:
        # With its keys, before the node's first question, so that this is what it hears.
        body["set_state"] = order = str(NodeSetState.PRODUCTION)
    try:
        answer = place.api.send("POST", f"{row['uri']}{Function.ENROL.path}", body)
    except ControllerError as error:
        raise _refused(node, error) from error
    texts = _texts(node, answer)
    changed = set(install(paths.confine, texts))
    left = not keys.tinc and leave_mesh(paths.confine)
    # A tincd that runs may have the key that the controller knew, whatever its files say.
    if left or (keys.tinc and _key((row["tinc"] or {}).get("pubkey", "")) != _key(keys.tinc)):
        changed.add(firmware.TINC)
    root = Path(parse_config(read(paths.config), node.id).root)
    if choose_boot(paths, node.boot, root):
        reread_inittab(place.paths, node.id)
    elif changed:
        restart_services(place.paths, node.id, frozenset(changed))
    paths.new.unlink(missing_ok=True)
    return order


def _refused(node: Node, error: ControllerError) -> VctError:
    if error.status == 404:
        return RefusedError(
            f"the controller cannot enrol node {node.id}: it is of an older version",
            hint="build it again: vct build controller; vct init",
        )
    if error.status == 409:
        return RefusedError(
            f"the controller refused node {node.id}: {error.message}",
            hint=f"give it keys of its own: vct node create {node.id} --renew-keys",
        )
    return error


def _texts(node: Node, answer: Any) -> dict[str, str]:
    """The files of an answer, by name. Raises VctError for what is no firmware of this node: it
    comes over a network, and becomes files of root's."""
    hint = "look at it: vct controller log"
    try:
        config = json.dumps(answer["config"], indent=1) + "\n"
        number = firmware.parse(config).node.id
        files = {str(name): str(text) for name, text in answer["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise VctError(
            f"the controller's firmware of node {node.id} is damaged: {error}", hint=hint
        ) from None
    strange = sorted(name for name in files if not _is_firmware(name))
    if number != names.node_number(node.id) or strange:
        what = f"has a file {strange[0]!r}" if strange else f"is that of node {number:04x}"
        raise VctError(f"the controller's firmware of node {node.id} {what}", hint=hint)
    return {**files, firmware.CONFIG: config}


def _is_firmware(name: str) -> bool:
    if name.startswith(f"{firmware.TINC_HOSTS}/"):
        with suppress(ValueError):
            return bool(tinc.check_name(name.removeprefix(f"{firmware.TINC_HOSTS}/")))
        return False
    known = {firmware.API_CERT, firmware.REGISTRY_CERT, firmware.TINC_CONF}
    return name in known | firmware.SCRIPTS


# --- nodes that left -----------------------------------------------------------------------------


def _forget_removed(place: Place, rows: Rows, on_change: Say) -> list[str]:
    """Take nodes that left the testbed file out of the mesh: the server would look for them for
    ever. Their records stay, as slivers may belong to them. Nodes elsewhere are not ours."""
    have = {node.id for node in place.testbed.nodes}
    told = []
    for node, row in rows.items():
        reached = {one["addr"] for one in (row["tinc"] or {}).get("addresses", ())}
        if node in have or not names.NODE_ID.fullmatch(node) or not _is_ours(node, reached):
            continue
        told.append(f"take node {node} out of the mesh: it left the testbed, its record stays")
        on_change(told[-1])
        place.api.send("PATCH", row["uri"], {"tinc": None})
    return told


def _is_ours(node: str, reached: Collection[str]) -> bool:
    return str(names.local_ipv4(node)) in reached
