"""Templates, slices and slivers."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from vct.controller.nodes.models import Node
from vct.controller.rest.archives import ArchiveUri, Digest, archive_values
from vct.controller.rest.fields import OwnUri, Properties, Reference, References, Text
from vct.controller.rest.things import Element, Thing
from vct.controller.slices.interfaces import Interface
from vct.controller.slices.models import REQUESTABLE, Slice, Sliver, Template
from vct.controller.slices.verbs import set_interfaces, set_resources
from vct.controller.users.models import Group
from vct.wire.limits import (
    INTERFACE_NAME_MAX,
    VLAN_RESOURCE,
    Arch,
    InterfaceType,
    MgmtBackend,
    TemplateType,
)
from vct.wire.relations import Resource
from vct.wire.states import SliverSetState

AMOUNT_MAX = 1 << 31


class TemplateShape(Thing):
    """A root file system; its image is external, or uploaded after the template was made."""

    model = Template

    uri = OwnUri(Resource.TEMPLATE)
    id = serializers.IntegerField(read_only=True)
    name = Text(max_length=32)
    description = Text(required=False, allow_blank=True)
    type = serializers.ChoiceField(choices=list(TemplateType))
    node_archs = serializers.ListField(child=serializers.ChoiceField(choices=list(Arch)))
    is_active = serializers.BooleanField(required=False)
    image_uri = ArchiveUri()
    image_sha256 = Digest()

    def flat(self, values: dict[str, Any], instance: Any) -> dict[str, Any]:
        return archive_values("image", values, instance)


class Request(Element):
    """How much of a resource is asked for."""

    name = serializers.ChoiceField(choices=REQUESTABLE)
    req = serializers.IntegerField(min_value=0, max_value=AMOUNT_MAX)
    unit = Text(read_only=True)


class SliverDefaults(serializers.Serializer[Any]):
    """What slivers have that do not say otherwise; members of the slice itself in the model."""

    template = Reference(Resource.TEMPLATE, Template)
    set_state = serializers.ChoiceField(
        choices=list(SliverSetState), source="sliver_set_state", required=False
    )
    data_uri = ArchiveUri()
    data_sha256 = Digest()
    instance_sn = serializers.IntegerField(read_only=True, source="sliver_instance_sn")
    resources = Request(many=True, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, source="*", **kwargs)


class SliceShape(Thing):
    """An experiment."""

    model = Slice
    parts = ("resources",)
    fixed = ("group",)

    uri = OwnUri(Resource.SLICE)
    id = serializers.IntegerField(read_only=True)
    name = Text(max_length=128)
    description = Text(required=False, allow_blank=True)
    group = Reference(Resource.GROUP, Group)
    sliver_defaults = SliverDefaults()
    allow_isolated = serializers.BooleanField(required=False)
    isolated_vlan_tag = serializers.IntegerField(read_only=True, allow_null=True)
    set_state = serializers.ChoiceField(choices=list(SliverSetState), required=False)
    expires_on = serializers.DateField(read_only=True)
    instance_sn = serializers.IntegerField(read_only=True)
    properties = Properties(required=False)
    slivers = References(Resource.SLIVER)
    resources = serializers.SerializerMethodField()

    def validate_set_state(self, state: str) -> str:
        """PUT says everything, also what its writer did not think of: that starts nothing."""
        if self.instance and not self.partial and state != self.instance.set_state:
            raise serializers.ValidationError("This is changed by PATCH.")
        return state

    def flat(self, values: dict[str, Any], instance: Any) -> dict[str, Any]:
        return archive_values("data", values, instance)

    def write_resources(self, slice_: Slice, requests: list[dict[str, Any]]) -> None:
        set_resources(slice_, by_name("sliver_defaults", requests))

    @extend_schema_field(
        {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "req": {"type": "integer"},
                    "unit": {"type": "string"},
                    "alloc": {"type": "integer", "nullable": True},
                },
            },
        }
    )
    def get_resources(self, slice_: Any) -> list[dict[str, object]]:
        """The VLAN tag, asked for by `allow_isolated`."""
        waiting = slice_.set_state == SliverSetState.REGISTER
        allocated = None if waiting else int(slice_.isolated_vlan_tag is not None)
        asked = int(slice_.allow_isolated)
        unit = VLAN_RESOURCE.unit
        return [{"name": "vlan", "req": asked, "unit": unit, "alloc": allocated}]


class SliverInterfaceShape(Element):
    """One interface. `parent_name` is a direct interface of the node, for isolated ones."""

    nr = serializers.IntegerField(min_value=0, max_value=AMOUNT_MAX)
    name = Text(max_length=INTERFACE_NAME_MAX)
    type = serializers.ChoiceField(choices=list(InterfaceType))
    parent_name = Text(
        required=False, allow_null=True, allow_blank=True, max_length=15, source="parent"
    )

    def to_internal_value(self, data: Any) -> Any:
        found = super().to_internal_value(data)
        return Interface(
            nr=found["nr"],
            name=found["name"],
            type=InterfaceType(found["type"]),
            parent=found.get("parent") or None,
        )

    def to_representation(self, instance: Any) -> Any:
        return {
            "nr": instance.nr,
            "name": instance.name,
            "type": instance.type,
            "parent_name": instance.parent.name if instance.parent else None,
        }


class SliverShape(Thing):
    """A slice's container on one node. Its id is `<slice id>@<node id>`."""

    model = Sliver
    parts = ("interfaces", "resources")
    fixed = ("slice", "node")

    uri = OwnUri(Resource.SLIVER)
    id = Text(read_only=True, source="api_id")
    slice = Reference(Resource.SLICE, Slice)
    node = Reference(Resource.NODE, Node)
    description = Text(required=False, allow_blank=True)
    properties = Properties(required=False)
    template = Reference(Resource.TEMPLATE, Template, required=False, allow_null=True)
    set_state = serializers.ChoiceField(
        choices=list(SliverSetState), required=False, allow_null=True
    )
    data_uri = ArchiveUri()
    data_sha256 = Digest()
    instance_sn = serializers.IntegerField(read_only=True)
    mgmt_net = serializers.SerializerMethodField()
    interfaces = SliverInterfaceShape(many=True)
    resources = Request(many=True, required=False)

    def flat(self, values: dict[str, Any], instance: Any) -> dict[str, Any]:
        return archive_values("data", values, instance)

    def write_interfaces(self, sliver: Sliver, interfaces: list[Interface]) -> None:
        set_interfaces(sliver, interfaces)

    def write_resources(self, sliver: Sliver, requests: list[dict[str, Any]]) -> None:
        set_resources(sliver, by_name("resources", requests))

    @extend_schema_field(
        {
            "type": "object",
            "nullable": True,
            "properties": {"addr": {"type": "string"}, "backend": {"type": "string"}},
        }
    )
    def get_mgmt_net(self, sliver: Any) -> dict[str, str] | None:
        """The address of the management interface, if there is one."""
        for one in sliver.interfaces.all():
            if one.type == InterfaceType.MANAGEMENT:
                return {"addr": str(one.address), "backend": MgmtBackend.NATIVE}
        return None


def by_name(member: str, requests: list[dict[str, Any]]) -> dict[str, int]:
    """Raises ValidationError for a resource that is there twice."""
    asked = {one["name"]: one["req"] for one in requests}
    if len(asked) < len(requests):
        raise ValidationError({member: "Each resource once."})
    return asked
