"""The base resource: what the testbed is, and where everything else is."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from vct.controller.rest.fields import Text
from vct.controller.rest.views import Answering
from vct.controller.slices.models import Slice
from vct.wire.limits import VLAN_RESOURCE, VLAN_TAGS
from vct.wire.relations import Resource, profile

RESOURCES = tuple(
    resource for resource in Resource if resource not in (Resource.BASE, Resource.GATEWAY)
)


class ConfineParams(serializers.Serializer[Any]):
    debug_ipv6_prefix = Text()
    priv_ipv6_prefix = Text()


class TestbedParams(serializers.Serializer[Any]):
    mgmt_ipv6_prefix = Text()


class TestbedResource(serializers.Serializer[Any]):
    """Something that there is a limited number of in the whole testbed."""

    name = Text()
    max_req = serializers.IntegerField()
    dflt_req = serializers.IntegerField()
    unit = Text()
    avail = serializers.IntegerField()


class BaseShape(serializers.Serializer[Any]):
    """Address prefixes and resources; the other resources are in the Link header."""

    uri = Text()
    confine_params = ConfineParams()
    testbed_params = TestbedParams()
    testbed_resources = TestbedResource(many=True)


class Base(Answering):
    """Where clients begin."""

    @property
    def profile(self) -> str:
        return profile(self.dialect, Resource.BASE)

    @extend_schema(responses={200: BaseShape})
    def get(self, request: Request) -> Response:
        """Follow the link relations of the Link header from here."""
        data = {"uri": self.uris.base, **parameters(), "testbed_resources": [vlan_tags()]}
        return self.answer(data, self.uris.links_of_base(RESOURCES))


def parameters() -> dict[str, dict[str, str]]:
    """The prefixes of the testbed's address plan."""
    told = settings.CONFIG
    return {
        "confine_params": {
            "debug_ipv6_prefix": f"{told.debug_prefix}/48",
            "priv_ipv6_prefix": f"{told.priv_prefix}/48",
        },
        "testbed_params": {"mgmt_ipv6_prefix": f"{told.mgmt_prefix}/48"},
    }


def vlan_tags() -> dict[str, object]:
    """How many are left."""
    used = Slice.objects.exclude(isolated_vlan_tag=None).count()
    kind = VLAN_RESOURCE
    return {
        "name": "vlan",
        "max_req": kind.max_req,
        "dflt_req": kind.dflt_req,
        "unit": kind.unit,
        "avail": VLAN_TAGS - used,
    }
