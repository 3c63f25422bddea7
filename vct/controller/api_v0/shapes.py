"""The members that v0's objects have otherwise than v1's.

A slice says itself what its slivers start with, archives of data are called `exp_data`, overlays
and what nodes' firmware needs are there, API endpoints are not: a member named `api` breaks the
original's client library. `mgmt_net` may be left out.
"""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from vct.controller.api.shapes.mgmt import MgmtNet, Tinc, write_tinc
from vct.controller.api.shapes.nodes import HostShape, NodeShape, ServerShape
from vct.controller.api.shapes.slices import SliceShape, SliverShape
from vct.controller.mgmt.models import Gateway
from vct.controller.nodes.models import PublicIpv4, PublicIpv6
from vct.controller.rest.archives import ArchiveUri, Digest, archive_values
from vct.controller.rest.fields import OwnUri, Reference, Text
from vct.controller.rest.things import Thing
from vct.controller.slices.models import Slice, Template
from vct.wire.relations import Resource

VLAN_WANTED = -1


class Older(Thing):
    """A shape of v1 less some members."""

    without: ClassVar[frozenset[str]] = frozenset()

    def get_fields(self) -> dict[str, Any]:
        return {
            name: field for name, field in super().get_fields().items() if name not in self.without
        }


class Setting(Text):
    """A text that may be left open: null, which is stored as the empty text."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, allow_null=True, allow_blank=True, **kwargs)

    def validate_empty_values(self, data: Any) -> tuple[bool, Any]:
        return super().validate_empty_values("" if data is None else data)

    def to_representation(self, value: Any) -> Any:
        return super().to_representation(value) or None


class NodeV0(Older, NodeShape):
    """With what firmware is built from, without the node's API."""

    without = frozenset({"api"})

    mgmt_net = MgmtNet(required=False)
    local_iface = Text(required=False, max_length=15)
    sliver_pub_ipv6 = serializers.ChoiceField(choices=PublicIpv6.choices, required=False)
    sliver_pub_ipv4 = serializers.ChoiceField(choices=PublicIpv4.choices, required=False)
    sliver_pub_ipv4_range = Setting(max_length=32)
    sliver_mac_prefix = Setting(max_length=6)
    priv_ipv4_prefix = Setting(max_length=19)


class ServerV0(Older, ServerShape):
    """Without its APIs."""

    without = frozenset({"api"})

    mgmt_net = MgmtNet(required=False)


class HostV0(HostShape):
    """As in v1."""

    mgmt_net = MgmtNet(required=False)


class GatewayV0(Thing):
    """A tinc server of an island: a resource that v1 does not have."""

    model = Gateway
    parts = ("tinc",)

    uri = OwnUri(Resource.GATEWAY)
    id = serializers.IntegerField(read_only=True)
    description = Text(required=False, allow_blank=True)
    mgmt_net = MgmtNet(required=False)
    tinc = Tinc()

    def write_tinc(self, gateway: Gateway, value: dict[str, Any] | None) -> None:
        write_tinc(gateway, value)


@extend_schema_field({"type": "integer", "nullable": True})
class VlanNumber(serializers.Field[Any, Any, int | None, Any]):
    """null, or -1 for a slice that wants a VLAN, or the tag that it was given.

    The slice's own tag can be written back; tags are not for choosing.
    """

    default_error_messages = {"tag": "This is null, -1 or the tag that the slice has."}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__(source="*", required=False, allow_null=True)

    def to_representation(self, value: Slice) -> int | None:
        if value.isolated_vlan_tag is not None:
            return value.isolated_vlan_tag
        return VLAN_WANTED if value.allow_isolated else None

    def to_internal_value(self, data: Any) -> dict[str, bool]:
        stored = getattr(self.root.instance, "isolated_vlan_tag", None)
        if data not in (None, VLAN_WANTED, stored):
            self.fail("tag")
        return {"allow_isolated": data is not None}


class SliceV0(Older, SliceShape):
    """What slivers start with is beside the slice's own members."""

    without = frozenset({"sliver_defaults", "allow_isolated", "isolated_vlan_tag"})

    template = Reference(Resource.TEMPLATE, Template)
    exp_data_uri = ArchiveUri(source="data_uri")
    exp_data_sha256 = Digest(source="data_sha256")
    overlay_uri = ArchiveUri()
    overlay_sha256 = Digest()
    vlan_nr = VlanNumber()
    new_sliver_instance_sn = serializers.IntegerField(read_only=True, source="sliver_instance_sn")

    def validate_set_state(self, state: str) -> str:
        """The client library's `save()` is a PUT, also of a state that was changed."""
        return state

    def flat(self, values: dict[str, Any], instance: Any) -> dict[str, Any]:
        return archive_values("overlay", super().flat(values, instance), instance)


class SliverV0(Older, SliverShape):
    """The data's older name, and an overlay."""

    without = frozenset({"data_uri", "data_sha256"})

    exp_data_uri = ArchiveUri(source="data_uri")
    exp_data_sha256 = Digest(source="data_sha256")
    overlay_uri = ArchiveUri()
    overlay_sha256 = Digest()

    def flat(self, values: dict[str, Any], instance: Any) -> dict[str, Any]:
        return archive_values("overlay", super().flat(values, instance), instance)
