"""Uploaded files, for reading: they are uploaded to what they are for."""

from __future__ import annotations

from django.contrib import admin

from vct.controller.files.models import StoredFile
from vct.controller.web.base import ReadOnly


@admin.register(StoredFile)
class StoredFiles(ReadOnly):
    """Never changed once they are there."""

    list_display = ("path", "kind", "size", "sha256", "made_on", "made_by")
    list_filter = ("kind",)
    list_select_related = ("made_by",)
    search_fields = ("path", "sha256")
    fields = ("path", "kind", "size", "sha256", "made_on", "made_by")
