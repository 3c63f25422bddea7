"""A restore on a disk that is full at every place where one can be."""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from vct.controller.config import Config, generated
from vct.controller.lifecycle import backup
from vct.controller.problems import NoRoomError
from vct.drivers.process import run

PAGE = 4096
ENOUGH_PAGES = 60


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    """A controller with a database, alone on a disk of a few MB."""
    run(["mount", "-t", "tmpfs", "-o", "size=8m", "vct-test", str(tmp_path)])
    try:
        found = generated(tmp_path, testbed="ring")
        with closing(sqlite3.connect(tmp_path / backup.DATABASE)) as connection:
            connection.executescript(
                "PRAGMA journal_mode=WAL; CREATE TABLE django_migrations (words);"
            )
        (tmp_path / "media").mkdir()
        (tmp_path / "media" / "file").write_bytes(bytes(20 * PAGE))
        yield found
    finally:
        run(["umount", str(tmp_path)])


def leave(data: Path, pages: int) -> None:
    """Fill the disk but for so many pages."""
    fill = data / "fill"
    fill.unlink(missing_ok=True)
    fill.write_bytes(bytes((os.statvfs(data).f_bfree - pages) * PAGE))


def is_refused(config: Config, archive: io.BytesIO) -> bool:
    """With the one right error."""
    try:
        backup.unpack(config, archive)
    except NoRoomError:
        return True
    return False


def test_it_works_or_says_that_the_disk_is_full_whatever_is_left(config: Config) -> None:
    data = Path(config.data)
    archive = io.BytesIO()
    backup.backup(config, archive)
    before = {path.name for path in data.iterdir()} | {"fill"}
    refused = 0
    for pages in range(ENOUGH_PAGES):
        leave(data, pages)
        archive.seek(0)
        if is_refused(config, archive):
            refused += 1
            assert {path.name for path in data.iterdir()} == before
        else:
            shutil.rmtree(data / backup.READY)
    assert 0 < refused < ENOUGH_PAGES
