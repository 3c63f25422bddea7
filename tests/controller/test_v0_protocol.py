"""How v0 talks: relations, references, names of members, and what v1 does not have."""

from __future__ import annotations

import io
from typing import Any

import pytest

from tests.controller.caller import Caller, links
from tests.controller.factories import (
    SHA256,
    Cast,
    a_host,
    a_node,
    a_pubkey,
    a_server,
    a_slice,
    a_sliver,
    an_island,
)
from vct.controller.mgmt.models import Gateway

pytestmark = pytest.mark.django_db
REL = "http://confine-project.eu/rel"
HERE = "http://testserver/api/v0/"
WORDS = "server node island host gateway user group slice sliver template"
LISTS = {word: f"{word}s" for word in WORDS.split()}


@pytest.fixture
def testbed() -> Cast:
    """One of everything."""
    cast = Cast()
    a_server()
    an_island()
    a_host(cast.mia)
    Gateway.objects.create()
    a_sliver(a_slice(cast.group), a_node(cast.group))
    return cast


def test_it_works() -> None:
    answer = Caller().get("/api/v0/")
    assert answer.headers["Content-Type"] == "application/json"
    assert set(answer.json()) == {"uri", "confine_params", "testbed_params"}
    assert answer.json()["uri"] == HERE


def test_the_base_links_to_every_list() -> None:
    expected = {f"{REL}/server/{word}-list": f"{HERE}{path}/" for word, path in LISTS.items()}
    expected |= {
        f"{REL}/server/base": HERE,
        f"{REL}/server/server": f"{HERE}server/",
        f"{REL}/controller/baseimage-list": f"{HERE}baseimages/",
        f"{REL}/controller/do-get-auth-token": "http://testserver/api-token-auth/",
    }
    assert links(Caller().get("/api/v0/")) == expected


def test_the_base_without_its_slash_is_moved() -> None:
    answer = Caller().get("/api/v0")
    assert (answer.status_code, answer.headers["Location"]) == (301, "/api/v0/")


@pytest.mark.parametrize("word", LISTS)
def test_objects_link_to_their_list(testbed: Cast, word: str) -> None:
    listed = Caller().get(f"/api/v0/{LISTS[word]}/")
    shown = Caller().get(listed.json()[0]["uri"])
    assert shown.headers["Content-Type"] == "application/json"
    assert shown.json() == listed.json()[0]
    assert shown.json()["uri"].startswith(HERE)
    assert links(shown)[f"{REL}/server/{word}-list"] == f"{HERE}{LISTS[word]}/"
    assert links(shown)[f"{REL}/server/base"] == HERE


@pytest.mark.parametrize(
    ("kind", "functions"),
    [
        (
            "nodes",
            {
                "server/do-reboot": "reboot",
                "controller/do-request-mgmt-cert": "request-cert",
                "controller/do-request-api-cert": "request-api-cert",
                "controller/do-enrol": "enrol",
                "controller/firmware": "firmware",
                "controller/state": "state",
                "controller/vm": "vm",
            },
        ),
        (
            "slices",
            {
                "server/do-renew": "renew",
                "server/do-reset": "reset",
                "controller/do-upload-data": "upload-data",
                "controller/do-upload-exp-data": "upload-exp-data",
                "controller/do-upload-overlay": "upload-overlay",
            },
        ),
        (
            "slivers",
            {
                "server/do-update": "update",
                "controller/do-upload-data": "upload-data",
                "controller/do-upload-exp-data": "upload-exp-data",
                "controller/do-upload-overlay": "upload-overlay",
                "controller/state": "state",
            },
        ),
        ("templates", {"controller/do-upload-image": "upload-image"}),
        (
            "users",
            {
                "controller/do-change-auth": "change-auth",
                "controller/do-change-password": "change-password",
            },
        ),
        ("hosts", {"controller/do-upload-pubkey": "upload-pubkey"}),
    ],
)
def test_objects_link_to_their_functions(
    testbed: Cast, kind: str, functions: dict[str, str]
) -> None:
    uri = Caller().get(f"/api/v0/{kind}/").json()[0]["uri"]
    found = {rel: to for rel, to in links(Caller().get(uri)).items() if "/ctl/" in to}
    assert found == {f"{REL}/{rel}": f"{uri}ctl/{path}/" for rel, path in functions.items()}


def references(thing: Any) -> list[dict[str, Any]]:
    """Every object within an object that has a URI."""
    inner = thing.values() if isinstance(thing, dict) else thing if isinstance(thing, list) else ()
    own = [thing] if isinstance(thing, dict) and "uri" in thing else []
    return own + [found for one in inner for found in references(one)]


@pytest.mark.parametrize("word", LISTS)
def test_references_are_uris_of_v0_and_nothing_else(testbed: Cast, word: str) -> None:
    shown = Caller().get(f"/api/v0/{LISTS[word]}/").json()[0]
    inner = references(shown)[1:]
    assert all(set(one) == {"uri"} and one["uri"].startswith(HERE) for one in inner)


@pytest.mark.parametrize("word", LISTS)
def test_what_was_read_can_be_written_back(testbed: Cast, word: str) -> None:
    caller = Caller(testbed.sue)
    uri = Caller().get(f"/api/v0/{LISTS[word]}/").json()[0]["uri"]
    before = caller.get(uri).json()
    answer = caller.put(uri, before)
    assert answer.status_code == 200, answer.content
    assert caller.get(uri).json() == before


def test_both_dialects_show_the_same_rows(testbed: Cast) -> None:
    for path in ("nodes", "slices", "users"):
        old, new = (Caller().get(f"/api{v}/{path}/").json() for v in ("/v0", ""))
        assert [one["name"] for one in old] == [one["name"] for one in new]


def test_uris_of_v1_are_understood(testbed: Cast) -> None:
    group = {"uri": f"/api/groups/{testbed.group.pk}/"}
    sent = {"name": "n", "arch": "i686", "group": group}
    answer = Caller(testbed.alice).post("/api/v0/nodes/", sent)
    assert answer.status_code == 201
    assert answer.json()["group"] == {"uri": f"{HERE}groups/{testbed.group.pk}/"}


def test_an_unchanged_object_is_not_sent_again(testbed: Cast) -> None:
    first = Caller().get("/api/v0/nodes/")
    again = Caller().get("/api/v0/nodes/", If_None_Match=first.headers["ETag"])
    assert (again.status_code, again.content) == (304, b"")


def test_the_main_server_is_also_where_it_once_was(testbed: Cast) -> None:
    main = Caller().get("/api/v0/server/").json()
    assert main["uri"] == f"{HERE}servers/2/"
    answer = Caller(testbed.sue).patch("/api/v0/server/", {"description": "the one"})
    assert answer.json()["description"] == "the one"


def test_gateways_are_members_of_the_mesh(testbed: Cast) -> None:
    sent = {"description": "of the island", "tinc": {"pubkey": a_pubkey()}}
    made = Caller(testbed.sue).post("/api/v0/gateways/", sent).json()
    assert made["mgmt_net"] == {"backend": "tinc", "addr": f"fd65:fc41:c50f:0:1::{made['id']:x}"}
    assert made["tinc"]["name"] == f"gateway_{made['id']}"


@pytest.mark.parametrize(
    ("sent", "member"),
    [
        ({"exp_data_uri": "http://data.example/a.tgz"}, "exp_data_sha256"),
        ({"exp_data_uri": "nowhere", "exp_data_sha256": SHA256}, "exp_data_uri"),
        ({"overlay_uri": "http://data.example/a.tgz"}, "overlay_sha256"),
        ({"vlan_nr": 300}, "vlan_nr"),
        ({"vlan_nr": True}, "vlan_nr"),
        ({"template": {"uri": "/api/v0/nodes/1/"}}, "template"),
    ],
)
def test_refusals_name_the_members_of_v0(
    testbed: Cast, sent: dict[str, object], member: str
) -> None:
    uri = Caller().get("/api/v0/slices/").json()[0]["uri"]
    answer = Caller(testbed.sue).patch(uri, sent)
    assert (answer.status_code, list(answer.json())) == (400, [member])


NONSENSE: tuple[object, ...] = (5, -2, 1 << 70, "x" * 2000, "\0", [], [5], {}, {"uri": 5}, True)


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("nodes", "local_iface sliver_pub_ipv4 sliver_pub_ipv6 sliver_pub_ipv4_range"),
        ("nodes", "sliver_mac_prefix priv_ipv4_prefix"),
        ("slices", "template vlan_nr exp_data_uri exp_data_sha256 overlay_uri overlay_sha256"),
        ("slivers", "exp_data_uri exp_data_sha256 overlay_uri overlay_sha256"),
    ],
)
def test_nonsense_is_refused(testbed: Cast, kind: str, members: str) -> None:
    caller = Caller(testbed.sue)
    uri = caller.get(f"/api/v0/{kind}/").json()[0]["uri"]
    for member in members.split():
        answers = [caller.patch(uri, {member: nonsense}) for nonsense in NONSENSE]
        assert [answer.status_code for answer in answers] == [400] * len(NONSENSE), member


@pytest.mark.parametrize("password", [None, 5, [], {}, "short"])
def test_what_is_no_password_is_refused(testbed: Cast, password: object) -> None:
    uri = f"/api/v0/users/{testbed.bob.pk}/ctl/change-password/"
    assert Caller(testbed.sue).post(uri, password).status_code == 400


@pytest.mark.parametrize("path", ["", "server/", *(f"{path}/" for path in LISTS.values())])
def test_everything_can_be_looked_at_in_a_browser(testbed: Cast, path: str) -> None:
    answer = Caller(testbed.sue).get(f"/api/v0/{path}", Accept="text/html")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("kind", ["slices", "slivers"])
@pytest.mark.parametrize("what", ["exp-data", "overlay"])
def test_uploads_are_shown_with_their_digest(testbed: Cast, kind: str, what: str) -> None:
    caller = Caller(testbed.sue)
    uri = caller.get(f"/api/v0/{kind}/").json()[0]["uri"]
    file = io.BytesIO(b"content")
    file.name = "of mine.tgz"
    assert caller.upload(f"{uri}ctl/upload-{what}/", file).status_code == 200
    shown, name = caller.get(uri).json(), what.replace("-", "_")
    assert shown[f"{name}_uri"].endswith("of%20mine.tgz")
    assert shown[f"{name}_sha256"].startswith("ed7002b439e9ac845f22357d822bac14")
    assert caller.put(uri, shown).status_code == 200
    assert caller.get(uri).json() == shown
    external = {f"{name}_uri": "http://data.example/b.tgz", f"{name}_sha256": SHA256}
    assert caller.patch(uri, external).json().items() >= external.items()


def test_the_openapi_document_is_about_v1_only() -> None:
    assert "/api/v0/" not in Caller().get("/api/schema/").content.decode()
