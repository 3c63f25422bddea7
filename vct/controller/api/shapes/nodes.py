"""Islands, servers, nodes and hosts."""

from __future__ import annotations

from typing import Any, cast

from django.core.exceptions import ValidationError
from rest_framework import serializers

from vct.controller.api.shapes.mgmt import MgmtNet, Tinc, write_tinc
from vct.controller.mgmt.models import Host
from vct.controller.nodes.models import ApiType, Island, Node, Server, ServerApi
from vct.controller.nodes.verbs import set_direct_interfaces, set_resource
from vct.controller.permissions import actor
from vct.controller.policy import Actor
from vct.controller.rest.fields import (
    OwnUri,
    Pem,
    Properties,
    Reference,
    References,
    Text,
    TextRows,
)
from vct.controller.rest.things import Element, Thing
from vct.controller.users.models import Group, User
from vct.wire.limits import NODE_LAST, Arch
from vct.wire.relations import Resource
from vct.wire.states import NodeSetState

AMOUNT_MAX = 1 << 31


class IslandShape(Thing):
    """A part of the network."""

    model = Island

    uri = OwnUri(Resource.ISLAND)
    id = serializers.IntegerField(read_only=True)
    name = Text(max_length=32)
    description = Text(required=False, allow_blank=True)


class ServerApiShape(Element):
    """Where a server answers; `island` is a number here, as in the original."""

    type = serializers.ChoiceField(choices=ApiType.choices)
    base_uri = Text(max_length=256)
    cert = Pem(required=False)
    island = serializers.IntegerField(
        source="island_id", required=False, allow_null=True, min_value=1, max_value=AMOUNT_MAX
    )


class ServerShape(Thing):
    """A machine of the testbed's own; the main one has id 2."""

    model = Server
    parts = ("apis", "tinc")

    uri = OwnUri(Resource.SERVER)
    id = serializers.IntegerField(read_only=True)
    name = Text(max_length=256)
    description = Text(required=False, allow_blank=True)
    properties = Properties(required=False)
    api = ServerApiShape(many=True, required=False, source="apis")
    mgmt_net = MgmtNet()
    tinc = Tinc()

    def write_apis(self, server: Server, apis: list[dict[str, Any]]) -> None:
        server.apis.all().delete()
        each: list[dict[str, Any]] = []
        for one in apis:
            try:
                ServerApi.objects.create(server=server, **one)
                each.append({})
            except ValidationError as error:
                each.append(error.message_dict)
        if any(each):
            raise serializers.ValidationError({"api": each})

    def write_tinc(self, server: Server, value: dict[str, Any] | None) -> None:
        write_tinc(server, value)


class NodeApi(serializers.Serializer[Any]):
    """Where the node's own API is; null until somebody says so."""

    type = serializers.SerializerMethodField()
    base_uri = Text(max_length=256, source="api_base_uri")
    cert = Pem(required=False, source="api_cert")

    def get_type(self, node: Any) -> str:
        return "node"

    def get_attribute(self, instance: Any) -> Any:
        return instance if instance.api_base_uri else None


class NodeResourceShape(Element):
    """What slivers can ask for; what is not named stays."""

    name = Text(max_length=16)
    max_req = serializers.IntegerField(min_value=0, max_value=AMOUNT_MAX)
    dflt_req = serializers.IntegerField(min_value=0, max_value=AMOUNT_MAX)
    unit = Text(read_only=True)
    avail = serializers.SerializerMethodField()

    def get_avail(self, resource: Any) -> int | None:
        """Nobody counts what is left on a node."""
        return None


class NodeShape(Thing):
    """A research device. Superusers choose its id, as it gives its addresses."""

    model = Node
    parts = ("direct_ifaces", "resources", "tinc")
    fixed = ("id", "group")

    uri = OwnUri(Resource.NODE)
    id = serializers.IntegerField(min_value=1, max_value=NODE_LAST, required=False)
    name = Text(max_length=256)
    description = Text(required=False, allow_blank=True)
    arch = serializers.ChoiceField(choices=list(Arch))
    group = Reference(Resource.GROUP, Group)
    island = Reference(Resource.ISLAND, Island, required=False, allow_null=True)
    direct_ifaces = TextRows("name", required=False)
    properties = Properties(required=False)
    mgmt_net = MgmtNet()
    tinc = Tinc()
    api = NodeApi(required=False, allow_null=True)
    cert = Pem(read_only=True, source="api_cert")
    boot_sn = serializers.IntegerField(read_only=True)
    set_state = serializers.ChoiceField(choices=list(NodeSetState), required=False)
    slivers = References(Resource.SLIVER)
    resources = NodeResourceShape(many=True, required=False)

    def flat(self, values: dict[str, Any], instance: Any) -> dict[str, Any]:
        if "api" in values:
            api = values.pop("api")
            values.update(api or {"api_base_uri": "", "api_cert": ""})
        return values

    def build(self, values: dict[str, Any]) -> Node:
        who: Actor = actor(self.request)
        if not who.is_superuser:
            values.pop("id", None)
        return Node(**values)

    def write_direct_ifaces(self, node: Node, names: list[str]) -> None:
        set_direct_interfaces(node, names)

    def write_resources(self, node: Node, resources: list[dict[str, Any]]) -> None:
        each: list[dict[str, Any]] = []
        for one in resources:
            try:
                set_resource(node, one["name"], max_req=one["max_req"], dflt_req=one["dflt_req"])
                each.append({})
            except ValidationError as error:
                each.append(error.message_dict)
        if any(each):
            raise serializers.ValidationError({"resources": each})

    def write_tinc(self, node: Node, value: dict[str, Any] | None) -> None:
        write_tinc(node, value)


class HostShape(Thing):
    """Somebody's computer in the management network; its owner is who made it."""

    model = Host
    parts = ("tinc",)

    uri = OwnUri(Resource.HOST)
    id = serializers.IntegerField(read_only=True)
    name = Text(max_length=256)
    description = Text(required=False, allow_blank=True)
    owner = Reference(Resource.USER, User, read_only=True)
    island = Reference(Resource.ISLAND, Island, required=False, allow_null=True)
    mgmt_net = MgmtNet()
    tinc = Tinc()

    def build(self, values: dict[str, Any]) -> Host:
        return Host(owner=cast(User, self.request.user), **values)

    def write_tinc(self, host: Host, value: dict[str, Any] | None) -> None:
        write_tinc(host, value)
