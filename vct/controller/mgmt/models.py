"""Hosts and gateways, and the tinc hosts of everything that the management network reaches.

Addresses are computed from ids (`addresses`), never stored. A server, node, host or gateway is in
the mesh once it has a TincHost, which holds its public key.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models, transaction
from django.db.models import Q

from vct.controller.base import Checked, Guard, Versioned, check_name, one_of
from vct.controller.mgmt.addresses import Owner, Plan
from vct.controller.mgmt.keys import fingerprint
from vct.controller.nodes.models import MAIN_SERVER, Island, Managed, Node, Server
from vct.controller.users.models import User
from vct.wire.limits import TINC_PORT, MgmtBackend

OWNERS = ("server", "node", "host", "gateway")
MAIN_SERVER_NAME = "server"


class Host(Managed):
    """A user's computer that wants to be in the management network."""

    name = models.CharField(max_length=256, unique=True, validators=[check_name])
    owner = models.ForeignKey(User, models.CASCADE, related_name="hosts")
    island = models.ForeignKey(Island, models.SET_NULL, null=True, blank=True, default=None)

    class Meta:
        ordering = ("id",)
        constraints = (
            Guard(condition=~Q(name=""), name="host_has_a_name"),
            one_of("mgmt_backend", MgmtBackend, "host"),
        )

    def __str__(self) -> str:
        return self.name


class Gateway(Managed):
    """A tinc server of an island; only the older dialect of the API has them."""

    class Meta:
        ordering = ("id",)
        constraints = (one_of("mgmt_backend", MgmtBackend, "gateway"),)

    def __str__(self) -> str:
        return f"gateway {self.pk}"


class TincHost(Versioned):
    """A member of the tinc mesh: the public key of exactly one server, node, host or gateway."""

    server = models.OneToOneField(
        Server, models.CASCADE, null=True, blank=True, default=None, related_name="tinc"
    )
    node = models.OneToOneField(
        Node, models.CASCADE, null=True, blank=True, default=None, related_name="tinc"
    )
    host = models.OneToOneField(
        Host, models.CASCADE, null=True, blank=True, default=None, related_name="tinc"
    )
    gateway = models.OneToOneField(
        Gateway, models.CASCADE, null=True, blank=True, default=None, related_name="tinc"
    )
    pubkey = models.TextField()
    fingerprint = models.CharField(max_length=64, unique=True, editable=False)
    default_connect_to = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, default=None
    )

    class Meta:
        ordering = ("id",)
        constraints = (
            models.CheckConstraint(
                condition=Q(server__isnull=False, node=None, host=None, gateway=None)
                | Q(server=None, node__isnull=False, host=None, gateway=None)
                | Q(server=None, node=None, host__isnull=False, gateway=None)
                | Q(server=None, node=None, host=None, gateway__isnull=False),
                name="tinc_host_of_exactly_one",
                violation_error_message="A tinc host is of one server, node, host or gateway.",
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def owner(self) -> Managed:
        found: Managed = getattr(self, self.owner_kind)
        return found

    @property
    def owner_kind(self) -> str:
        return next(kind for kind in OWNERS if getattr(self, f"{kind}_id") is not None)

    @property
    def name(self) -> str:
        return tinc_name(self.owner_kind, getattr(self, f"{self.owner_kind}_id"))

    def clean_fields(self, exclude: Any = None) -> None:
        """The same key in another encoding is the same key: its digest is what is unique."""
        try:
            self.fingerprint = fingerprint(self.pubkey)
        except ValidationError as error:
            raise ValidationError({"pubkey": error.messages}) from error
        super().clean_fields(exclude)

    def validate_unique(self, exclude: Any = None) -> None:
        """What people know is the key, not its digest."""
        super().validate_unique({*(exclude or ()), "fingerprint"})
        others = TincHost.objects.exclude(pk=self.pk)
        if others.filter(fingerprint=self.fingerprint).exists():
            raise ValidationError({"pubkey": "Another host has this key."})

    def save(self, *args: Any, **kwargs: Any) -> None:
        """With its key a node may leave debug."""
        with transaction.atomic():
            super().save(*args, **kwargs)
            mesh_changed()
            if self.node:
                self.node.settle()

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Without its key a node is in debug."""
        with transaction.atomic():
            deleted = super().delete(*args, **kwargs)
            mesh_changed()
            if self.node_id and (node := Node.objects.filter(pk=self.node_id).first()):
                node.settle()
            return deleted


class TincAddress(Checked):
    """Where a tinc host can be reached; hosts with an address are those that others connect to."""

    host = models.ForeignKey(TincHost, models.CASCADE, related_name="addresses")
    addr = models.CharField(
        max_length=128,
        validators=[RegexValidator(r"\A[0-9A-Za-z.:_-]+\Z", "An IP address or a host name.")],
    )
    port = models.PositiveIntegerField(
        default=TINC_PORT, validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    island = models.ForeignKey(Island, models.SET_NULL, null=True, blank=True, default=None)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("host", "addr", "port"), name="tinc_address_once"),
            Guard(condition=Q(port__gte=1, port__lte=65535), name="tinc_address_port_of_16_bits"),
        )

    def __str__(self) -> str:
        return f"{self.addr} {self.port}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        super().save(*args, **kwargs)
        mesh_changed()

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        deleted = super().delete(*args, **kwargs)
        mesh_changed()
        return deleted


def tinc_name(kind: str, number: int) -> str:
    """`node_2`, as tinc knows it; the main server is `server`."""
    return MAIN_SERVER_NAME if (kind, number) == ("server", MAIN_SERVER) else f"{kind}_{number}"


def mesh_changed() -> None:
    """Once this is committed tincd is told; what this misses the worker finds."""
    # it reads these models, and a failure of it is none of the change that was committed
    from vct.controller.mgmt.writer import changed

    transaction.on_commit(changed, robust=True)


def plan() -> Plan:
    """The address plan of this testbed."""
    told = settings.CONFIG
    return Plan(
        mgmt=IPv6Address(told.mgmt_prefix),
        debug=IPv6Address(told.debug_prefix),
        private=IPv6Address(told.priv_prefix),
    )


def mgmt_address(thing: Managed) -> IPv6Address:
    """The management address of a stored server, node, host or gateway."""
    return plan().mgmt_address(Owner(type(thing).__name__.lower()), thing.pk)


def mgmt_network(thing: Managed) -> IPv6Network:
    """What tinc routes to it."""
    return plan().mgmt_network(Owner(type(thing).__name__.lower()), thing.pk)
