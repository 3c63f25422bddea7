"""How many questions v1 asks of the database: for a list as many as for ten of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.controller.caller import Caller
from tests.controller.factories import (
    ED25519,
    Cast,
    a_host,
    a_node,
    a_server,
    a_slice,
    a_sliver,
    a_template,
    a_tinc_host,
    an_island,
)
from vct.controller.users.models import AuthToken

pytestmark = pytest.mark.django_db
# by kind: questions for a list, however long, and for one object
MOST = {
    "servers": (4, 4),
    "nodes": (6, 6),
    "islands": (2, 2),
    "hosts": (3, 3),
    "users": (4, 4),
    "groups": (5, 5),
    "slices": (4, 4),
    "slivers": (5, 5),
    "templates": (2, 2),
}


@pytest.fixture
def testbed() -> Cast:
    """Several of everything, with all of their parts."""
    cast = Cast()
    AuthToken.objects.create(user=cast.mia, data=ED25519)
    for number in range(3):
        a_tinc_host(a_server(), key=number, address="10.0.0.1")
        an_island()
        node = a_node(cast.group, direct=("eth1", "eth2"), island=an_island())
        a_sliver(a_slice(cast.group, template=a_template()), node)
        a_host(cast.mia, island=an_island())
    return cast


def questions(ask: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as asked:
        ask()
    return len(asked)


def test_it_works(testbed: Cast) -> None:
    assert questions(lambda: Caller().get("/api/islands/")) == 1


@pytest.mark.parametrize("kind", MOST)
def test_lists_and_objects_take_few_questions(testbed: Cast, kind: str) -> None:
    caller, (of_list, of_one) = Caller(), MOST[kind]
    uri = caller.get(f"/api/{kind}/").json()[-1]["uri"]
    assert questions(lambda: caller.get(f"/api/{kind}/")) <= of_list
    assert questions(lambda: caller.get(f"/api/{kind}/?per_page=1")) <= of_list + 1
    assert questions(lambda: caller.get(uri)) <= of_one
    tag = caller.get(uri).headers["ETag"]
    assert questions(lambda: caller.get(uri, if_none_match=tag)) <= of_one


@pytest.mark.parametrize("kind", MOST)
def test_a_longer_list_takes_no_more(testbed: Cast, kind: str) -> None:
    before = questions(lambda: Caller().get(f"/api/{kind}/"))
    for _ in range(5):
        cast_group = testbed.group
        a_server()
        an_island()
        a_sliver(a_slice(cast_group, template=a_template()), a_node(cast_group, direct=("eth1",)))
        a_host(testbed.mia)
    assert questions(lambda: Caller().get(f"/api/{kind}/")) == before


@pytest.mark.parametrize(
    ("kind", "most"), [("nodes", 30), ("slices", 30), ("slivers", 30), ("islands", 20)]
)
def test_a_change_takes_a_bounded_number(testbed: Cast, kind: str, most: int) -> None:
    caller = Caller(testbed.sue)
    uri = caller.get(f"/api/{kind}/").json()[-1]["uri"]
    assert questions(lambda: caller.patch(uri, {"description": "new"})) <= most


def test_the_base_takes_one(testbed: Cast) -> None:
    assert questions(lambda: Caller().get("/api/")) == 1
