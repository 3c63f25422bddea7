"""Fills a controller's database with a large testbed, by bulk inserts. A program of its own:

    VCT_CONTROLLER_CONFIG=... python -m benchmarks.controller_rows

What is inserted is what saving object by object would have stored, so that reading it is measured
as in real life: every node with its resources and an interface, every sliver with two interfaces.
"""

from __future__ import annotations

import django

GROUPS, NODES, SLICES, SLIVERS = 20, 1_000, 200, 10_000
SHA256 = "0123456789abcdef" * 4


def main() -> None:
    django.setup()
    fill()


def fill() -> None:
    """Imports are here as Django has to be set up before its models can be imported."""
    from django.db import transaction

    from vct.controller.users.models import Group, Role, User

    with transaction.atomic():
        admin = User.objects.get(username="admin")
        groups = Group.objects.bulk_create(
            Group(name=f"group{number}", allow_nodes=True, allow_slices=True)
            for number in range(GROUPS)
        )
        Role.objects.bulk_create(
            Role(user=admin, group=group, is_group_admin=True) for group in groups
        )
        _fill_nodes([group.pk for group in groups])
        _fill_slices([group.pk for group in groups])
        _fill_slivers()


def _fill_nodes(groups: list[int]) -> None:
    from vct.controller.base import keep_sequence
    from vct.controller.nodes.models import DirectInterface, Node, NodeResource
    from vct.wire.limits import RESOURCES, MgmtBackend

    nodes = range(1, NODES + 1)
    Node.objects.bulk_create(
        Node(
            pk=number,
            name=f"node{number}",
            arch="x86_64",
            group_id=groups[number % GROUPS],
            mgmt_backend=MgmtBackend.NATIVE,
            api_base_uri=f"http://[fd65:fc41:c50f:{number:x}::2]/confine/api/",
            properties={"place": "roof"},
        )
        for number in nodes
    )
    keep_sequence(Node)
    DirectInterface.objects.bulk_create(
        DirectInterface(node_id=number, name="eth1") for number in nodes
    )
    NodeResource.objects.bulk_create(
        NodeResource(node_id=number, name=name, max_req=kind.max_req, dflt_req=kind.dflt_req)
        for number in nodes
        for name, kind in RESOURCES.items()
    )


def _fill_slices(groups: list[int]) -> None:
    from vct.controller.slices.models import Slice, Template

    template = Template.objects.create(
        name="debian",
        type="debian",
        node_archs=["x86_64"],
        image_uri="http://templates.example/debian.tgz",
        image_sha256=SHA256,
    )
    Slice.objects.bulk_create(
        Slice(name=f"slice{number}", group_id=groups[number % GROUPS], template=template)
        for number in range(SLICES)
    )


def _fill_slivers() -> None:
    from vct.controller.slices.interfaces import USUAL
    from vct.controller.slices.models import Slice, Sliver, SliverInterface

    slices = list(Slice.objects.values_list("pk", flat=True))
    slivers = Sliver.objects.bulk_create(
        Sliver(slice_id=slices[number % SLICES], node_id=_node_of(number))
        for number in range(SLIVERS)
    )
    SliverInterface.objects.bulk_create(
        SliverInterface(sliver_id=sliver.pk, nr=one.nr, name=one.name, type=one.type)
        for sliver in slivers
        for one in USUAL
    )


def _node_of(sliver: int) -> int:
    """No two slivers of a slice are on the same node."""
    apart = NODES * SLICES // SLIVERS
    return (sliver // SLICES * apart + sliver % SLICES) % NODES + 1


if __name__ == "__main__":
    main()
