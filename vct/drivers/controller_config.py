"""What the controller's container is told, as text: LXC's configuration and its own settings. Pure.

The LXC configuration is as a node's (vct.drivers.container_config): it opens with the thing that it
was rendered from. The settings are `vct.controller.config`'s; a test compares the two.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

from vct.drivers import lxc_config
from vct.drivers.container_config import cgroup_of, ending_group
from vct.drivers.layers import Layers
from vct.names import CONTROLLER, CONTROLLER_IPV4
from vct.paths import NAMESPACES, TestbedPaths
from vct.plan.things import Controller

HEADER = "# vct controller: "
DATA = "/var/lib/vct-controller"  # in the image: owner and static files are there
AGENT_POLL_S = 10  # of nodes that live on the same host, a question costs nothing


def layers_of(thing: Controller, paths: TestbedPaths) -> Layers:
    """The image below, the writable layer on the controller's disk above."""
    return Layers(image=Path(thing.root), place=paths.controller.root)


def render_config(thing: Controller, paths: TestbedPaths, *, cgroup2: bool) -> str:
    """The LXC configuration. `cgroup2`: the host has the unified hierarchy only."""
    place = paths.controller
    identity = asdict(replace(thing, running=True, intact=True, at_home=True))
    lines = [
        f"{HEADER}{json.dumps(identity)}",
        f"lxc.uts.name = {thing.hostname}",
        f"lxc.arch = {lxc_config.ARCHITECTURES[thing.arch]}",
        *lxc_config.root_lines(layers_of(thing, paths).root, lxc_config.INIT),
        f"lxc.namespace.share.net = {NAMESPACES / thing.namespace}",
        *lxc_config.log_lines(place.console_log, place.monitor_log),
        *lxc_config.SYSTEM,
        f"lxc.mount.entry = {place.settings} etc/vct/controller none bind,ro,create=dir 0 0",
        *lxc_config.group_lines(
            cgroup_of(paths.name, CONTROLLER),
            ending_group(paths.name),
            cgroup2=cgroup2,
            memory_mib=thing.memory_mib,
        ),
    ]
    return "\n".join(lines) + "\n"


def parse_config(text: str) -> Controller:
    """The thing that a file was rendered from; one that matches nothing when it does not say."""
    first, _, _ = text.partition("\n")
    try:
        fields = json.loads(first.removeprefix(HEADER))
        return Controller(**{**fields, "hosts": tuple(fields["hosts"])})
    except (ValueError, TypeError, KeyError):
        return Controller(
            namespace="",
            hostname="",
            image="",
            root="",
            arch="",
            memory_mib=0,
            disk_mib=0,
            hosts=(),
            intact=False,
        )


def render_settings(thing: Controller, testbed: str, secret: str) -> str:
    """The controller's settings file."""
    told = {
        "secret_key": secret,
        "data": DATA,
        "hosts": list(thing.hosts),
        "testbed": testbed,
        "tls": True,
        "mgmt_backend": thing.management,
        "tinc_address": str(CONTROLLER_IPV4),
        "agent_poll_s": AGENT_POLL_S,
    }
    return json.dumps(told, indent=2) + "\n"
