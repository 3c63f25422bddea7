"""The certificates that the testbed's authority has issued, for reading."""

from __future__ import annotations

from django.contrib import admin

from vct.controller.pki.models import Certificate
from vct.controller.web.base import ReadOnly


@admin.register(Certificate)
class Certificates(ReadOnly):
    """Public, as every certificate."""

    list_display = ("subject", "node", "serial", "made_on", "ends_on")
    list_select_related = ("node",)
    search_fields = ("subject", "serial", "node__name")
    fields = ("node", "subject", "serial", "made_on", "ends_on", "pem")
