"""The original's client library, confine-orm, passes its own tests against a live controller.

Both versions that clients have are run as published, by `orm_library` and `orm_runner`. TESTS are
all the tests that it has; what cannot pass for a reason that is not ours is in CANNOT_PASS with the
reason. Both tables have to be true.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.controller_slow import orm_library, orm_runner, orm_story
from tests.controller_slow.live import ADMIN, PASSWORD, Live, live

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SHA256 = "0123456789abcdef" * 4
TESTS = {
    "test_api.ApiTests": "attributes caching login login_providing_credentials logout managers "
    "retrieve_base self_retrieve",
    "test_files.FileHandlerTests": "file_handler save_after_upload_file",
    "test_managers.ManagerTests": "access register",
    "test_resources.CollectionTests": "complex_filter destroy exclude get retrieve "
    "retrieve_related simple_filter update values_list",
    "test_resources.RelatedCollectionTests": "create destroy retrieve",
    "test_resources.ResourceSetTests": "uniquenes",
    "test_resources.ResourceTests": "conditional_request create delete instantiate manager "
    "related retrieve save serialize",
}
ONLY_IN_0_2_1 = {"orm.tests.test_resources.RelatedCollectionTests.test_append"}
ONLY_IN_0_2_2 = {"orm.tests.test_files.FileHandlerTests.test_save_after_upload_file"}
CANNOT_PASS = {
    "0.2.1": {
        "orm.tests.test_resources.RelatedCollectionTests.test_append": "moves a sliver to another "
        "slice, which no controller of the original allowed; the next version dropped the test",
    },
    "0.2.2": {},
}


def names_of(version: str) -> set[str]:
    all_names = {
        f"orm.tests.{case}.test_{name}" for case, names in TESTS.items() for name in names.split()
    }
    return all_names if version == "0.2.2" else all_names - ONLY_IN_0_2_2 | ONLY_IN_0_2_1


def furnish(controller: Live) -> None:
    """What the library's tests expect to be there: a group, a template and a node."""
    credentials = {"username": ADMIN, "password": PASSWORD}
    token = controller.ask("POST", "/api-token-auth/", credentials).content["token"]

    def make(path: str, **members: object) -> dict[str, str]:
        made = controller.ask("POST", path, members, Authorization=f"Token {token}")
        assert made.status == 201, made.content
        return {"uri": made.content["uri"]}

    group = make("/api/v0/groups/", name="testers", allow_nodes=True, allow_slices=True)
    make("/api/v0/nodes/", name="first", arch="i686", group=group)
    make(
        "/api/v0/templates/",
        name="debian",
        type="debian",
        node_archs=["i686"],
        is_active=True,
        image_uri="http://templates.example/debian.tgz",
        image_sha256=SHA256,
    )


def run(program: str, library: Path, needs: Path, home: Path, *arguments: Path) -> Any:
    """What a program that uses the library wrote, beside a new controller in `home`."""
    results = home / "results.json"
    with live(home) as controller:
        furnish(controller)
        told = {
            "PYTHONPATH": os.pathsep.join(map(str, (library, needs))),
            "CONFINE_SERVER_API": f"{controller.uri}/api/v0/",
            "CONFINE_USER": ADMIN,
            "CONFINE_PASSWORD": PASSWORD,
        }
        ended = subprocess.run(
            [sys.executable, "-m", program, *map(str, arguments), str(results)],
            env={**os.environ, **told},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stderr
    return json.loads(results.read_text())


@pytest.fixture(scope="module")
def needs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return orm_library.fetch_needs(tmp_path_factory.mktemp("needs"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    directory = tmp_path / "controller"
    directory.mkdir()
    return directory


@pytest.mark.parametrize("version", ["0.2.2", "0.2.1"])
def test_it_works(version: str, tmp_path: Path, needs: Path, home: Path) -> None:
    library = orm_library.fetch(version, tmp_path, needs)
    found = run(orm_runner.__name__, library, needs, home, library)
    failed = {name: words for name, words in found.items() if words}
    assert set(found) == names_of(version)
    assert failed.keys() == CANNOT_PASS[version].keys(), "\n".join(failed.values())


def test_whatever_it_reads_it_can_change_and_save(tmp_path: Path, needs: Path, home: Path) -> None:
    library = orm_library.fetch("0.2.2", tmp_path, needs)
    found = run(orm_story.__name__, library, needs, home)
    assert set(found["changed"]) == set(orm_story.KINDS)
    for kind, each in found["changed"].items():
        assert each, kind
        assert each == [["description"]] * len(each), kind
    assert found["state"] == "start"
