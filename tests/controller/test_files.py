"""Uploads: whole or not at all, with a digest, under a name that people know."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import DatabaseError

from tests.controller.factories import a_sliver, a_template
from vct.controller.audit.models import Entry
from vct.controller.files import store as module
from vct.controller.files.models import FileKind, StoredFile
from vct.controller.files.store import PART_AGE_S, PARTS, safe_name, store, storing, sweep
from vct.controller.problems import NoRoomError, TooLargeError
from vct.controller.slices.verbs import attach

pytestmark = pytest.mark.django_db
CONTENT = b"an archive"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def put(name: str, content: bytes = CONTENT, limit: int = 100) -> StoredFile:
    return store(FileKind.TEMPLATE, name, [content[:3], content[3:]], limit=limit)


def kept() -> list[str]:
    """Every file below the media directory."""
    media = Path(settings.MEDIA_ROOT)
    return sorted(str(path.relative_to(media)) for path in media.rglob("*") if path.is_file())


def test_it_works() -> None:
    file = put("debian.tgz")
    assert (file.path, file.sha256, file.size) == ("templates/debian.tgz", DIGEST, 10)
    assert (Path(settings.MEDIA_ROOT) / file.path).read_bytes() == CONTENT
    assert kept() == [file.path]


def test_the_same_file_twice_is_one() -> None:
    assert put("debian.tgz") == put("debian.tgz")
    assert len(kept()) == 1


def test_who_has_a_name_first_keeps_it() -> None:
    first, second = put("debian.tgz"), put("debian.tgz", b"another")
    assert second.path == f"templates/{second.sha256[:12]}-debian.tgz"
    assert put("debian.tgz") == first
    assert put("debian.tgz", b"another") == second


def test_a_prefix_goes_in_front() -> None:
    file = store(FileKind.DATA, "x.tgz", [CONTENT], limit=100, prefix="slice-12-")
    assert file.path == "exp_data/slice-12-x.tgz"


@pytest.mark.parametrize(
    ("written", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\data\\x.tgz", "x.tgz"),
        (".htaccess", "htaccess"),
        ("..", "file"),
        ("", "file"),
        ("a\0b", "ab"),
        ("with blank $(x).tgz", "with blank $(x).tgz"),
        ("ä" * 200 + ".tar.gz", "ä" * 32 + "ä" * 28 + ".tar.gz"),
    ],
)
def test_names_stay_in_their_directory(written: str, safe: str) -> None:
    assert safe_name(written) == safe
    assert len(safe.encode()) <= module.NAME_MAX


def test_too_much_is_refused_and_nothing_stays() -> None:
    with pytest.raises(TooLargeError):
        put("x.tgz", limit=9)
    assert kept() == []
    assert StoredFile.objects.count() == 0


def test_an_upload_that_breaks_off_leaves_nothing() -> None:
    def broken() -> Iterator[bytes]:
        yield CONTENT
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        store(FileKind.DATA, "x.tgz", broken(), limit=100)
    assert kept() == []


def test_a_full_disk_is_said_and_nothing_stays() -> None:
    def full() -> Iterator[bytes]:
        yield CONTENT
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(NoRoomError):
        store(FileKind.DATA, "x.tgz", full(), limit=100)
    assert kept() == []


def test_without_a_row_there_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(self: StoredFile, **kwargs: object) -> None:
        raise DatabaseError

    monkeypatch.setattr(StoredFile, "save", gone)
    with pytest.raises(DatabaseError):
        put("x.tgz")
    assert kept() == []


def test_what_killed_uploads_left_is_swept_after_a_day() -> None:
    attach(a_template(), "image", put("x.tgz"))
    part = Path(settings.MEDIA_ROOT) / PARTS / "left"
    part.write_bytes(CONTENT)
    sweep(part.stat().st_mtime + PART_AGE_S - 1)
    assert part.exists()
    sweep(part.stat().st_mtime + PART_AGE_S + 1)
    assert kept() == ["templates/x.tgz"]


def test_a_file_that_was_stored_without_a_row_is_swept_after_a_day() -> None:
    left = Path(settings.MEDIA_ROOT) / put("x.tgz").path
    StoredFile.objects.all().delete()
    sweep(left.stat().st_mtime + PART_AGE_S - 1)
    assert left.exists()
    sweep(left.stat().st_mtime + PART_AGE_S + 1)
    assert kept() == []


def a_day_after(file: StoredFile) -> float:
    return (Path(settings.MEDIA_ROOT) / file.path).stat().st_mtime + PART_AGE_S + 1


def test_what_another_took_the_place_of_is_swept_after_a_day() -> None:
    template, first, second = a_template(), put("x.tgz"), put("y.tgz", b"another")
    attach(template, "image", first)
    attach(template, "image", second)
    sweep(a_day_after(first) - 2)
    assert len(kept()) == 2
    sweep(a_day_after(second))
    assert kept() == [second.path]
    assert list(StoredFile.objects.all()) == [second]
    assert [(one.action, one.object_name) for one in Entry.objects.all()] == [
        ("delete", first.path)
    ]


@pytest.mark.parametrize("name", ["x.tgz", "with blank.tgz"])
def test_what_a_uri_names_is_not_swept(name: str) -> None:
    file = put(name)
    uri = f"http://10.241.255.250/media/{quote(file.path)}"
    a_sliver().change(data_uri=uri, data_sha256=file.sha256)
    sweep(a_day_after(file))
    assert kept() == [file.path]


def test_what_is_uploaded_again_is_not_old() -> None:
    left = Path(settings.MEDIA_ROOT) / put("x.tgz").path
    os.utime(left, (0, 0))
    put("x.tgz")
    assert left.stat().st_mtime > 0


def test_a_file_goes_with_what_failed_after_it() -> None:
    with suppress(DatabaseError), storing(FileKind.DATA, "x.tgz", [CONTENT], limit=100) as file:
        assert kept() == [file.path]
        raise DatabaseError
    assert kept() == []
    assert not StoredFile.objects.exists()


def test_an_upload_takes_the_place_of_a_uri() -> None:
    template, sliver, file = a_template(), a_sliver(), put("x.tgz")
    attach(template, "image", file)
    attach(sliver, "data", file)
    template.refresh_from_db()
    assert (template.image_uri, template.image_sha256) == (None, DIGEST)
    assert sliver.data_file == file
