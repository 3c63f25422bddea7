"""`vct node create`: one node of the testbed made complete, from its disk to its state.

The parts are those of `vct init`, for one node; each looks first, so that a second time nothing is
done. Called by the command line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vct.apply.loop import Progress, quiet
from vct.errors import RefusedError
from vct.paths import Home, TestbedPaths
from vct.verbs import controller, membership, nodes
from vct.verbs.nodes import Done
from vct.verbs.record import require_applied


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """What the controller was told, and the state that the node is in; empty: it stays out."""

    told: tuple[str, ...]
    state: str


def start(
    home: Home, paths: TestbedPaths, node: str, progress: Progress = quiet, *, renew: bool = False
) -> Done:
    """Make and start what is missing of a node. Raises UsageError for one that the testbed has
    not, RefusedError when keys are to be renewed that nobody asks for."""
    if renew and require_applied(paths).testbed.controller is None:
        raise RefusedError(
            f"node {node} has no keys: testbed {paths.name} has no controller",
            hint="write controller: {} in its file, then: vct init FILE",
        )
    return nodes.start_nodes(home, paths, node, progress)


def wait(
    home: Home,
    paths: TestbedPaths,
    node: str,
    timeout_s: float,
    on_ready: Callable[[str], None] = lambda _node: None,
) -> None:
    """Wait until its ssh server answers."""
    nodes.wait_nodes(home, paths, [node], timeout_s, on_ready)


def join(
    home: Home,
    paths: TestbedPaths,
    node: str,
    timeout_s: float,
    on_change: Callable[[str], None] = lambda _words: None,
    *,
    renew: bool = False,
) -> Joined | None:
    """Register and enrol it, and wait until it is what it is told to be; None: there is no
    controller."""
    applied = require_applied(paths)
    if applied.testbed.controller is None:
        return None
    controller.wait_ready(paths, timeout_s)
    found = controller.register(
        home, paths, on_change, nodes=frozenset([node]), renew=frozenset([node] * renew)
    )
    states = membership.wait_members(paths, applied.testbed, found, timeout_s)
    return Joined(told=found.told, state=states.get(node, ""))
