"""LXC configuration of a node, as text: rendered from a Container, and read back into one.

Pure. The file is self-contained (see vct.drivers.lxc_config) and opens with the thing it was
rendered from, so that reading it back needs no second source; a file that is not to the letter
what would be written for that thing is not intact, and is never started from.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

from vct import names
from vct.drivers import lxc_config
from vct.drivers.layers import Layers, fall_back, persist_on
from vct.paths import NAMESPACES, NodePaths, TestbedPaths
from vct.plan.things import Container

HEADER = "# vct node: "


def layers_of(thing: Container, paths: TestbedPaths) -> Layers:
    """The image below, the system's writable layer on the node's disk above."""
    return Layers(
        image=Path(thing.root),
        place=paths.node(thing.node).root,
        system=thing.system,
        kept=(thing.system,),
        trial=bool(thing.fallback),
    )


def cgroup_of(testbed: str, node: str) -> str:
    """The node's control group, below every hierarchy's root. The monitor has its own."""
    return f"vct/{testbed}/{node}"


def ending_group(testbed: str) -> str:
    """Where monitors go to end; LXC wants it apart from the groups that it then removes."""
    return f"{names.fabric_namespace(testbed)}.ending"


def render_config(thing: Container, paths: TestbedPaths, *, cgroup2: bool) -> str:
    """The configuration file of a node. `cgroup2`: the host has the unified hierarchy only."""
    node = paths.node(thing.node)
    identity = asdict(replace(thing, running=True, intact=True, at_home=True))
    layers = layers_of(thing, paths)
    lines = [
        f"{HEADER}{json.dumps(identity)}",
        f"lxc.uts.name = {thing.hostname}",
        f"lxc.arch = {lxc_config.ARCHITECTURES[thing.arch]}",
        *lxc_config.root_lines(layers.root, lxc_config.INIT),
        *_fall_back_lines(thing, layers, node),
        f"lxc.namespace.share.net = {NAMESPACES / thing.namespace}",
        *lxc_config.log_lines(node.console_log, node.monitor_log),
        *lxc_config.SYSTEM,
        f"lxc.mount.entry = {node.node_config} etc/vct/node none bind,ro,create=dir 0 0",
        f"lxc.mount.entry = {persist_on(node.disk)} persist none bind,optional,create=dir 0 0",
        *lxc_config.group_lines(
            cgroup_of(paths.name, thing.node),
            ending_group(paths.name),
            cgroup2=cgroup2,
            memory_mib=thing.memory_mib,
        ),
    ]
    return "\n".join(lines) + "\n"


def _fall_back_lines(thing: Container, layers: Layers, node: NodePaths) -> list[str]:
    """What a trial has more than other systems."""
    if not thing.fallback:
        return []
    number, _, root = thing.fallback.partition(":")
    command = fall_back(layers, Path(root), int(number), node.systems)
    return [f"lxc.hook.pre-start = {command}"]


def parse_config(text: str, node: str) -> Container:
    """The thing that a file was rendered from; one that matches nothing when it does not say."""
    first, _, _ = text.partition("\n")
    try:
        return Container(**json.loads(first.removeprefix(HEADER)))
    except (ValueError, TypeError):
        return Container(
            node=node,
            namespace="",
            hostname="",
            image="",
            root="",
            arch="",
            memory_mib=0,
            intact=False,
        )
