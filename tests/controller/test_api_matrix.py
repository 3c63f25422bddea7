"""Who may do what in v1: every endpoint and method by everybody."""

from __future__ import annotations

from typing import Any

import pytest

from tests.controller.caller import Caller
from tests.controller.factories import Cast, a_group, a_node, a_slice
from tests.controller.matrix import (
    EVERYBODY,
    GROUP_ADMIN,
    MIA,
    NOBODY,
    RESEARCHERS,
    SUPERUSER,
    TECHNICIANS,
    USERS,
    Row,
    Rows,
    World,
    crud,
    endpoints,
    let_through,
    pem,
)
from vct.controller.mgmt.models import mgmt_address

pytestmark = pytest.mark.django_db
TINC = {"backend": "tinc"}


def node(world: World) -> Any:
    return {"name": "n", "arch": "i686", "group": world.reference("groups"), "mgmt_net": TINC}


def slice_(world: World) -> Any:
    defaults = {"template": world.reference("templates")}
    return {"name": "s", "group": world.reference("groups"), "sliver_defaults": defaults}


def sliver(world: World) -> Any:
    return {
        "slice": world.reference("slices"),
        "node": {"uri": f"/api/nodes/{world.spare.pk}/"},
        "interfaces": [{"nr": 0, "name": "priv", "type": "private"}],
    }


def ctl(
    route: str, who: frozenset[str], status: int = 200, *, method: str = "POST", **more: Any
) -> Rows:
    return {(method, f"api/{route}/"): Row(who=who, status=status, **more)}


NODE, SLICE, SLIVER = (f"{kind}/<int:pk>/ctl" for kind in ("nodes", "slices", "slivers"))
FILE = b"content"
ROWS: dict[str, Rows] = {
    "islands": crud(
        "islands",
        create=SUPERUSER,
        change=SUPERUSER,
        delete=SUPERUSER,
        body={"name": "i"},
    ),
    "servers": crud(
        "servers",
        create=SUPERUSER,
        change=SUPERUSER,
        delete=SUPERUSER,
        body={"name": "s", "mgmt_net": TINC},
    ),
    "templates": crud(
        "templates",
        create=SUPERUSER,
        change=SUPERUSER,
        delete=NOBODY,  # in use, see below
        body={"name": "t", "type": "debian", "node_archs": ["i686"]},
    )
    | ctl("templates/<int:pk>/ctl/upload-image", SUPERUSER, upload=FILE),
    "baseimages": crud(
        "baseimages",
        create=SUPERUSER,
        change=SUPERUSER,
        delete=SUPERUSER,
        body={"name": "b", "architectures": ["i686"], "image": "b.gz"},
    ),
    "users": crud("users", create=SUPERUSER, change=MIA, delete=MIA, body={"name": "u"})
    | ctl(
        "users/<int:pk>/ctl/change-auth",
        SUPERUSER,
        body={"password": "a long one, not known"},
    ),
    "groups": crud(
        "groups",
        create=USERS,
        change=GROUP_ADMIN,
        delete=NOBODY,  # in use, see below
        body={"name": "g"},
    ),
    "hosts": crud(
        "hosts",
        create=USERS,
        change=MIA,
        delete=MIA,
        body={"name": "h", "mgmt_net": TINC},
    )
    | ctl("hosts/<int:pk>/ctl/upload-pubkey", MIA, upload=pem()),
    "nodes": crud("nodes", create=TECHNICIANS, change=TECHNICIANS, delete=TECHNICIANS, body=node)
    | ctl(f"{NODE}/reboot", TECHNICIANS)
    | ctl(f"{NODE}/request-cert", TECHNICIANS, 400, body="not a request")
    | ctl(f"{NODE}/enrol", TECHNICIANS, 400, body={"api_csr": "not one", "set_state": "safe"})
    | ctl(f"{NODE}/state", EVERYBODY, method="GET")
    | ctl(f"{NODE}/state", TECHNICIANS)
    | ctl(f"{NODE}/firmware", EVERYBODY, method="GET")
    | ctl(f"{NODE}/firmware", TECHNICIANS, 202)
    | ctl(f"{NODE}/firmware", TECHNICIANS, 204, method="DELETE")
    | ctl(f"{NODE}/vm", EVERYBODY, 404, method="GET")
    | ctl(f"{NODE}/vm", TECHNICIANS, 409)
    | ctl(f"{NODE}/vm", TECHNICIANS, 409, method="PUT", body={"start": True})
    | ctl(f"{NODE}/vm", TECHNICIANS, 409, method="PATCH", body={"stop": True})
    | ctl(f"{NODE}/vm", TECHNICIANS, 409, method="DELETE"),
    "slices": crud(
        "slices", create=RESEARCHERS, change=RESEARCHERS, delete=RESEARCHERS, body=slice_
    )
    | ctl(f"{SLICE}/renew", RESEARCHERS)
    | ctl(f"{SLICE}/reset", RESEARCHERS, 202)
    | ctl(f"{SLICE}/upload-data", RESEARCHERS, upload=FILE),
    "slivers": crud(
        "slivers", create=RESEARCHERS, change=RESEARCHERS, delete=RESEARCHERS, body=sliver
    )
    | ctl(f"{SLIVER}/update", RESEARCHERS, 202)
    | ctl(f"{SLIVER}/state", EVERYBODY, method="GET")
    | ctl(f"{SLIVER}/state", RESEARCHERS)
    | ctl(f"{SLIVER}/upload-data", RESEARCHERS, upload=FILE),
    "outside": {
        ("GET", "api/"): Row(who=EVERYBODY),
        ("GET", "api/schema/"): Row(who=EVERYBODY),
        ("POST", "api-token-auth/"): Row(who=EVERYBODY, status=400, body={}),
    },
}
# their deletion would be allowed to these, and is refused as they are in use
IN_USE = {"templates": SUPERUSER, "groups": GROUP_ADMIN}
for _kind, _who in IN_USE.items():
    ROWS[_kind]["DELETE", f"api/{_kind}/<int:pk>/"] = Row(who=_who, status=409)


def test_it_works() -> None:
    assert ("POST", "api/nodes/<int:pk>/ctl/reboot/") in endpoints("api/")


def test_every_endpoint_has_a_row() -> None:
    known = {row for rows in ROWS.values() for row in rows}
    there = {one for one in endpoints("api") if not one[1].startswith("api/v0/")}
    assert known == there


@pytest.mark.parametrize("kind", ROWS)
def test_the_table_is_true(kind: str) -> None:
    world = World()
    found = {at: let_through(world, *at, row) for at, row in ROWS[kind].items()}
    assert found == {at: dict.fromkeys(row.who, row.status) for at, row in ROWS[kind].items()}


def test_a_node_itself_may_ask_for_its_certificate() -> None:
    node, other = a_node(), a_node()
    caller = Caller(REMOTE_ADDR=str(mgmt_address(node)))
    asked = "not a request"
    assert caller.post(f"/api/nodes/{node.pk}/ctl/request-cert/", asked).status_code == 400
    assert caller.post(f"/api/nodes/{other.pk}/ctl/request-cert/", asked).status_code == 403


def test_without_nodes_allowed_there_are_no_new_ones() -> None:
    cast = Cast(group=a_group("testers", allow=False))
    uri = {"uri": f"/api/groups/{cast.group.pk}/"}
    sent = {"name": "n", "arch": "i686", "group": uri, "mgmt_net": TINC}
    assert Caller(cast.tom).post("/api/nodes/", sent).status_code == 403
    assert Caller(cast.sue).post("/api/nodes/", sent).status_code == 201


def test_slices_stay_where_they_are() -> None:
    cast, foreign = Cast(), a_group()
    mine, uri = a_slice(cast.group), {"uri": f"/api/groups/{foreign.pk}/"}
    answer = Caller(cast.rita).patch(f"/api/slices/{mine.pk}/", {"group": uri})
    assert answer.status_code == 200
    assert answer.json()["group"]["id"] == cast.group.pk


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_nobody_promotes_himself(method: str) -> None:
    cast = Cast()
    sent = {"name": "Mia", "is_superuser": True}
    answer = Caller(cast.mia).send(method, f"/api/users/{cast.mia.pk}/", sent)
    assert answer.status_code == 403
    sent = {"name": "testers", "allow_nodes": False}
    assert Caller(cast.alice).send(method, f"/api/groups/{cast.group.pk}/", sent).status_code == 403
    cast.mia.refresh_from_db()
    assert not cast.mia.is_superuser


def test_nobody_takes_a_role_by_himself() -> None:
    cast = Cast()
    uri = {"uri": f"/api/groups/{cast.group.pk}/"}
    sent = {"group_roles": [{"group": uri, "is_group_admin": True}]}
    for user in (cast.mia, cast.bob):
        assert Caller(user).patch(f"/api/users/{user.pk}/", sent).status_code == 403
    answer = Caller(cast.sue).patch(f"/api/users/{cast.bob.pk}/", sent)
    assert answer.json()["group_roles"][0]["is_group_admin"]
    assert Caller(cast.bob).patch(f"/api/groups/{cast.group.pk}/", {}).status_code == 200


def test_who_is_not_active_is_nobody() -> None:
    cast = Cast()
    caller = Caller(cast.sue)
    cast.sue.change(is_active=False)
    assert caller.get("/api/").status_code == 403
