"""Asks the policy about requests and rows: the one place that both dialects and the pages use.

permissions.require(request, Action.CHANGE, node)      raises ForbiddenError
permissions.allowed(request, Action.CREATE, Node(group=group))
permissions.require_members(request, group, {"allow_nodes"})
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import AddressValueError, IPv6Address

from django.contrib.auth.models import AnonymousUser
from django.db.models import Model
from django.http import HttpRequest

from vct.controller.audit.models import Entry
from vct.controller.firmware.models import BaseImage
from vct.controller.mgmt.addresses import Owner
from vct.controller.mgmt.models import Gateway, Host, TincHost, plan
from vct.controller.nodes.models import (
    DirectInterface,
    Island,
    Node,
    NodeResource,
    Server,
    ServerApi,
)
from vct.controller.policy import (
    ANONYMOUS,
    ANY,
    Action,
    Actor,
    Kind,
    Roles,
    Target,
    may,
    may_somewhere,
    refused_members,
)
from vct.controller.problems import ForbiddenError
from vct.controller.slices.models import (
    Slice,
    SliceResource,
    Sliver,
    SliverInterface,
    SliverResource,
    Template,
)
from vct.controller.topology.models import Link
from vct.controller.users.models import AuthToken, Group, Role, User

KINDS: dict[type[Model], Kind] = {
    Island: Kind.ISLAND,
    Server: Kind.SERVER,
    Node: Kind.NODE,
    Host: Kind.HOST,
    Gateway: Kind.GATEWAY,
    User: Kind.USER,
    Group: Kind.GROUP,
    Template: Kind.TEMPLATE,
    Slice: Kind.SLICE,
    Sliver: Kind.SLIVER,
    BaseImage: Kind.BASEIMAGE,
    Link: Kind.LINK,
    Entry: Kind.AUDIT,
}
# rows that are a part of another object, and the attribute that leads to it: making, changing and
# deleting them is changing that
PARTS: dict[type[Model], tuple[Kind, str]] = {
    AuthToken: (Kind.USER, "user"),
    Role: (Kind.GROUP, "group"),
    DirectInterface: (Kind.NODE, "node"),
    NodeResource: (Kind.NODE, "node"),
    ServerApi: (Kind.SERVER, "server"),
    SliceResource: (Kind.SLICE, "slice"),
    SliverResource: (Kind.SLIVER, "sliver"),
    SliverInterface: (Kind.SLIVER, "sliver"),
}


def actor_of_user(user: User | AnonymousUser) -> Actor:
    """One query for the roles, once for each user object."""
    if not isinstance(user, User):
        return ANONYMOUS
    known: Actor | None = user.__dict__.get("_actor")
    if known is None:
        roles = tuple(
            (
                role.group_id,
                Roles(
                    group_admin=role.is_group_admin,
                    node_admin=role.is_node_admin,
                    slice_admin=role.is_slice_admin,
                ),
            )
            for role in user.roles.all()
        )
        known = user.__dict__["_actor"] = Actor(
            user=user.pk, is_superuser=user.is_superuser, is_active=user.is_active, roles=roles
        )
    return known


def actor(request: HttpRequest) -> Actor:
    """Who asks: the user, or without one the node whose management address it comes from."""
    if isinstance(request.user, User):
        return actor_of_user(request.user)
    return Actor(node=node_of_address(request.META.get("REMOTE_ADDR", "")))


def node_of_address(address: str) -> int | None:
    """The id of the node that has this management address; tinc lets nobody else use it."""
    try:
        whose = plan().whose(IPv6Address(address))
    except AddressValueError:
        return None
    return whose[1] if whose and whose[0] is Owner.NODE else None


def target(thing: Model) -> Target:
    """What the policy has to know of a row, stored or not."""
    if isinstance(thing, User):
        return Target(user=thing.pk)
    if isinstance(thing, Host):
        return Target(owner=thing.owner_id)
    group = _group_of(thing)
    if group is None:
        return ANY
    return Target(
        group=group.pk,
        group_allows_nodes=group.allow_nodes,
        group_allows_slices=group.allow_slices,
        node=thing.pk if isinstance(thing, Node) else None,
    )


def _group_of(thing: Model) -> Group | None:
    match thing:
        case Group():
            return thing
        case Node() | Slice():
            return thing.group
        case Sliver():
            return thing.slice.group
    return None


def _whole(thing: Model, action: Action) -> tuple[Model, Action]:
    """The object that a row is a part of, and what doing that to the part is to the object."""
    part = PARTS.get(type(thing))
    if isinstance(thing, TincHost):
        thing, part = thing.owner, (Kind.NODE, "")
    elif part:
        thing = getattr(thing, part[1])
    return (thing, action) if part is None or action is Action.READ else (thing, Action.CHANGE)


def allowed_to(who: Actor, action: Action, thing: Model) -> bool:
    whole, action = _whole(thing, action)
    kind = KINDS.get(type(whole))
    return kind is not None and may(who, action, kind, target(whole))


def allowed(request: HttpRequest, action: Action, thing: Model) -> bool:
    """Whether who asks may do that to a row, which for CREATE is not stored yet."""
    return allowed_to(actor(request), action, thing)


def require(request: HttpRequest, action: Action, thing: Model) -> None:
    """Raises ForbiddenError unless it is allowed."""
    if not allowed(request, action, thing):
        name = thing._meta.verbose_name
        words = str(action).replace("_", " ")
        raise ForbiddenError(f"You may not {words} this {name}.")


def require_members(request: HttpRequest, thing: Model, members: Collection[str]) -> None:
    """Raises ForbiddenError if one of the changed members is for superusers only."""
    kind = KINDS.get(type(thing))
    refused = refused_members(actor(request), kind, members) if kind else []
    if refused:
        raise ForbiddenError(f"Only superusers change {', '.join(refused)}.")


_DJANGO_ACTIONS = {
    "view": Action.READ,
    "add": Action.CREATE,
    "change": Action.CHANGE,
    "delete": Action.DELETE,
}


def has_perm(user: User, perm: str, thing: Model | None = None) -> bool:
    """Django's question, `nodes.change_node`: about one row, or whether it is worth asking."""
    if user.is_active and user.is_superuser:
        return True
    word, _, name = perm.partition(".")[2].partition("_")
    action = _DJANGO_ACTIONS.get(word)
    if action is None:
        return False
    who = actor_of_user(user)
    if thing is not None:
        return allowed_to(who, action, thing)
    for model, kind in KINDS.items():
        if model._meta.model_name == name:
            return may_somewhere(who, action, kind)
    for model, (kind, _) in PARTS.items():
        if model._meta.model_name == name:
            return may_somewhere(who, action if action is Action.READ else Action.CHANGE, kind)
    return False
