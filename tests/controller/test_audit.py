"""The audit log: whatever is changed, by either dialect or by a page, leaves who did what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.db import transaction
from django.test import Client
from pytest_django import Settings

from tests.controller.caller import Caller
from tests.controller.factories import (
    PASSWORD,
    SHA256,
    a_group,
    a_node,
    a_template,
    a_tinc_host,
    a_user,
)
from tests.controller.matrix import Row, Rows, World, call
from tests.controller.pages import act, fields, said, submit
from tests.controller.test_api_matrix import ROWS
from tests.controller.test_pki import a_request
from tests.controller.test_v0_matrix import V0
from vct.controller.audit.models import VALUE_KEPT, Entry, record
from vct.controller.mgmt.models import Gateway, mgmt_address
from vct.controller.pki.authority import make_authority
from vct.controller.users.models import ApiToken, Role, issue_token
from vct.controller.web.base import ReadOnly

pytestmark = pytest.mark.django_db
NEW = "a long one, not known"  # a password


def certificate_request(world: World) -> str:
    make_authority("fd65::2", "vct")
    return a_request(str(mgmt_address(world.node)))


def enrolment(world: World) -> dict[str, str]:
    return {"api_csr": certificate_request(world), "mgmt_backend": "native"}


# what the tables of permissions send to be refused, sent to be done
DONE: dict[str, Any] = {
    "request-cert": certificate_request,
    "request-api-cert": certificate_request,
    "enrol": enrolment,
    "api-token-auth": {"username": "mia", "password": PASSWORD},
}
NEVER_DONE = {  # 409: containers are the host's
    (method, f"{base}nodes/<int:pk>/ctl/{function}/")
    for base in ("api/", "api/v0/")
    for method, function in (("POST", "vm"), ("PUT", "vm"), ("PATCH", "vm"), ("DELETE", "vm"))
}
TABLES = {**{f"v1 {kind}": ROWS[kind] for kind in ROWS}, **{f"v0 {kind}": V0[kind] for kind in V0}}


@pytest.fixture
def world(tmp_path: Path, settings: Settings) -> World:
    """With a group and a template that nothing needs, and certificates of its own."""
    settings.CONFIG = replace(settings.CONFIG, data=str(tmp_path))
    world, spare = World(), a_group("spare")
    Role.objects.create(user=world.cast.alice, group=spare, is_group_admin=True)
    world.numbers |= {
        "groups": spare.pk,
        "templates": a_template("spare").pk,
        "gateways": Gateway.objects.create().pk,
        "tinchosts": a_tinc_host(world.spare, key=9).pk,
    }
    return world


@pytest.fixture
def sue(world: World, client: Client) -> Client:
    """A superuser's browser."""
    client.force_login(world.cast.sue)
    return client


def test_it_works() -> None:
    sue = a_user("Sue")
    entry = record(sue, "change", sue, {"name": "Sue", "password": NEW}, address="::1")
    assert str(entry).endswith("Sue change Sue")
    assert entry.changes == {"name": "Sue", "password": "***"}


def writes(rows: Rows) -> Rows:
    """The rows that change something."""
    return {at: row for at, row in rows.items() if at[0] != "GET" and at not in NEVER_DONE}


def entries_of(world: World, method: str, route: str, row: Row) -> list[Entry]:
    """What a superuser's call leaves in the log; the call is undone."""
    function = route.rstrip("/").rpartition("/")[2]
    row = replace(row, body=DONE.get(function, row.body))
    with transaction.atomic():
        answer = call(world, world.callers["superuser"], method, route, row)
        assert answer.status_code < 400, (method, route, answer.content)
        entries = list(Entry.objects.all())
        secrets = [NEW, PASSWORD, "that is not known"]
        if "token" in route:
            secrets.append(answer.json()["token"])
        transaction.set_rollback(True)
    kept = str([f"{entry} {entry.changes}" for entry in entries])
    assert not [secret for secret in secrets if secret in kept]
    return entries


@pytest.mark.parametrize("table", [name for name in TABLES if writes(TABLES[name])])
def test_every_write_of_the_api_leaves_an_entry(world: World, table: str) -> None:
    for at, row in writes(TABLES[table]).items():
        found = {
            (entry.actor_name, entry.address, bool(entry.action and entry.object_name))
            for entry in entries_of(world, *at, row)
        }
        who = "Mia" if "token" in at[1] else "Sue"
        assert found == {(who, "127.0.0.1", True)}, at


@pytest.mark.parametrize("at", sorted(NEVER_DONE))
def test_what_is_refused_leaves_none(world: World, at: tuple[str, str]) -> None:
    row = {**ROWS["nodes"], **V0["nodes"]}[at]
    assert call(world, world.callers["superuser"], *at, row).status_code == 409
    assert not Entry.objects.exists()


def test_the_links_of_the_testbed_leave_an_entry(world: World) -> None:
    ends = {"source": world.node.hex_id, "target": world.spare.hex_id}
    told = {"type": "NetworkGraph", "links": [ends]}
    assert world.callers["superuser"].put("/map/network.json", told).status_code == 200
    assert (Entry.objects.get().actor_name, Entry.objects.get().changes) == ("Sue", {"links": 1})


PAGES = {
    model._meta.label_lower: page
    for model, page in admin.site._registry.items()
    if not isinstance(page, ReadOnly) or model is ApiToken
}
KEPT = {"mgmt.tinchost"}  # comes and goes on its owner's page
ACTIONS = [
    (label, action)
    for label, page in PAGES.items()
    for action in (*(page.actions or ()), *([] if label in KEPT else ["delete_selected"]))
]


def told(world: World, action: str) -> dict[str, Any]:
    """What an action asks for."""
    more: dict[str, dict[str, Any]] = {
        "create_slivers": {"confirmed": "yes", "slice": world.slice.pk},
        "delete_selected": {"post": "yes"},
    }
    return more.get(action, {})


def filled(world: World, label: str) -> dict[str, Any]:
    """What makes a new one."""
    group, slice_, template = world.cast.group.pk, world.slice.pk, world.template.pk
    secret = {"password1": NEW, "password2": NEW}
    image = {"image_uri": "http://x.example/t.tgz", "image_sha256": SHA256}
    forms: dict[str, dict[str, Any]] = {
        "mgmt.gateway": {"description": "new"},
        "nodes.node": {"arch": "i686", "group": group},
        "users.user": {"username": "new", "email": "a@b.example", **secret},
        "slices.template": {"type": "debian", "node_archs": ["i686"], **image},
        "slices.slice": {"group": group, "template": template},
        "slices.sliver": {"slice": slice_, "node": world.spare.pk},
        "firmware.baseimage": {"architectures": '["i686"]', "image": "new.gz"},
    }
    return {"name": "new", **forms.get(label, {})}


def key_of(world: World, label: str, action: str = "") -> int:
    """The row of the world that a page shows; slivers are made where there is none yet."""
    if label == "users.apitoken":
        issue_token(world.cast.mia)
        return ApiToken.objects.latest("id").pk
    kind = label.rpartition(".")[2] + "s"
    return world.spare.pk if action == "create_slivers" else int(world.numbers[kind])


def path_of(label: str, rest: str = "") -> str:
    return f"/admin/{label.replace('.', '/')}/{rest}"


@pytest.mark.parametrize(("label", "action"), ACTIONS)
def test_every_action_of_the_pages_leaves_an_entry(
    world: World, sue: Client, label: str, action: str
) -> None:
    key = key_of(world, label, action)
    answer = act(sue, path_of(label), action, key, **told(world, action))
    found = [(entry.actor_name, entry.address) for entry in Entry.objects.all()]
    assert found == [("Sue", "127.0.0.1")], said(answer)


@pytest.mark.parametrize("label", sorted({*PAGES} - {"users.apitoken"}))
def test_every_form_of_the_pages_leaves_an_entry(world: World, sue: Client, label: str) -> None:
    changed, added = path_of(label, f"{key_of(world, label)}/change/"), path_of(label, "add/")
    submit(sue, changed, fields(sue, changed))
    if label not in KEPT:
        submit(sue, added, fields(sue, added), **filled(world, label))
    found = [(entry.action, entry.actor_name) for entry in Entry.objects.order_by("id")]
    assert found == [("change", "Sue"), ("create", "Sue")][: 1 if label in KEPT else 2]
    assert NEW not in str(list(Entry.objects.values_list("changes")))


def test_a_password_leaves_an_entry_without_it(world: World, sue: Client) -> None:
    own, others = "/admin/password_change/", f"/admin/users/user/{world.cast.mia.pk}/password/"
    told = {"new_password1": NEW, "new_password2": NEW}
    submit(sue, own, fields(sue, own), **told, old_password="wrong")
    assert not Entry.objects.exists()
    submit(sue, own, fields(sue, own), **told, old_password=PASSWORD)
    submit(sue, others, fields(sue, others), password1=NEW, password2=NEW)
    found = [(entry.action, entry.object_name, entry.changes) for entry in Entry.objects.all()]
    assert found == [("change_auth", name, {"password": "***"}) for name in ("Mia", "Sue")]


def test_of_a_long_value_the_beginning_is_kept() -> None:
    sue, node = a_user("Sue", is_superuser=True), a_node()
    Caller(sue).patch(f"/api/nodes/{node.pk}/", {"properties": {"note": "x" * 10_000}})
    kept = Entry.objects.get().changes["properties"]
    assert kept.startswith('{"note": "xxx')
    assert len(kept) < VALUE_KEPT + 10
