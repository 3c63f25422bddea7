"""The service as such: health, a database that is gone, logs, migrations, the audit log."""

from __future__ import annotations

import io
import json
import logging
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from tests.controller.factories import a_node, a_user
from vct.controller import config
from vct.controller.audit import models as audit
from vct.controller.logs import JsonFormatter
from vct.controller.middleware import DatabaseGoneMiddleware

FIRST_SCHEMA = Path(__file__).parent / "first_schema.sql"  # of a database of the first release
LOOK = """
import json
from django.apps import apps
from vct.controller.nodes.models import Node
from vct.controller.slices.models import Sliver
for model in apps.get_models():
    if model.__module__.startswith("vct."):
        for thing in model.objects.all():
            thing.full_clean()
nodes = [(node.hex_id, node.set_state) for node in Node.objects.all()]
slivers = [(sliver.api_id, sliver.effective_set_state) for sliver in Sliver.objects.all()]
print(json.dumps(nodes + slivers))
"""


@pytest.mark.django_db
def test_it_works(client: Client) -> None:
    answer = client.get("/health/")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "worker": "never"})


@pytest.mark.django_db
def test_missing_migrations_are_not_healthy(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'slices'")
    answer = client.get("/health/")
    assert answer.status_code == 503
    assert "migrate" in answer.json()["detail"]


def test_a_database_that_is_gone_is_503(rf: RequestFactory) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        raise OperationalError("database is locked")

    answer = DatabaseGoneMiddleware(view).process_exception(
        rf.get("/"), OperationalError("database is locked")
    )
    assert answer is not None
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert DatabaseGoneMiddleware(view).process_exception(rf.get("/"), KeyError()) is None


@pytest.mark.django_db
def test_models_and_migrations_are_one() -> None:
    call_command("makemigrations", check=True, dry_run=True, stdout=io.StringIO())


def test_data_of_the_first_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    config.write(config.generated(tmp_path), tmp_path / "controller.json")
    with closing(sqlite3.connect(tmp_path / "controller.sqlite3")) as database:
        database.executescript(FIRST_SCHEMA.read_text())
    environment = {
        **os.environ,
        config.VARIABLE: str(tmp_path / "controller.json"),
        "DJANGO_SETTINGS_MODULE": "vct.controller.settings",
    }
    for command in (["migrate"], ["shell", "-v0", "-c", LOOK]):
        argv = [sys.executable, "-m", "vct.controller", *command]
        ended = subprocess.run(argv, env=environment, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == [["0001", "production"], ["0a12", "debug"], ["1@1", "start"]]


def test_a_log_line_is_an_object() -> None:
    try:
        raise KeyError("x")
    except KeyError:
        record = logging.LogRecord("a", logging.ERROR, "f", 1, "bad %s", ("day",), sys.exc_info())
    line = json.loads(JsonFormatter().format(record))
    assert (line["level"], line["logger"], line["message"]) == ("error", "a", "bad day")
    assert "KeyError" in line["error"]


@pytest.mark.django_db
def test_the_audit_log_outlives_what_it_is_about() -> None:
    user, node = a_user("Alice"), a_node(name="roof")
    audit.record(user, "change", node, {"name": "roof", "password": "x"}, address="::1")
    audit.record(None, "delete", node)
    node.delete()
    user.delete()
    last, first = audit.Entry.objects.all()
    assert (first.actor_name, first.object_name, first.address) == ("Alice", "roof", "::1")
    assert first.changes == {"name": "roof", "password": "***"}
    assert last.actor_name == "the controller"


@pytest.mark.django_db
def test_the_pages_open_for_a_superuser(client: Client) -> None:
    client.force_login(a_user(is_superuser=True))
    assert client.get("/admin/").status_code == 200
