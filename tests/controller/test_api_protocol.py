"""How v1 talks: links, profiles, pages, filters, conditions, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError

from tests.controller.caller import Caller, links
from tests.controller.factories import (
    Cast,
    a_group,
    a_host,
    a_node,
    a_server,
    a_slice,
    a_sliver,
    a_template,
    a_user,
    an_island,
)
from vct.controller.api.shapes.users import GroupShape
from vct.controller.firmware.models import BaseImage
from vct.controller.nodes.models import Node
from vct.controller.rest import conditional, negotiation
from vct.controller.users.models import Group

pytestmark = pytest.mark.django_db
REL, SCHEMA = "http://confine-project.eu/rel", "http://confine-project.eu/schema"
WORDS = ("server", "node", "island", "host", "user", "group", "slice", "sliver", "template")


@pytest.fixture
def testbed() -> Cast:
    """One of everything."""
    cast = Cast()
    a_server()
    an_island()
    a_host(cast.mia)
    a_sliver(a_slice(cast.group), a_node(cast.group, direct=("eth1",)))
    BaseImage.objects.create(name="base", architectures=["x86_64"], image="a.img.gz")
    return cast


def test_it_works() -> None:
    answer = Caller().get("/api/")
    assert answer.status_code == 200
    base = answer.json()
    assert base["uri"] == "http://testserver/api/"
    assert base["confine_params"] == {
        "debug_ipv6_prefix": "fd5f:eee5:e6ad::/48",
        "priv_ipv6_prefix": "fdbd:e804:6aa9::/48",
    }
    assert base["testbed_params"] == {"mgmt_ipv6_prefix": "fd65:fc41:c50f::/48"}
    tags = {"name": "vlan", "max_req": 1, "dflt_req": 0, "unit": "tags", "avail": 3839}
    assert base["testbed_resources"] == [tags]


def test_the_base_links_to_every_list() -> None:
    expected = {f"{REL}/registry/{word}-list": f"/api/{word}s/" for word in WORDS}
    expected[f"{REL}/registry/base"] = "/api/"
    expected[f"{REL}/controller/baseimage-list"] = "/api/baseimages/"
    expected[f"{REL}/controller/do-get-auth-token"] = "/api-token-auth/"
    found = links(Caller().get("/api/"))
    assert found == {rel: f"http://testserver{path}" for rel, path in expected.items()}


def test_the_base_without_its_slash_is_moved() -> None:
    answer = Caller().get("/api")
    assert (answer.status_code, answer.headers["Location"]) == (301, "/api/")


@pytest.mark.parametrize("word", [*WORDS, "baseimage"])
def test_lists_and_objects_have_links_and_profiles(testbed: Cast, word: str) -> None:
    listed = Caller().get(f"/api/{word}s/")
    api = "controller" if word == "baseimage" else "registry"
    assert profile_of(listed) == f"{SCHEMA}/registry/v1/resource-list"
    assert {f"{REL}/registry/base", f"{REL}/controller/base", "first", "last"} == set(links(listed))
    shown = Caller().get(listed.json()[0]["uri"])
    assert profile_of(shown) == f"{SCHEMA}/{api}/v1/{word}"
    assert shown.json() == listed.json()[0]
    assert links(shown)[f"{REL}/{api}/{word}-list"] == f"http://testserver/api/{word}s/"
    assert links(shown)[f"{REL}/registry/base"] == "http://testserver/api/"


@pytest.mark.parametrize(
    ("kind", "functions"),
    [
        (
            "nodes",
            {
                "registry/do-reboot": "reboot",
                "controller/do-request-mgmt-cert": "request-cert",
                "controller/do-enrol": "enrol",
                "controller/firmware": "firmware",
                "controller/state": "state",
                "controller/vm": "vm",
            },
        ),
        (
            "slices",
            {
                "registry/do-renew": "renew",
                "registry/do-reset": "reset",
                "controller/do-upload-data": "upload-data",
            },
        ),
        (
            "slivers",
            {
                "registry/do-update": "update",
                "controller/do-upload-data": "upload-data",
                "controller/state": "state",
            },
        ),
        ("templates", {"controller/do-upload-image": "upload-image"}),
        ("users", {"controller/do-change-auth": "change-auth"}),
        ("hosts", {"controller/do-upload-pubkey": "upload-pubkey"}),
        ("groups", {}),
    ],
)
def test_objects_link_to_their_functions(
    testbed: Cast, kind: str, functions: dict[str, str]
) -> None:
    uri = Caller().get(f"/api/{kind}/").json()[0]["uri"]
    found = {rel: to for rel, to in links(Caller().get(uri)).items() if "/ctl/" in to}
    assert found == {f"{REL}/{rel}": f"{uri}ctl/{path}/" for rel, path in functions.items()}


def profile_of(answer: Any) -> str:
    kind, _, rest = answer.headers["Content-Type"].partition(";")
    assert kind == "application/json"
    found: str = rest.strip().removeprefix('profile="').removesuffix('"')
    return found


@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        ("", True),
        (f"{SCHEMA}/registry/v1/node", True),
        (f"{SCHEMA}/registry/node", True),
        (f"{SCHEMA}/registry", True),
        (f"{SCHEMA}/registry/v1", True),
        (f"{SCHEMA}/registry/v0/node", False),
        (f"{SCHEMA}/registry/v1/slice", False),
        (f"{SCHEMA}/controller/v1/node", False),
        ("http://elsewhere.example/node", False),
    ],
)
def test_a_profile_may_be_asked_for(asked: str, fits: bool) -> None:
    assert negotiation.profile_fits(asked, f"{SCHEMA}/registry/v1/node") == fits


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 200),
        ("application/json; indent=4", 200),
        (f'application/json; profile="{SCHEMA}/registry/v1/base"', 200),
        (f'application/json; profile="{SCHEMA}/registry/v1/node"', 406),
        ("text/html", 200),
        ("image/png", 406),
        ("", 406),
    ],
)
def test_what_is_acceptable_is_given(accept: str, status: int) -> None:
    assert Caller().get("/api/", accept=accept).status_code == status


def test_pages_for_people_keep_html_as_text(testbed: Cast) -> None:
    testbed.group.change(name="<script>alert(1)")
    page = Caller(testbed.sue).get("/api/groups/", accept="text/html").content.decode()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page


def test_without_pages_there_is_everything() -> None:
    for _ in range(30):
        an_island()
    assert len(Caller().get("/api/islands/").json()) == 30


@pytest.mark.parametrize(
    ("query", "names", "others"),
    [
        ("per_page=2", ["0", "1"], {"next": "2"}),
        ("per_page=2&page=2", ["2", "3"], {"prev": "1", "next": "3"}),
        ("per_page=2&page=3", ["4"], {"prev": "2"}),
        ("per_page=2&page=99", ["4"], {"prev": "2"}),
        ("per_page=2&page=-1", ["4"], {"prev": "2"}),
        ("per_page=2&page=x", ["0", "1"], {"next": "2"}),
        ("per_page=0", ["0"], {"next": "2"}),
        ("per_page=x", ["0", "1", "2", "3", "4"], {}),
        (f"per_page={'9' * 30}", ["0", "1", "2", "3", "4"], {}),
        (f"per_page={'9' * 5000}", ["0", "1", "2", "3", "4"], {}),
    ],
)
def test_pages_are_linked(query: str, names: list[str], others: dict[str, str]) -> None:
    for number in range(5):
        an_island(str(number))
    answer = Caller().get(f"/api/islands/?{query}")
    assert [island["name"] for island in answer.json()] == names
    found = links(answer)
    turns = {rel: uri.partition("page=")[0] and uri for rel, uri in found.items()}
    assert {rel: turns[rel].rpartition("&page=")[2] for rel in others} == others
    assert {"prev", "next"} & set(found) == set(others)


def test_pages_keep_filters_and_come_after_them() -> None:
    for number in range(4):
        a_group(f"g{number}", allow=number > 1)
    answer = Caller().get('/api/groups/?/allow_nodes=true&per_page=1&/name="g3"')
    assert [group["name"] for group in answer.json()] == ["g3"]
    assert "%2Fallow_nodes=true" in links(answer)["last"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ('nodes/?/name="roof"', 1),
        ('nodes/?name="roof"', 1),
        ('nodes/?/name="roo"', 0),
        ('nodes/?/set_state="debug"&/arch="x86_64"', 2),
        ("nodes/?/group/id={group}", 1),
        ("nodes/?/id={node}", 1),
        ("slivers/?/node/id={node}", 1),
        ('slivers/?/interfaces/_/type="management"', 1),
        ('slivers/?/interfaces/_/type="debug"', 0),
        ('slices/?/name="a ""b"""', 1),
        ("nodes/?show=/name", 2),
        ("nodes/?/id=999999999999999999", 0),
    ],
)
def test_filters_find(query: str, found: int) -> None:
    group = a_group()
    node, _ = a_node(group, name="roof"), a_node(a_group())
    a_sliver(a_slice(name='a "b"'), node)
    answer = Caller().get("/api/" + query.format(group=group.pk, node=node.pk))
    assert len(answer.json()) == found


@pytest.mark.parametrize(
    "query",
    [
        "/name=roof",
        '/id="2"',
        "/id=x",
        f"/id={'9' * 40}",
        "/mgmt_net/addr=1",
        '/nonsense="x"',
        "format=json",
        '/name="a\0b"',
        '/name="a"b"',
    ],
)
def test_filters_that_cannot_be_meant_are_422(query: str) -> None:
    answer = Caller().get(f"/api/nodes/?{query}")
    assert answer.status_code == 422
    assert answer.json()["detail"]


def test_who_has_it_gets_304() -> None:
    node = a_node()
    caller, uri = Caller(), f"/api/nodes/{node.pk}/"
    tag = caller.get(uri).headers["ETag"]
    for known in (tag, tag[:-1] + ';gzip"', f'"x", {tag}', "*", f"W/{tag}"):
        answer = caller.get(uri, if_none_match=known)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == tag
    assert caller.get(uri, if_none_match='"x"').status_code == 200
    node.change(description="new")
    assert caller.get(uri, if_none_match=tag).status_code == 200


def test_the_head_of_an_answer_is_that_of_the_answer() -> None:
    whole, head = Caller().get("/api/"), Caller().send("HEAD", "/api/")
    assert (head.status_code, head.content) == (200, b"")
    assert dict(head.headers) == dict(whole.headers)


def test_who_reads_it_indented_can_write_it() -> None:
    caller, uri = Caller(a_user(is_superuser=True)), f"/api/islands/{an_island().pk}/"
    accept = "application/json; indent=4"
    tag = caller.get(uri, accept=accept).headers["ETag"]
    written = caller.patch(uri, {"name": "new"}, accept=accept, if_match=tag)
    assert written.status_code == 200
    assert b"\n" in written.content


def test_headers_are_spelled_as_nodes_read_them() -> None:
    names = list(Caller().get("/api/").headers)
    assert {"ETag", "Link"} <= set(names)


def test_a_late_writer_is_refused() -> None:
    sue, node = a_user(is_superuser=True), a_node()
    first, second, uri = Caller(sue), Caller(sue), f"/api/nodes/{node.pk}/"
    seen = first.get(uri).headers["ETag"]
    written = first.patch(uri, {"description": "one"}, if_match=seen)
    assert written.status_code == 200
    for answer in (
        second.patch(uri, {"description": "two"}, if_match=seen),
        second.delete(uri, if_match=seen),
    ):
        assert answer.status_code == 412
        assert "read it again" in answer.json()["detail"]
    assert Node.objects.get().description == "one"
    tag = written.headers["ETag"]
    assert tag == first.get(uri).headers["ETag"]
    assert second.delete(uri, if_match=tag).status_code == 204


@pytest.mark.parametrize(("condition", "status"), [({}, 409), ({"if_match": "*"}, 412)])
def test_of_two_writers_at_a_time_one_wins(
    monkeypatch: pytest.MonkeyPatch, condition: dict[str, str], status: int
) -> None:
    sue, group = a_user(is_superuser=True), a_group()
    check = GroupShape.is_valid

    def somebody_else_is_faster(self: GroupShape, **how: Any) -> bool:
        Group.objects.get(pk=group.pk).change(description="first")
        return check(self, **how)

    caller = Caller(sue)
    monkeypatch.setattr(GroupShape, "is_valid", somebody_else_is_faster)
    answer = caller.patch(f"/api/groups/{group.pk}/", {"description": "second"}, **condition)
    assert answer.status_code == status
    assert Group.objects.get().description == "first"


def test_a_tag_is_of_the_octets() -> None:
    assert conditional.tag_of(b"a") != conditional.tag_of(b"b")


def nested(depth: int) -> bytes:
    return b'{"name":' + b"[" * depth + b"]" * depth + b"}"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b"null", 400),
        (b"1", 400),
        (b'"x"', 400),
        (b"", 400),
        (b"\xff", 400),
        (b'{"name": NaN}', 400),
        (b'{"name": "\\ud800"}', 400),
        (b'{"name": "a\\u0000"}', 400),
        (b'{"name": "\\u202e"}', 400),
        (b'{"name": 5}', 400),
        (b'{"name": null}', 400),
        (b'{"name": ""}', 400),
        (b'{"name": "' + b"x" * 1000 + b'"}', 400),
        (b'{"name": "x", "name": {}}', 400),
        (nested(100), 400),
        (nested(100_000), 400),
        (b'{"name": "' + b"x" * 3_000_000 + b'"}', 413),
        (b'{"name": ' + b"9" * 10_000 + b"}", 400),
        (b'{"name": 1e999}', 400),
    ],
)
def test_bad_bodies_are_refused(body: bytes, status: int) -> None:
    answer = Caller(a_user(is_superuser=True)).post("/api/islands/", body)
    assert answer.status_code == status
    assert isinstance(answer.json(), dict)


def test_unknown_and_read_only_members_are_ignored() -> None:
    sent = {"name": "a", "id": 77, "uri": "x", "nonsense": {"a": [1]}}
    answer = Caller(a_user(is_superuser=True)).post("/api/islands/", sent)
    assert answer.status_code == 201
    assert answer.json()["id"] != 77


@pytest.mark.parametrize(
    "name", ["$(reboot)", "<b>&amp;'\"", "名前", "'; DROP TABLE", "a/../b", "%s"]
)
def test_names_are_kept_as_they_are(name: str) -> None:
    answer = Caller(a_user(is_superuser=True)).post("/api/islands/", {"name": name})
    assert answer.json()["name"] == name
    assert Caller().get(answer.json()["uri"]).json()["name"] == name


@pytest.mark.parametrize(
    ("call", "status"),
    [
        (lambda caller: caller.get("/api/nodes/99999/"), 404),
        (lambda caller: caller.get(f"/api/nodes/{'9' * 30}/"), 404),
        (lambda caller: caller.get("/api/nodes/x/"), 404),
        (lambda caller: caller.get("/api/nowhere/"), 404),
        (lambda caller: caller.put("/api/islands/", {}), 405),
        (lambda caller: caller.get("/api-token-auth/"), 405),
        (lambda caller: caller.send("OPTIONS", "/api/"), 405),
        (lambda caller: caller.client.post("/api/islands/", {"name": "x"}), 415),
        (lambda caller: caller.client.post("/api/islands/", "x", content_type="text/xml"), 415),
    ],
)
def test_refusals_are_objects(call: Callable[[Caller], Any], status: int) -> None:
    answer = call(Caller(a_user(is_superuser=True)))
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_a_wrong_method_says_the_right_ones() -> None:
    answer = Caller(a_user()).put("/api/islands/", {})
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "POST", "HEAD"}


def test_nobody_is_403_before_anything_else() -> None:
    for answer in (
        Caller().post("/api/islands/", b"{"),
        Caller().put("/api/islands/", {}),
        Caller().delete("/api/nodes/99999/"),
    ):
        assert answer.status_code == 403
        assert "WWW-Authenticate" not in answer.headers
        assert answer.json()["detail"]


def test_errors_of_elements_stand_where_the_elements_stood() -> None:
    sliver = a_sliver()
    sent = [
        {"nr": 0, "name": "priv", "type": "private"},
        {"nr": 9, "name": "BAD", "type": "debug"},
    ]
    answer = Caller(a_user(is_superuser=True)).patch(
        f"/api/slivers/{sliver.pk}/", {"interfaces": sent}
    )
    assert answer.status_code == 400
    good, bad = answer.json()["interfaces"]
    assert (good, list(bad)) == ({}, ["name"])


@pytest.mark.parametrize(
    "sent", ["http://testserver/api/groups/1/", {"id": 1}, {"uri": 1}, {}, [], 1]
)
def test_references_are_objects_with_a_uri(sent: Any) -> None:
    node = {"name": "n", "arch": "i686", "mgmt_net": {"backend": "tinc"}, "group": sent}
    answer = Caller(a_user(is_superuser=True)).post("/api/nodes/", node)
    assert (answer.status_code, list(answer.json())) == (400, ["group"])


@pytest.mark.parametrize("uri", ["/api/groups/{}/", "https://other.example:8080/api/groups/{}/"])
def test_of_a_references_uri_the_path_counts(uri: str) -> None:
    group = {"uri": uri.format(a_group().pk)}
    node = {"name": "n", "arch": "i686", "mgmt_net": {"backend": "tinc"}, "group": group}
    assert Caller(a_user(is_superuser=True)).post("/api/nodes/", node).status_code == 201


@pytest.mark.parametrize("uri", ["/api/nodes/1/", "/api/groups/99999/", "/", "//[", "http://[", ""])
def test_a_reference_to_something_else_is_refused(uri: str) -> None:
    node = {"name": "n", "arch": "i686", "mgmt_net": {"backend": "tinc"}, "group": {"uri": uri}}
    answer = Caller(a_user(is_superuser=True)).post("/api/nodes/", node)
    assert (answer.status_code, list(answer.json())) == (400, ["group"])


def test_a_locked_database_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    caller, template = Caller(a_user(is_superuser=True)), a_template()

    def locked(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(type(template), "save", locked)
    answer = caller.patch(f"/api/templates/{template.pk}/", {"name": "x"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert json.loads(answer.content)["detail"]
