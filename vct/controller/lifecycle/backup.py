"""A controller's data as one archive, and back: written while it serves, put in place by a start.

The archive is a tar: `backup.json` first (format, testbed), then the SQLite database with its
write-ahead log, media/, private/ and pki/. A restore is unpacked beside the data (`unpack`); the
next start of the service moves it in (`finish`), before anything opens the database, and goes on
where it was killed.
"""

from __future__ import annotations

import errno
import io
import json
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

from vct.controller.config import Config
from vct.controller.files.store import PARTS
from vct.controller.problems import ControllerError, NoRoomError

FORMAT = "vct controller backup 1"
INDEX = "backup.json"
DATABASE = "controller.sqlite3"
DIRECTORIES = ("media", "private", "pki")
COMING, READY = "restore.coming", "restore.ready"
LOG_ENDS = ("-wal", "-shm")


class BackupError(ControllerError):
    """This database is not to be copied as a file, or what was given is no backup of ours."""

    status = 400


def backup(config: Config, to: IO[bytes]) -> None:
    """Write the archive. Raises BackupError for PostgreSQL, which has a tool of its own."""
    _check_sqlite(config)
    data = Path(config.data)
    index = {"format": FORMAT, "testbed": config.testbed, "made": int(time.time())}
    # The same file under two names is written twice: on the way back links are not followed.
    with tarfile.open(
        fileobj=to, mode="w|", format=tarfile.PAX_FORMAT, dereference=True
    ) as archive:
        _add_text(archive, INDEX, json.dumps(index))
        with _unwritten(data / DATABASE):
            for name in (DATABASE, f"{DATABASE}-wal"):
                if (data / name).exists():
                    archive.add(data / name, name)
        for name in DIRECTORIES:
            if (data / name).is_dir():
                archive.add(data / name, name, filter=_without_parts)


def unpack(config: Config, source: IO[bytes]) -> None:
    """Unpack an archive beside the data, whole or not at all; it is used at the next start.

    Raises BackupError for what is no backup or has a damaged database, NoRoomError.
    """
    _check_sqlite(config)
    data = Path(config.data)
    coming = data / COMING
    shutil.rmtree(coming, ignore_errors=True)
    shutil.rmtree(data / READY, ignore_errors=True)
    try:
        coming.mkdir(mode=0o700)
        _extract(source, coming)
        _check_database(coming / DATABASE)
        for name in DIRECTORIES:
            (coming / name).mkdir(mode=0o755, exist_ok=True)
        coming.rename(data / READY)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_room() from error
        raise
    finally:
        shutil.rmtree(coming, ignore_errors=True)


def finish(config: Config) -> bool:
    """Move an unpacked restore in; whether there was one. Nobody has the database open.

    Each part is moved once: after a crash the ones that are left are moved.
    """
    data = Path(config.data)
    ready = data / READY
    if not ready.is_dir():
        return False
    if (ready / DATABASE).exists():
        for end in LOG_ENDS:  # with another one's log it would be damaged
            (data / f"{DATABASE}{end}").unlink(missing_ok=True)
        (ready / DATABASE).replace(data / DATABASE)
    for name in DIRECTORIES:
        if (ready / name).is_dir():
            shutil.rmtree(data / name, ignore_errors=True)
            (ready / name).rename(data / name)
    ready.rmdir()
    return True


def _check_sqlite(config: Config) -> None:
    if config.database != "sqlite":
        raise BackupError(
            "this controller's data is in PostgreSQL", hint="use pg_dump and pg_restore"
        )


@contextmanager
def _unwritten(database: Path) -> Iterator[None]:
    """Nobody changes the database meanwhile: who wants to waits (settings: 10 s).

    A checkpoint that began before may still go on. It copies from the log what stays in the log, so
    database and log together are the same at any moment of it (sqlite.org/wal.html).
    """
    with closing(sqlite3.connect(database, timeout=10, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")


def _add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(text.encode()), 0o600
    archive.addfile(entry, io.BytesIO(text.encode()))


def _without_parts(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Files and directories; not what is being uploaded."""
    if PARTS in entry.name.split("/") or not (entry.isfile() or entry.isdir()):
        return None
    return entry


def _extract(source: IO[bytes], place: Path) -> None:
    try:
        with tarfile.open(fileobj=source, mode="r|") as archive:
            first = archive.next()
            index = archive.extractfile(first) if first and first.name == INDEX else None
            told = json.loads(index.read(4096)) if index else None
            if not isinstance(told, dict) or told.get("format") != FORMAT:
                raise _no_backup("it does not say that it is one")
            while entry := archive.next():
                top = entry.name.split("/")[0]
                if top not in (DATABASE, f"{DATABASE}-wal", *DIRECTORIES):
                    raise _no_backup(f"it has a file {entry.name}")
                _put(archive, entry, place)
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise _no_backup(str(error)) from error


def _put(archive: tarfile.TarFile, entry: tarfile.TarInfo, place: Path) -> None:
    """A directory, or a file's content: nothing else of what an archive can ask for."""
    parts = entry.name.split("/")
    if entry.name.startswith("/") or ".." in parts or not (entry.isfile() or entry.isdir()):
        raise _no_backup(f"it has something at {entry.name}")
    path = place.joinpath(*parts)
    (path if entry.isdir() else path.parent).mkdir(mode=0o755, parents=True, exist_ok=True)
    content = archive.extractfile(entry)
    if content is not None:
        with path.open("xb") as file:
            shutil.copyfileobj(content, file)
        path.chmod(0o600 if entry.mode & 0o077 == 0 else 0o644)


def _check_database(database: Path) -> None:
    """It is whole, ours, and in one file afterwards."""
    if not database.is_file():
        raise _no_backup("it has no database")
    try:
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (found,) = connection.execute("PRAGMA quick_check").fetchone()
            connection.execute("SELECT 1 FROM django_migrations")
    except sqlite3.DatabaseError as error:
        # Its log gets a new index of 32 KiB: SQLite calls a disk without them an I/O error.
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            raise _no_room() from error
        raise _no_backup(f"its database is damaged: {error}") from error
    if found != "ok":
        raise _no_backup(f"its database is damaged: {found}")
    for end in LOG_ENDS:
        database.with_name(f"{DATABASE}{end}").unlink(missing_ok=True)


def _no_room() -> NoRoomError:
    return NoRoomError(
        "the controller's disk is full",
        hint="give it more (controller: {disk: …} in the testbed file), then vct init",
    )


def _no_backup(why: str) -> BackupError:
    return BackupError(
        f"this is no backup of a controller: {why}", hint="make one with: vct controller backup"
    )
