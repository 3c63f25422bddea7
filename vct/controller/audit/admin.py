"""The audit log, for reading."""

from __future__ import annotations

from django.contrib import admin

from vct.controller.audit.models import Entry
from vct.controller.web.base import ReadOnly


@admin.register(Entry)
class Entries(ReadOnly):
    """Who changed what, the newest first."""

    list_display = ("at", "actor_name", "address", "action", "kind", "object_name", "changes")
    list_filter = ("action", "kind", "at")
    search_fields = ("actor_name", "object_name", "object_id", "address")
    fields = (
        "at",
        "actor_name",
        "address",
        "action",
        "kind",
        "object_id",
        "object_name",
        "changes",
    )
