"""Base images and nodes' firmware."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from django.db import transaction
from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from vct.controller import permissions
from vct.controller.firmware import builder
from vct.controller.firmware.models import BaseImage, Build
from vct.controller.policy import Action
from vct.controller.rest.fields import OwnUri, Text, timestamp
from vct.controller.rest.filters import Filters
from vct.controller.rest.functions import WithFunctions, also, function
from vct.controller.rest.things import Thing
from vct.controller.rest.views import LIST_PROFILE, Things
from vct.wire.limits import Arch
from vct.wire.relations import EXPECT_CREATED, Dialect, Function, Resource, profile

STATES = {
    "REQUESTED": "Somebody asked for it.",
    "QUEUED": "It waits for its turn.",
    "BUILDING": "It is being built.",
    "AVAILABLE": "It can be downloaded.",
    "OUTDATED": "It can be downloaded, and would be another if it was built now.",
    "DELETED": "Its file is gone.",
    "FAILED": "It could not be built.",
}


class BaseImageShape(Thing):
    """A node image that firmware is made of."""

    model = BaseImage

    uri = OwnUri(Resource.BASEIMAGE)
    name = Text(max_length=256)
    architectures = serializers.ListField(child=serializers.ChoiceField(choices=list(Arch)))
    image = Text(max_length=256)
    default = serializers.BooleanField(required=False, source="is_default")


class BaseImages(Things):
    """What firmware is made of."""

    resource = Resource.BASEIMAGE
    serializer_class = BaseImageShape
    queryset = BaseImage.objects.all()
    filters: ClassVar[Filters] = {
        "id": ("id", int),
        "name": ("name", str),
        "default": ("is_default", bool),
    }

    @property
    def profile(self) -> str:
        """Base images are the controller's, their list says the registry's name all the same."""
        if self.action in ("list", "create"):
            return profile(self.dialect, LIST_PROFILE)
        return profile(Dialect.CONTROLLER, self.resource) if self.is_object else ""


class FirmwareShape(serializers.Serializer[Any]):
    """A build. `next` is the state that follows, if one does by itself."""

    state = Text()
    progress = serializers.IntegerField(allow_null=True)
    next = Text(allow_null=True)
    description = Text()
    content_message = Text()
    image_url = Text(allow_null=True)
    date = Text()


class FirmwareOrder(serializers.Serializer[Any]):
    """What firmware is wanted; all optional."""

    base_image_id = serializers.IntegerField(required=False, min_value=1, max_value=1 << 31)
    registry_base_uri = Text(required=False, max_length=256)
    registry_cert = Text(required=False, max_length=16_384)
    tinc_default_gateway = Text(required=False, max_length=64)
    allow_node_admins = serializers.BooleanField(default=True)
    sync_node_admins = serializers.BooleanField(default=False)
    ssh_auth = Text(required=False, allow_blank=True, max_length=16_384)
    usb_image = serializers.BooleanField(default=False)


class WithFirmware(WithFunctions):
    """`ctl/firmware/` of nodes."""

    @function(Function.FIRMWARE, method="get", gives=FirmwareShape)
    def firmware(self, request: Request, pk: int) -> Response:
        """The node's last build; 404 if there is none."""
        return Response(_shown(self._build()))

    @also(firmware, "post", takes=FirmwareOrder, gives=FirmwareShape, status=202)
    def build_firmware(self, request: Request, pk: int) -> Response:
        """Asks for a build, which takes the place of the last one: an archive of the node's files.
        With `Expect: 201-created` it is done when the answer (201) comes. 429 while one goes on."""
        node = self.get_object()
        permissions.require(request, Action.FIRMWARE_BUILD, node)
        asked = FirmwareOrder(data=request.data or {})
        asked.is_valid(raise_exception=True)
        if Build.objects.filter(node=node, state__in=Build.RUNNING).exists():
            return Response({"detail": "The firmware of this node is being built."}, 429)
        now = request.headers.get("Expect", "").lower() == EXPECT_CREATED
        with transaction.atomic():
            build = builder.request(node, asked.validated_data)
            self.audit("firmware_build", node, asked.validated_data)
        if now:
            builder.build_wanted()
            build.refresh_from_db()
        return Response(_shown(build), 201 if now else 202)

    @also(firmware, "delete", gives=None, status=204)
    def delete_firmware(self, request: Request, pk: int) -> Response:
        """Removes build and file."""
        node = self.get_object()
        permissions.require(request, Action.FIRMWARE_DELETE, node)
        with transaction.atomic():
            self.audit("firmware_delete", node)
            builder.discard(self._build())
        return Response(status=204)

    def _build(self) -> Build:
        build = Build.objects.filter(node=self.get_object()).first()
        if build is None:
            raise Http404("No firmware was built for this node.")
        return build


def _shown(build: Build) -> dict[str, Any]:
    """As FirmwareShape."""
    state = builder.current_state(build)
    running = state in Build.RUNNING
    states = list(STATES)
    image = None
    if build.path:
        name = quote(Path(build.path).name)
        image = f"/private/firmware/build/image/{build.node_id}/{name}"
    return {
        "state": state,
        "progress": build.progress if running else None,
        "next": states[states.index(state) + 1] if running else None,
        "description": STATES[state],
        "content_message": build.message,
        "image_url": image,
        "date": timestamp(build.made_on),
    }
