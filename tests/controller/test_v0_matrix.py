"""Who may do what in v0: the same as in v1, with rows for what only v0 has."""

from __future__ import annotations

from typing import Any

import pytest

from tests.controller.matrix import (
    EVERYBODY,
    RESEARCHERS,
    SUPERUSER,
    TECHNICIANS,
    Row,
    Rows,
    World,
    crud,
    endpoints,
    let_through,
)
from tests.controller.test_api_matrix import FILE, NODE, ROWS, SLICE, SLIVER
from vct.controller.mgmt.models import Gateway

pytestmark = pytest.mark.django_db
BASE = "api/v0/"


def slice_(world: World) -> Any:
    return {
        "name": "s",
        "group": world.reference("groups"),
        "template": world.reference("templates"),
    }


def ctl(route: str, who: frozenset[str], status: int = 200, **more: Any) -> Rows:
    return {("POST", f"{BASE}{route}/"): Row(who=who, status=status, **more)}


def as_in_v1(kind: str) -> Rows:
    return {
        (method, route.replace("api/", BASE, 1)): row for (method, route), row in ROWS[kind].items()
    }


V0: dict[str, Rows] = {kind: as_in_v1(kind) for kind in ROWS if kind != "outside"}
V0["nodes"] |= ctl(f"{NODE}/request-api-cert", TECHNICIANS, 400, body="not a request")
V0["users"] |= ctl(
    "users/<int:pk>/ctl/change-password", SUPERUSER, body="a long one, that is not known"
)
V0["slices"]["POST", f"{BASE}slices/"] = Row(who=RESEARCHERS, status=201, body=slice_)
V0["slices"]["PUT", f"{BASE}slices/<int:pk>/"] = Row(who=RESEARCHERS, body=slice_)
for _kind, _route in (("slices", SLICE), ("slivers", SLIVER)):
    for _name in ("exp-data", "overlay"):
        V0[_kind] |= ctl(f"{_route}/upload-{_name}", RESEARCHERS, upload=FILE)
V0["gateways"] = crud(
    "gateways", create=SUPERUSER, change=SUPERUSER, delete=SUPERUSER, body={}, prefix=BASE
)
V0["once"] = {
    ("GET", BASE): Row(who=EVERYBODY),
    ("GET", f"{BASE}server/"): Row(who=EVERYBODY),
    ("PUT", f"{BASE}server/"): Row(who=SUPERUSER, body={"name": "s"}),
    ("PATCH", f"{BASE}server/"): Row(who=SUPERUSER, body={"description": "new"}),
}


def test_it_works() -> None:
    assert ("POST", "api/v0/nodes/<int:pk>/ctl/reboot/") in endpoints(BASE)


def test_every_endpoint_has_a_row() -> None:
    assert {row for rows in V0.values() for row in rows} == endpoints(BASE)


@pytest.mark.parametrize("kind", V0)
def test_the_table_is_true(kind: str) -> None:
    world = World()
    world.numbers["gateways"] = Gateway.objects.create().pk
    found = {at: let_through(world, *at, row) for at, row in V0[kind].items()}
    assert found == {at: dict.fromkeys(row.who, row.status) for at, row in V0[kind].items()}
