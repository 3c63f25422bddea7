"""Which system each node is to boot: what it was updated to, else what the testbed file names."""

from __future__ import annotations

from vct.drivers.node_systems import Systems, load_systems
from vct.model.testbed import Testbed
from vct.paths import TestbedPaths
from vct.plan.wanted import BuiltImage, NodeSystem


def chosen_systems(paths: TestbedPaths, testbed: Testbed) -> dict[str, NodeSystem]:
    """Systems by node, of the nodes that were ever updated.

    One keeps what it was updated to until the file names another image for it. Raises VctError for
    a damaged record.
    """
    found = {}
    for node in testbed.nodes:
        systems = load_systems(paths.node(node.id))
        if systems != Systems():
            own = systems.pinned(node.image, node.arch)
            image = BuiltImage(label=own.image, root=own.root) if own else None
            found[node.id] = NodeSystem(number=systems.current, image=image)
    return found
