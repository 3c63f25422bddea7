"""Who may do what: one table, pure. Both dialects, the pages and the node ask it through
`vct.controller.permissions`, which turns requests and rows into the values here.

A rule is a set of holders; who is one of them may. Superusers may everything, users who are not
active nothing but read. Deviations of the original from its own intention are not copied.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum, auto


class Kind(StrEnum):
    """The kinds of objects that rules are about."""

    ISLAND = auto()
    SERVER = auto()
    NODE = auto()
    HOST = auto()
    GATEWAY = auto()
    USER = auto()
    GROUP = auto()
    TEMPLATE = auto()
    SLICE = auto()
    SLIVER = auto()
    BASEIMAGE = auto()
    LINK = auto()
    AUDIT = auto()


class Action(StrEnum):
    """What can be done; beside the first four the functions of the API."""

    READ = auto()
    CREATE = auto()
    CHANGE = auto()
    DELETE = auto()
    REBOOT = auto()
    REQUEST_CERT = auto()
    POLL = auto()  # POST to ctl/state
    FIRMWARE_BUILD = auto()
    FIRMWARE_DELETE = auto()
    FIRMWARE_DOWNLOAD = auto()
    VM_READ = auto()
    VM = auto()
    RENEW = auto()
    RESET = auto()
    UPDATE = auto()
    UPLOAD = auto()
    UPLOAD_PUBKEY = auto()
    CHANGE_AUTH = auto()


class Holder(StrEnum):
    """Who an actor is in relation to an object."""

    ANYONE = auto()
    LOGGED_IN = auto()
    SELF = auto()  # the user that the object is
    OWNER = auto()  # the user who made it
    GROUP_ADMIN = auto()  # of the group that it belongs to, or that it is
    NODE_ADMIN = auto()
    SLICE_ADMIN = auto()
    NODE_ITSELF = auto()  # known by its management address


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """What an actor is in one group."""

    group_admin: bool = False
    node_admin: bool = False
    slice_admin: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who asks. Without a user and a node: anonymous. `roles` are by group id."""

    user: int | None = None
    is_superuser: bool = False
    is_active: bool = True
    roles: tuple[tuple[int, Roles], ...] = ()
    node: int | None = None

    def roles_in(self, group: int | None) -> Roles:
        return next((roles for at, roles in self.roles if at == group), Roles())


ANONYMOUS = Actor()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is asked about. For CREATE what it would be; `group` is where it belongs to."""

    group: int | None = None
    group_allows_nodes: bool = False
    group_allows_slices: bool = False
    owner: int | None = None
    user: int | None = None  # if it is a user
    node: int | None = None  # if it is a node


ANY = Target()


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may, and whether the group must be allowed to have nodes or slices for it."""

    holders: tuple[Holder, ...] = ()
    needs_nodes: bool = False
    needs_slices: bool = False


SUPERUSERS = Rule()
EVERYBODY = Rule((Holder.ANYONE,))
USERS = Rule((Holder.LOGGED_IN,))
ONESELF = Rule((Holder.SELF,))
OWNERS = Rule((Holder.OWNER,))
GROUP_ADMINS = Rule((Holder.GROUP_ADMIN,))
TECHNICIANS = Rule((Holder.GROUP_ADMIN, Holder.NODE_ADMIN))
TECHNICIANS_OF_ALLOWED = Rule((Holder.GROUP_ADMIN, Holder.NODE_ADMIN), needs_nodes=True)
RESEARCHERS = Rule((Holder.GROUP_ADMIN, Holder.SLICE_ADMIN))
RESEARCHERS_OF_ALLOWED = Rule((Holder.GROUP_ADMIN, Holder.SLICE_ADMIN), needs_slices=True)
NODE_OR_TECHNICIANS = Rule(
    (Holder.GROUP_ADMIN, Holder.NODE_ADMIN, Holder.NODE_ITSELF), needs_nodes=True
)

_WRITE = (Action.CREATE, Action.CHANGE, Action.DELETE)
_OF_SLICES = (Action.CREATE, Action.CHANGE, Action.UPLOAD)

TABLE: dict[tuple[Kind, Action], Rule] = {
    **{(kind, Action.READ): EVERYBODY for kind in Kind},
    (Kind.AUDIT, Action.READ): SUPERUSERS,
    **{
        (kind, action): SUPERUSERS
        for kind in (
            Kind.ISLAND,
            Kind.SERVER,
            Kind.GATEWAY,
            Kind.LINK,
            Kind.TEMPLATE,
            Kind.BASEIMAGE,
        )
        for action in _WRITE
    },
    (Kind.TEMPLATE, Action.UPLOAD): SUPERUSERS,
    (Kind.HOST, Action.CREATE): USERS,
    (Kind.HOST, Action.CHANGE): OWNERS,
    (Kind.HOST, Action.DELETE): OWNERS,
    (Kind.HOST, Action.UPLOAD_PUBKEY): OWNERS,
    (Kind.USER, Action.CREATE): SUPERUSERS,
    (Kind.USER, Action.CHANGE): ONESELF,
    (Kind.USER, Action.DELETE): ONESELF,
    (Kind.USER, Action.CHANGE_AUTH): SUPERUSERS,
    (Kind.GROUP, Action.CREATE): USERS,
    (Kind.GROUP, Action.CHANGE): GROUP_ADMINS,
    (Kind.GROUP, Action.DELETE): GROUP_ADMINS,
    (Kind.NODE, Action.CREATE): TECHNICIANS_OF_ALLOWED,
    (Kind.NODE, Action.CHANGE): TECHNICIANS_OF_ALLOWED,
    (Kind.NODE, Action.DELETE): TECHNICIANS,
    (Kind.NODE, Action.REBOOT): TECHNICIANS_OF_ALLOWED,
    (Kind.NODE, Action.REQUEST_CERT): NODE_OR_TECHNICIANS,
    (Kind.NODE, Action.POLL): TECHNICIANS_OF_ALLOWED,
    (Kind.NODE, Action.FIRMWARE_BUILD): TECHNICIANS_OF_ALLOWED,
    (Kind.NODE, Action.FIRMWARE_DELETE): TECHNICIANS,
    (Kind.NODE, Action.FIRMWARE_DOWNLOAD): TECHNICIANS,
    (Kind.NODE, Action.VM_READ): EVERYBODY,
    (Kind.NODE, Action.VM): TECHNICIANS,
    **{
        (kind, action): RESEARCHERS_OF_ALLOWED
        for kind in (Kind.SLICE, Kind.SLIVER)
        for action in _OF_SLICES
    },
    (Kind.SLICE, Action.RENEW): RESEARCHERS_OF_ALLOWED,
    (Kind.SLICE, Action.RESET): RESEARCHERS_OF_ALLOWED,
    (Kind.SLIVER, Action.UPDATE): RESEARCHERS_OF_ALLOWED,
    (Kind.SLIVER, Action.POLL): RESEARCHERS_OF_ALLOWED,
    (Kind.SLICE, Action.DELETE): RESEARCHERS,
    (Kind.SLIVER, Action.DELETE): RESEARCHERS,
}

# Members that only superusers write, by the API's names; others' values are refused, not ignored.
SUPERUSER_MEMBERS: dict[Kind, frozenset[str]] = {
    Kind.USER: frozenset({"is_active", "is_superuser"}),
    Kind.GROUP: frozenset({"allow_nodes", "allow_slices"}),
}


def may(actor: Actor, action: Action, kind: Kind, target: Target = ANY) -> bool:
    """Whether the actor may do that to the target. What is not in the table nobody may."""
    rule = TABLE.get((kind, action))
    if rule is None:
        return False
    if actor.is_superuser and actor.is_active:
        return True
    if rule.needs_nodes and not target.group_allows_nodes:
        return False
    if rule.needs_slices and not target.group_allows_slices:
        return False
    held = holders(actor, target)
    return any(holder in held for holder in rule.holders)


def may_somewhere(actor: Actor, action: Action, kind: Kind) -> bool:
    """Whether there could be a target that the actor may do that to: pages offer it then."""
    rule = TABLE.get((kind, action))
    if rule is None:
        return False
    groups: list[int | None] = [None, *(group for group, _ in actor.roles)]
    targets = (
        Target(
            group=group,
            group_allows_nodes=True,
            group_allows_slices=True,
            owner=actor.user,
            user=actor.user,
            node=actor.node,
        )
        for group in groups
    )
    return any(may(actor, action, kind, target) for target in targets)


def holders(actor: Actor, target: Target) -> Collection[Holder]:
    """Everything that the actor is to the target."""
    held = {Holder.ANYONE}
    if actor.node is not None and actor.node == target.node:
        held.add(Holder.NODE_ITSELF)
    if actor.user is None or not actor.is_active:
        return held
    held.add(Holder.LOGGED_IN)
    if actor.user == target.user:
        held.add(Holder.SELF)
    if actor.user == target.owner:
        held.add(Holder.OWNER)
    roles = actor.roles_in(target.group)
    if roles.group_admin:
        held.add(Holder.GROUP_ADMIN)
    if roles.node_admin:
        held.add(Holder.NODE_ADMIN)
    if roles.slice_admin:
        held.add(Holder.SLICE_ADMIN)
    return held


def refused_members(actor: Actor, kind: Kind, members: Collection[str]) -> list[str]:
    """Those of the members to be changed that the actor must not change."""
    if actor.is_superuser and actor.is_active:
        return []
    return sorted(SUPERUSER_MEMBERS.get(kind, frozenset()).intersection(members))
