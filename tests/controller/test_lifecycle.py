"""What whoever runs the container calls in it: prepare, accounts, backup and restore."""

from __future__ import annotations

import io
import itertools
import json
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from tests.controller.factories import a_user, rsa_key
from vct.controller.config import Config, generated
from vct.controller.lifecycle import backup, identity
from vct.controller.lifecycle.backup import BackupError
from vct.controller.mgmt.models import TincHost
from vct.controller.nodes.models import Server, ServerApi
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


@pytest.fixture
def prepared(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Server]:
    """Starts the testbed's controller with these settings; the main server."""
    numbers = itertools.count(10)
    monkeypatch.setattr(identity, "generate_private_key", lambda *_: rsa_key(next(numbers)))

    def prepare(**told: Any) -> Server:
        settings.CONFIG = replace(generated(tmp_path, testbed="ring"), **told)
        call_command("prepare")
        return Server.objects.get()

    return prepare


BASE = "://[fd65:fc41:c50f::2]/api/"
TESTBED = {"tls": True, "tinc_address": "10.241.255.250", "hosts": ("controller",)}


@pytest.mark.django_db
def test_a_prepared_controller_is_the_main_server_with_its_two_apis(
    prepared: Callable[..., Server],
) -> None:
    for _ in range(2):
        server = prepared()
    assert (server.pk, server.name) == (2, "ring")
    uris = sorted((api.type, api.base_uri, api.cert) for api in server.apis.all())
    assert uris == [("controller", f"http{BASE}", ""), ("registry", f"http{BASE}", "")]


@pytest.mark.django_db
def test_in_a_testbed_it_has_tls_and_is_in_the_mesh(
    prepared: Callable[..., Server], tmp_path: Path
) -> None:
    server = prepared(**TESTBED)
    assert {(api.base_uri, api.cert) for api in server.apis.all()} == {
        (f"https{BASE}", (tmp_path / "pki/ca.crt").read_text())
    }
    tinc = TincHost.objects.get()
    assert (tinc.name, [str(one) for one in tinc.addresses.all()]) == (
        "server",
        ["10.241.255.250 655"],
    )
    assert (tmp_path / "pki/tinc.key").read_text().startswith("-----BEGIN RSA PRIVATE KEY-----")
    secret = [path for path in (tmp_path / "pki").iterdir() if path.name != "ca.crt"]
    assert {path.stat().st_mode & 0o777 for path in secret} == {0o600}
    assert (tmp_path / "pki").stat().st_mode & 0o777 == 0o700


@pytest.mark.django_db
def test_a_second_start_changes_nothing(prepared: Callable[..., Server], tmp_path: Path) -> None:
    def seen() -> list[object]:
        files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"]
        rows = [*Server.objects.values(), *ServerApi.objects.values(), *TincHost.objects.values()]
        return [rows, sorted((str(path), path.stat().st_mtime_ns) for path in files)]

    prepared(**TESTBED)
    before = seen()
    prepared(**TESTBED)
    assert seen() == before


@pytest.mark.django_db
def test_an_older_testbeds_server_gets_tls_and_what_people_added_stays(
    prepared: Callable[..., Server],
) -> None:
    server = prepared()
    mine = ServerApi.objects.create(
        server=server, type="registry", base_uri="http://mine.example/api/"
    )
    prepared(**TESTBED)
    uris = {api.base_uri for api in server.apis.all()}
    assert uris == {f"https{BASE}", "http://mine.example/api/"}
    assert server.apis.count() == 3
    mine.refresh_from_db()
    assert mine.cert == ""


@pytest.mark.django_db
def test_a_lost_tinc_key_is_made_again(prepared: Callable[..., Server], tmp_path: Path) -> None:
    prepared(**TESTBED)
    before = TincHost.objects.get().pubkey
    (tmp_path / "pki/tinc.key").write_text("-----BEGIN RSA PRIVATE KEY-----\nhalf")
    prepared(**TESTBED)
    after = TincHost.objects.get()
    assert after.pubkey != before
    assert after.addresses.count() == 1


@pytest.mark.django_db
def test_a_native_testbed_has_no_mesh(prepared: Callable[..., Server], tmp_path: Path) -> None:
    prepared(**TESTBED)
    assert (tmp_path / "tinc/connect").exists()
    assert prepared(**TESTBED, mgmt_backend="native").mgmt_backend == "native"
    assert not (tmp_path / "tinc/connect").exists()
    assert prepared(**TESTBED).mgmt_backend == "tinc"
    assert (tmp_path / "tinc/connect").exists()


@pytest.mark.django_db
def test_a_main_server_that_was_deleted_stays_so(prepared: Callable[..., Server]) -> None:
    main = prepared()
    other = Server.objects.create(name="other")
    main.delete()
    assert prepared() == other


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
def test_the_first_user_is_made_once_and_always_has_a_token() -> None:
    made, again = account("first", "vct"), account("first", "vct")
    vct = User.objects.get(username="vct")
    assert vct.is_superuser
    assert vct.check_password(made["password"])
    assert again["password"] == ""
    assert {user_of_token(said["token"]) for said in (made, again)} == {vct}


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
        (["first"], "name a user"),
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
