"""Who may do what over HTTP: a world with one of everything, rows, and who gets through.

A row is one method of one route; a dialect's test says its rows and compares them with what the URL
resolver knows: a new endpoint without a row fails. Each call is undone.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.urls import URLPattern, URLResolver, get_resolver

from tests.controller.caller import Caller
from tests.controller.factories import (
    Cast,
    a_host,
    a_pubkey,
    a_safe_node,
    a_server,
    a_slice,
    a_sliver,
    an_island,
)
from vct.controller.firmware.models import BaseImage, Build

ANONYMOUS = "anonymous"
EVERYBODY = frozenset(
    {"superuser", "group admin", "node admin", "slice admin", "member", "stranger", ANONYMOUS}
)
USERS = EVERYBODY - {ANONYMOUS}
NOBODY: frozenset[str] = frozenset()
SUPERUSER = frozenset({"superuser"})
GROUP_ADMIN = SUPERUSER | {"group admin"}
TECHNICIANS = GROUP_ADMIN | {"node admin"}
RESEARCHERS = GROUP_ADMIN | {"slice admin"}
MIA = SUPERUSER | {"member"}  # the user of the world, and the owner of its host


class World:
    """One of everything, of the cast's group; the user is Mia. Nothing but the sliver needs it."""

    def __init__(self) -> None:
        self.cast = Cast()
        a_server()
        self.spare = a_safe_node(self.cast.group)
        self.slice = a_slice(self.cast.group)
        self.sliver = a_sliver(self.slice, a_safe_node(self.cast.group, direct=("eth1",)))
        self.node, self.template = self.sliver.node, self.slice.template
        self.numbers: dict[str, Any] = {
            "servers": a_server().pk,
            "nodes": self.node.pk,
            "islands": an_island().pk,
            "hosts": a_host(self.cast.mia).pk,
            "users": self.cast.mia.pk,
            "groups": self.cast.group.pk,
            "slices": self.slice.pk,
            "slivers": self.sliver.pk,
            "templates": self.template.pk,
        }
        image = BaseImage.objects.create(name="base", architectures=["i686"], image="a.gz")
        self.numbers["baseimages"] = image.pk
        Build.objects.create(node=self.node, state="AVAILABLE", path="", sha256="0" * 64)
        self.callers = {name: Caller(user) for name, user in self.cast.everybody.items()}
        self.callers[ANONYMOUS] = Caller()

    def reference(self, kind: str) -> dict[str, str]:
        return {"uri": f"http://testserver/api/{kind}/{self.numbers[kind]}/"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """Who gets through, what is sent (or makes it of the world), and what they are answered."""

    who: frozenset[str]
    status: int = 200
    body: Any = None
    upload: bytes | None = None


Rows = dict[tuple[str, str], Row]  # by method and route


def endpoints(prefix: str) -> set[tuple[str, str]]:
    """(method, route) of everything below a prefix, as the URL resolver knows it."""
    found = set()
    for route, view in _patterns(get_resolver(), ""):
        if route.startswith(prefix):
            found |= {(method.upper(), route) for method in _methods(view)}
    return found


def _patterns(resolver: URLResolver, prefix: str) -> Iterator[tuple[str, Any]]:
    for one in resolver.url_patterns:
        route = prefix + str(one.pattern)
        if isinstance(one, URLPattern):
            yield route, one.callback
        else:
            yield from _patterns(one, route)


def _methods(view: Any) -> set[str]:
    """What a view answers, less HEAD (as GET) and OPTIONS."""
    methods = set(getattr(view, "actions", None) or ())
    if not methods and hasattr(view, "cls"):
        methods = {name for name in view.cls.http_method_names if hasattr(view.cls, name)}
    return (methods or {"get"}) - {"head", "options", "trace"}


def call(world: World, caller: Caller, method: str, route: str, row: Row) -> Any:
    """What a row sends, to the object of the world that the route is about; the answer."""
    uri = f"/{route}"
    for kind, number in world.numbers.items():
        if f"/{kind}/" in uri:
            uri = uri.replace("<int:pk>", str(number))
    if row.upload is not None:
        return caller.upload(uri, io.BytesIO(row.upload))
    return caller.send(method, uri, row.body(world) if callable(row.body) else row.body)


def let_through(world: World, method: str, route: str, row: Row) -> dict[str, int]:
    """The status that everybody gets who is not told 403."""
    answers = {}
    for name, caller in world.callers.items():
        with transaction.atomic():
            answer = call(world, caller, method, route, row)
            transaction.set_rollback(True)
        if answer.status_code != 403:
            answers[name] = answer.status_code
    return answers


def crud(
    kind: str,
    *,
    create: frozenset[str],
    change: frozenset[str],
    delete: frozenset[str],
    body: Any,
    prefix: str = "api/",
) -> Rows:
    """The rows of a list and its objects; PUT sends what POST does, PATCH nothing."""
    listed, one = f"{prefix}{kind}/", f"{prefix}{kind}/<int:pk>/"
    return {
        ("GET", listed): Row(who=EVERYBODY),
        ("POST", listed): Row(who=create, status=201, body=body),
        ("GET", one): Row(who=EVERYBODY),
        ("PUT", one): Row(who=change, body=body),
        ("PATCH", one): Row(who=change, body={"description": "new"}),
        ("DELETE", one): Row(who=delete, status=204),
    }


def pem() -> bytes:
    return a_pubkey().encode()
