"""Nodes as LXC containers: their configuration files, and how they differ from what is wanted.

How a container is verified, started and stopped is in vct.drivers.guest.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from vct import names
from vct.drivers import guest, netns
from vct.drivers.container_config import (
    cgroup_of,
    ending_group,
    layers_of,
    parse_config,
    render_config,
)
from vct.drivers.files import node_directories
from vct.drivers.firmware_files import choose_boot
from vct.drivers.guest import LIVE_STATES, Guest, hierarchies, remove_groups
from vct.drivers.layers import Layers
from vct.drivers.lxc_config import uses_cgroup2
from vct.drivers.node_systems import load_systems
from vct.drivers.textfiles import read, write
from vct.paths import TestbedPaths
from vct.plan.things import Container


class ContainerDriver:
    """Starts, stops and observes nodes' containers."""

    kind = Container
    workers = 4

    def __init__(self, paths: TestbedPaths) -> None:
        self._paths = paths
        self._cgroup2 = uses_cgroup2()

    def observe(self) -> list[Container]:
        seen = []
        for node in self._candidates():
            config = self._paths.node(node).config
            state, pid = self.state(node)
            if config.exists() or state in LIVE_STATES:
                seen.append(self._seen(node, state, pid))
        return seen

    def _candidates(self) -> list[str]:
        """Nodes that have a directory, and those whose directory was removed while they ran."""
        group = cgroup_of(self._paths.name, "")
        groups = {path.name for top in hierarchies() for path in (top / group).glob("*/")}
        found = {name for name in groups if names.NODE_ID.fullmatch(name)}
        return sorted(found.union(node_directories(self._paths)))

    def _seen(self, node: str, state: str, pid: int) -> Container:
        text = read(self._paths.node(node).config)
        thing = parse_config(text, node)
        intact = thing.intact and text == self._render(thing)
        return replace(
            thing,
            running=state == "RUNNING",
            intact=intact,
            at_home=state != "RUNNING" or self._at_home(thing, pid),
        )

    def _at_home(self, thing: Container, pid: int) -> bool:
        here = netns.inode_of(pid)
        return bool(here and thing.namespace) and here == netns.namespace_inode(thing.namespace)

    def state(self, node: str) -> tuple[str, int]:
        """LXC's word for a node's state, and its init's pid in our numbering (or -1)."""
        return guest.state_of(self._paths.nodes, node)

    def claim(self, thing: Container) -> None:
        pass  # inside the testbed's directory, which carries our mark

    def create(self, thing: Container) -> None:
        if guest.disk_in_use(self._guest(thing.node)):
            self.stop(thing.node, kill=True)  # a start that outlived the vct that asked for it
        guest.discard_remains(self._guest(thing.node))
        self.configure(thing)
        if thing.running:
            self.start(thing)

    def configure(self, thing: Container) -> None:
        """Write what the next start is of."""
        paths = self._paths.node(thing.node)
        choose_boot(paths, thing.boot, Path(thing.root))
        write(paths.config, self._render(thing), mode=0o640)

    def change(self, was: Container, thing: Container) -> None:
        """Stop the node, write its configuration and start it again."""
        self.stop(thing.node)
        self.create(thing)

    def delete(self, thing: Container) -> None:
        """Stop the node and forget its configuration; its files stay."""
        self.stop(thing.node)
        paths = self._paths.node(thing.node)
        for file in (paths.config, paths.console_log, paths.monitor_log):
            file.unlink(missing_ok=True)
        guest.discard_remains(self._guest(thing.node))
        discard_parents(self._paths)

    # --- start and stop --------------------------------------------------------------------------

    def start(self, thing: Container) -> None:
        """Start from the configuration on disk. Raises RefusedError if that lost its root."""
        kept = load_systems(self._paths.node(thing.node)).kept
        layers = layers_of(thing, self._paths)
        layers = replace(layers, kept=tuple(sorted({*kept, thing.system})))
        guest.start(self._guest(thing.node, layers), self._render(thing))

    def stop(self, node: str, *, kill: bool = False) -> None:
        """Halt a node, or kill it after a deadline; returns when its disk is released."""
        guest.stop(self._guest(node), kill=kill)

    def _guest(self, node: str, layers: Layers | None = None) -> Guest:
        """A node as a container. To stop it, its disk is all that matters of its layers."""
        place = self._paths.node(node).root
        return Guest(
            called=f"node {node}",
            name=node,
            lxc_path=self._paths.nodes,
            layers=layers or Layers(image=place, place=place),
            group=cgroup_of(self._paths.name, node),
            again="vct init",
        )

    def _render(self, thing: Container) -> str:
        if thing.arch not in ("amd64", "i386"):
            return ""
        return render_config(thing, self._paths, cgroup2=self._cgroup2)


def locks_of(paths: TestbedPaths) -> Path:
    """Where LXC keeps a lock file for each node that it was ever asked about."""
    return guest.locks_below(paths.nodes)


def discard_parents(paths: TestbedPaths) -> None:
    """Remove the directories around removed nodes that no other node uses."""
    guest.discard_parents(cgroup_of(paths.name, ""), ending_group(paths.name), paths.nodes)


def discard_all_remains(paths: TestbedPaths) -> None:
    """Remove what is left of the containers of a testbed that has none any more: control groups
    of killed monitors, LXC's lock files."""
    for hierarchy in hierarchies():
        with suppress(OSError):  # processes are in it: it is not ours to end them here
            remove_groups(hierarchy / cgroup_of(paths.name, ""))
    for directory in (locks_of(paths), guest.locks_below(paths.root)):
        for file in directory.glob(".*"):
            file.unlink()
    discard_parents(paths)


def attach_command(paths: TestbedPaths, node: str, command: list[str]) -> list[str]:
    """The argv that runs a command inside a running node."""
    return guest.attach_command(paths.nodes, node, command)
