"""What whoever runs the container calls in it: prepare, accounts, backup and restore."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from tests.controller.factories import a_user
from vct.controller.config import Config, generated
from vct.controller.lifecycle import backup
from vct.controller.lifecycle.backup import BackupError
from vct.controller.nodes.models import Server
from vct.controller.problems import NoRoomError
from vct.controller.users.authentication import user_of_token
from vct.controller.users.models import User


def account(*words: str, **options: Any) -> Any:
    said = io.StringIO()
    call_command("account", *words, stdout=said, **options)
    return json.loads(said.getvalue())


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A controller with a database of one row, an uploaded file and half of another."""
    found = generated(tmp_path, testbed="ring")
    for name, content in (
        ("media/templates/mine.tgz", b"template"),
        ("media/.parts/half", b"ha"),
        ("pki/key.pem", b"key"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "pki/key.pem").chmod(0o600)
    write(found, "before")
    return found


def write(config: Config, words: str) -> None:
    """The database has this row; it stays in the write-ahead log."""
    with closing(sqlite3.connect(Path(config.data) / backup.DATABASE)) as connection:
        connection.executescript(
            "PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS django_migrations (words);"
            "DELETE FROM django_migrations;"
        )
        connection.execute("INSERT INTO django_migrations VALUES (?)", (words,))
        connection.commit()


def read(config: Config) -> str:
    with closing(sqlite3.connect(Path(config.data) / backup.DATABASE)) as connection:
        (words,) = connection.execute("SELECT words FROM django_migrations").fetchone()
        return str(words)


def saved(config: Config) -> bytes:
    archive = io.BytesIO()
    backup.backup(config, archive)
    return archive.getvalue()


def archive_of(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


INDEX = {"backup.json": json.dumps({"format": backup.FORMAT}).encode()}


def test_it_works(config: Config) -> None:
    archive = saved(config)
    write(config, "after")
    backup.unpack(config, io.BytesIO(archive))
    assert read(config) == "after"
    assert backup.finish(config)
    assert read(config) == "before"
    assert not backup.finish(config)


# --- prepare -------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_prepared_controller_is_the_main_server_with_its_two_apis(tmp_path: Path) -> None:
    for _ in range(2):
        call_command("prepare")
    (server,) = Server.objects.all()
    assert server.pk == 2
    uris = [(api.type, api.base_uri) for api in server.apis.all()]
    base = "http://[fd65:fc41:c50f:0:0:0:0:2]/api/"
    assert sorted(kind for kind, _ in uris) == ["controller", "registry"]
    assert {uri for _, uri in uris} <= {base, "http://[fd65:fc41:c50f::2]/api/"}


# --- accounts ------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_user_is_added_with_a_password_that_works() -> None:
    made = account("add", "alice", superuser=True)
    alice = User.objects.get(username="alice")
    assert alice.is_superuser
    assert alice.check_password(made["password"])
    assert account("list")[0]["username"] == "alice"
    assert "password" not in account("list")[0]


@pytest.mark.django_db
def test_a_token_is_the_users() -> None:
    a_user("bob")
    found = user_of_token(account("token", "bob")["token"])
    assert found is not None
    assert found.username == "bob"


@pytest.mark.django_db
def test_another_password_takes_the_place_of_the_first() -> None:
    old = account("add", "alice")["password"]
    new = account("password", "alice")["password"]
    alice = User.objects.get(username="alice")
    assert alice.check_password(new)
    assert not alice.check_password(old)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["token", "nobody"], "there is no user nobody; there are: alice"),
        (["password", "nobody"], "there is no user nobody"),
        (["add", "alice"], "there is a user alice already"),
        (["add", "two words"], "Letters, digits"),
        (["add"], "name a user"),
    ],
)
def test_what_cannot_be_done_says_why(words: list[str], problem: str) -> None:
    account("add", "alice")
    with pytest.raises(CommandError, match=problem):
        account(*words)


# --- backup and restore --------------------------------------------------------------------------


def test_a_backup_has_database_files_and_keys_and_nothing_half_uploaded(config: Config) -> None:
    with tarfile.open(fileobj=io.BytesIO(saved(config))) as archive:
        names = {entry.name for entry in archive if entry.isfile()}
    assert names - {"controller.sqlite3-wal"} == {
        "backup.json",
        "controller.sqlite3",
        "media/templates/mine.tgz",
        "pki/key.pem",
    }


def test_a_restore_is_all_there_is_afterwards(config: Config) -> None:
    data, archive = Path(config.data), saved(config)
    (data / "media/templates/mine.tgz").write_text("changed")
    (data / "media/templates/more.tgz").write_text("more")
    backup.unpack(config, io.BytesIO(archive))
    backup.finish(config)
    files = [path.name for path in (data / "media").rglob("*") if path.is_file()]
    assert files == ["mine.tgz"]
    assert (data / "media/templates/mine.tgz").read_text() == "template"
    assert (data / "pki/key.pem").stat().st_mode & 0o777 == 0o600


def test_a_writer_at_work_does_not_spoil_a_backup(config: Config) -> None:
    with closing(sqlite3.connect(Path(config.data) / backup.DATABASE)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("UPDATE django_migrations SET words = 'in the log'")
        connection.commit()
        archive = saved(config)
        connection.execute("UPDATE django_migrations SET words = 'later'")
        connection.commit()
    backup.unpack(config, io.BytesIO(archive))
    backup.finish(config)
    assert read(config) == "in the log"


@pytest.mark.parametrize("moved", ["controller.sqlite3", "media"])
def test_a_restore_that_was_killed_half_way_is_finished(config: Config, moved: str) -> None:
    data, archive = Path(config.data), saved(config)
    write(config, "after")
    backup.unpack(config, io.BytesIO(archive))
    if (data / moved).is_dir():
        (data / "media").rename(data / "gone")
    else:
        for end in backup.LOG_ENDS:
            (data / f"{backup.DATABASE}{end}").unlink(missing_ok=True)
    (data / backup.READY / moved).rename(data / moved)
    assert backup.finish(config)
    assert read(config) == "before"
    assert (data / "media/templates/mine.tgz").exists()
    assert not (data / backup.READY).exists()


@pytest.mark.parametrize(
    ("archive", "why"),
    [
        (b"", "empty"),
        (b"words " * 1000, "header"),
        (archive_of({"other": b""}), "does not say"),
        (archive_of({"backup.json": b'{"format": "x"}'}), "does not say"),
        (archive_of({"backup.json": b"[]"}), "does not say"),
        (archive_of(INDEX), "no database"),
        (archive_of({**INDEX, "controller.sqlite3": b"words"}), "damaged"),
        (archive_of({**INDEX, "evil": b""}), "evil"),
        (archive_of({**INDEX, "media/../../evil": b""}), "evil"),
        (archive_of({**INDEX, "/media/evil": b""}), "evil"),
    ],
)
def test_what_is_no_backup_changes_nothing(config: Config, archive: bytes, why: str) -> None:
    with pytest.raises(BackupError, match=why):
        backup.unpack(config, io.BytesIO(archive))
    assert not backup.finish(config)
    assert read(config) == "before"
    left = {path.name for path in Path(config.data).iterdir() if not path.name.endswith("-shm")}
    assert left <= {"media", "pki", "controller.sqlite3", "controller.sqlite3-wal"}


def test_a_backup_that_was_cut_short_is_none(config: Config) -> None:
    with pytest.raises(BackupError):
        backup.unpack(config, io.BytesIO(saved(config)[:20_000]))


@pytest.mark.parametrize("where", ["pathlib.Path.mkdir", "shutil.copyfileobj"])
def test_a_full_disk_is_told_and_nothing_is_left(
    config: Config, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    archive = saved(config)
    monkeypatch.setattr(where, full)
    with pytest.raises(NoRoomError) as caught:
        backup.unpack(config, io.BytesIO(archive))
    assert "disk" in caught.value.hint
    assert not (Path(config.data) / backup.COMING).exists()


def test_postgresql_has_its_own_way(settings: Settings, tmp_path: Path) -> None:
    told = generated(tmp_path, database="postgresql://vct@/vct")
    with pytest.raises(BackupError, match="PostgreSQL") as caught:
        backup.backup(told, io.BytesIO())
    assert "pg_dump" in caught.value.hint
