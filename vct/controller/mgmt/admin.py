"""Users' hosts in the management network, and gateways."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from vct.controller.mgmt.models import Gateway, Host, mgmt_address
from vct.controller.nodes.admin import TincKey
from vct.controller.web.base import Rows


@admin.register(Host)
class Hosts(Rows):
    """Who makes one owns it."""

    list_display = ("name", "owner", "address", "island")
    list_filter = ("island",)
    list_select_related = ("owner", "island")
    search_fields = ("name", "owner__name")
    readonly_fields = ("owner", "address")
    inlines = (TincKey,)
    fieldsets = (
        (None, {"fields": ("name", "description", "owner", "island", "mgmt_backend", "address")}),
    )

    @admin.display(description="management address")
    def address(self, host: Host) -> str:
        return str(mgmt_address(host)) if host.pk else ""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            obj.owner = request.user
        super().save_model(request, obj, form, change)


@admin.register(Gateway)
class Gateways(Rows):
    """Only the older dialect of the API has them."""

    list_display = ("__str__", "address", "description")
    inlines = (TincKey,)
    fieldsets = ((None, {"fields": ("description", "mgmt_backend")}),)

    @admin.display(description="management address")
    def address(self, gateway: Gateway) -> str:
        return str(mgmt_address(gateway))
