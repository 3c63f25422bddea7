"""A client that knows v0's base and no other URI: it follows link relations."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tests.controller.caller import JSON, links
from tests.controller.factories import PASSWORD, SHA256, a_safe_node, a_user

pytestmark = pytest.mark.django_db
REL = "http://confine-project.eu/rel"


class Follower:
    """Goes where links lead."""

    def __init__(self) -> None:
        self.client = Client()
        self.token: dict[str, str] = {}
        self.start = links(self.read("/api/v0/"))

    def read(self, uri: str) -> Any:
        return self.client.get(uri, headers=self.token)

    def log_in(self, **credentials: str) -> None:
        uri = self.start[f"{REL}/controller/do-get-auth-token"]
        answer = self.client.post(uri, credentials, content_type=JSON)
        self.token = {"authorization": f"Token {answer.json()['token']}"}

    def make(self, word: str, **members: object) -> dict[str, Any]:
        """The object as it can be read back."""
        uri = self.start[f"{REL}/server/{word}-list"]
        answer = self.client.post(uri, members, content_type=JSON, headers=self.token)
        assert answer.status_code == 201, answer.content
        shown: dict[str, Any] = self.read(answer.headers["Location"]).json()
        assert shown["uri"] in [one["uri"] for one in self.read(uri).json()]
        return shown

    def do(self, thing: dict[str, Any], relation: str, body: object = None) -> Any:
        uri = links(self.read(thing["uri"]))[f"{REL}/{relation}"]
        answer = self.client.generic("POST", uri, as_body(body), JSON, headers=self.token)
        assert answer.status_code in (200, 201, 202), answer.content
        return answer.json()


def as_body(body: object) -> str:
    return "" if body is None else f'"{body}"'


def ref(thing: dict[str, Any]) -> dict[str, str]:
    return {"uri": thing["uri"]}


def test_it_works() -> None:
    a_user("Sue", is_superuser=True)
    a_safe_node(name="first")
    client = Follower()
    client.log_in(username="sue", password=PASSWORD)
    user = client.make("user", name="Ursula")
    role = {"user": ref(user), "is_group_admin": True}
    group = client.make("group", name="makers", allow_slices=True, user_roles=[role])
    template = client.make(
        "template",
        name="debian",
        type="debian",
        node_archs=["x86_64"],
        is_active=True,
        image_uri="http://templates.example/debian.tgz",
        image_sha256=SHA256,
    )
    made = client.make("slice", name="first try", group=ref(group), template=ref(template))
    node = client.read(client.start[f"{REL}/server/node-list"]).json()[0]
    private = {"nr": 0, "name": "priv", "type": "private"}
    sliver = client.make("sliver", slice=ref(made), node=ref(node), interfaces=[private])
    assert (sliver["slice"], sliver["node"]) == (ref(made), ref(node))
    assert client.read(made["uri"]).json()["slivers"] == [ref(sliver)]
    assert client.read(node["uri"]).json()["slivers"] == [ref(sliver)]
    assert client.read(user["uri"]).json()["group_roles"][0]["group"] == ref(group)
    assert client.read(made["uri"]).json()["template"] == ref(template)


def test_functions_are_found_by_their_relations() -> None:
    sue = a_user("Sue", is_superuser=True)
    a_safe_node()
    client = Follower()
    client.log_in(username="sue", password=PASSWORD)
    node = client.read(client.start[f"{REL}/server/node-list"]).json()[0]
    client.do(node, "server/do-reboot")
    assert client.read(node["uri"]).json()["boot_sn"] == 1
    user = client.read(client.start[f"{REL}/server/user-list"]).json()[0]
    client.do(user, "controller/do-change-password", "another correct one")
    sue.refresh_from_db()
    assert sue.check_password("another correct one")
