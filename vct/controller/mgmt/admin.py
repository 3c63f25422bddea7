"""Users' hosts in the management network, gateways, and who connects to whom in its mesh."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from vct.controller.mgmt.models import Gateway, Host, TincAddress, TincHost, mgmt_address
from vct.controller.nodes.admin import TincKey
from vct.controller.web.base import Parts, Rows


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


class TincAddresses(Parts):
    """Where others reach it; one of an island is for that island's members."""

    model = TincAddress
    verbose_name_plural = "addresses"


@admin.register(TincHost)
class TincHosts(Rows):
    """Addresses and gateways in the mesh, for superusers. Keys are on their owners' pages."""

    list_display = ("name", "owner", "reached_at", "default_connect_to")
    list_select_related = ("server", "node", "host", "gateway", "default_connect_to")
    search_fields = ("server__name", "node__name", "host__name")
    readonly_fields = ("name", "owner", "pubkey")
    inlines = (TincAddresses,)
    fieldsets = ((None, {"fields": ("name", "owner", "pubkey", "default_connect_to")}),)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(getattr(request.user, "is_superuser", False))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("addresses")

    @admin.display(description="addresses")
    def reached_at(self, host: TincHost) -> str:
        return ", ".join(str(one) for one in host.addresses.all())

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """A gateway is somebody who can be reached, and another."""
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if field is not None and db_field.name == "default_connect_to":
            number = request.resolver_match.kwargs.get("object_id") if request.resolver_match else 0
            others = TincHost.objects.exclude(pk=number or 0).exclude(addresses=None)
            field.queryset = others.distinct()
            field.empty_label = "by its island, else the server"
        return field
