"""A node's page says why the node is in its state and what to do next."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from tests.controller.factories import Cast, a_node, a_safe_node
from vct.controller.nodes.models import Node
from vct.controller.state.models import record

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client: Client) -> Any:
    """What a superuser sees of a node."""
    client.force_login(Cast().sue)
    return lambda node: client.get(f"/admin/nodes/node/{node.pk}/change/").content.decode()


def seen(node: Node, value: str, **more: Any) -> Node:
    record(node, value, contact_on=timezone.now(), **more)
    return node


def test_it_works(page: Any) -> None:
    told = page(seen(a_safe_node(), "safe"))
    assert "The node works and was told safe: its slivers are stopped." in told
    assert "Next: to run slivers: move it to production" in told


def test_what_the_controller_lacks_is_named(page: Any) -> None:
    node = a_node()
    told = page(node)
    assert "it does not know its tinc key and its API." in told
    assert f"Next: vct node create {node.hex_id}" in told


def test_an_error_of_the_node_is_text(page: Any) -> None:
    error = {"member": "arch", "message": "<script>alert(1)</script>"}
    told = page(seen(a_safe_node(), "debug", data={"state": "debug", "errors": [error]}))
    assert "arch: &lt;script&gt;alert(1)" in told
    assert "<script>alert" not in told


def test_why_it_did_not_answer_is_said(page: Any) -> None:
    node = seen(a_safe_node(), "offline", metadata={"exception": "ConnectError: refused"})
    assert "ConnectError: refused" in page(node)


def test_a_new_node_needs_no_advice(client: Client) -> None:
    client.force_login(Cast().sue)
    assert client.get("/admin/nodes/node/add/").status_code == 200
