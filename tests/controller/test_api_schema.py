"""The OpenAPI document is made without guesses, is valid, and says how everything refuses."""

from __future__ import annotations

from typing import Any

import pytest
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from tests.controller.caller import Caller
from tests.controller.matrix import endpoints


@pytest.fixture(scope="module")
def document() -> Any:
    generator: Any = SchemaGenerator  # untyped
    return generator().get_schema(request=None, public=True)


def test_it_works(document: Any) -> None:
    validate: Any = validate_schema  # untyped
    validate(document)
    assert document["info"]["title"] == "CONFINE controller"


def test_nothing_in_it_is_guessed(document: Any) -> None:
    assert not GENERATOR_STATS._warn_cache
    assert not GENERATOR_STATS._error_cache


def test_every_endpoint_of_v1_is_in_it(document: Any) -> None:
    described = {
        (method.upper(), path.lstrip("/").replace("{id}", "<int:pk>"))
        for path, operations in document["paths"].items()
        for method in operations
    }
    there = {one for one in endpoints("api") if not one[1].startswith("api/v0/")}
    assert there - described == {("GET", "api/schema/")}


def test_every_operation_says_how_it_refuses(document: Any) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert {"4XX", "503"} <= set(operation["responses"]), (method, path)


@pytest.mark.django_db
def test_it_is_served() -> None:
    answer = Caller().get("/api/schema/", accept="application/vnd.oai.openapi")
    assert answer.status_code == 200
    assert b"/api/nodes/{id}/ctl/reboot/" in answer.content
