"""`/map/network.json`: the testbed's graph for everybody, and for superusers to set its links."""

from __future__ import annotations

from typing import Any, cast

from django.db import transaction
from django.utils.decorators import method_decorator
from django.views.decorators.http import conditional_page
from drf_spectacular.utils import extend_schema
from rest_framework.authentication import SessionAuthentication
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from vct.controller import permissions
from vct.controller.audit.models import record
from vct.controller.config import MIB
from vct.controller.policy import Action
from vct.controller.rest.authentication import LoggedInToWrite, TokenAuthentication
from vct.controller.rest.parsers import JsonParser
from vct.controller.topology import netjson
from vct.controller.topology.models import Link
from vct.controller.users.models import User


class Document(JsonParser):
    """As many links as there may be."""

    limit = 16 * MIB


@method_decorator(conditional_page, name="dispatch")
class NetworkView(APIView):
    """NetJSON NetworkGraph of nodes and links."""

    authentication_classes = (TokenAuthentication, SessionAuthentication)
    permission_classes = (LoggedInToWrite,)
    parser_classes = (Document,)
    renderer_classes = (JSONRenderer,)

    @extend_schema(operation_id="network_read", responses=dict[str, Any])
    def get(self, request: Request) -> Response:
        """Nodes with their current states, and links. Its ETag changes with any of them."""
        return Response(netjson.network())

    @extend_schema(operation_id="network_write", request=dict[str, Any], responses=dict[str, Any])
    def put(self, request: Request) -> Response:
        """The links become those of the document; nodes are not written here. Superusers only."""
        permissions.require(request, Action.CHANGE, Link())
        with transaction.atomic():
            if netjson.set_links(request.data):
                count = Link.objects.count()
                user = cast(User, request.user)
                record(user, "set links", Link(), {"links": count}, address=_address(request))
        return Response(netjson.network())


def _address(request: Request) -> str | None:
    return request.META.get("REMOTE_ADDR") or None
