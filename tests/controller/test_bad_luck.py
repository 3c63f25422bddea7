"""Bad input and bad luck: nothing is half written, nothing is lost, and who asked is told."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.test import Client
from django.utils import timezone

from tests.controller.caller import Caller
from tests.controller.factories import PASSWORD
from tests.controller.matrix import World
from vct.controller import config
from vct.controller.audit.models import Entry
from vct.controller.files.models import StoredFile
from vct.controller.slices.models import Slice
from vct.controller.users.authentication import user_of_token
from vct.controller.users.models import TOKENS_MAX, issue_token

pytestmark = pytest.mark.django_db
NAMED = ("nodes", "slices", "groups", "users", "templates", "hosts", "islands", "servers")
NASTY = """<script>alert(1)</script>'"&amp;$(reboot);`id`"""
WRITES = ("create", "change", "roles", "delete", "upload")
NETWORK = "/map/network.json"
PASSWORD_PAGE = "/admin/password_change/"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def sue(world: World) -> Caller:
    return world.callers["superuser"]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a controller's processes left that were killed while they wrote."""
    home = tmp_path_factory.mktemp("killed")
    (home / "static").mkdir()
    config.write(config.generated(home), home / "controller.json")
    environment = {**os.environ, config.VARIABLE: str(home / "controller.json")}
    argv = [sys.executable, "-m", "tests.controller.a_killed_process"]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def one(world: World, kind: str, base: str = "/api/") -> str:
    return f"{base}{kind}/{world.numbers[kind]}/"


def uploads() -> list[Path]:
    return [path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file()]


def test_it_works(world: World, sue: Caller) -> None:
    assert sue.patch(one(world, "nodes"), {"name": NASTY}).json()["name"] == NASTY
    assert f'"label":{json.dumps(NASTY)}' in Caller().get(NETWORK).content.decode()


@pytest.mark.slow
@pytest.mark.parametrize("write", WRITES)
def test_who_is_killed_while_writing_leaves_no_half(ended: dict[str, Any], write: str) -> None:
    *killed, done = ended["unchanged"][write]
    assert len(killed) > 2
    assert all(killed)
    assert not done


@pytest.mark.slow
def test_who_finds_the_database_held_is_told_and_nothing_is_lost(ended: dict[str, Any]) -> None:
    assert ended["held"] == [503] * len(WRITES)
    assert ended["untouched"]


GONE: tuple[tuple[str, str], ...] = (
    ("GET", "/api/"),
    ("GET", "/api/nodes/"),
    ("POST", "/api/islands/"),
    ("GET", "/api/v0/slivers/"),
    ("GET", "/health/"),
    ("GET", "/media/templates/x"),
    ("GET", "/"),
    ("GET", "/admin/nodes/node/"),
    ("GET", NETWORK),
    ("PUT", NETWORK),
    ("GET", PASSWORD_PAGE),
)


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_without_a_database_everything_is_503(
    world: World, sue: Caller, error: type[DatabaseError]
) -> None:
    def query(*told: object) -> None:
        raise error("the server closed the connection unexpectedly")

    pages = Caller()
    pages.client.force_login(world.cast.sue)
    for method, path in GONE:
        caller = sue if "/api" in path else pages
        with connection.execute_wrapper(query):
            answer = caller.send(method, path, None if method == "GET" else {"name": "x"})
        assert answer.status_code == 503, path
        assert "database" in json.loads(answer.content)["detail"]


BODIES = (
    b"", b"{", b"[]", b"null", b"7", b'"x"', b"\xff", b'{"a": NaN}', b"[" * 100_000,
    b'{"a":' * 2_000, b'{"type": "NetworkGraph", "links": [{"source": "\\ud800"}]}',
)  # fmt: skip


NONSENSE_TO = (
    ("POST", "/api-token-auth/"),
    ("POST", "/api/v0/nodes/"),
    ("PUT", "/api/v0/server/"),
    ("POST", "/api/users/{users}/ctl/change-auth/"),
    ("POST", "/api/v0/users/{users}/ctl/change-password/"),
    ("POST", "/api/nodes/{nodes}/ctl/request-cert/"),
    ("POST", "/api/nodes/{nodes}/ctl/enrol/"),
    ("PUT", NETWORK),
)


def test_what_is_no_sense_is_400(world: World, sue: Caller) -> None:
    for (method, path), body in product(NONSENSE_TO, BODIES):
        answer = sue.send(method, path.format(**world.numbers), body)
        assert (answer.status_code, type(answer.json())) == (400, dict), (path, body[:60])
    assert not Entry.objects.exists()


@pytest.mark.parametrize(
    "path", ["/api-token-auth/", "/api/v0/nodes/", "/api/users/{users}/ctl/change-auth/", NETWORK]
)
def test_a_body_that_is_too_long_is_413(world: World, sue: Caller, path: str) -> None:
    body = b'{"name": "' + b"x" * 17_000_000 + b'"}'
    method = "PUT" if path == NETWORK else "POST"
    assert sue.send(method, path.format(**world.numbers), body).status_code == 413


def test_unknown_members_change_nothing(world: World, sue: Caller) -> None:
    for base in ("/api/", "/api/v0/"):
        for kind in NAMED:
            before = sue.get(one(world, kind, base)).json()
            sent = {"nonsense": {"deep": [1]}, "__class__": "x", "pk": 7, "version": 99}
            assert sue.patch(one(world, kind, base), sent).json() == before


def test_signs_that_cannot_be_seen_are_in_no_name(world: World, sue: Caller) -> None:
    for kind, sign in product(NAMED, "\u202e\u2066\u200b\ufeff\u3164\u034f\0\u2028"):
        answer = sue.patch(one(world, kind), {"name": f"a{sign}b"})
        assert (answer.status_code, list(answer.json())) == (400, ["name"]), (kind, ascii(sign))


def test_the_same_name_written_otherwise_is_the_same(world: World, sue: Caller) -> None:
    other: dict[str, dict[str, Any]] = {
        "nodes": {"arch": "i686", "group": world.reference("groups")},
        "slices": {
            "group": world.reference("groups"),
            "sliver_defaults": {"template": world.reference("templates")},
        },
        "templates": {"type": "debian", "node_archs": ["i686"]},
    }
    composed, taken_apart = "Caf\u00e9", "Cafe\u0301"
    for kind in NAMED:
        assert sue.patch(one(world, kind), {"name": taken_apart}).json()["name"] == composed
        for name in (composed, taken_apart):
            new = {"name": name, "mgmt_net": {"backend": "tinc"}, **other.get(kind, {})}
            answer = sue.post(f"/api/{kind}/", new)
            assert (answer.status_code, list(answer.json())) == (400, ["name"]), kind


def test_names_are_text_in_every_kind(world: World, sue: Caller) -> None:
    texts = (NASTY, "名前 ∆", "'; DROP TABLE nodes; --", "../../etc/x", "%s%n")
    for kind, name in product(NAMED, [text[:30] for text in texts]):  # of a group at most 32
        assert sue.patch(one(world, kind), {"name": name}).status_code == 200
        assert Caller().get(one(world, kind, "/api/v0/")).json()["name"] == name
        page = Caller().get(one(world, kind), accept="text/html").content.decode()
        assert "<script>alert" not in page
        assert name in Entry.objects.latest("id").object_name


def full(*told: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def failing(*told: object, **more: object) -> None:
    raise OperationalError("database or disk is full")


@pytest.mark.parametrize(
    ("where", "what", "instead", "status"),
    [
        (TemporaryFileUploadHandler, "receive_data_chunk", full, 507),
        (os, "fsync", full, 507),
        (StoredFile, "save", failing, 503),
        (Slice, "save", failing, 503),
        (Entry, "save", failing, 503),
    ],
)
def test_an_upload_that_finds_no_room_leaves_no_file(
    world: World,
    sue: Caller,
    monkeypatch: pytest.MonkeyPatch,
    where: Any,
    what: str,
    instead: Callable[..., None],
    status: int,
) -> None:
    file = SimpleUploadedFile("data.tgz", b"x" * 3_000_000)
    with monkeypatch.context() as patched:
        patched.setattr(where, what, instead)
        answer = sue.upload(f"{one(world, 'slices')}ctl/upload-data/", file)
    assert (answer.status_code, uploads()) == (status, [])
    assert answer.json()["detail"]
    world.slice.refresh_from_db()
    assert world.slice.data_file is None
    assert not StoredFile.objects.exists()


@pytest.mark.parametrize("year", [1970, 2015, 2037, 2999])
def test_a_clock_that_jumped_stops_nobody(
    world: World, sue: Caller, monkeypatch: pytest.MonkeyPatch, year: int
) -> None:
    monkeypatch.setattr(timezone, "now", lambda: datetime(year, 2, 3, tzinfo=UTC))
    for kind in ("nodes", "slivers"):
        state = f"{one(world, kind)}ctl/state/"
        assert (sue.post(state).status_code, sue.get(state).status_code) == (200, 200)
    assert sue.post(f"{one(world, 'slices')}ctl/renew/").status_code == 200
    assert sue.get(one(world, "slices")).json()["expires_on"] > f"{year}-02-03"
    sent = {"username": "mia", "password": PASSWORD}
    token = Caller().post("/api-token-auth/", sent).json()["token"]
    assert Client(headers={"authorization": f"Token {token}"}).get("/api/").status_code == 200


def test_a_new_token_is_kept_though_the_clock_went_back(world: World) -> None:
    mia = world.cast.mia
    for _ in range(TOKENS_MAX + 5):
        issue_token(mia)
    mia.api_tokens.update(used_on=datetime(2999, 1, 1, tzinfo=UTC))
    assert user_of_token(issue_token(mia)) == mia
    assert mia.api_tokens.count() == TOKENS_MAX
