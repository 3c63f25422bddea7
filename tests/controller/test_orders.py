"""Which changes are new orders for a node, whoever makes them and however."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.controller.caller import Caller, reference
from tests.controller.factories import (
    ED25519,
    Cast,
    a_group,
    a_node,
    a_safe_node,
    a_slice,
    a_sliver,
    a_template,
)
from vct.controller.nodes.models import Node
from vct.controller.slices.models import Slice, Sliver, Template
from vct.controller.state.models import heartbeat, record, want_poll
from vct.controller.state.orders import Orders
from vct.controller.users.models import Role, User

PRIVATE = {"nr": 0, "name": "priv", "type": "private"}
pytestmark = pytest.mark.django_db


class World:
    """A node with a sliver, another node of another group, and who may change everything."""

    def __init__(self) -> None:
        cast = Cast()
        self.sue, self.alice, self.mia, self.group = cast.sue, cast.alice, cast.mia, cast.group
        self.caller = Caller(cast.sue)
        self.node = a_safe_node(cast.group)
        self.template = a_template()
        self.slice = a_slice(a_group(), template=self.template)
        self.sliver = a_sliver(self.slice, self.node)
        self.other = a_safe_node()
        self.orders = Orders()
        self.orders.changed()


@pytest.fixture
def world() -> World:
    return World()


def test_it_works(world: World) -> None:
    answer = world.caller.patch(f"/api/nodes/{world.node.pk}/", {"set_state": "production"})
    assert answer.status_code == 200, answer.content
    assert world.orders.changed() == {world.node.pk}
    assert world.orders.changed() == set()


def patch(uri: str, body: Any) -> Callable[[World], Any]:
    return lambda world: world.caller.patch(uri.format(**vars(world)), body)


def post(uri: str, body: Any = None) -> Callable[[World], Any]:
    return lambda world: world.caller.post(uri.format(**vars(world)), body)


def delete(uri: str) -> Callable[[World], Any]:
    return lambda world: world.caller.delete(uri.format(**vars(world)))


def another_sliver(world: World) -> Any:
    slice_ = a_slice(world.slice.group)
    body = {"slice": reference("slices", slice_.pk), "node": reference("nodes", world.node.pk)}
    return world.caller.post("/api/slivers/", {**body, "interfaces": [PRIVATE]})


def new_role(world: World) -> Any:
    roles = [
        {"user": reference("users", world.alice.pk), "is_group_admin": True},
        {"user": reference("users", world.mia.pk), "is_node_admin": True},
    ]
    return world.caller.patch(f"/api/groups/{world.group.pk}/", {"user_roles": roles})


@pytest.mark.parametrize(
    "change",
    [
        patch("/api/nodes/{node.pk}/", {"set_state": "failure"}),
        patch("/api/nodes/{node.pk}/", {"direct_ifaces": ["eth1"]}),
        patch(
            "/api/nodes/{node.pk}/",
            {"resources": [{"name": "memory", "max_req": 64, "dflt_req": 32}]},
        ),
        post("/api/nodes/{node.pk}/ctl/reboot/"),
        patch("/api/groups/{group.pk}/", {"allow_nodes": False}),
        new_role,
        patch("/api/users/{alice.pk}/", {"auth_tokens": [ED25519]}),
        delete("/api/users/{mia.pk}/"),
        another_sliver,
        patch("/api/slivers/{sliver.pk}/", {"set_state": "deploy"}),
        post("/api/slivers/{sliver.pk}/ctl/update/"),
        delete("/api/slivers/{sliver.pk}/"),
        patch("/api/slices/{slice.pk}/", {"set_state": "deploy"}),
        post("/api/slices/{slice.pk}/ctl/reset/"),
        delete("/api/slices/{slice.pk}/"),
        patch("/api/templates/{template.pk}/", {"is_active": False}),
    ],
)
def test_what_people_change_is_noticed(world: World, change: Callable[[World], Any]) -> None:
    answer = change(world)
    assert answer.status_code < 300, answer.content
    assert world.orders.changed() == {world.node.pk}


@pytest.mark.parametrize(
    "change",
    [
        lambda world: heartbeat(world.node),
        lambda world: want_poll(world.node),
        lambda world: record(world.node, "production"),
        lambda world: world.caller.get(f"/api/nodes/{world.node.pk}/"),
        lambda world: world.caller.post(f"/api/nodes/{world.node.pk}/ctl/state/"),
        lambda world: world.caller.post(
            "/api-token-auth/", {"username": "alice", "password": "correct horse battery"}
        ),
        lambda world: a_slice(world.group),
    ],
)
def test_what_concerns_no_node_is_not(world: World, change: Callable[[World], Any]) -> None:
    change(world)
    assert world.orders.changed(certainly=True) == set()


def test_what_is_not_in_the_log_is_noticed_when_it_is_looked_at_closely(world: World) -> None:
    world.node.change(description="moved")
    assert world.orders.changed() == set()
    assert world.orders.changed(certainly=True) == {world.node.pk}


def test_a_node_that_is_new_has_new_orders(world: World) -> None:
    new = a_node()
    assert world.orders.changed(certainly=True) == {new.pk}


def test_nothing_has_changed_when_nobody_looked_before(world: World) -> None:
    assert Orders().changed() == set()


def test_looking_takes_as_many_queries_for_many_nodes(
    world: World, django_assert_num_queries: Any
) -> None:
    for _ in range(5):
        a_sliver(world.slice, a_safe_node(world.group))
    with django_assert_num_queries(5):
        world.orders.changed(certainly=True)


def test_everything_that_can_be_changed_counts_its_changes() -> None:
    assert all(hasattr(model, "version") for model in (Node, Sliver, Slice, Template, User))
    assert not hasattr(Role, "version"), "roles are looked at themselves"
