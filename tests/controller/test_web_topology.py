"""`/map/network.json`: the graph for everybody, its links from superusers."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from tests.controller.factories import Cast, a_node, a_user
from vct.controller.audit.models import Entry
from vct.controller.state.models import record
from vct.controller.topology.models import Link
from vct.controller.topology.netjson import location
from vct.controller.users.models import issue_token
from vct.wire.states import NodeState

pytestmark = pytest.mark.django_db
PATH = "/map/network.json"
DELAY = {"delay": "10ms", "loss": "1%"}


@pytest.fixture
def ring() -> list[str]:
    """The ids of four nodes."""
    group = a_node(pk=1, name="first").group
    return ["0001", *(a_node(group, pk=pk, name=f"n{pk}").hex_id for pk in (2, 3, 0xA12))]


def graph(*links: Any) -> dict[str, Any]:
    return {"type": "NetworkGraph", "nodes": [], "links": list(links)}


def link(source: object, target: object, **properties: str) -> dict[str, Any]:
    return {"source": source, "target": target, "cost": 1.0, "properties": properties}


def put(client: Client, document: object, token: str = "") -> Any:
    headers = {"Authorization": f"Token {token or issue_token(a_user(is_superuser=True))}"}
    return client.put(PATH, document, content_type="application/json", headers=headers)


def test_it_works(client: Client, ring: list[str]) -> None:
    links = [link(one, two, **DELAY) for one, two in zip(ring, [*ring[1:], ring[0]], strict=True)]
    assert put(client, graph(*links)).status_code == 200
    seen = client.get(PATH).json()
    assert seen["type"] == "NetworkGraph"
    assert {"protocol", "version", "metric"} <= set(seen)
    assert [node["id"] for node in seen["nodes"]] == ring
    assert seen["links"] == links


def test_it_has_states_and_positions(client: Client) -> None:
    node = a_node(name="roof", properties={"latitude": "41.389", "longitude": "2.112"})
    record(node, NodeState.SAFE, now=timezone.now())
    seen = client.get(PATH).json()["nodes"][0]
    assert seen["label"] == "roof"
    assert seen["properties"]["state"] == "safe"
    assert seen["properties"]["location"] == {"lat": 41.389, "lng": 2.112}


@pytest.mark.parametrize(
    ("latitude", "longitude"), [("91", "0"), ("0", "181"), ("nan", "0"), ("here", "0"), ("", "")]
)
def test_a_position_that_is_nowhere_is_none(latitude: str, longitude: str) -> None:
    assert location({"latitude": latitude, "longitude": longitude}) is None
    assert location({"latitude": "0"}) is None


def test_what_did_not_change_is_not_sent_again(client: Client, ring: list[str]) -> None:
    first = client.get(PATH)
    again = client.get(PATH, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    put(client, graph(link("0001", "0002")))
    assert client.get(PATH, headers={"If-None-Match": first.headers["ETag"]}).status_code == 200


def test_links_are_replaced_and_the_same_again_is_no_change(
    client: Client, ring: list[str]
) -> None:
    for times, expected in ((graph(link("0001", "0002")), 1), (graph(link("0002", "0003")), 2)):
        for _ in range(2):
            put(client, times)
        assert Entry.objects.filter(kind="link").count() == expected
    assert [str(one) for one in Link.objects.all()] == ["0002 - 0003"]


def test_a_deleted_node_takes_its_links_along(client: Client, ring: list[str]) -> None:
    put(client, graph(link("0001", "0002"), link("0002", "0003")))
    Link.objects.first().source.delete()  # type: ignore[union-attr]
    assert [str(one) for one in Link.objects.all()] == ["0002 - 0003"]


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"type": "NetworkRoutes", "links": []},
        {"type": "NetworkGraph"},
        {"type": "NetworkGraph", "links": {}},
        graph("0001"),
        graph(link("0001", "0001")),
        graph(link("0001", "0fff")),
        graph(link("0001", "1")),
        graph(link("0001", None)),
        graph(link("0001", "\uff10\uff10\uff10\uff12")),
        graph({**link("0001", "0002"), "properties": {"Delay!": "1"}}),
        graph({**link("0001", "0002"), "properties": {"delay": 10}}),
        graph({**link("0001", "0002"), "properties": [1]}),
    ],
)
def test_what_cannot_be_meant_changes_nothing(
    client: Client, ring: list[str], document: object
) -> None:
    put(client, graph(link("0001", "0002")))
    answer = put(client, document)
    assert answer.status_code == 400
    assert isinstance(answer.json(), dict)
    assert [str(one) for one in Link.objects.all()] == ["0001 - 0002"]


def test_only_superusers_set_links(client: Client, ring: list[str]) -> None:
    cast = Cast()
    for user in cast.everybody.values():
        wanted = 200 if user.is_superuser else 403
        assert put(client, graph(), issue_token(user)).status_code == wanted
    assert client.put(PATH, graph(), content_type="application/json").status_code == 403
    assert put(client, graph(), "0" * 40).status_code == 403
