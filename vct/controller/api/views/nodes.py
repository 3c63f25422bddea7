"""Islands, servers, hosts and nodes, and what can be done to nodes."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Prefetch
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from vct.controller import permissions
from vct.controller.api.shapes.mgmt import write_tinc
from vct.controller.api.shapes.nodes import HostShape, IslandShape, NodeShape, ServerShape
from vct.controller.api.views.enrolment import WithEnrolment
from vct.controller.api.views.firmware import WithFirmware
from vct.controller.api.views.state import WithState
from vct.controller.mgmt.keys import PUBKEY_MAX
from vct.controller.mgmt.models import Host
from vct.controller.nodes.models import Island, Node, Server
from vct.controller.nodes.verbs import reboot
from vct.controller.pki.authority import sign_request
from vct.controller.policy import Action
from vct.controller.problems import ControllerError
from vct.controller.rest.fields import Text
from vct.controller.rest.filters import Filters
from vct.controller.rest.functions import (
    Upload,
    WithFunctions,
    also,
    function,
    one_file,
)
from vct.controller.rest.views import Things
from vct.controller.slices.models import Sliver
from vct.wire.relations import Function, Resource

SLIVER_IDS = Sliver.objects.only("id", "slice_id", "node_id")
NAMED: Filters = {"id": ("id", int), "name": ("name", str)}
MANAGED: Filters = {**NAMED, "mgmt_net/backend": ("mgmt_backend", str)}


class Islands(Things):
    """Parts of the network."""

    resource = Resource.ISLAND
    serializer_class = IslandShape
    queryset = Island.objects.all()
    filters = NAMED


class Servers(Things):
    """The testbed's own machines."""

    resource = Resource.SERVER
    serializer_class = ServerShape
    queryset = Server.objects.select_related("tinc").prefetch_related("apis", "tinc__addresses")
    filters = MANAGED


class Hosts(WithFunctions):
    """Users' computers in the management network."""

    resource = Resource.HOST
    functions: ClassVar[tuple[Function, ...]] = (Function.UPLOAD_PUBKEY,)
    serializer_class = HostShape
    queryset = Host.objects.select_related("tinc").prefetch_related("tinc__addresses")
    filters: ClassVar[Filters] = {
        **MANAGED,
        "owner/id": ("owner", int),
        "island/id": ("island", int),
    }

    @function(Function.UPLOAD_PUBKEY, takes=Upload, parsers=(MultiPartParser,))
    def upload_pubkey(self, request: Request, pk: int) -> Response:
        """The one file is the host's public key for tinc, in PEM."""
        host = self.get_object()
        permissions.require(request, Action.UPLOAD_PUBKEY, host)
        content: bytes = one_file(request, PUBKEY_MAX).read(PUBKEY_MAX)
        with transaction.atomic():
            write_tinc(host, {"pubkey": content.decode(errors="replace")})
            self.audit("upload_pubkey", host)
        return Response({"detail": "The key was stored."})


class IssuedCertificate(serializers.Serializer[Any]):
    """X.509 in PEM."""

    cert = Text()


class VirtualMachine(serializers.Serializer[Any]):
    """Orders to a node's container."""

    start = serializers.BooleanField(required=False)
    stop = serializers.BooleanField(required=False)


class VirtualMachineState(serializers.Serializer[Any]):
    """Whether it runs."""

    state = Text()
    start = serializers.BooleanField()
    stop = serializers.BooleanField()


class Nodes(WithState, WithEnrolment, WithFirmware, WithFunctions):
    """Research devices."""

    resource = Resource.NODE
    functions: ClassVar[tuple[Function, ...]] = (
        Function.REBOOT,
        Function.REQUEST_CERT,
        Function.ENROL,
        Function.FIRMWARE,
        Function.STATE,
        Function.VM,
    )
    serializer_class = NodeShape
    queryset = Node.objects.select_related("group", "tinc").prefetch_related(
        "tinc__addresses", "direct_ifaces", "resources", Prefetch("slivers", SLIVER_IDS)
    )
    filters: ClassVar[Filters] = {
        **MANAGED,
        "arch": ("arch", str),
        "set_state": ("set_state", str),
        "boot_sn": ("boot_sn", int),
        "group/id": ("group", int),
        "island/id": ("island", int),
        "slivers/_/slice/id": ("slivers__slice", int),
        "direct_ifaces/_": ("direct_ifaces__name", str),
    }

    @function(Function.REBOOT)
    def reboot(self, request: Request, pk: int) -> Response:
        """The node reboots when it next asks."""
        return self.order(request, Action.REBOOT, reboot, "The node will reboot.")

    @function(
        Function.REQUEST_CERT,
        takes={"application/json": {"type": "string"}},
        gives=IssuedCertificate,
        status=202,
        without_log_in=True,
    )
    def request_cert(self, request: Request, pk: int) -> Response:
        """Signs a request whose common name is the node's management address."""
        node = self.get_object()
        permissions.require(request, Action.REQUEST_CERT, node)
        if not isinstance(request.data, str):
            raise serializers.ValidationError({"detail": "Send the request as a JSON string."})
        try:
            with transaction.atomic():
                cert = sign_request(node, request.data)
                self.audit("request_cert", node)
        except ValidationError as error:
            raise serializers.ValidationError({"detail": error.messages[0]}) from error
        return Response({"cert": cert}, 202)

    @function(Function.VM, method="get", gives=VirtualMachineState)
    def vm(self, request: Request, pk: int) -> Response:
        """404: this controller knows nodes by what they report, not by their containers."""
        node = self.get_object()
        permissions.require(request, Action.VM_READ, node)
        words = f"Containers are the host's: vct node info {node.hex_id}"
        return Response({"detail": words}, 404)

    @also(vm, "post", takes=VirtualMachine, status=201)
    def vm_create(self, request: Request, pk: int) -> Response:
        """Refused: the host makes, starts, stops and removes containers, not the controller."""
        return self._refuse_vm(request, "create")

    @also(vm, "put", takes=VirtualMachine)
    def vm_change(self, request: Request, pk: int) -> Response:
        """Refused, as above."""
        return self._order_vm(request)

    @also(vm, "patch", takes=VirtualMachine)
    def vm_partial(self, request: Request, pk: int) -> Response:
        """Refused, as above."""
        return self._order_vm(request)

    @also(vm, "delete", gives=None, status=204)
    def vm_delete(self, request: Request, pk: int) -> Response:
        """Refused, as above."""
        return self._refuse_vm(request, "remove")

    def _order_vm(self, request: Request) -> Response:
        asked = VirtualMachine(data=request.data)
        asked.is_valid(raise_exception=True)
        return self._refuse_vm(request, "stop" if asked.validated_data.get("stop") else "start")

    def _refuse_vm(self, request: Request, verb: str) -> Response:
        node = self.get_object()
        permissions.require(request, Action.VM, node)
        raise ControllerError(
            "the controller does not manage containers",
            hint=f"on the host: vct node {verb} {node.hex_id}",
        )
