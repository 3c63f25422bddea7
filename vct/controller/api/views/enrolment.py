"""`ctl/enrol/` of nodes: a node's keys become known, its firmware is the answer."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from vct.controller import permissions
from vct.controller.firmware.enrolment import Identity, enrol
from vct.controller.firmware.files import firmware_of
from vct.controller.mgmt.keys import PUBKEY_MAX
from vct.controller.pki.authority import REQUEST_MAX
from vct.controller.policy import Action
from vct.controller.rest.fields import Text
from vct.controller.rest.functions import WithFunctions, function
from vct.wire.limits import TINC_PORT, MgmtBackend
from vct.wire.relations import Function
from vct.wire.states import NodeSetState
from vct.wire.tinc import NAME_MAX, Address

ADDRESSES_MAX = 16


class NodeAddress(serializers.Serializer[Any]):
    """Where the node's tincd is reached."""

    addr = Text(max_length=128)
    port = serializers.IntegerField(min_value=1, max_value=65_535, default=TINC_PORT)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        try:
            Address(addr=attrs["addr"], port=attrs["port"])
        except ValueError as error:
            raise serializers.ValidationError({"addr": f"{error}."}) from error
        return attrs


class Enrolment(serializers.Serializer[Any]):
    """Public halves of keys that the node has; `tinc_pubkey` is null with the native backend.

    `gateway` is the tinc host to connect to, empty for the usual one; left out it stays. With its
    keys known the node goes to `set_state`, which says nothing more than a change of the node.
    """

    tinc_pubkey = Text(max_length=PUBKEY_MAX, allow_null=True, default=None)
    api_csr = Text(max_length=REQUEST_MAX)
    tinc_addresses = serializers.ListField(
        child=NodeAddress(), default=list, max_length=ADDRESSES_MAX
    )
    mgmt_backend = serializers.ChoiceField(choices=list(MgmtBackend), default=MgmtBackend.TINC)
    gateway = Text(max_length=NAME_MAX, allow_blank=True, allow_null=True, default=None)
    set_state = serializers.ChoiceField(choices=list(NodeSetState), required=False)

    @property
    def identity(self) -> Identity:
        """What valid data says."""
        told = self.validated_data
        return Identity(
            api_csr=told["api_csr"],
            mgmt_backend=MgmtBackend(told["mgmt_backend"]),
            tinc_pubkey=told["tinc_pubkey"] or "",
            tinc_addresses=tuple(Address(**one) for one in told["tinc_addresses"]),
            gateway=told["gateway"],
        )


class Enrolled(serializers.Serializer[Any]):
    """`config` is node.json; `files` are texts by name, to be put beside it."""

    config = serializers.JSONField()
    files = serializers.DictField(child=Text())


class WithEnrolment(WithFunctions):
    """For whoever makes nodes: vct."""

    @function(Function.ENROL, takes=Enrolment, gives=Enrolled)
    def enrol(self, request: Request, pk: int) -> Response:
        """The node's keys are registered, its API gets a certificate; a second time nothing is
        written. 409 for a tinc key that another host has."""
        node = self.get_object()
        permissions.require(request, Action.FIRMWARE_BUILD, node)
        asked = Enrolment(data=request.data)
        asked.is_valid(raise_exception=True)
        if order := asked.validated_data.get("set_state", ""):
            permissions.require(request, Action.CHANGE, node)
        with transaction.atomic():
            if changed := enrol(node, asked.identity, set_state=order):
                self.audit("enrol", node, changed)
            given = firmware_of(node)
        return Response(given.as_json)
