"""The OpenAPI document is true: Schemathesis asks everything in it, and answers are as it says.

In process, as a superuser, so that what is asked gets as far as it can. Numbers, and
half of the references, are replaced by those of things that are there; each request is undone.
"""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from django.db import transaction
from hypothesis import HealthCheck, settings
from schemathesis.checks import (
    allow_header_conformance,
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.controller.matrix import World
from vct.controller.users.models import issue_token
from vct.controller.wsgi import application

EXAMPLES = 4  # of each of 86 operations, beside the boundaries of each of their parts
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    allow_header_conformance,
]
REFERENCES = ("group", "slice", "node", "template", "island", "user")

document = schemathesis.openapi.from_wsgi("/api/schema/?format=json", application)
document.config.phases.coverage.unexpected_methods = set()  # the matrix has them


@pytest.fixture
def world(db: None) -> World:
    return World()


def meant(case: Any, world: World) -> None:
    """Makes some requests ones that could succeed."""
    number = case.path_parameters.get("id")
    if number is not None and (case.method != "GET" or isinstance(number, int)):
        kind = case.path.split("/")[2]
        case.path_parameters["id"] = world.numbers[kind]
    if isinstance(case.body, dict):
        put_references(case.body, world)


def put_references(body: dict[str, Any], world: World) -> None:
    for name, value in body.items():
        if not isinstance(value, dict):
            continue
        if name in REFERENCES and len(str(value.get("uri"))) % 2:
            value["uri"] = world.reference(f"{name}s")["uri"]
        put_references(value, world)


@document.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_it_works(case: Any, world: World) -> None:
    """Every operation of the document."""
    meant(case, world)
    token = issue_token(world.cast.sue)
    with transaction.atomic():
        answer = case.call(headers={"Authorization": f"Token {token}"})
        transaction.set_rollback(True)
    case.validate_response(answer, checks=CHECKS)
