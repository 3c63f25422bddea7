"""The registry's lists and forms: what people do there, and what they may not."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.test import Client

from tests.controller.factories import (
    ED25519,
    PASSWORD,
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
from tests.controller.pages import act, fields, fill, said, submit
from vct.controller.audit.models import Entry, record
from vct.controller.nodes.models import Node
from vct.controller.slices.models import Slice, Sliver, Template
from vct.controller.users.models import ApiToken, Group, User, issue_token

pytestmark = pytest.mark.django_db
NODES = "/admin/nodes/node/"
SLICES = "/admin/slices/slice/"
SLIVERS = "/admin/slices/sliver/"


@pytest.fixture
def cast() -> Cast:
    return Cast()


@pytest.fixture
def sue(client: Client, cast: Cast) -> Client:
    """A superuser's browser."""
    client.force_login(cast.sue)
    return client


@pytest.fixture
def alice(cast: Cast) -> Client:
    """The browser of the group's administrator."""
    client = Client()
    client.force_login(cast.alice)
    return client


def test_it_works(sue: Client, cast: Cast) -> None:
    node = a_node(cast.group, name="roof")
    fill(sue, f"{NODES}{node.pk}/change/", description="on the roof")
    node.refresh_from_db()
    assert (node.description, node.version) == ("on the roof", 1)


def test_every_list_and_form_opens(sue: Client, cast: Cast) -> None:
    node = a_safe_node(cast.group, island=an_island(), direct=("eth1",))
    sliver = a_sliver(a_slice(cast.group), node)
    host, server = a_host(cast.bob), a_server()
    a_tinc_host(server)
    issue_token(cast.bob)
    entry = record(cast.sue, "change", node)
    opened = 0
    for thing in (node, node.island, sliver, sliver.slice, a_template("t"), host, server):
        kind = f"/admin/{thing._meta.app_label}/{thing._meta.model_name}/"  # type: ignore[union-attr]
        for path in (kind, f"{kind}add/", f"{kind}{thing.pk}/change/", f"{kind}{thing.pk}/delete/"):  # type: ignore[union-attr]
            assert sue.get(path).status_code == 200, path
            opened += 1
    for model in admin.site._registry:
        path = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        assert sue.get(f"{path}?q=x").status_code == 200, path
        opened += 1
    assert sue.get(f"/admin/audit/entry/{entry.pk}/change/").status_code == 200
    assert opened > 40


@pytest.mark.parametrize("who", ["mia", "bob", "rita"])
def test_who_may_not_change_a_node_sees_it_without_a_form(cast: Cast, who: str) -> None:
    client, node = Client(), a_node(cast.group, name="roof")
    client.force_login(getattr(cast, who))
    path = f"{NODES}{node.pk}/change/"
    assert b'name="_save"' not in client.get(path).content
    assert client.post(path, {"name": "mine"}).status_code == 403
    assert client.post(f"{NODES}{node.pk}/delete/", {"post": "yes"}).status_code == 403
    node.refresh_from_db()
    assert node.name == "roof"


def test_a_technician_makes_nodes_in_own_groups_only(cast: Cast) -> None:
    client, other = Client(), a_group("others")
    client.force_login(cast.tom)
    path = f"{NODES}add/"
    assert "others" not in client.get(path).content.decode()
    fill(client, path, name="stolen", arch="i686", group=str(other.pk))
    assert not Node.objects.exists()
    fill(client, path, name="roof", arch="i686", group=str(cast.group.pk))
    assert Node.objects.get().group == cast.group
    assert list(Entry.objects.values_list("actor_name", "action", "object_name")) == [
        ("Tom", "create", "roof")
    ]


def test_of_two_people_who_change_the_same_thing_the_second_is_told(
    sue: Client, alice: Client, cast: Cast
) -> None:
    node = a_node(cast.group, name="roof")
    path = f"{NODES}{node.pk}/change/"
    first, second = fields(sue, path), fields(alice, path)
    submit(sue, path, first, description="Sue was here")
    answer = submit(alice, path, second, description="Alice was here")
    assert "Somebody else changed this" in answer.content.decode()
    node.refresh_from_db()
    assert node.description == "Sue was here"


def test_a_node_gets_its_api_and_goes_to_safe_in_one_form(sue: Client, cast: Cast) -> None:
    node = a_node(cast.group)
    path = f"{NODES}{node.pk}/change/"
    fill(sue, path, mgmt_backend="native", api_base_uri="http://[fd65::2]/confine/api")
    node.refresh_from_db()
    assert (node.set_state, node.api_base_uri) == ("safe", "http://[fd65::2]/confine/api/")
    fill(sue, path, api_base_uri="")
    node.refresh_from_db()
    assert node.set_state == "debug"


def test_a_node_gets_its_tinc_key(sue: Client, cast: Cast) -> None:
    node = a_node(cast.group)
    fill(sue, f"{NODES}{node.pk}/change/", **{"tinc-TOTAL_FORMS": "1", "tinc-0-pubkey": a_pubkey()})
    assert Node.objects.get().tinc.name == f"node_{node.pk}"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "", "This field is required"),
        ("set_state", "production", "leaves debug by itself"),
        ("api_cert", "x", "not a certificate"),
        ("properties", "[]", "must be an object"),
        ("properties", "{", "valid JSON"),
    ],
)
def test_what_is_wrong_is_said_at_the_field(
    sue: Client, cast: Cast, field: str, value: str, words: str
) -> None:
    node = a_node(cast.group)
    answer = fill(sue, f"{NODES}{node.pk}/change/", **{field: value})
    assert words in answer.content.decode()
    assert Node.objects.get().version == 0


def test_selected_nodes_are_rebooted_and_moved(alice: Client, cast: Cast) -> None:
    nodes = [a_safe_node(cast.group, name=f"n{number}") for number in range(3)]
    keys = [node.pk for node in nodes[:2]]
    act(alice, NODES, "to_production", *keys)
    assert said(act(alice, NODES, "reboot", *keys)) == ["reboot: 2 done"]
    rows = list(Node.objects.values_list("set_state", "boot_sn"))
    assert rows == [("production", 1), ("production", 1), ("safe", 0)]
    assert Entry.objects.filter(action="reboot", actor_name="Alice").count() == 2


def test_those_of_others_are_left_alone_and_named(alice: Client, cast: Cast) -> None:
    own, other = a_safe_node(cast.group, name="own"), a_safe_node(name="theirs")
    answer = act(alice, NODES, "reboot", own.pk, other.pk)
    assert said(answer) == ["theirs: You may not reboot this node.", "reboot: 1 done"]
    assert list(Node.objects.values_list("boot_sn", flat=True)) == [1, 0]


def test_what_cannot_be_is_said_with_the_nodes_name(alice: Client, cast: Cast) -> None:
    node = a_node(cast.group, name="roof")
    words = said(act(alice, NODES, "to_production", node.pk))
    assert words == ["roof: A node leaves debug by itself, once it has a tinc key and an API "
                     "certificate."]  # fmt: skip


def test_slivers_are_made_on_selected_nodes(cast: Cast) -> None:
    client, slice_ = Client(), a_slice(cast.group, name="mesh")
    client.force_login(cast.rita)
    keys = [a_safe_node(name=f"n{number}").pk for number in range(3)]
    page = act(client, NODES, "create_slivers", *keys)
    assert "On 3 nodes" in page.content.decode()
    told = {"slice": slice_.pk, "template": "", "set_state": "deploy", "confirmed": "yes"}
    answer = act(client, NODES, "create_slivers", *keys, **told)
    assert said(answer) == ["create sliver: 3 done"]
    assert [sliver.set_state for sliver in Sliver.objects.all()] == ["deploy"] * 3
    assert all(sliver.interfaces.count() == 2 for sliver in Sliver.objects.all())
    again = said(act(client, NODES, "create_slivers", *keys, **told))
    assert again[0] == "mesh on n0: The slice has a sliver on this node."
    assert Sliver.objects.count() == 3


def test_slivers_are_made_of_own_slices_only(alice: Client, cast: Cast) -> None:
    theirs, node = a_slice(name="theirs"), a_safe_node()
    assert "no slice that you may" in said(act(alice, NODES, "create_slivers", node.pk))[0]
    a_slice(cast.group, name="own")
    answer = act(alice, NODES, "create_slivers", node.pk, slice=theirs.pk, confirmed="yes")
    assert "Select a valid choice" in answer.content.decode()
    assert not Sliver.objects.exists()


def test_slices_are_started_renewed_and_reset(alice: Client, cast: Cast) -> None:
    slice_ = a_slice(cast.group, allow_isolated=True)
    for action in ("to_deploy", "to_start", "renew", "reset"):
        assert said(act(alice, SLICES, action, slice_.pk))[-1].endswith("1 done")
    slice_ = Slice.objects.get()
    assert (slice_.set_state, slice_.instance_sn) == ("start", 1)
    assert slice_.isolated_vlan_tag is not None
    act(alice, SLICES, "to_register", slice_.pk)
    assert Slice.objects.get().isolated_vlan_tag is None


def test_a_slice_and_a_sliver_are_made_by_hand(alice: Client, cast: Cast) -> None:
    template, node = a_template(), a_safe_node(direct=("eth1",))
    group, template_key = str(cast.group.pk), str(template.pk)
    fill(alice, f"{SLICES}add/", name="mesh", group=group, template=template_key)
    slice_ = Slice.objects.get()
    assert (slice_.set_state, slice_.group) == ("register", cast.group)
    fill(alice, f"{SLIVERS}add/", slice=str(slice_.pk), node=str(node.pk))
    sliver = Sliver.objects.get()
    assert [one.type for one in sliver.interfaces.all()] == ["private", "management"]


def test_interfaces_of_a_sliver_are_checked_together(alice: Client, cast: Cast) -> None:
    node = a_safe_node(direct=("eth1",))
    sliver = a_sliver(a_slice(cast.group, allow_isolated=True), node)
    path = f"{SLIVERS}{sliver.pk}/change/"
    new = {"interfaces-TOTAL_FORMS": "3", "interfaces-2-nr": "5", "interfaces-2-name": "iso0",
           "interfaces-2-type": "isolated"}  # fmt: skip
    assert "direct interfaces (eth1)" in fill(alice, path, **new).content.decode()
    parent = str(node.direct_ifaces.get().pk)
    fill(alice, path, **new, **{"interfaces-2-parent": parent})
    assert [one.name for one in sliver.interfaces.all()] == ["priv", "mgmt0", "iso0"]
    answer = fill(alice, path, **{"interfaces-0-DELETE": "on"})
    assert "needs its private interface" in answer.content.decode()


def test_slivers_are_started_and_updated(alice: Client, cast: Cast) -> None:
    sliver = a_sliver(a_slice(cast.group))
    for action in ("to_deploy", "to_start", "update", "ask_now"):
        act(alice, SLIVERS, action, sliver.pk)
    sliver.refresh_from_db()
    assert (sliver.set_state, sliver.instance_sn, sliver.status.poll_wanted) == ("start", 1, True)
    act(alice, SLIVERS, "to_default", sliver.pk)
    sliver.refresh_from_db()
    assert sliver.set_state is None


def test_templates_are_for_superusers(sue: Client, alice: Client) -> None:
    path = "/admin/slices/template/add/"
    told = {"name": "debian", "type": "debian", "node_archs": ["x86_64", "i686"],
            "image_uri": "http://x.example/t.tgz", "image_sha256": SHA256}  # fmt: skip
    assert alice.post(path, told).status_code == 403
    fill(sue, path, **told)
    assert Template.objects.get().node_archs == ["x86_64", "i686"]


def test_who_makes_a_group_administers_it(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.bob)
    fill(client, "/admin/users/group/add/", name="friends", allow_nodes="on")
    group = Group.objects.get(name="friends")
    assert group.roles.get(is_group_admin=True).user == cast.bob
    assert not group.allow_nodes


def test_a_group_keeps_an_administrator(alice: Client, cast: Cast) -> None:
    path = f"/admin/users/group/{cast.group.pk}/change/"
    answer = fill(alice, path, **{"roles-0-is_group_admin": None})
    assert "at least one administrator" in answer.content.decode()
    assert cast.group.roles.filter(is_group_admin=True).exists()


def test_a_superuser_makes_users_who_can_log_in(sue: Client) -> None:
    told = {"username": "dora", "name": "Dora", "email": "dora@localhost"}
    password = "long enough to be good"
    fill(sue, "/admin/users/user/add/", **told, password1=password, password2=password)
    assert Client().login(username="dora", password=password)


def test_users_change_themselves_but_not_their_rights(alice: Client, cast: Cast) -> None:
    path = f"/admin/users/user/{cast.alice.pk}/change/"
    key = {"auth_tokens-TOTAL_FORMS": "1", "auth_tokens-0-data": ED25519}
    fill(alice, path, name="Alice L.", is_superuser="on", **key)
    user = User.objects.get(pk=cast.alice.pk)
    assert (user.name, user.is_superuser, user.auth_tokens.count()) == ("Alice L.", False, 1)
    assert alice.post(f"/admin/users/user/{cast.bob.pk}/change/", {}).status_code == 403


def test_a_password_is_set_by_its_owner_who_knows_it_or_by_a_superuser(
    alice: Client, sue: Client, cast: Cast
) -> None:
    direct = f"/admin/users/user/{cast.alice.pk}/password/"
    new = {"password1": "a whole new word", "password2": "a whole new word"}
    assert alice.post(direct, new).status_code == 403
    told = {"new_password1": "a whole new word", "new_password2": "a whole new word"}
    fill(alice, "/admin/password_change/", old_password=PASSWORD, **told)
    assert Client().login(username="alice", password="a whole new word")
    fill(sue, direct, password1="yet another word", password2="yet another word")
    assert Client().login(username="alice", password="yet another word")
    assert "another word" not in str(list(Entry.objects.values_list("changes")))


def test_tokens_are_ended_by_their_owner(alice: Client, cast: Cast) -> None:
    issue_token(cast.alice), issue_token(cast.bob)
    own, other = ApiToken.objects.all()
    path = "/admin/users/apitoken/"
    assert "Bob" not in alice.get(path).content.decode()
    assert alice.post(f"{path}{other.pk}/delete/", {"post": "yes"}).status_code in (302, 403)
    fill(alice, f"{path}{own.pk}/delete/", post="yes")
    assert list(ApiToken.objects.all()) == [other]


def test_deleting_a_node_ends_its_slivers_and_says_so_first(alice: Client, cast: Cast) -> None:
    node = a_node(cast.group, name="roof")
    a_sliver(a_slice(name="theirs"), node)
    path = f"{NODES}{node.pk}/delete/"
    assert "theirs on roof" in alice.get(path).content.decode()
    fill(alice, path, post="yes")
    assert not Node.objects.exists()
    assert not Sliver.objects.exists()


def test_a_group_with_nodes_is_not_deleted(alice: Client, cast: Cast) -> None:
    a_node(cast.group)
    alice.post(f"/admin/users/group/{cast.group.pk}/delete/", {"post": "yes"})
    assert Group.objects.filter(pk=cast.group.pk).exists()


def test_the_last_server_is_not_deleted(sue: Client) -> None:
    server = a_server("main")
    answer = fill(sue, f"/admin/nodes/server/{server.pk}/delete/", post="yes")
    assert "the last server cannot be deleted" in said(answer)[0]


def test_selected_things_are_deleted_one_by_one(alice: Client, cast: Cast) -> None:
    keys = [a_node(cast.group).pk for _ in range(2)]
    act(alice, NODES, "delete_selected", *keys, post="yes")
    assert not Node.objects.exists()
    assert Entry.objects.filter(action="delete").count() == 2


def test_the_audit_log_is_for_superusers_to_read(sue: Client, alice: Client, cast: Cast) -> None:
    entry = record(cast.sue, "change", cast.group)
    path = "/admin/audit/entry/"
    assert (sue.get(path).status_code, alice.get(path).status_code) == (200, 403)
    assert sue.post(f"{path}{entry.pk}/delete/", {"post": "yes"}).status_code == 403


def test_a_change_is_written_down_without_secrets(sue: Client, cast: Cast) -> None:
    user = a_user("Dora")
    fill(sue, f"/admin/users/user/{user.pk}/change/", description="new here")
    entry = Entry.objects.latest("id")
    assert (entry.action, entry.kind, entry.changes) == (
        "change",
        "user",
        {"description": "new here"},
    )
    assert entry.address == "127.0.0.1"
