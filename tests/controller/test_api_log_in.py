"""Logging in to the API: tokens, their limits, sessions of the pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from tests.controller.caller import Caller
from tests.controller.factories import PASSWORD, a_user
from vct.controller.rest.throttles import FAILURES_OF_ADDRESS, FAILURES_OF_NAME

pytestmark = pytest.mark.django_db
URI = "/api-token-auth/"


@pytest.fixture(autouse=True)
def _no_failures_yet() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def log_in(name: str, password: str = PASSWORD, **environment: Any) -> Any:
    sent = {"username": name, "password": password}
    return Caller(**environment).post(URI, sent)


def test_it_works() -> None:
    mia = a_user("Mia")
    token = log_in("mia").json()["token"]
    assert len(token) == 40
    assert log_in(mia.email).status_code == 200
    sent = {"description": "me"}
    answer = Caller().patch(f"/api/users/{mia.pk}/", sent, authorization=f"Token {token}")
    assert (answer.status_code, answer.json()["description"]) == (200, "me")


def test_a_form_will_do() -> None:
    a_user("Mia")
    sent = {"username": "mia", "password": PASSWORD}
    form = "application/x-www-form-urlencoded"
    body = "&".join(f"{name}={value.replace(' ', '+')}" for name, value in sent.items())
    for content_type in (form, f"{form}; charset=hex", f"{form}; charset=utf-16"):
        answer = Client().generic("POST", URI, body.encode(), content_type=content_type)
        assert answer.status_code == 200
    assert Client().post(URI, {}, content_type="application/json").status_code == 400


@pytest.mark.parametrize(
    ("sent", "member"),
    [
        ({"username": "mia"}, "password"),
        ({"password": "x"}, "username"),
        ({"username": "mia", "password": "wrong"}, "non_field_errors"),
        ({"username": "nobody", "password": PASSWORD}, "non_field_errors"),
        ({"username": "mi\0a", "password": PASSWORD}, "username"),
        ({"username": ["mia"], "password": PASSWORD}, "username"),
        ({"username": "x" * 1000, "password": PASSWORD}, "username"),
    ],
)
def test_what_is_wrong_is_said(sent: dict[str, Any], member: str) -> None:
    a_user("Mia")
    answer = Caller().post(URI, sent)
    assert (answer.status_code, list(answer.json())) == (400, [member])


@pytest.mark.parametrize(
    "header", ["Token 00", "Token", "Token a b", "Token ü", f"Token {'0' * 40}"]
)
def test_a_token_that_is_not_known_is_refused_even_for_reading(header: str) -> None:
    answer = Caller().get("/api/", authorization=header)
    assert answer.status_code == 403
    assert "WWW-Authenticate" not in answer.headers


def test_a_password_in_the_header_is_not_looked_at() -> None:
    assert Caller().get("/api/", authorization="Basic bWlhOng=").status_code == 200


def test_who_fails_often_waits() -> None:
    a_user("Mia")
    a_user("Bob")
    for _ in range(FAILURES_OF_NAME):
        assert log_in("mia", "wrong").status_code == 400
    refused = log_in("mia")
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert log_in("bob").status_code == 200
    assert log_in("mia", REMOTE_ADDR="10.0.0.7").status_code == 200


def test_an_address_that_tries_names_waits() -> None:
    a_user("Mia")
    for number in range(FAILURES_OF_ADDRESS):
        log_in(f"name{number}", "wrong")
    assert log_in("mia").status_code == 429


def test_who_succeeds_does_not_wait() -> None:
    a_user("Mia")
    assert {log_in("mia").status_code for _ in range(2 * FAILURES_OF_NAME)} == {200}


def test_a_session_of_the_pages_needs_their_secret_to_write() -> None:
    mia = a_user("Mia")
    client = Client(enforce_csrf_checks=True)
    client.force_login(mia)
    assert client.get("/api/").status_code == 200
    uri = f"/api/users/{mia.pk}/"
    kind = "application/json"
    assert client.patch(uri, {"description": "x"}, content_type=kind).status_code == 403
    page = client.get(uri, headers={"accept": "text/html"})
    secret = {"x-csrftoken": page.cookies["csrftoken"].value}
    answer = client.patch(uri, {"description": "x"}, content_type=kind, headers=secret)
    assert answer.status_code == 200
