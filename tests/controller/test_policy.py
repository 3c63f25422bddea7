"""Who may do what: the whole table by everybody, pure, and how rows and requests get to it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db.models import Model
from django.test import RequestFactory

from tests.controller.factories import (
    Cast,
    a_group,
    a_host,
    a_node,
    a_slice,
    a_sliver,
    a_template,
    a_user,
)
from vct.controller import permissions
from vct.controller.mgmt.models import mgmt_address
from vct.controller.policy import (
    ANONYMOUS,
    TABLE,
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
from vct.controller.users.models import Role

OURS, THEIRS = 1, 2
ACTORS = {
    "superuser": Actor(user=10, is_superuser=True),
    "group admin": Actor(user=11, roles=((OURS, Roles(group_admin=True)),)),
    "node admin": Actor(user=12, roles=((OURS, Roles(node_admin=True)),)),
    "slice admin": Actor(user=13, roles=((OURS, Roles(slice_admin=True)),)),
    "member": Actor(user=14, roles=((OURS, Roles()),)),
    "stranger": Actor(user=15, roles=((THEIRS, Roles(group_admin=True)),)),
    "anonymous": ANONYMOUS,
    "node itself": Actor(node=7),
    "another node": Actor(node=8),
}
EVERYBODY = set(ACTORS)
USERS = EVERYBODY - {"anonymous", "node itself", "another node"}
TECHNICIANS = {"superuser", "group admin", "node admin"}
RESEARCHERS = {"superuser", "group admin", "slice admin"}
SUPERUSER = {"superuser"}

# who of them may, with everything allowed to the group; the node, host and user are below
EXPECTED: dict[Kind, dict[Action, set[str]]] = {
    **{
        kind: {Action.CREATE: SUPERUSER, Action.CHANGE: SUPERUSER, Action.DELETE: SUPERUSER}
        for kind in (Kind.ISLAND, Kind.SERVER, Kind.GATEWAY, Kind.LINK, Kind.BASEIMAGE)
    },
    Kind.TEMPLATE: {
        Action.CREATE: SUPERUSER,
        Action.CHANGE: SUPERUSER,
        Action.DELETE: SUPERUSER,
        Action.UPLOAD: SUPERUSER,
    },
    Kind.HOST: {
        Action.CREATE: USERS,
        Action.CHANGE: {"superuser", "member"},
        Action.DELETE: {"superuser", "member"},
        Action.UPLOAD_PUBKEY: {"superuser", "member"},
    },
    Kind.USER: {
        Action.CREATE: SUPERUSER,
        Action.CHANGE: {"superuser", "member"},
        Action.DELETE: {"superuser", "member"},
        Action.CHANGE_AUTH: SUPERUSER,
    },
    Kind.GROUP: {
        Action.CREATE: USERS,
        Action.CHANGE: {"superuser", "group admin"},
        Action.DELETE: {"superuser", "group admin"},
    },
    Kind.NODE: {
        Action.CREATE: TECHNICIANS,
        Action.CHANGE: TECHNICIANS,
        Action.DELETE: TECHNICIANS,
        Action.REBOOT: TECHNICIANS,
        Action.REQUEST_CERT: TECHNICIANS | {"node itself"},
        Action.POLL: TECHNICIANS,
        Action.FIRMWARE_BUILD: TECHNICIANS,
        Action.FIRMWARE_DELETE: TECHNICIANS,
        Action.FIRMWARE_DOWNLOAD: TECHNICIANS,
        Action.VM_READ: EVERYBODY,
        Action.VM: TECHNICIANS,
    },
    Kind.SLICE: {
        Action.CREATE: RESEARCHERS,
        Action.CHANGE: RESEARCHERS,
        Action.DELETE: RESEARCHERS,
        Action.UPLOAD: RESEARCHERS,
        Action.RENEW: RESEARCHERS,
        Action.RESET: RESEARCHERS,
    },
    Kind.SLIVER: {
        Action.CREATE: RESEARCHERS,
        Action.CHANGE: RESEARCHERS,
        Action.DELETE: RESEARCHERS,
        Action.UPLOAD: RESEARCHERS,
        Action.UPDATE: RESEARCHERS,
        Action.POLL: RESEARCHERS,
    },
    Kind.AUDIT: {Action.READ: SUPERUSER},
}
WITHOUT_ALLOWANCE = {
    Action.DELETE,
    Action.READ,
    Action.FIRMWARE_DELETE,
    Action.FIRMWARE_DOWNLOAD,
    Action.VM_READ,
    Action.VM,
}


def target_of(kind: Kind, *, allows: bool = True) -> Target:
    """Everything belongs to group 1; node 7, the member's host and the member's user."""
    return Target(
        group=OURS if kind in (Kind.GROUP, Kind.NODE, Kind.SLICE, Kind.SLIVER) else None,
        group_allows_nodes=allows,
        group_allows_slices=allows,
        owner=14 if kind is Kind.HOST else None,
        user=14 if kind is Kind.USER else None,
        node=7 if kind is Kind.NODE else None,
    )


def who_may(kind: Kind, action: Action, target: Target) -> set[str]:
    return {name for name, actor in ACTORS.items() if may(actor, action, kind, target)}


def test_it_works() -> None:
    assert may(ANONYMOUS, Action.READ, Kind.NODE, target_of(Kind.NODE))
    assert not may(ANONYMOUS, Action.CHANGE, Kind.NODE, target_of(Kind.NODE))


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("kind", Kind)
def test_the_table_says_what_the_reference_says(kind: Kind, action: Action) -> None:
    usual = EVERYBODY if action is Action.READ else set()
    expected = EXPECTED.get(kind, {}).get(action, usual)
    assert who_may(kind, action, target_of(kind)) == expected


@pytest.mark.parametrize("action", [action for kind, action in TABLE if kind is Kind.NODE])
def test_a_group_without_nodes_can_only_put_away_what_it_had(action: Action) -> None:
    found = who_may(Kind.NODE, action, target_of(Kind.NODE, allows=False))
    expected = EXPECTED[Kind.NODE].get(action, EVERYBODY)
    assert found == (expected if action in WITHOUT_ALLOWANCE else SUPERUSER)


@pytest.mark.parametrize("kind", [Kind.SLICE, Kind.SLIVER])
def test_a_group_without_slices_can_only_delete_them(kind: Kind) -> None:
    target = target_of(kind, allows=False)
    assert who_may(kind, Action.DELETE, target) == RESEARCHERS
    assert who_may(kind, Action.CHANGE, target) == SUPERUSER


@pytest.mark.parametrize(("kind", "action"), TABLE)
def test_who_is_not_active_may_only_read(kind: Kind, action: Action) -> None:
    retired = Actor(
        user=14,
        is_superuser=True,
        is_active=False,
        roles=((OURS, Roles(group_admin=True, node_admin=True, slice_admin=True)),),
    )
    free = may(ANONYMOUS, action, kind, target_of(kind))
    assert may(retired, action, kind, target_of(kind)) == free


def test_pages_offer_what_could_be_allowed() -> None:
    assert may_somewhere(ACTORS["node admin"], Action.CREATE, Kind.NODE)
    assert not may_somewhere(ACTORS["slice admin"], Action.CREATE, Kind.NODE)
    assert not may_somewhere(ANONYMOUS, Action.CREATE, Kind.HOST)
    assert not may_somewhere(ACTORS["superuser"], Action.REBOOT, Kind.SLICE)


def test_nobody_promotes_himself() -> None:
    assert refused_members(ACTORS["member"], Kind.USER, ["name", "is_superuser"]) == [
        "is_superuser"
    ]
    assert refused_members(ACTORS["group admin"], Kind.GROUP, ["allow_nodes"]) == ["allow_nodes"]
    assert refused_members(ACTORS["superuser"], Kind.USER, ["is_superuser"]) == []


@pytest.mark.django_db
def test_rows_lead_to_the_table() -> None:
    cast = Cast()
    node, slice_ = a_node(cast.group, direct=("eth1",)), a_slice(cast.group)
    sliver, host = a_sliver(slice_, node), a_host(cast.mia)
    rows: dict[Kind, Model] = {
        Kind.NODE: node,
        Kind.SLICE: slice_,
        Kind.SLIVER: sliver,
        Kind.GROUP: cast.group,
        Kind.HOST: host,
        Kind.USER: cast.mia,
        Kind.TEMPLATE: a_template(),
    }
    for kind, row in rows.items():
        found = {
            name
            for name, user in cast.everybody.items()
            if permissions.allowed_to(permissions.actor_of_user(user), Action.CHANGE, row)
        }
        assert found == EXPECTED[kind][Action.CHANGE], kind


@pytest.mark.django_db
def test_a_part_follows_its_whole() -> None:
    cast = Cast()
    node = a_node(cast.group, direct=("eth1",))
    interface = node.direct_ifaces.get()
    tom, rita = map(permissions.actor_of_user, (cast.tom, cast.rita))
    assert permissions.allowed_to(tom, Action.DELETE, interface)
    assert not permissions.allowed_to(rita, Action.DELETE, interface)
    assert permissions.allowed_to(rita, Action.READ, interface)


@pytest.mark.django_db
def test_requests_are_asked_with_their_user_or_node(rf: RequestFactory) -> None:
    cast = Cast()
    node, other = a_node(cast.group), a_node(cast.group)
    request = rf.get("/", REMOTE_ADDR=str(mgmt_address(node)))
    request.user = AnonymousUser()
    assert permissions.allowed(request, Action.REQUEST_CERT, node)
    assert not permissions.allowed(request, Action.REQUEST_CERT, other)
    request.user = cast.rita
    with pytest.raises(ForbiddenError, match="reboot"):
        permissions.require(request, Action.REBOOT, node)
    with pytest.raises(ForbiddenError, match="allow_nodes"):
        permissions.require_members(request, cast.group, ["name", "allow_nodes"])


@pytest.mark.django_db
def test_djangos_pages_ask_the_same_table() -> None:
    cast = Cast()
    node, foreign = a_node(cast.group), a_node(a_group())
    assert cast.tom.has_perm("nodes.change_node", node)
    assert not cast.tom.has_perm("nodes.change_node", foreign)
    assert cast.tom.has_perm("nodes.add_node")
    assert cast.tom.has_perm("nodes.change_directinterface")
    assert not cast.rita.has_perm("nodes.add_node")
    assert cast.sue.has_perm("users.add_user")
    assert not a_user(is_active=False, is_superuser=True).has_perm("users.add_user")


@pytest.mark.django_db
def test_roles_given_later_count_for_a_fresh_user() -> None:
    cast = Cast()
    Role.objects.create(user=cast.bob, group=cast.group, is_node_admin=True)
    assert type(cast.bob).objects.get(pk=cast.bob.pk).has_perm("nodes.add_node")
