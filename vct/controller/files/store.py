"""Puts an upload on disk: streamed, digested, whole or not at all. Never unpacks or runs it.

The API and the pages call `store`; serving is theirs. Files are named as the user named them, so
that people recognise them; a second file of the same name and other content gets its digest in
front.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.parse import quote

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, ForeignObjectRel, OuterRef

from vct.controller.audit.models import record
from vct.controller.files.models import FileKind, StoredFile
from vct.controller.problems import NoRoomError, TooLargeError
from vct.controller.users.models import User

PARTS = ".parts"  # below the media directory: what is being uploaded
PART_AGE_S = 86_400
NAME_MAX = 128  # octets; the digest and a prefix come on top
UNNAMED = "file"


def store(
    kind: FileKind,
    name: str,
    chunks: Iterable[bytes],
    *,
    limit: int,
    prefix: str = "",
    by: User | None = None,
) -> StoredFile:
    """The stored file. Raises what `storing` does."""
    with storing(kind, name, chunks, limit=limit, prefix=prefix, by=by) as file:
        return file


@contextmanager
def storing(
    kind: FileKind,
    name: str,
    chunks: Iterable[bytes],
    *,
    limit: int,
    prefix: str = "",
    by: User | None = None,
) -> Iterator[StoredFile]:
    """The stored file, in a transaction with the block: when that fails nothing is kept.

    `limit` is in octets, `prefix` (`slice-12-`) goes in front of the name. The database is not
    held while the file comes in. Raises TooLargeError, NoRoomError; nothing is kept then.
    """
    media = Path(settings.MEDIA_ROOT)
    (media / PARTS).mkdir(parents=True, exist_ok=True)
    (media / kind).mkdir(exist_ok=True)
    with NamedTemporaryFile(dir=media / PARTS) as part:
        try:
            digest, size = _write(part.fileno(), chunks, limit)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoRoomError("the controller's disk is full", hint="free some room") from error
            raise
        name = f"{prefix}{safe_name(name)}"
        path, is_new = _link(Path(part.name), media, kind, name, digest)
    with ExitStack() as undo:
        if is_new:
            undo.callback((media / path).unlink)
        with transaction.atomic():
            yield _record(StoredFile(kind=kind, path=path, sha256=digest, size=size, made_by=by))
        undo.pop_all()


def safe_name(name: str) -> str:
    """The last part of a path, as a file may be called; it keeps its suffix when it is cut."""
    last = name.replace("\\", "/").rpartition("/")[2].replace("\0", "").lstrip(".")
    octets = last.encode(errors="replace")
    if len(octets) <= NAME_MAX:
        return octets.decode() or UNNAMED
    head = octets[: NAME_MAX // 2].decode(errors="ignore")
    return head + octets[-NAME_MAX // 2 :].decode(errors="ignore")


def sweep(now: float | None = None) -> None:
    """Removes what is more than a day old and needed by nothing: parts and whole files that killed
    uploads left, and files that others took the place of.
    """
    now = time.time() if now is None else now
    media = Path(settings.MEDIA_ROOT)
    places = [path for directory in (PARTS, *FileKind) for path in (media / directory).glob("*")]
    old = {str(path.relative_to(media)) for path in places if _is_old(path, now)}
    with transaction.atomic():
        for file in _unused():
            if file.path in old:
                record(None, "delete", file)
                file.delete()
    known = set(StoredFile.objects.values_list("path", flat=True))
    for path in (media / name for name in old - known):
        if _is_old(path, now):  # or somebody uploaded the same just now
            path.unlink()


def _is_old(path: Path, now: float) -> bool:
    return now - path.stat().st_mtime > PART_AGE_S


def _unused() -> list[StoredFile]:
    """Those that no row is joined to, as `data_file`, and no URI beside that names, `data_uri`."""
    joins = [
        (join.related_model._base_manager, join.field.name)
        for join in StoredFile._meta.get_fields(include_hidden=True)
        if isinstance(join, ForeignObjectRel)
    ]
    files = StoredFile.objects.all()
    for rows, name in joins:
        files = files.filter(~Exists(rows.filter(**{name: OuterRef("pk")})))
    beside = [(rows, f"{name.removesuffix('_file')}_uri") for rows, name in joins]
    uris = [(rows, uri) for rows, uri in beside if hasattr(rows.model, uri)]

    def is_named(file: StoredFile) -> bool:
        ends = [f"{settings.MEDIA_URL}{path}" for path in (file.path, quote(file.path))]
        return any(
            rows.filter(**{f"{uri}__endswith": end}).exists() for rows, uri in uris for end in ends
        )

    return [file for file in files if not is_named(file)]


def _write(target: int, chunks: Iterable[bytes], limit: int) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with os.fdopen(os.dup(target), "wb") as file:
        for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise TooLargeError(
                    f"the file has more than {limit} octets",
                    hint="serve it elsewhere and give its URI and digest",
                )
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    os.fchmod(target, 0o644)
    return digest.hexdigest(), size


def _link(part: Path, media: Path, kind: str, name: str, digest: str) -> tuple[str, bool]:
    """Gives the file its name; who has the name first keeps it. Whether it was not there yet."""
    for candidate in (name, f"{digest[:12]}-{name}"):
        try:
            (media / kind / candidate).hardlink_to(part)
        except FileExistsError:
            if _digest(media / kind / candidate) == digest:
                os.utime(media / kind / candidate)  # it is not old, `sweep` leaves it
                return f"{kind}/{candidate}", False
        else:
            return f"{kind}/{candidate}", True
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(media / kind / name))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _record(file: StoredFile) -> StoredFile:
    """The row of a file; the same file uploaded twice is one."""
    same = StoredFile.objects.filter(path=file.path, sha256=file.sha256).first()
    if same is not None:
        return same
    file.save()
    return file
