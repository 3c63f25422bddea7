"""The management network's members of nodes, servers and hosts: `mgmt_net` and `tinc`."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from vct.controller.mgmt.models import TincHost, mgmt_address
from vct.controller.nodes.models import Island, Managed
from vct.controller.rest.fields import Reference, Text
from vct.controller.rest.things import problems_of
from vct.wire.limits import MgmtBackend
from vct.wire.relations import Resource


class MgmtNet(serializers.Serializer[Any]):
    """How a thing is reached, and the address that follows from its id."""

    backend = serializers.ChoiceField(choices=list(MgmtBackend), source="mgmt_backend")
    addr = serializers.SerializerMethodField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, source="*", **kwargs)

    @extend_schema_field({"type": "string", "format": "ipv6"})
    def get_addr(self, thing: Any) -> str:
        return str(mgmt_address(thing))


class TincAddressShape(serializers.Serializer[Any]):
    """Where a tinc host can be reached from outside; others connect to hosts that have one."""

    addr = Text(read_only=True)
    port = serializers.IntegerField(read_only=True)
    island = Reference(Resource.ISLAND, Island, read_only=True, allow_null=True)


class Tinc(serializers.Serializer[Any]):
    """Null while there is no key. Addresses are written by the testbed's administrators only."""

    name = Text(read_only=True)
    pubkey = Text(max_length=8192)
    addresses = TincAddressShape(many=True, read_only=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, required=False, allow_null=True, **kwargs)

    def get_attribute(self, instance: Any) -> Any:
        return instance.tinc if instance.has_tinc_key() else None


def write_tinc(thing: Managed, value: dict[str, Any] | None) -> None:
    """The stored thing's key becomes this one, or is taken away. Raises ValidationError.

    A node that leaves or enters debug by it is loaded anew.
    """
    known = TincHost.objects.filter(**{type(thing).__name__.lower(): thing}).first()
    if value is None:
        if known:
            known.delete()
    elif "pubkey" in value and not (known and known.pubkey == value["pubkey"]):
        with problems_of("tinc"):
            if known:
                known.change(pubkey=value["pubkey"])
            else:
                TincHost.objects.create(**{type(thing).__name__.lower(): thing, **value})
