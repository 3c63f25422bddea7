"""The objects of v1: members, defaults, what is read-only; what was read can be written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.controller.caller import Caller, reference
from tests.controller.factories import (
    ED25519,
    SHA256,
    Cast,
    a_group,
    a_host,
    a_node,
    a_pubkey,
    a_safe_node,
    a_server,
    a_slice,
    a_sliver,
    a_template,
    a_tinc_host,
    a_user,
    an_island,
)
from tests.controller.matrix import World
from vct.controller.audit.models import Entry
from vct.controller.nodes.models import Node
from vct.controller.slices.models import Sliver
from vct.controller.users.models import Group, User

pytestmark = pytest.mark.django_db
TINC = {"backend": "tinc"}


@pytest.fixture
def sue() -> Caller:
    return Caller(a_user("Sue", is_superuser=True))


def test_it_works(sue: Caller) -> None:
    answer = sue.post("/api/islands/", {"name": "roof"})
    assert answer.status_code == 201
    island = answer.json()
    assert answer.headers["Location"] == island["uri"]
    assert "Link" not in answer.headers
    assert island == {"uri": island["uri"], "id": island["id"], "name": "roof", "description": ""}
    assert sue.get(island["uri"]).json() == island
    assert sue.delete(island["uri"]).status_code == 204
    assert sue.get(island["uri"]).status_code == 404


def test_a_new_node(sue: Caller) -> None:
    group = a_group()
    sent = {
        "name": "roof",
        "arch": "i686",
        "group": reference("groups", group.pk),
        "mgmt_net": TINC,
    }
    node = sue.post("/api/nodes/", sent).json()
    number = node["id"]
    assert node == {
        "uri": f"http://testserver/api/nodes/{number}/",
        "id": number,
        "name": "roof",
        "description": "",
        "arch": "i686",
        "group": {"uri": f"http://testserver/api/groups/{group.pk}/", "id": group.pk},
        "island": None,
        "direct_ifaces": [],
        "properties": {},
        "mgmt_net": {"backend": "tinc", "addr": f"fd65:fc41:c50f:{number:x}::2"},
        "tinc": None,
        "api": None,
        "cert": None,
        "boot_sn": 0,
        "set_state": "debug",
        "slivers": [],
        "resources": [
            {"name": "disk", "max_req": 1000, "dflt_req": 200, "unit": "MiB", "avail": None},
            {"name": "memory", "max_req": 2048, "dflt_req": 32, "unit": "MiB", "avail": None},
            {"name": "pub_ipv4", "max_req": 1, "dflt_req": 0, "unit": "addrs", "avail": None},
            {"name": "pub_ipv6", "max_req": 0, "dflt_req": 0, "unit": "addrs", "avail": None},
        ],
    }


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("nodes", {"name", "arch", "group", "mgmt_net"}),
        ("servers", {"name", "mgmt_net"}),
        ("islands", {"name"}),
        ("hosts", {"name", "mgmt_net"}),
        ("users", {"name"}),
        ("groups", {"name"}),
        ("slices", {"name", "group", "sliver_defaults"}),
        ("slivers", {"slice", "node", "interfaces"}),
        ("templates", {"name", "type", "node_archs"}),
        ("baseimages", {"name", "architectures", "image"}),
    ],
)
def test_what_is_required_is_said(sue: Caller, kind: str, members: set[str]) -> None:
    answer = sue.post(f"/api/{kind}/", {})
    assert (answer.status_code, set(answer.json())) == (400, members)


def test_a_node_with_everything_is_safe(sue: Caller) -> None:
    group, island = a_group(), an_island()
    sent = {
        "name": "roof",
        "arch": "x86_64",
        "group": reference("groups", group.pk),
        "island": reference("islands", island.pk),
        "mgmt_net": TINC,
        "tinc": {"pubkey": a_pubkey()},
        "api": {"base_uri": "http://[fd65::2]/confine/api", "cert": None},
        "direct_ifaces": ["eth1", "eth2"],
        "properties": {"kind": "roof"},
        "resources": [{"name": "memory", "max_req": 64, "dflt_req": 16}],
    }
    node = sue.post("/api/nodes/", sent).json()
    assert node["set_state"] == "safe"
    assert node["tinc"] == {"name": f"node_{node['id']}", "pubkey": a_pubkey(), "addresses": []}
    assert node["api"] == {
        "type": "node",
        "base_uri": "http://[fd65::2]/confine/api/",
        "cert": None,
    }
    assert node["island"]["id"] == island.pk
    assert (node["direct_ifaces"], node["properties"]) == (["eth1", "eth2"], {"kind": "roof"})
    amounts = {one["name"]: (one["max_req"], one["dflt_req"]) for one in node["resources"]}
    assert (amounts["memory"], amounts["disk"]) == ((64, 16), (1000, 200))
    gone = sue.patch(node["uri"], {"tinc": None}).json()
    assert (gone["tinc"], gone["set_state"]) == (None, "debug")


def test_superusers_choose_the_id_of_a_node() -> None:
    cast = Cast()
    sue = Caller(cast.sue)
    sent = {
        "id": 0x0A12,
        "name": "roof",
        "arch": "i686",
        "group": reference("groups", cast.group.pk),
        "mgmt_net": TINC,
    }
    assert sue.post("/api/nodes/", sent).json()["id"] == 0x0A12
    assert sue.post("/api/nodes/", {**sent, "name": "other"}).status_code == 400
    others = Caller(cast.tom).post("/api/nodes/", {**sent, "id": 7, "name": "third"}).json()
    assert others["id"] not in (7, 0x0A12)


@pytest.mark.parametrize(
    ("moves", "status"),
    [
        (["production"], 200),
        (["production", "safe"], 200),
        (["failure", "safe"], 200),
        (["failure", "production"], 400),
        (["debug"], 400),
        (["flying"], 400),
    ],
)
def test_a_node_is_moved_by_its_rules(sue: Caller, moves: list[str], status: int) -> None:
    uri = f"/api/nodes/{a_safe_node().pk}/"
    answers = [sue.patch(uri, {"set_state": state}) for state in moves]
    assert [one.status_code for one in answers] == [200] * (len(moves) - 1) + [status]


def test_a_rule_over_members_is_said_under_all(sue: Caller) -> None:
    answer = sue.patch(f"/api/nodes/{a_node().pk}/", {"set_state": "production"})
    assert list(answer.json()) == ["__all__"]


def test_a_new_slice_and_sliver(sue: Caller) -> None:
    node, template = a_node(direct=("eth1",)), a_template()
    sent = {
        "name": "s",
        "group": reference("groups", node.group_id),
        "set_state": "start",
        "allow_isolated": True,
        "sliver_defaults": {
            "template": reference("templates", template.pk),
            "data_uri": "http://data.example/d.tgz",
            "data_sha256": SHA256,
            "resources": [{"name": "memory", "req": 64}],
        },
    }
    slice_ = sue.post("/api/slices/", sent).json()
    expiry = datetime.now(UTC).date() + timedelta(days=30)
    assert slice_["set_state"] == "register"
    assert slice_["expires_on"] == expiry.isoformat()
    assert slice_["sliver_defaults"] == {
        "template": {"uri": f"http://testserver/api/templates/{template.pk}/", "id": template.pk},
        "set_state": "start",
        "data_uri": "http://data.example/d.tgz",
        "data_sha256": SHA256,
        "instance_sn": 0,
        "resources": [{"name": "memory", "req": 64, "unit": "MiB"}],
    }
    assert slice_["resources"] == [{"name": "vlan", "req": 1, "unit": "tags", "alloc": None}]
    interfaces = [
        {"nr": 0, "name": "priv", "type": "private", "parent_name": None},
        {"nr": 1, "name": "mgmt0", "type": "management", "parent_name": None},
        {"nr": 5, "name": "iso0", "type": "isolated", "parent_name": "eth1"},
    ]
    sent = {
        "slice": {"uri": slice_["uri"]},
        "node": reference("nodes", node.pk),
        "interfaces": interfaces,
    }
    sliver = sue.post("/api/slivers/", sent).json()
    addr = f"fd65:fc41:c50f:{node.pk:x}:1001::{slice_['id']:x}"
    assert sliver["id"] == f"{slice_['id']}@{node.pk}"
    assert sliver["interfaces"] == interfaces
    assert sliver["mgmt_net"] == {"addr": addr, "backend": "native"}
    assert (sliver["template"], sliver["set_state"], sliver["resources"]) == (None, None, [])
    listed = sue.get(slice_["uri"]).json()["slivers"]
    assert listed == [{"uri": sliver["uri"], "id": sliver["id"]}]
    again = sue.post("/api/slivers/", {**sent, "interfaces": interfaces[:1]})
    assert again.status_code == 400


def test_a_slice_is_moved_by_patch_only(sue: Caller) -> None:
    uri = f"/api/slices/{a_slice(allow_isolated=True).pk}/"
    moved = sue.patch(uri, {"set_state": "start"}).json()
    assert (moved["set_state"], moved["isolated_vlan_tag"]) == ("start", 256)
    assert moved["resources"][0]["alloc"] == 1
    assert list(sue.put(uri, {**moved, "set_state": "deploy"}).json()) == ["set_state"]
    assert sue.put(uri, moved).status_code == 200


def test_defaults_can_be_changed_in_part(sue: Caller) -> None:
    one = a_slice(data_uri="http://a.example/d", data_sha256=SHA256)
    uri = f"/api/slices/{one.pk}/"
    changed = sue.patch(uri, {"sliver_defaults": {"set_state": "deploy"}}).json()
    assert changed["sliver_defaults"]["set_state"] == "deploy"
    assert changed["sliver_defaults"]["data_uri"] == "http://a.example/d"
    answer = sue.patch(uri, {"sliver_defaults": {"data_uri": "http://b.example/d"}})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "kind",
    ["servers", "nodes", "islands", "hosts", "users", "groups", "slices", "slivers", "templates"],
)
def test_what_was_read_can_be_put_back(kind: str) -> None:
    world = World()
    a_tinc_host(world.node, key=1, address="10.0.0.1")
    a_host(world.cast.mia)
    world.node.refresh_from_db()
    world.node.change(set_state="production", island=an_island(), properties={"ab": "c"})
    caller, uri = Caller(world.cast.sue), f"/api/{kind}/{world.numbers[kind]}/"
    before = caller.get(uri)
    answer = caller.put(uri, before.json(), if_match=before.headers["ETag"])
    assert (answer.status_code, answer.json()) == (200, before.json())


def test_put_keeps_what_it_does_not_name(sue: Caller) -> None:
    node = a_node(properties={"kind": "roof"}, direct=("eth1",))
    a_tinc_host(node)
    uri = f"/api/nodes/{node.pk}/"
    before = sue.get(uri).json()
    sent = {name: before[name] for name in ("name", "arch", "group", "mgmt_net")}
    assert sue.put(uri, sent).json() == before


def test_properties_are_replaced_whole_and_named_well(sue: Caller) -> None:
    uri = f"/api/nodes/{a_node(properties={'kind': 'roof'}).pk}/"
    assert sue.patch(uri, {"properties": {"ab": "x"}}).json()["properties"] == {"ab": "x"}
    for bad in ({"A": "x"}, {"ab": 1}, {"a": "x"}, {"ab": None}, ["ab"], {"ab": {"cd": "x"}}):
        assert list(sue.patch(uri, {"properties": bad}).json()) == ["properties"]


def test_arrays_are_written_whole(sue: Caller) -> None:
    sliver = a_sliver()
    uri = f"/api/slivers/{sliver.pk}/"
    assert sue.patch(uri, {"interfaces": []}).status_code == 400
    bare = [{"name": "priv"}]
    assert sue.patch(uri, {"interfaces": bare}).json() == {
        "interfaces": [{"nr": ["This is required."], "type": ["This is required."]}]
    }
    one = [{"nr": "0", "name": "priv", "type": "private"}]
    changed = sue.patch(uri, {"interfaces": one, "resources": [{"name": "disk", "req": 9}]}).json()
    assert [part["nr"] for part in changed["interfaces"]] == [0]
    assert changed["mgmt_net"] is None
    assert changed["resources"] == [{"name": "disk", "req": 9, "unit": "MiB"}]


def test_who_makes_a_group_administers_it() -> None:
    cast = Cast()
    caller = Caller(cast.bob)
    group = caller.post("/api/groups/", {"name": "mine"}).json()
    assert (group["allow_nodes"], group["allow_slices"]) == (False, False)
    (role,) = group["user_roles"]
    assert (role["user"]["id"], role["is_group_admin"]) == (cast.bob.pk, True)
    assert caller.patch(group["uri"], {"user_roles": []}).status_code == 400
    mia = {"user": reference("users", cast.mia.pk), "is_slice_admin": True}
    more = caller.patch(group["uri"], {"user_roles": [role, mia]}).json()["user_roles"]
    assert [one["is_slice_admin"] for one in more] == [False, True]
    assert caller.post("/api/groups/", {"name": "x", "allow_nodes": True}).status_code == 403


def test_a_user_of_any_name(sue: Caller) -> None:
    first = sue.post("/api/users/", {"name": "Ana María", "auth_tokens": [ED25519]}).json()
    second = sue.post("/api/users/", {"name": "ana maria"}).json()
    assert (first["name"], second["name"]) == ("Ana María", "ana maria")
    assert first["auth_tokens"] == [ED25519]
    assert not {"username", "email", "password"} & set(first)
    assert [User.objects.get(pk=one["id"]).has_usable_password() for one in (first, second)] == [
        False,
        False,
    ]
    assert sue.patch(first["uri"], {"auth_tokens": ["nonsense"]}).status_code == 400
    assert sue.patch(first["uri"], {"auth_tokens": []}).json()["auth_tokens"] == []


def test_the_last_administrator_of_a_group_stays(sue: Caller) -> None:
    cast = Cast(sue=User.objects.get(name="Sue"))
    answer = sue.patch(f"/api/users/{cast.alice.pk}/", {"group_roles": []})
    assert (answer.status_code, list(answer.json())) == (400, ["group_roles"])
    assert Group.objects.get().roles.filter(is_group_admin=True).exists()


def test_a_server_says_where_it_answers(sue: Caller) -> None:
    server = a_server()
    assert server.pk == 2
    uri = f"/api/servers/{server.pk}/"
    apis = [{"type": "registry", "base_uri": "https://a.example/api", "cert": None, "island": None}]
    shown = sue.patch(uri, {"api": apis}).json()["api"]
    assert shown == [{**apis[0], "base_uri": "https://a.example/api/"}]
    wrong = sue.patch(uri, {"api": [*apis, {"type": "registry", "base_uri": "ftp://x"}]})
    good, bad = wrong.json()["api"]
    assert (good, list(bad)) == ({}, ["base_uri"])
    assert sue.get(uri).json()["api"] == shown
    assert sue.patch(uri, {"api": [{**apis[0], "island": 999}]}).status_code == 400
    assert sue.delete(uri).status_code == 409


def test_a_host_belongs_to_who_made_it() -> None:
    mia = a_user("Mia")
    sent = {"name": "laptop", "mgmt_net": TINC, "tinc": {"pubkey": a_pubkey()}}
    host = Caller(mia).post("/api/hosts/", sent).json()
    assert host["owner"]["id"] == mia.pk
    assert host["mgmt_net"]["addr"] == f"fd65:fc41:c50f:0:2000::{host['id']:x}"
    assert host["tinc"]["name"] == f"host_{host['id']}"
    again = Caller(mia).post("/api/hosts/", {**sent, "name": "other"})
    assert again.json() == {"tinc": {"pubkey": ["Another host has this key."]}}


def test_a_template_is_external_until_something_is_uploaded(sue: Caller) -> None:
    sent = {"name": "t", "type": "debian", "node_archs": ["i686"]}
    bare = sue.post("/api/templates/", sent).json()
    assert (bare["image_uri"], bare["image_sha256"], bare["is_active"]) == (None, None, True)
    image = {"image_uri": "http://t.example/t.tgz", "image_sha256": SHA256}
    changed = sue.patch(bare["uri"], image).json()
    assert {name: changed[name] for name in image} == image
    other = sue.patch(bare["uri"], {"image_uri": "http://t.example/u.tgz"}).json()
    assert other["image_sha256"] is None
    assert sue.patch(bare["uri"], {"node_archs": []}).status_code == 400


@pytest.mark.parametrize("kind", ["templates", "groups"])
def test_what_is_in_use_stays(sue: Caller, kind: str) -> None:
    one = a_slice()
    number = one.template_id if kind == "templates" else one.group_id
    answer = sue.delete(f"/api/{kind}/{number}/")
    assert answer.status_code == 409
    assert "slices" in answer.json()["detail"]


def test_the_default_base_image_is_the_last_made_so(sue: Caller) -> None:
    sent = {"name": "a", "architectures": ["i686"], "image": "a.gz", "default": True}
    first = sue.post("/api/baseimages/", sent).json()
    sue.post("/api/baseimages/", {**sent, "name": "b"})
    assert not sue.get(first["uri"]).json()["default"]
    assert "id" not in first


def test_half_a_write_is_none(sue: Caller) -> None:
    node, slice_ = a_node(), a_slice()
    sent = {
        "slice": reference("slices", slice_.pk),
        "node": reference("nodes", node.pk),
        "interfaces": [{"nr": 1, "name": "mgmt0", "type": "management"}],
    }
    assert sue.post("/api/slivers/", sent).status_code == 400
    assert not Sliver.objects.exists()
    bad = {"description": "new", "direct_ifaces": ["eth1", "bad name"]}
    assert sue.patch(f"/api/nodes/{node.pk}/", bad).status_code == 400
    assert Node.objects.get().description == ""
    assert not Entry.objects.exists()


def test_changes_are_in_the_audit_log(sue: Caller) -> None:
    island = sue.post("/api/islands/", {"name": "roof", "id": 5, "x": 1}).json()
    sue.patch(island["uri"], {"description": "new"})
    sue.delete(island["uri"])
    entries: list[Any] = [
        (one.action, one.actor_name, one.object_name, one.changes, one.address)
        for one in Entry.objects.order_by("id")
    ]
    assert entries == [
        ("create", "Sue", "roof", {"name": "roof"}, "127.0.0.1"),
        ("change", "Sue", "roof", {"description": "new"}, "127.0.0.1"),
        ("delete", "Sue", "roof", {}, "127.0.0.1"),
    ]
