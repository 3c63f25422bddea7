"""The controller's verbs where no container is: what is refused, what is kept, backups to files."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from vct.controller import config
from vct.drivers import controller_api, process
from vct.drivers.controller import ControllerDriver
from vct.errors import InputError, NotReadyError, RefusedError, VctError
from vct.model.load import parse_testbed
from vct.paths import Home, TestbedPaths
from vct.plan.wanted import number
from vct.verbs import controller, controller_data, controller_serve
from vct.verbs.controller import Credentials
from vct.verbs.record import Applied, save_applied

NODES = 'name: ring\nnodes: {"0001": {}}\n'


def known(root: Path, text: str = "controller: {}") -> TestbedPaths:
    """A testbed that was asked for; nothing of it exists."""
    paths = Home(root=root, run=root / "run").testbed("ring")
    paths.controller.root.mkdir(parents=True)
    testbed = parse_testbed(NODES + text, "ring.yaml")
    save_applied(paths, Applied(testbed=testbed, numbers=number(testbed, None)))
    return paths


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestbedPaths:
    """A testbed whose controller runs; commands inside it are run here."""
    monkeypatch.setattr(ControllerDriver, "state", lambda _self: ("RUNNING", 1))
    return known(tmp_path)


def archive(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in {"backup.json": INDEX, "controller.sqlite3": b"", **files}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


INDEX = json.dumps({"format": controller_data.FORMAT}).encode()


def inside(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Whatever is run inside is this Python program."""
    argv = [sys.executable, "-c", program]
    monkeypatch.setattr(controller_data, "attach_command", lambda _paths, _words: argv)
    monkeypatch.setattr(controller, "attach_command", lambda _paths, _words: argv)


def printing(content: bytes, code: int = 0) -> str:
    return f"import sys; sys.stdout.buffer.write({content!r}); sys.exit({code})"


def test_it_works(paths: TestbedPaths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    inside(monkeypatch, printing(archive()))
    written = controller_data.backup(paths, tmp_path / "mine.tar")
    assert written.file.read_bytes() == archive()
    assert written.file.stat().st_mode & 0o777 == 0o600


# --- refused -------------------------------------------------------------------------------------


def test_a_testbed_without_a_controller_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="has no controller") as caught:
        controller.require_controller(known(tmp_path, ""))
    assert "controller: {}" in caught.value.hint


def test_a_controller_that_is_down_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ControllerDriver, "state", lambda _self: ("STOPPED", -1))
    with pytest.raises(RefusedError, match="not running") as caught:
        controller.require_controller(known(tmp_path))
    assert "vct init" in caught.value.hint


def test_one_that_does_not_become_ready_shows_what_was_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ControllerDriver, "state", lambda _self: ("STOPPED", -1))
    monkeypatch.setattr(controller_api, "health", lambda _url: "refused")
    paths = known(tmp_path)
    paths.controller.console_log.write_text("panic\n")
    with pytest.raises(NotReadyError, match="refused") as caught:
        controller.wait_ready(paths, 0)
    assert "panic" in caught.value.seen["controller"]
    assert "STOPPED" in caught.value.seen["controller"]


# --- accounts ------------------------------------------------------------------------------------


def test_credentials_are_kept_for_root_only(tmp_path: Path) -> None:
    paths = known(tmp_path)
    assert controller.load_credentials(paths) is None
    mine = Credentials(username="vct", password="p", token="t")  # noqa: S106 - nobody's
    controller.save_credentials(paths, mine)
    assert controller.load_credentials(paths) == mine
    assert paths.controller.credentials.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"username": "vct"}'])
def test_damaged_credentials_are_none(text: str, tmp_path: Path) -> None:
    paths = known(tmp_path)
    paths.controller.credentials.write_text(text)
    assert controller.load_credentials(paths) is None


def test_the_first_account_is_made_once(
    paths: TestbedPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords = ["made", ""]

    def tell(_paths: TestbedPaths, *words: str) -> Any:
        assert words == ("account", "first", "vct")
        return {"password": passwords.pop(0), "token": f"token {len(passwords)}"}

    monkeypatch.setattr(controller, "tell", tell)
    known, made = controller.ensure_account(paths)
    assert (known.password, known.token, made) == ("made", "token 1", True)
    assert controller.ensure_account(paths) == (known, False)
    paths.controller.credentials.unlink()
    again, made = controller.ensure_account(paths)
    assert (again.password, again.token, made) == ("", "token 0", False)


def test_what_the_controller_refuses_is_told_without_a_traceback(
    paths: TestbedPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside(monkeypatch, "import sys; sys.exit('CommandError: there is no user x')")
    with pytest.raises(VctError, match="refused: there is no user x") as caught:
        controller.tell(paths, "account", "token", "x")
    assert "vct controller shell" in caught.value.hint


# --- backup and restore --------------------------------------------------------------------------


def test_a_file_that_is_there_is_not_written_over(
    paths: TestbedPaths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "mine.tar"
    file.write_text("precious")
    inside(monkeypatch, printing(archive()))
    with pytest.raises(RefusedError, match="there already"):
        controller_data.backup(paths, file)
    assert file.read_text() == "precious"
    controller_data.backup(paths, file, replace=True)
    assert file.read_bytes() == archive()


def test_what_waits_under_the_temporary_name_gets_no_secrets(
    paths: TestbedPaths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    (tmp_path / ".mine.tar.part").symlink_to(elsewhere)
    inside(monkeypatch, printing(archive()))
    written = controller_data.backup(paths, tmp_path / "mine.tar")
    assert elsewhere.read_text() == "precious"
    assert not written.file.is_symlink()
    assert written.file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (printing(archive()[:1000]), "no backup"),
        (printing(b""), "no backup"),
        ("import sys; sys.exit('CommandError: no')", "backup failed: no"),
    ],
)
def test_a_backup_that_fails_leaves_nothing(
    program: str,
    words: str,
    paths: TestbedPaths,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    inside(monkeypatch, program)
    place = tmp_path / "place"
    place.mkdir()
    with pytest.raises(VctError, match=words):
        controller_data.backup(paths, place / "mine.tar")
    assert list(place.iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_told(paths: TestbedPaths, tmp_path: Path) -> None:
    with pytest.raises(VctError, match="No such file or directory"):
        controller_data.backup(paths, tmp_path / "nowhere" / "mine.tar")


@pytest.mark.parametrize("content", [b"", b"words" * 1000, archive()[:600]])
def test_a_wrong_file_is_refused_before_anything_is_done(
    content: bytes, paths: TestbedPaths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(controller_data, "_piped", pytest.fail)
    file = tmp_path / "wrong.tar"
    file.write_bytes(content)
    with pytest.raises(InputError, match="no backup of a controller"):
        controller_data.restore(paths, file, 1)
    with pytest.raises(InputError, match="No such file"):
        controller_data.restore(paths, tmp_path / "none.tar", 1)


def test_a_restore_is_fed_the_file_and_followed_by_a_restart(
    paths: TestbedPaths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fed = tmp_path / "fed"
    inside(monkeypatch, f"import sys; open({str(fed)!r}, 'wb').write(sys.stdin.buffer.read())")
    done: list[object] = []
    monkeypatch.setattr(controller_data, "run", lambda *_, **_rest: done.append("restart"))
    monkeypatch.setattr(controller_data, "wait_ready", lambda *_: done.append("ready"))
    file = tmp_path / "mine.tar"
    file.write_bytes(archive())
    controller_data.restore(paths, file, 1)
    assert fed.read_bytes() == archive()
    assert done == ["restart", "ready"]


# --- serve ---------------------------------------------------------------------------------------


def test_a_development_controller_has_settings_that_it_can_read(tmp_path: Path) -> None:
    told = config.parse(controller_serve.render_settings(tmp_path), "controller.json")
    assert told.data == str(tmp_path)
    assert told.debug
    assert controller_serve.render_settings(tmp_path) != controller_serve.render_settings(tmp_path)


def test_a_python_without_django_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller_serve, "find_spec", lambda _name: None)
    with pytest.raises(VctError, match="lacks django") as caught:
        controller_serve.prepare(tmp_path)
    assert "pip install" in caught.value.hint


def test_a_directory_that_cannot_be_used_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(argv: list[str], **_rest: object) -> None:
        raise process.CommandError(argv, process.Completed(1, "", "no such table"))

    monkeypatch.setattr(controller_serve, "run", refuse)
    with pytest.raises(VctError, match="no such table"):
        controller_serve.prepare(tmp_path / "new")
    assert (tmp_path / "new" / "controller.json").stat().st_mode & 0o777 == 0o600
