"""Islands, servers and nodes, with their API endpoints, direct interfaces and resources.

Management addresses and tinc keys are those of `vct.controller.mgmt`, rules about set states those
of `rules`.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator, URLValidator
from django.db import models, transaction
from django.db.models import F, Max, Q

from vct.controller.base import (
    Checked,
    Described,
    Guard,
    Remembering,
    check_name,
    keep_sequence,
    one_of,
    properties_field,
)
from vct.controller.nodes import rules
from vct.controller.nodes.fields import (
    check_certificate,
    check_port,
    check_private_24,
    check_public_ipv4,
    with_slash,
)
from vct.controller.problems import InUseError
from vct.controller.users.models import Group
from vct.wire.limits import DIRECT_INTERFACE_NAME, NODE_LAST, RESOURCES, Arch, MgmtBackend
from vct.wire.states import NodeSetState

MAIN_SERVER = 2  # so that its management address ends in ::2
http_url = URLValidator(schemes=("http", "https"))


class Island(Described):
    """A part of the network whose members reach each other directly."""

    name = models.CharField(max_length=32, unique=True, validators=[check_name])

    class Meta:
        ordering = ("id",)
        constraints = (Guard(condition=~Q(name=""), name="island_has_a_name"),)

    def __str__(self) -> str:
        return self.name


class Managed(Described):
    """Something with an address in the management network."""

    mgmt_backend = models.CharField(
        max_length=8, choices=[(b, b) for b in MgmtBackend], default=MgmtBackend.TINC
    )

    class Meta:
        abstract = True

    def has_tinc_key(self) -> bool:
        return hasattr(self, "tinc")

    def mgmt_ready(self) -> bool:
        """Whether it can be reached by its management address."""
        return self.mgmt_backend == MgmtBackend.NATIVE or self.has_tinc_key()


class Server(Managed):
    """A machine of the testbed's own. The first has id 2 and is the main one."""

    name = models.CharField(max_length=256, unique=True, validators=[check_name])
    properties = properties_field()

    class Meta:
        ordering = ("id",)
        constraints = (
            Guard(condition=~Q(name=""), name="server_has_a_name"),
            Guard(condition=Q(id__gte=MAIN_SERVER), name="server_id_from_2"),
            one_of("mgmt_backend", MgmtBackend, "server"),
        )

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Ids are given here, as 1 is nobody's."""
        if self.pk is None:
            highest = Server.objects.aggregate(highest=Max("id"))["highest"] or MAIN_SERVER - 1
            self.pk = highest + 1
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Raises InUseError for the last one."""
        with transaction.atomic():
            if not Server.objects.exclude(pk=self.pk).exists():
                raise InUseError("the last server cannot be deleted", hint="create another first")
            return super().delete(*args, **kwargs)


class ApiType(models.TextChoices):
    REGISTRY = "registry"
    CONTROLLER = "controller"


class ServerApi(Checked):
    """Where a server answers: as registry or as controller, for an island or for all."""

    server = models.ForeignKey(Server, models.CASCADE, related_name="apis")
    type = models.CharField(max_length=16, choices=ApiType.choices)
    base_uri = models.CharField(max_length=256, validators=[http_url])
    cert = models.TextField(blank=True, default="", validators=[check_certificate])
    island = models.ForeignKey(Island, models.SET_NULL, null=True, blank=True, default=None)

    class Meta:
        ordering = ("id",)
        verbose_name = "server API"
        constraints = (one_of("type", ApiType, "server_api"),)

    def __str__(self) -> str:
        return f"{self.type} API of {self.server}"

    def clean(self) -> None:
        self.base_uri = with_slash(self.base_uri)
        check_port("base_uri", self.base_uri)


class PublicIpv4(models.TextChoices):
    NONE = "none"
    DHCP = "dhcp"
    RANGE = "range"


class PublicIpv6(models.TextChoices):
    NONE = "none"
    DHCP = "dhcp"
    AUTO = "auto"


class Node(Remembering, Managed):
    """A research device. Its id gives its addresses, MACs and tinc name."""

    remembered = ("set_state", "group_id", "api_base_uri", "api_cert", "mgmt_backend")

    name = models.CharField(max_length=256, unique=True, validators=[check_name])
    arch = models.CharField(max_length=8, choices=[(a, a) for a in Arch])
    group = models.ForeignKey(Group, models.PROTECT, related_name="nodes")
    island = models.ForeignKey(
        Island, models.SET_NULL, null=True, blank=True, default=None, related_name="nodes"
    )
    properties = properties_field()
    set_state = models.CharField(
        max_length=16,
        choices=[(state, state) for state in NodeSetState],
        default=NodeSetState.DEBUG,
    )
    boot_sn = models.PositiveIntegerField("boot sequence number", default=0, editable=False)
    api_base_uri = models.CharField(max_length=256, blank=True, default="", validators=[http_url])
    api_cert = models.TextField(blank=True, default="", validators=[check_certificate])
    # what firmware needs to know
    local_iface = models.CharField(
        max_length=15,
        default="eth0",
        validators=[RegexValidator(rf"\A{DIRECT_INTERFACE_NAME.pattern}\Z")],
    )
    sliver_pub_ipv6 = models.CharField(
        max_length=8, choices=PublicIpv6.choices, default=PublicIpv6.NONE
    )
    sliver_pub_ipv4 = models.CharField(
        max_length=8, choices=PublicIpv4.choices, default=PublicIpv4.DHCP
    )
    sliver_pub_ipv4_range = models.CharField(max_length=32, blank=True, default="#8")
    sliver_mac_prefix = models.CharField(
        max_length=6,
        blank=True,
        default="0x54c0",
        validators=[RegexValidator(r"\A0x[0-9a-fA-F]{4}\Z", "16 bits in hexadecimal, as 0x54c0.")],
    )
    priv_ipv4_prefix = models.CharField(
        max_length=19, blank=True, default="192.168.241.0/24", validators=[check_private_24]
    )

    class Meta:
        ordering = ("id",)
        constraints = (
            Guard(condition=~Q(name=""), name="node_has_a_name"),
            Guard(condition=Q(id__gte=1, id__lte=NODE_LAST), name="node_id_of_16_bits"),
            one_of("arch", Arch, "node"),
            one_of("set_state", NodeSetState, "node"),
            one_of("mgmt_backend", MgmtBackend, "node"),
            one_of("sliver_pub_ipv4", PublicIpv4.values, "node"),
            one_of("sliver_pub_ipv6", PublicIpv6.values, "node"),
            Guard(
                # the same as rules.api_configured: whoever is not in debug can be asked
                condition=Q(set_state=NodeSetState.DEBUG)
                | (~Q(api_base_uri="") & (~Q(api_base_uri__startswith="https:") | ~Q(api_cert=""))),
                name="node_out_of_debug_has_an_api",
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def hex_id(self) -> str:
        """`0a12` for node 2578: the id as testbed files, addresses and host names have it."""
        return f"{self.pk:04x}"

    def is_configured(self) -> bool:
        api = rules.api_configured(self.api_base_uri, self.api_cert)
        return api and self.mgmt_ready()

    def clean(self) -> None:
        """People's move is checked, then the automatic one is made."""
        self.api_base_uri = with_slash(self.api_base_uri)
        check_port("api_base_uri", self.api_base_uri)
        self.check_fixed("group_id")
        check_public_ipv4(self.sliver_pub_ipv4, self.sliver_pub_ipv4_range)
        if self.pk is not None and not 1 <= self.pk <= NODE_LAST:
            raise ValidationError({"id": f"Node ids go from 1 to {NODE_LAST}."})
        if self._state.adding:
            self.set_state = NodeSetState.DEBUG
        elif self.set_state in set(NodeSetState):
            self._move()

    def _move(self) -> None:
        old, new = NodeSetState(self.was("set_state")), NodeSetState(self.set_state)
        # a form checks twice: the second time the automatic move has been made already
        moved = new is rules.settled(old, configured=self.is_configured())
        if not moved and not rules.may_move(old, new):
            raise ValidationError(rules.why_not(old, new))
        if old is not new is NodeSetState.PRODUCTION and not self.group.allow_nodes:
            raise ValidationError("The node's group is not allowed to have nodes in production.")
        self.set_state = rules.settled(new, configured=self.is_configured())

    def save(self, *args: Any, **kwargs: Any) -> None:
        """A new node is in debug and has one row for each resource; an id that was chosen stays."""
        if not self._state.adding:
            super().save(*args, **kwargs)
            return
        chosen = self.pk is not None
        with transaction.atomic():
            super().save(*args, **kwargs)
            if chosen:
                keep_sequence(Node)
            NodeResource.objects.bulk_create(  # ours, and as they should be
                NodeResource(node=self, name=name, max_req=kind.max_req, dflt_req=kind.dflt_req)
                for name, kind in RESOURCES.items()
            )
            if self.mgmt_ready():
                self.settle()

    def settle(self) -> None:
        """Called when something that a node's readiness depends on was saved or deleted."""
        fresh = Node.objects.get(pk=self.pk)
        fresh.save()
        self.refresh_from_db(fields=("set_state", "version"))


class DirectInterface(Checked):
    """A network interface of a node that slivers may have isolated interfaces on."""

    node = models.ForeignKey(Node, models.CASCADE, related_name="direct_ifaces")
    name = models.CharField(
        max_length=15, validators=[RegexValidator(rf"\A{DIRECT_INTERFACE_NAME.pattern}\Z")]
    )

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("node", "name"), name="direct_interface_once_per_node"),
        )

    def __str__(self) -> str:
        return self.name


class NodeResource(Checked):
    """How much of something one sliver may ask of a node, and gets if it does not ask."""

    node = models.ForeignKey(Node, models.CASCADE, related_name="resources")
    name = models.CharField(max_length=16, choices=[(name, name) for name in RESOURCES])
    max_req = models.PositiveIntegerField()
    dflt_req = models.PositiveIntegerField()

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("node", "name"), name="node_resource_once_per_node"),
            one_of("name", RESOURCES, "node_resource"),
            models.CheckConstraint(
                condition=Q(dflt_req__lte=F("max_req")),
                name="node_resource_default_within_maximum",
                violation_error_message="The default must not be more than the maximum.",
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def unit(self) -> str:
        return RESOURCES[self.name].unit

    def clean(self) -> None:
        kind = RESOURCES.get(self.name)
        if kind and self.max_req is not None and self.max_req > kind.ceiling:
            raise ValidationError({"max_req": f"Nodes take at most {kind.ceiling} {kind.unit}."})
