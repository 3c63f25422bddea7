"""Log in, dashboard, map, and what every page says about security."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from tests.controller.factories import (
    PASSWORD,
    Cast,
    a_node,
    a_safe_node,
    a_slice,
    a_sliver,
    a_user,
)
from vct.controller.audit.models import record as audit
from vct.controller.rest.throttles import FAILURES_OF_NAME
from vct.controller.slices.models import today
from vct.controller.state import life
from vct.controller.state.models import record
from vct.controller.web.headers import HEADER
from vct.wire.states import NodeState

pytestmark = pytest.mark.django_db
NASTY = """<script>alert(1)</script>'"&amp;$(reboot);`id`"""


@pytest.fixture(autouse=True)
def _no_failures() -> None:
    cache.clear()


@pytest.fixture
def page(client: Client) -> Any:
    """What a superuser gets."""
    client.force_login(a_user("Sue", is_superuser=True))
    return lambda path: client.get(path).content.decode()


def log_in(client: Client, password: str = PASSWORD, name: str = "alice") -> Any:
    return client.post("/admin/login/?next=/", {"username": name, "password": password})


def test_it_works(client: Client) -> None:
    a_user("Alice")
    assert log_in(client).headers["Location"] == "/"
    assert "Dashboard" in client.get("/").content.decode()


def test_the_e_mail_address_is_a_name_too(client: Client) -> None:
    a_user("Alice")
    assert log_in(client, name="alice@localhost").status_code == 302


@pytest.mark.parametrize("path", ["/", "/map/", "/admin/", "/admin/nodes/node/"])
def test_pages_want_a_log_in(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/admin/login/?next=")


def test_a_log_in_that_failed_too_often_waits(client: Client) -> None:
    a_user("Alice")
    for _ in range(FAILURES_OF_NAME):
        assert "correct username and password" in log_in(client, "wrong").content.decode()
    assert "Too many attempts failed" in log_in(client).content.decode()
    assert client.get("/").status_code == 302


def test_others_may_log_in_meanwhile(client: Client) -> None:
    a_user("Alice"), a_user("Bob")
    for _ in range(FAILURES_OF_NAME):
        log_in(client, "wrong")
    assert log_in(client, name="bob").status_code == 302


def test_a_log_in_leads_to_no_other_site(client: Client) -> None:
    a_user("Alice")
    told = {"username": "alice", "password": PASSWORD, "next": "https://elsewhere.example/"}
    answer = client.post("/admin/login/", told)
    assert answer.headers["Location"].startswith("/")


@pytest.mark.parametrize("path", ["/", "/map/", "/map/network.json", "/admin/login/", "/api/"])
def test_nothing_runs_that_is_written_in_a_page(client: Client, path: str) -> None:
    client.force_login(a_user())
    rules = client.get(path).headers[HEADER].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'"} <= set(rules)
    unsafe = ["style-src-attr 'unsafe-inline'"] if path == "/api/" else []
    assert [rule for rule in rules if "unsafe" in rule] == unsafe


def test_an_upload_is_never_a_page_of_ours(client: Client) -> None:
    assert "sandbox" in client.get("/media/exp_data/page.html").headers[HEADER]


def test_cookies_are_not_for_scripts_or_other_sites(client: Client) -> None:
    a_user("Alice")
    cookie = log_in(client).cookies["sessionid"]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")


def test_other_host_names_are_refused(client: Client) -> None:
    assert client.get("/admin/login/", headers={"host": "elsewhere.example"}).status_code == 400


def test_a_form_of_another_site_is_refused() -> None:
    client = Client(enforce_csrf_checks=True)
    a_user("Alice")
    assert log_in(client).status_code == 403


def test_the_dashboard_shows_nodes_and_their_states(page: Any) -> None:
    for number in range(4):
        node = a_node(name=f"roof {number}")
        record(node, NodeState.PRODUCTION, contact_on=timezone.now())
    content = page("/")
    assert "4 nodes" in content
    assert "4 production" in content
    assert all(f"roof {number}" in content for number in range(4))


def test_what_was_asked_long_ago_is_shown_as_no_data(page: Any) -> None:
    node = a_node()
    record(node, NodeState.PRODUCTION, now=timezone.now() - timedelta(minutes=5))
    content = page("/")
    assert 'class="state state-nodata"' in content
    assert "state-production" not in content


def test_slices_that_end_soon_are_marked(page: Any) -> None:
    a_slice(name="brief", expires_on=today() + timedelta(days=2))
    assert "soon</td>" in page("/")


def test_only_superusers_see_what_others_did(client: Client) -> None:
    cast = Cast()
    audit(cast.sue, "change", a_node(name="roof"))
    for user, seen in ((cast.sue, True), (cast.alice, False)):
        client.force_login(user)
        assert ("Last changes" in client.get("/").content.decode()) is seen


@pytest.mark.parametrize(("age_s", "words"), [(1, "being asked"), (61, "is late")])
def test_the_dashboard_says_whether_the_worker_lives(page: Any, age_s: int, words: str) -> None:
    life.beat(timezone.now() - timedelta(seconds=age_s))
    assert words in page("/")


def test_names_are_text_on_every_page(page: Any) -> None:
    node = a_safe_node(name=NASTY, description=NASTY, properties={"note": NASTY})
    slice_ = a_slice(node.group, name=NASTY, description=NASTY)
    sliver = a_sliver(slice_, node, description=NASTY)
    record(node, NodeState.SAFE, data={"state": "safe"}, metadata={"exception": NASTY})
    audit(None, NASTY[:32], node, {"name": NASTY})
    paths = [
        *("/", "/map/", "/admin/", "/admin/audit/entry/"),
        *("/admin/nodes/node/", f"/admin/nodes/node/{node.pk}/change/"),
        *(f"/admin/nodes/node/{node.pk}/delete/", f"/admin/nodes/node/{node.pk}/history/"),
        *("/admin/slices/slice/", f"/admin/slices/slice/{slice_.pk}/change/"),
        *("/admin/slices/sliver/", f"/admin/slices/sliver/{sliver.pk}/change/"),
    ]
    for path in paths:
        content = page(path)
        assert "<script>alert" not in content, path
    assert "&lt;script&gt;alert(1)" in page("/")


def test_the_number_of_queries_does_not_grow(
    client: Client, django_assert_max_num_queries: Any
) -> None:
    client.force_login(a_user(is_superuser=True))
    slice_ = a_slice()
    for _ in range(6):
        a_sliver(slice_, a_node(slice_.group))
    for path in ("/", "/map/network.json", "/admin/nodes/node/", "/admin/slices/sliver/"):
        with django_assert_max_num_queries(16):
            assert client.get(path).status_code == 200
