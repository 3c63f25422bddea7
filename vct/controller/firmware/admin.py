"""Base images and the state of builds."""

from __future__ import annotations

from django.contrib import admin

from vct.controller.firmware.models import BaseImage, Build
from vct.controller.web.base import ReadOnly, Rows


@admin.register(BaseImage)
class BaseImages(Rows):
    """Node images that firmware is made of."""

    list_display = ("name", "architectures", "image", "is_default")
    search_fields = ("name",)
    fieldsets = ((None, {"fields": ("name", "architectures", "image", "is_default")}),)


@admin.register(Build)
class Builds(ReadOnly):
    """Asked for by the API."""

    list_display = ("node", "state", "progress", "base_image", "message")
    list_filter = ("state",)
    list_select_related = ("node", "base_image")
    fields = ("node", "state", "progress", "base_image", "message", "path", "sha256")
