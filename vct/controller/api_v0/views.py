"""The views of v0: those of v1 with the older relations, members and names of functions."""

from __future__ import annotations

from typing import ClassVar

from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from vct.controller.api.views import base, firmware, nodes, slices, users
from vct.controller.api_v0.shapes import (
    GatewayV0,
    HostV0,
    NodeV0,
    ServerV0,
    SliceV0,
    SliverV0,
)
from vct.controller.files.models import FileKind
from vct.controller.mgmt.models import Gateway
from vct.controller.rest.fields import Text
from vct.controller.rest.functions import Upload, WithFunctions, function
from vct.controller.rest.views import Answering
from vct.wire.relations import Dialect, Function, Resource, relation

RESOURCES = (*base.RESOURCES, Resource.GATEWAY)
# what the rows call a member that v0 calls otherwise: their rules speak of it by their own name
NAMES = {
    "data_uri": "exp_data_uri",
    "data_sha256": "exp_data_sha256",
    "allow_isolated": "vlan_nr",
}


class Older(Answering):
    """What makes a view of v1 one of v0. Its OpenAPI document does not describe these."""

    dialect: ClassVar[Dialect] = Dialect.SERVER
    namespace: ClassVar[str] = "api_v0"
    reference_ids: ClassVar[bool] = False
    schema = None

    @property
    def profile(self) -> str:
        """The dialect is older than profiles."""
        return ""

    def handle_exception(self, exc: Exception) -> Response:
        answer = super().handle_exception(exc)
        if isinstance(answer.data, dict):
            answer.data = {NAMES.get(name, name): words for name, words in answer.data.items()}
        return answer


class Base(Older, base.Base):
    """Without lists: in the base they send the original's client library round in circles."""

    def get(self, request: Request) -> Response:
        links = [
            *self.uris.links_of_base(RESOURCES),
            (relation(self.dialect, Resource.SERVER), f"{self.uris.base}{Resource.SERVER}/"),
        ]
        return self.answer({"uri": self.uris.base, **base.parameters()}, links)


class Islands(Older, nodes.Islands):
    """As in v1."""


class Servers(Older, nodes.Servers):
    """Also at `server/`: once there was only one."""

    serializer_class = ServerV0


class Hosts(Older, nodes.Hosts):
    """As in v1."""

    serializer_class = HostV0


class Gateways(Older, WithFunctions):
    """Tinc servers of islands; v1 does not have them."""

    resource = Resource.GATEWAY
    serializer_class = GatewayV0
    queryset = Gateway.objects.select_related("tinc").prefetch_related("tinc__addresses")


class Nodes(Older, nodes.Nodes):
    """With an older name of the certificate's function."""

    functions = (*nodes.Nodes.functions, Function.REQUEST_API_CERT)
    serializer_class = NodeV0

    @function(Function.REQUEST_API_CERT, status=202, without_log_in=True)
    def request_api_cert(self, request: Request, pk: int) -> Response:
        response: Response = self.request_cert(request, pk)
        return response


class Users(Older, users.Users):
    """With the oldest way to give somebody a password."""

    functions = (*users.Users.functions, Function.CHANGE_PASSWORD)

    @function(Function.CHANGE_PASSWORD, takes=Text())
    def change_password(self, request: Request, pk: int) -> Response:
        """The body is the password as a JSON string."""
        return self.set_auth(request, {"password": request.data})


class Groups(Older, users.Groups):
    """As in v1."""


class Templates(Older, slices.Templates):
    """As in v1."""


class WithOldUploads(Older, WithFunctions):
    """Data by its older name, and overlays."""

    @function(Function.UPLOAD_EXP_DATA, takes=Upload, parsers=(MultiPartParser,))
    def upload_exp_data(self, request: Request, pk: int) -> Response:
        """The one file becomes the data."""
        prefix = f"{self.resource}-{pk}-"
        return self.upload(request, "data", FileKind.DATA, prefix=prefix)

    @function(Function.UPLOAD_OVERLAY, takes=Upload, parsers=(MultiPartParser,))
    def upload_overlay(self, request: Request, pk: int) -> Response:
        """The one file becomes what is laid over the template."""
        prefix = f"{self.resource}-{pk}-"
        return self.upload(request, "overlay", FileKind.OVERLAY, prefix=prefix)


OLD_UPLOADS = (Function.UPLOAD_EXP_DATA, Function.UPLOAD_OVERLAY)


class Slices(WithOldUploads, slices.Slices):
    """Say themselves what slivers start with."""

    functions = (*slices.Slices.functions, *OLD_UPLOADS)
    serializer_class = SliceV0
    queryset = slices.Slices.queryset.select_related("overlay_file")


class Slivers(WithOldUploads, slices.Slivers):
    """With data by its older name."""

    functions = (*slices.Slivers.functions, *OLD_UPLOADS)
    serializer_class = SliverV0
    queryset = slices.Slivers.queryset.select_related("overlay_file")


class BaseImages(Older, firmware.BaseImages):
    """As in v1."""
