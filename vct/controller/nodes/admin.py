"""Islands, servers and nodes; what is done to selected nodes."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from vct.controller.firmware import builder
from vct.controller.firmware.models import Build
from vct.controller.mgmt.models import TincHost, mgmt_address
from vct.controller.nodes import verbs
from vct.controller.nodes.models import (
    DirectInterface,
    Island,
    Node,
    NodeResource,
    Server,
    ServerApi,
)
from vct.controller.policy import Action
from vct.controller.state.models import want_poll
from vct.controller.web import marks
from vct.controller.web.base import OfGroup, Parts, Rows
from vct.controller.web.create_slivers import create_slivers
from vct.wire.states import NodeSetState


@admin.register(Island)
class Islands(Rows):
    """Parts of the network."""

    list_display = ("name", "description")
    search_fields = ("name",)
    fieldsets = ((None, {"fields": ("name", "description")}),)


class ServerApis(Parts):
    """Where the server answers."""

    model = ServerApi


class TincKey(Parts):
    """The public key by which tinc knows it."""

    model = TincHost
    fields = ("pubkey",)
    max_num = 1
    verbose_name_plural = "tinc key"


@admin.register(Server)
class Servers(Rows):
    """Machines of the testbed's own."""

    list_display = ("name", "address", "description")
    search_fields = ("name",)
    fieldsets = ((None, {"fields": ("name", "description", "mgmt_backend", "properties")}),)
    inlines = (ServerApis, TincKey)

    @admin.display(description="management address")
    def address(self, server: Server) -> str:
        return str(mgmt_address(server))


class DirectInterfaces(Parts):
    """Interfaces that slivers may have isolated interfaces on."""

    model = DirectInterface


class Resources(Parts):
    """What one sliver may ask of the node."""

    model = NodeResource
    fields = ("name", "max_req", "dflt_req")
    readonly_fields = ("name",)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Node)
class Nodes(OfGroup):
    """Research devices."""

    list_display = (
        "hex_id",
        "name",
        "group",
        "arch",
        "told",
        "now",
        "contact",
        "n_slivers",
        "island",
    )
    list_display_links = ("hex_id", "name")
    list_filter = ("set_state", "status__value", "group", "arch", "island")
    list_select_related = ("group", "island", "status")
    search_fields = ("name", "description", "group__name")
    ordering = ("id",)
    actions = (
        "create_slivers",
        "reboot",
        "to_production",
        "to_safe",
        "ask_now",
        "build_firmware",
    )
    fixed = ("group",)
    inlines = (DirectInterfaces, Resources, TincKey)
    readonly_fields = (
        "hex_id",
        "address",
        "boot_sn",
        "last_build",
        "now",
        "advice",
        "answer",
        "changes",
    )
    fieldsets = (
        (
            None,
            {"fields": ("hex_id", "name", "description", "group", "arch", "island", "set_state")},
        ),
        ("State", {"fields": ("now", "advice", "answer", "changes", "boot_sn")}),
        (
            "Management",
            {"fields": ("address", "mgmt_backend", "api_base_uri", "api_cert", "properties")},
        ),
        (
            "Firmware",
            {
                "classes": ("collapse",),
                "fields": (
                    "last_build",
                    "local_iface",
                    "sliver_pub_ipv6",
                    "sliver_pub_ipv4",
                    "sliver_pub_ipv4_range",
                    "sliver_mac_prefix",
                    "priv_ipv4_prefix",
                ),
            },
        ),
    )

    @admin.display(description="id", ordering="id")
    def hex_id(self, node: Node) -> str:
        return node.hex_id if node.pk else "given when it is saved"

    @admin.display(description="told to be", ordering="set_state")
    def told(self, node: Node) -> SafeString:
        return marks.told_mark(NodeSetState(node.set_state))

    @admin.display(description="is", ordering="status__value")
    def now(self, node: Node) -> SafeString:
        return marks.current_mark(node)

    @admin.display(description="last contact", ordering="status__contact_on")
    def contact(self, node: Node) -> Any:
        status = getattr(node, "status", None)
        return status.contact_on if status else None

    @admin.display(description="slivers", ordering="n_slivers")
    def n_slivers(self, node: Any) -> int:
        count: int = node.n_slivers
        return count

    @admin.display(description="management address")
    def address(self, node: Node) -> str:
        return str(mgmt_address(node)) if node.pk else ""

    @admin.display(description="why")
    def advice(self, node: Node) -> str:
        return marks.advice(node) if node.pk else ""

    @admin.display(description="last answer")
    def answer(self, node: Node) -> str:
        return marks.answer(node)

    @admin.display(description="last changes")
    def changes(self, node: Node) -> str:
        return marks.history(node)

    @admin.action(description="Create slivers of a slice on selected nodes")
    def create_slivers(self, request: HttpRequest, queryset: QuerySet[Node]) -> HttpResponse | None:
        return create_slivers(self, request, queryset)

    @admin.action(description="Reboot selected nodes", permissions=["change"])
    def reboot(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        self.each(request, queryset, Action.REBOOT, "reboot", verbs.reboot)

    @admin.action(description="Move selected nodes to production", permissions=["change"])
    def to_production(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        self._move(request, queryset, NodeSetState.PRODUCTION)

    @admin.action(description="Move selected nodes to safe", permissions=["change"])
    def to_safe(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        self._move(request, queryset, NodeSetState.SAFE)

    @admin.action(description="Ask selected nodes for their state now", permissions=["change"])
    def ask_now(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        self.each(request, queryset, Action.POLL, "ask now", want_poll)

    @admin.action(description="Build firmware of selected nodes", permissions=["change"])
    def build_firmware(self, request: HttpRequest, queryset: QuerySet[Node]) -> None:
        self.each(
            request,
            queryset,
            Action.FIRMWARE_BUILD,
            "firmware build",
            lambda node: builder.request(node, {}),
        )

    @admin.display(description="firmware")
    def last_build(self, node: Node) -> SafeString | str:
        """The last build, to be downloaded by the node's technicians."""
        build = Build.objects.filter(node=node).first()
        if build is None:
            return "never built: use the list's action"
        state = builder.current_state(build)
        if not build.path:
            return f"{state}: {build.message}" if build.message else str(state)
        name = build.path.rpartition("/")[2]
        link = '{}: <a href="/private/firmware/build/image/{}/{}">{}</a>'
        return format_html(link, state, node.pk, name, name)

    def _move(self, request: HttpRequest, nodes: QuerySet[Node], state: NodeSetState) -> None:
        self.each(
            request, nodes, Action.CHANGE, str(state), lambda node: node.change(set_state=state)
        )
