"""What is done to slices and slivers beside changing fields. Called by both dialects and the pages.

Counters go up by conditional updates in the database: two orders at a time count twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F

from vct.controller.audit.models import record
from vct.controller.files.models import StoredFile
from vct.controller.nodes.models import Node, PublicIpv4
from vct.controller.slices import rules
from vct.controller.slices.interfaces import Interface, Place, problem_of_all, problems
from vct.controller.slices.models import (
    Slice,
    SliceResource,
    Sliver,
    SliverInterface,
    SliverResource,
    Template,
    today,
)


def renew(one: Slice) -> Slice:
    """Ends a full lifetime from today."""
    return one.change(expires_on=rules.expiry(today()))


def reset(one: Slice) -> None:
    """Nodes make all its slivers' file systems anew."""
    Slice.objects.filter(pk=one.pk).update(
        instance_sn=F("instance_sn") + 1, version=F("version") + 1
    )
    one.refresh_from_db()


def update(sliver: Sliver) -> None:
    """Its node forgets the sliver and makes it anew; slivers made later start from there too."""
    with transaction.atomic():
        Sliver.objects.filter(pk=sliver.pk).update(
            instance_sn=F("instance_sn") + 1, version=F("version") + 1
        )
        Slice.objects.filter(pk=sliver.slice_id).update(
            sliver_instance_sn=F("sliver_instance_sn") + 1, version=F("version") + 1
        )
    sliver.refresh_from_db()


def delete_ended(day: date | None = None) -> list[str]:
    """Deletes the slices that ended until this day, with an entry in the audit log; their names."""
    with transaction.atomic():
        ended = list(Slice.objects.filter(expires_on__lte=day or today()))
        for one in ended:
            record(None, "delete", one)
            one.delete()
    return [one.name for one in ended]


def ending_soon(day: date | None = None) -> list[Slice]:
    """The slices whose people are to be warned."""
    day = day or today()
    return [one for one in Slice.objects.all() if rules.ends_soon(one.expires_on, day)]


def place_of(slice_: Slice, node: Node) -> Place:
    """What a slice and a node say about interfaces of a sliver."""
    return Place(
        direct=[one.name for one in node.direct_ifaces.all()],
        public_ipv4=node.sliver_pub_ipv4 != PublicIpv4.NONE,
        allow_isolated=slice_.allow_isolated,
    )


def check_interfaces(interfaces: Sequence[Interface], place: Place) -> None:
    """Raises ValidationError on `interfaces`.

    Its `params` are a list with an object for each interface, empty for good ones, when single
    interfaces are wrong.
    """
    each = problems(interfaces, place)
    if any(each):
        first = next(words for wrong in each for texts in wrong.values() for words in texts)
        wrong_ones = ValidationError(first, code="each", params={"each": each})
        raise ValidationError({"interfaces": [wrong_ones]})
    if words := problem_of_all(interfaces):
        raise ValidationError({"interfaces": words})


def set_interfaces(sliver: Sliver, interfaces: Sequence[Interface]) -> None:
    """The stored sliver's interfaces become these, all or none. Raises ValidationError."""
    check_interfaces(interfaces, place_of(sliver.slice, sliver.node))
    parents = {one.name: one for one in sliver.node.direct_ifaces.all()}
    with transaction.atomic():
        sliver.interfaces.all().delete()
        for one in interfaces:
            parent = parents[one.parent] if one.parent else None
            SliverInterface.objects.create(
                sliver=sliver, nr=one.nr, name=one.name, type=one.type, parent=parent
            )


def create_sliver(
    sliver: Sliver, interfaces: Sequence[Interface], requests: Mapping[str, int] | None = None
) -> Sliver:
    """Stores an unsaved sliver with its interfaces and resources. Raises ValidationError."""
    with transaction.atomic():
        sliver.save()
        set_interfaces(sliver, interfaces)
        set_resources(sliver, requests or {})
    return sliver


def set_resources(asking: Slice | Sliver, requests: Mapping[str, int]) -> None:
    """What a stored slice (for its slivers) or sliver asks for, by name. Raises ValidationError."""
    with transaction.atomic():
        asking.resources.all().delete()
        for name, req in requests.items():
            if isinstance(asking, Slice):
                SliceResource.objects.create(slice=asking, name=name, req=req)
            else:
                SliverResource.objects.create(sliver=asking, name=name, req=req)


def attach(thing: Template | Slice | Sliver, archive: str, file: StoredFile) -> None:
    """An upload becomes the `image`, `data` or `overlay` of what it was uploaded to."""
    thing.change(
        **{
            f"{archive}_file": file,
            f"{archive}_uri": None,
            f"{archive}_sha256": file.sha256,
        }
    )
