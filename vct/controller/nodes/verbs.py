"""What is done to nodes beside changing fields. Called by both dialects and the pages."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, RestrictedError

from vct.controller.nodes.models import DirectInterface, Node


def reboot(node: Node) -> None:
    """The node reboots when it sees the higher number; two orders at a time count twice."""
    Node.objects.filter(pk=node.pk).update(boot_sn=F("boot_sn") + 1, version=F("version") + 1)
    node.refresh_from_db()


def set_direct_interfaces(node: Node, names: Sequence[str]) -> None:
    """The stored node's direct interfaces become these; those that stay keep what is on them.

    Raises ValidationError for a bad name, one that is there twice, and for leaving out one that a
    sliver's isolated interface is on.
    """
    if len(set(names)) < len(names):
        raise ValidationError({"direct_ifaces": "Each interface once."})
    with transaction.atomic():
        for gone in node.direct_ifaces.exclude(name__in=names):
            try:
                gone.delete()
            except RestrictedError as error:
                words = f"A sliver has an isolated interface on {gone.name}."
                raise ValidationError({"direct_ifaces": words}) from error
        there = set(node.direct_ifaces.values_list("name", flat=True))
        for name in names:
            if name not in there:
                try:
                    DirectInterface.objects.create(node=node, name=name)
                except ValidationError as error:
                    raise ValidationError({"direct_ifaces": error.messages}) from error


def set_resource(node: Node, name: str, *, max_req: int, dflt_req: int) -> None:
    """What the stored node offers of one resource. Raises ValidationError."""
    resource = node.resources.filter(name=name).first()
    if resource is None:
        known = ", ".join(node.resources.values_list("name", flat=True))
        raise ValidationError({"resources": f"There is no resource {name!r}, but {known}."})
    resource.max_req, resource.dflt_req = max_req, dflt_req
    resource.save()
