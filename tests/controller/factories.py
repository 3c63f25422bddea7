"""Makes what tests need, each function one stored object with plausible values.

The named cast: Alice administers the group, Tom is its technician, Rita its researcher, Mia a plain
member; Bob belongs to no group, Sue is a superuser.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from vct.controller.mgmt.models import Host, TincAddress, TincHost
from vct.controller.nodes.models import Island, Node, Server, ServerApi
from vct.controller.nodes.verbs import set_direct_interfaces
from vct.controller.slices.interfaces import USUAL, Interface
from vct.controller.slices.models import Slice, Sliver, Template
from vct.controller.slices.verbs import create_sliver
from vct.controller.users.models import Group, Role, User
from vct.wire.limits import MgmtBackend

PASSWORD = "correct horse battery"
ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP0MbKTtoQXQmtJO7WJTnDPNZsbCPmLxoYzo2lfwqtfb a@b"
SHA256 = "0123456789abcdef" * 4
_numbers = itertools.count(1)


def a_user(name: str = "", **fields: Any) -> User:
    """A user with the password PASSWORD."""
    name = name or f"user{next(_numbers)}"
    return User.objects.create_user(name.lower(), password=PASSWORD, name=name, **fields)


def a_group(name: str = "", *, allow: bool = True, **fields: Any) -> Group:
    """A group that may have nodes and slices."""
    fields = {"allow_nodes": allow, "allow_slices": allow, **fields}
    return Group.objects.create(name=name or f"group{next(_numbers)}", **fields)


def a_node(group: Group | None = None, *, direct: tuple[str, ...] = (), **fields: Any) -> Node:
    """A node in debug: it has neither a key nor an API."""
    fields = {"name": f"node{next(_numbers)}", "arch": "x86_64", **fields}
    node = Node.objects.create(group=group or a_group(), **fields)
    set_direct_interfaces(node, direct)
    return node


def a_safe_node(group: Group | None = None, **fields: Any) -> Node:
    """A node that has all that it needs."""
    ready = {"mgmt_backend": MgmtBackend.NATIVE, "api_base_uri": "http://[fd65::2]/confine/api/"}
    node = a_node(group, **{**ready, **fields})
    node.refresh_from_db()
    return node


def a_template(name: str = "", **fields: Any) -> Template:
    external = {"image_uri": "http://templates.example/debian.tgz", "image_sha256": SHA256}
    fields = {"type": "debian", "node_archs": ["x86_64", "i686"], **external, **fields}
    return Template.objects.create(name=name or f"template{next(_numbers)}", **fields)


def a_slice(group: Group | None = None, **fields: Any) -> Slice:
    """A slice in register."""
    fields = {"name": f"slice{next(_numbers)}", **fields}
    fields.setdefault("template", Template.objects.first() or a_template())
    return Slice.objects.create(group=group or a_group(), **fields)


def a_sliver(
    slice_: Slice | None = None,
    node: Node | None = None,
    *,
    interfaces: tuple[Interface, ...] = USUAL,
    **fields: Any,
) -> Sliver:
    """A sliver with a private and a management interface."""
    slice_ = slice_ or a_slice()
    unsaved = Sliver(slice=slice_, node=node or a_node(slice_.group), **fields)
    return create_sliver(unsaved, interfaces)


def an_island(name: str = "") -> Island:
    return Island.objects.create(name=name or f"island{next(_numbers)}")


def a_server(name: str = "", **fields: Any) -> Server:
    """A server with a registry and a controller API."""
    server = Server.objects.create(name=name or f"server{next(_numbers)}", **fields)
    for kind in ("registry", "controller"):
        ServerApi.objects.create(server=server, type=kind, base_uri="http://[fd65::2]/api/")
    return server


def a_host(owner: User, **fields: Any) -> Host:
    return Host.objects.create(owner=owner, **{"name": f"host{next(_numbers)}", **fields})


@cache
def rsa_key(number: int = 0) -> RSAPrivateKey:
    """The same key for the same number: making one takes a while."""
    return generate_private_key(65537, 2048)


def a_pubkey(number: int = 0, form: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> str:
    """In PEM; PublicFormat.PKCS1 for tinc's own form."""
    return rsa_key(number).public_key().public_bytes(Encoding.PEM, form).decode()


def a_tinc_host(owner: Server | Node | Host, *, key: int = 0, address: str = "") -> TincHost:
    """The owner's membership in the mesh; with an address it is one that others connect to."""
    kind = type(owner).__name__.lower()
    tinc = TincHost.objects.create(**{kind: owner, "pubkey": a_pubkey(key)})
    if address:
        TincAddress.objects.create(host=tinc, addr=address)
    return tinc


@dataclass(frozen=True)
class Cast:
    """Everybody that permissions are about, and the group that they are about."""

    group: Group = field(default_factory=lambda: a_group("testers"))
    sue: User = field(default_factory=lambda: a_user("Sue", is_superuser=True))
    alice: User = field(default_factory=lambda: a_user("Alice"))
    tom: User = field(default_factory=lambda: a_user("Tom"))
    rita: User = field(default_factory=lambda: a_user("Rita"))
    mia: User = field(default_factory=lambda: a_user("Mia"))
    bob: User = field(default_factory=lambda: a_user("Bob"))

    def __post_init__(self) -> None:
        for user, roles in (
            (self.alice, {"is_group_admin": True}),
            (self.tom, {"is_node_admin": True}),
            (self.rita, {"is_slice_admin": True}),
            (self.mia, {}),
        ):
            Role.objects.create(user=user, group=self.group, **roles)

    @property
    def everybody(self) -> dict[str, User]:
        """By the word for what they are."""
        return {
            "superuser": self.sue,
            "group admin": self.alice,
            "node admin": self.tom,
            "slice admin": self.rita,
            "member": self.mia,
            "stranger": self.bob,
        }
