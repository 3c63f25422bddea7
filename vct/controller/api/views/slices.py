"""Templates, slices and slivers, and what can be done to them."""

from __future__ import annotations

from typing import ClassVar

from django.db.models import Prefetch
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from vct.controller.api.shapes.slices import SliceShape, SliverShape, TemplateShape
from vct.controller.api.views.nodes import NAMED, SLIVER_IDS
from vct.controller.api.views.state import WithState
from vct.controller.files.models import FileKind
from vct.controller.policy import Action
from vct.controller.rest.filters import Filters
from vct.controller.rest.functions import Upload, WithFunctions, function
from vct.controller.slices import verbs
from vct.controller.slices.models import Slice, Sliver, Template
from vct.wire.relations import Function, Resource


class Templates(WithFunctions):
    """Root file systems of slivers."""

    resource = Resource.TEMPLATE
    functions: ClassVar[tuple[Function, ...]] = (Function.UPLOAD_IMAGE,)
    serializer_class = TemplateShape
    queryset = Template.objects.select_related("image_file")
    filters: ClassVar[Filters] = {
        **NAMED,
        "type": ("type", str),
        "is_active": ("is_active", bool),
        "image_sha256": ("image_sha256", str),
    }

    @function(Function.UPLOAD_IMAGE, takes=Upload, parsers=(MultiPartParser,))
    def upload_image(self, request: Request, pk: int) -> Response:
        """The one file becomes the template's image."""
        return self.upload(request, "image", FileKind.TEMPLATE)


class Slices(WithFunctions):
    """Experiments."""

    resource = Resource.SLICE
    functions: ClassVar[tuple[Function, ...]] = (
        Function.RENEW,
        Function.RESET,
        Function.UPLOAD_DATA,
    )
    serializer_class = SliceShape
    queryset = Slice.objects.select_related("group", "data_file").prefetch_related(
        "resources", Prefetch("slivers", SLIVER_IDS)
    )
    filters: ClassVar[Filters] = {
        **NAMED,
        "set_state": ("set_state", str),
        "group/id": ("group", int),
        "allow_isolated": ("allow_isolated", bool),
        "isolated_vlan_tag": ("isolated_vlan_tag", int),
        "sliver_defaults/template/id": ("template", int),
        "slivers/_/node/id": ("slivers__node", int),
    }

    @function(Function.RENEW)
    def renew(self, request: Request, pk: int) -> Response:
        """The slice lives a full lifetime from today."""
        return self.order(request, Action.RENEW, verbs.renew, "The slice was renewed.")

    @function(Function.RESET, status=202)
    def reset(self, request: Request, pk: int) -> Response:
        """Nodes make the file systems of all its slivers anew."""
        words = "The slivers will be reset."
        return self.order(request, Action.RESET, verbs.reset, words, status=202)

    @function(Function.UPLOAD_DATA, takes=Upload, parsers=(MultiPartParser,))
    def upload_data(self, request: Request, pk: int) -> Response:
        """The one file becomes the data of slivers that have none of their own."""
        return self.upload(request, "data", FileKind.DATA, prefix=f"slice-{pk}-")


class Slivers(WithState, WithFunctions):
    """Containers of slices on nodes."""

    resource = Resource.SLIVER
    functions: ClassVar[tuple[Function, ...]] = (
        Function.UPDATE,
        Function.UPLOAD_DATA,
        Function.STATE,
    )
    serializer_class = SliverShape
    queryset = Sliver.objects.select_related("slice__group", "node", "data_file").prefetch_related(
        "interfaces__parent", "resources"
    )
    filters: ClassVar[Filters] = {
        "slice/id": ("slice", int),
        "node/id": ("node", int),
        "slice/name": ("slice__name", str),
        "node/name": ("node__name", str),
        "set_state": ("set_state", str),
        "template/id": ("template", int),
        "interfaces/_/type": ("interfaces__type", str),
        "interfaces/_/nr": ("interfaces__nr", int),
        "interfaces/_/name": ("interfaces__name", str),
    }

    @function(Function.UPDATE, status=202)
    def ctl_update(self, request: Request, pk: int) -> Response:
        """Its node forgets the sliver and makes it anew."""
        words = "The sliver will be made anew."
        return self.order(request, Action.UPDATE, verbs.update, words, status=202)

    @function(Function.UPLOAD_DATA, takes=Upload, parsers=(MultiPartParser,))
    def upload_data(self, request: Request, pk: int) -> Response:
        """The one file becomes the sliver's own data."""
        return self.upload(request, "data", FileKind.DATA, prefix=f"sliver-{pk}-")
