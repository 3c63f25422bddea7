"""Superusers say where tinc hosts are reached, and which gateway they connect to."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.controller.factories import Cast, a_node, a_server, a_tinc_host
from tests.controller.pages import fields, submit
from vct.controller.mgmt.models import TincHost

pytestmark = pytest.mark.django_db
HOSTS = "/admin/mgmt/tinchost/"


@pytest.fixture
def cast() -> Cast:
    return Cast()


@pytest.fixture
def sue(cast: Cast) -> Client:
    client = Client()
    client.force_login(cast.sue)
    return client


@pytest.fixture
def gateway() -> TincHost:
    a_server()
    return a_tinc_host(a_server(), key=1, address="192.0.2.1")


@pytest.fixture
def host(cast: Cast) -> TincHost:
    return a_tinc_host(a_node(cast.group))


def test_it_works(sue: Client, host: TincHost, gateway: TincHost) -> None:
    page = f"{HOSTS}{host.pk}/change/"
    submit(sue, page, fields(sue, page), default_connect_to=gateway.pk)
    host.refresh_from_db()
    assert host.default_connect_to == gateway
    assert "192.0.2.1 655" in sue.get(HOSTS).content.decode()


def test_an_address_is_added(sue: Client, host: TincHost) -> None:
    page = f"{HOSTS}{host.pk}/change/"
    new = {"addresses-TOTAL_FORMS": "1", "addresses-0-addr": "192.0.2.9", "addresses-0-port": "700"}
    submit(sue, page, fields(sue, page), **new)
    assert [str(one) for one in host.addresses.all()] == ["192.0.2.9 700"]


def test_only_others_who_can_be_reached_are_gateways(
    sue: Client, host: TincHost, gateway: TincHost
) -> None:
    of_host = sue.get(f"{HOSTS}{host.pk}/change/").content.decode()
    of_gateway = sue.get(f"{HOSTS}{gateway.pk}/change/").content.decode()
    assert f'<option value="{gateway.pk}">' in of_host
    assert f'<option value="{host.pk}">' not in of_host
    assert (
        "<option value="
        not in of_gateway.partition("default_connect_to")[2]
        .partition("by its island")[2]
        .partition("</select>")[0]
    )


@pytest.mark.parametrize("who", ["alice", "tom", "bob"])
def test_others_may_not(cast: Cast, host: TincHost, who: str) -> None:
    client = Client()
    client.force_login(getattr(cast, who))
    page = f"{HOSTS}{host.pk}/change/"
    assert client.post(page, {"default_connect_to": ""}).status_code == 403


def test_they_are_neither_made_nor_deleted_there(sue: Client, host: TincHost) -> None:
    assert sue.get(f"{HOSTS}add/").status_code == 403
    assert sue.post(f"{HOSTS}{host.pk}/delete/", {"post": "yes"}).status_code == 403
