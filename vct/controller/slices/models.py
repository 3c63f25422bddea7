"""Templates, slices and slivers.

A slice holds the defaults of its slivers itself (`template`, `sliver_*`, `data_*`, `overlay_*`):
no slice is without them. Interfaces and resources of a sliver are rows of their own, written by
`vct.controller.slices.verbs`.
"""

from __future__ import annotations

from datetime import date
from ipaddress import IPv6Address
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.db.models import Q
from django.utils import timezone

from vct.controller.base import (
    Checked,
    Described,
    Guard,
    Remembering,
    Versioned,
    check_name,
    one_of,
    properties_field,
)
from vct.controller.files.models import StoredFile, sha256_digits
from vct.controller.mgmt.models import plan
from vct.controller.nodes.models import DirectInterface, Node
from vct.controller.slices import rules
from vct.controller.slices.archives import archive_constraint, check_archive, uri_of_archive
from vct.controller.users.models import Group
from vct.wire.limits import (
    INTERFACE_NUMBER_LAST,
    RESOURCES,
    SLICE_LAST,
    VLAN_TAG_FIRST,
    VLAN_TAG_LAST,
    Arch,
    InterfaceType,
    TemplateType,
)
from vct.wire.states import SliverSetState, effective_set_state

REQUESTABLE = [name for name, kind in RESOURCES.items() if kind.requestable]
SET_STATES = [(state, state) for state in SliverSetState]


def uri_field() -> models.CharField[str | None, str | None]:
    return models.CharField(
        max_length=256, null=True, blank=True, default=None, validators=[uri_of_archive]
    )


def sha256_field() -> models.CharField[str | None, str | None]:
    return models.CharField(
        max_length=64, null=True, blank=True, default=None, validators=[sha256_digits]
    )


def file_field() -> models.ForeignKey[StoredFile | None, StoredFile | None]:
    return models.ForeignKey(
        StoredFile, models.PROTECT, null=True, blank=True, default=None, related_name="+"
    )


def check_archs(archs: object) -> None:
    """A list of machines, at least one."""
    if not isinstance(archs, list) or not archs:
        raise ValidationError("This must be a list of architectures, at least one.")
    unknown = [arch for arch in archs if arch not in list(Arch)]
    if unknown:
        known = ", ".join(Arch)
        raise ValidationError(f"{unknown[0]!r} is no architecture; known are {known}.")


def today() -> date:
    return timezone.now().date()


def a_life_from_today() -> date:
    return rules.expiry(today())


class Template(Described):
    """A root file system that slivers start from."""

    name = models.CharField(max_length=32, unique=True, validators=[check_name])
    type = models.CharField(max_length=32, choices=[(kind, kind) for kind in TemplateType])
    node_archs = models.JSONField(validators=[check_archs])
    is_active = models.BooleanField(default=True)
    image_uri = uri_field()
    image_sha256 = sha256_field()
    image_file = file_field()

    class Meta:
        ordering = ("id",)
        constraints = (
            Guard(condition=~Q(name=""), name="template_has_a_name"),
            one_of("type", TemplateType, "template"),
            archive_constraint("image", "template"),
        )

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        check_archive(self, "image", needs_digest=False)


class WithArchives(Versioned):
    """With experiment data and an overlay, each external or uploaded."""

    data_uri = uri_field()
    data_sha256 = sha256_field()
    data_file = file_field()
    overlay_uri = uri_field()
    overlay_sha256 = sha256_field()
    overlay_file = file_field()

    class Meta:
        abstract = True

    def clean(self) -> None:
        for archive in ("data", "overlay"):
            check_archive(self, archive, needs_digest=True)


class Slice(Remembering, WithArchives, Described):
    """An experiment: slivers on nodes, made from one description."""

    remembered = ("set_state", "group_id", "allow_isolated", "isolated_vlan_tag")

    name = models.CharField(max_length=128, unique=True, validators=[check_name])
    group = models.ForeignKey(Group, models.PROTECT, related_name="slices")
    template = models.ForeignKey(Template, models.PROTECT, related_name="slices")
    properties = properties_field()
    set_state = models.CharField(max_length=16, choices=SET_STATES, default=SliverSetState.REGISTER)
    instance_sn = models.PositiveIntegerField("instance number", default=0, editable=False)
    expires_on = models.DateField(default=a_life_from_today)
    allow_isolated = models.BooleanField(default=False)
    isolated_vlan_tag = models.PositiveIntegerField(
        null=True, default=None, unique=True, editable=False
    )
    # for slivers that do not say otherwise
    sliver_set_state = models.CharField(
        max_length=16, choices=SET_STATES, default=SliverSetState.START
    )
    # what the next sliver starts with
    sliver_instance_sn = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        ordering = ("id",)
        constraints = (
            Guard(condition=~Q(name=""), name="slice_has_a_name"),
            Guard(condition=Q(id__lte=SLICE_LAST), name="slice_id_of_48_bits"),
            one_of("set_state", SliverSetState, "slice"),
            one_of("sliver_set_state", SliverSetState, "slice"),
            archive_constraint("data", "slice"),
            archive_constraint("overlay", "slice"),
            Guard(
                condition=Q(isolated_vlan_tag=None)
                | Q(isolated_vlan_tag__gte=VLAN_TAG_FIRST, isolated_vlan_tag__lte=VLAN_TAG_LAST),
                name="slice_vlan_tag_in_range",
            ),
            Guard(
                condition=Q(isolated_vlan_tag__isnull=False, allow_isolated=True)
                & ~Q(set_state=SliverSetState.REGISTER)
                | Q(isolated_vlan_tag=None)
                & (Q(allow_isolated=False) | Q(set_state=SliverSetState.REGISTER)),
                name="slice_has_a_vlan_tag_while_it_needs_one",
            ),
        )

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """A new slice is in register. Raises ValidationError, also when no VLAN tag is free."""
        super().clean()
        self.check_fixed("group_id")
        if self._state.adding:
            self.set_state = SliverSetState.REGISTER
        if self.set_state not in set(SliverSetState):
            return
        if not self._state.adding:
            self._check_change()
        self._settle_tag()

    def _check_change(self) -> None:
        if self.allow_isolated != self.was("allow_isolated"):
            if self.was("set_state") != SliverSetState.REGISTER:
                raise ValidationError({"allow_isolated": "This changes only in register."})
            isolated = Q(slivers__interfaces__type=InterfaceType.ISOLATED)
            if Slice.objects.filter(isolated, pk=self.pk).exists():
                raise ValidationError({"allow_isolated": "Slivers have isolated interfaces."})
        started = self.set_state == SliverSetState.START != self.was("set_state")
        if started and not self.group.allow_slices:
            raise ValidationError("The slice's group is not allowed to have slices running.")

    def _settle_tag(self) -> None:
        state = SliverSetState(self.set_state)
        if not rules.needs_tag(state, allow_isolated=self.allow_isolated):
            self.isolated_vlan_tag = None
        elif self.isolated_vlan_tag is None:
            with_tag = Slice.objects.exclude(isolated_vlan_tag=None)
            used = set(with_tag.values_list("isolated_vlan_tag", flat=True))
            self.isolated_vlan_tag = rules.next_tag({tag for tag in used if tag is not None})
            if self.isolated_vlan_tag is None:
                raise ValidationError({"set_state": "No VLAN tag is free, the slice stays."})

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Tries once more when another slice took the same VLAN tag at the same moment."""
        before = self.isolated_vlan_tag
        try:
            with transaction.atomic():
                super().save(*args, **kwargs)
        except IntegrityError:
            if self.isolated_vlan_tag == before:
                raise
            self.isolated_vlan_tag = before
            with transaction.atomic():
                super().save(*args, **kwargs)


class Sliver(Remembering, WithArchives, Described):
    """A slice's container on one node."""

    remembered = ("slice_id", "node_id")

    slice = models.ForeignKey(Slice, models.CASCADE, related_name="slivers")
    node = models.ForeignKey(Node, models.CASCADE, related_name="slivers")
    template = models.ForeignKey(
        Template, models.PROTECT, null=True, blank=True, default=None, related_name="slivers"
    )
    properties = properties_field()
    set_state = models.CharField(
        max_length=16, choices=SET_STATES, null=True, blank=True, default=None
    )
    instance_sn = models.PositiveIntegerField("instance number", default=0, editable=False)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=("slice", "node"),
                name="sliver_once_per_slice_and_node",
                violation_error_message="The slice has a sliver on this node.",
            ),
            one_of("set_state", SliverSetState, "sliver"),
            archive_constraint("data", "sliver"),
            archive_constraint("overlay", "sliver"),
        )

    def __str__(self) -> str:
        return f"{self.slice} on {self.node}"

    @property
    def api_id(self) -> str:
        """`12@2578`: slice id and node id."""
        return f"{self.slice_id}@{self.node_id}"

    @property
    def effective_set_state(self) -> SliverSetState:
        own = SliverSetState(self.set_state or self.slice.sliver_set_state)
        return effective_set_state(SliverSetState(self.slice.set_state), own)

    @property
    def effective_template(self) -> Template:
        return self.template or self.slice.template

    def clean(self) -> None:
        super().clean()
        self.set_state = self.set_state or None
        self.check_fixed("slice_id", "node_id")
        if self._state.adding and self.slice_id:
            self.instance_sn = self.slice.sliver_instance_sn


class SliverInterface(Checked):
    """An interface of a sliver. All of one sliver are written together: `verbs.set_interfaces`."""

    sliver = models.ForeignKey(Sliver, models.CASCADE, related_name="interfaces")
    nr = models.PositiveIntegerField()
    name = models.CharField(max_length=10)
    type = models.CharField(max_length=16, choices=[(kind, kind) for kind in InterfaceType])
    parent = models.ForeignKey(
        DirectInterface, models.RESTRICT, null=True, blank=True, default=None, related_name="+"
    )

    class Meta:
        ordering = ("nr",)
        constraints = (
            models.UniqueConstraint(fields=("sliver", "nr"), name="interface_number_once"),
            models.UniqueConstraint(fields=("sliver", "name"), name="interface_name_once"),
            models.UniqueConstraint(
                fields=("sliver", "parent"),
                condition=Q(parent__isnull=False),
                name="interface_parent_once",
            ),
            one_of("type", InterfaceType, "interface"),
            Guard(condition=Q(nr__lte=INTERFACE_NUMBER_LAST), name="interface_number_of_8_bits"),
            Guard(
                condition=Q(type=InterfaceType.PRIVATE, nr=0)
                | ~Q(type=InterfaceType.PRIVATE) & ~Q(nr=0),
                name="interface_0_is_private",
            ),
            Guard(
                condition=Q(type=InterfaceType.ISOLATED, parent__isnull=False)
                | ~Q(type=InterfaceType.ISOLATED) & Q(parent=None),
                name="interface_isolated_has_a_parent",
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def address(self) -> IPv6Address | None:
        """The address that the sliver has there, where the plan knows it."""
        return plan().interface_address(
            InterfaceType(self.type),
            self.nr,
            node=self.sliver.node_id,
            slice_id=self.sliver.slice_id,
        )


class ResourceRequest(Checked):
    """How much of a resource is asked for."""

    name = models.CharField(max_length=16, choices=[(name, name) for name in REQUESTABLE])
    req = models.PositiveIntegerField()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.req} {self.unit} of {self.name}"

    @property
    def unit(self) -> str:
        return RESOURCES[self.name].unit


class SliceResource(ResourceRequest):
    """What a slice asks for each of its slivers."""

    slice = models.ForeignKey(Slice, models.CASCADE, related_name="resources")

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("slice", "name"), name="slice_resource_once"),
            one_of("name", REQUESTABLE, "slice_resource"),
        )


class SliverResource(ResourceRequest):
    """What one sliver asks for."""

    sliver = models.ForeignKey(Sliver, models.CASCADE, related_name="resources")

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("sliver", "name"), name="sliver_resource_once"),
            one_of("name", REQUESTABLE, "sliver_resource"),
        )
