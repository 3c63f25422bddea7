"""Where an imported image comes from: a file, a directory, a URL, or a name on an image server.

All of them become an Origin: one artefact on this host's disk and, where there is one, the
description that came with it. What was downloaded has been checked; nothing has been unpacked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, urlsplit

from vct.build import simplestreams as streams
from vct.build.download import (
    DownloadError,
    check_sha256,
    check_url,
    download,
    local_path,
    public_url,
    read_url,
)
from vct.build.formats import description, export
from vct.build.formats.description import Description
from vct.build.formats.tree import file_digest
from vct.errors import UsageError, VctError

Say = Callable[[str], None]
CANDIDATES = (export.ROOT_SQUASHFS, export.ROOT_XZ)  # in an export that is a directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """An artefact that can be imported. `path` is a file (archive or squashfs) or a file tree.

    `source` is for people, without secrets; `sha256` is the file's, empty for a tree. `name` and
    `arch` are what its source calls it, empty when it does not say.
    """

    path: Path
    source: str
    sha256: str
    name: str
    arch: str
    description: Description | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the user asked for. `remote` is a name on an image server, empty for a plain file;
    `place` is an existing directory for downloads."""

    source: str
    place: Path = Path()
    remote: str = ""
    arch: str = ""
    sha256: str = ""
    size_max: int = export.MIB << 14
    say: Say = lambda _words: None


def find_origin(wanted: Wanted) -> Origin:
    """Get the artefact. Raises UsageError, DownloadError, VctError when it is not to be had."""
    url = wanted.source
    if not urlsplit(url).scheme:
        url = "file://" + quote(str(Path(url).absolute()))
    check_url(url)
    if wanted.remote:
        return _from_server(replace(wanted, source=url))
    path = local_path(url)
    if path is not None and not path.exists():
        raise UsageError(f"there is no {path}", hint="look at the name")
    if path is not None and path.is_dir():
        return _from_directory(path, wanted)
    return _from_file(url, path, wanted)


# --- one file ------------------------------------------------------------------------------------


def _from_file(url: str, path: Path | None, wanted: Wanted) -> Origin:
    try:
        text = read_url(url + description.SUFFIX)
        found: Description | None = description.parse(text, public_url(url) + description.SUFFIX)
    except DownloadError as error:
        if not error.missing:
            raise
        found = None
    shown = str(path) if path is not None else public_url(url)
    if path is not None:
        sha256 = file_digest(path)
        check_sha256(str(path), sha256, wanted.sha256)
    else:
        wanted.say(f"downloading {shown}")
        path = wanted.place / "download"
        most = max((file.size for file in found.files.values()), default=0) if found else 0
        sha256 = download(
            url, path, sha256=wanted.sha256, size_max=min(most or wanted.size_max, wanted.size_max)
        ).sha256
    return _origin(path, shown, sha256, found)


def _origin(path: Path, source: str, sha256: str, found: Description | None) -> Origin:
    if found is not None and sha256 not in [file.sha256 for file in found.files.values()]:
        raise VctError(
            f"{source} is not the file that its description is of: its sha256 is {sha256}",
            hint="get both again, or export the image again",
        )
    return Origin(
        path=path,
        source=source,
        sha256=sha256,
        name=found.name if found else "",
        arch=found.arch if found else "",
        description=found,
    )


# --- a directory on this host --------------------------------------------------------------------


def _from_directory(path: Path, wanted: Wanted) -> Origin:
    """An export for LXC or Incus, or a plain tree with or without a description beside it."""
    if wanted.sha256:
        raise UsageError(f"{path} is a directory: it has no sha256", hint="leave out --sha256")
    inside = path / description.INSIDE
    if inside.is_file():
        found = description.parse(inside.read_bytes(), str(inside))
        for name in CANDIDATES:
            if name in found.files and (path / name).is_file():
                return _origin(path / name, str(path / name), file_digest(path / name), found)
    if (path / streams.INDEX).is_file():
        raise UsageError(
            f"{path} is an image server's directory", hint="say which image: import DIR IMAGE"
        )
    beside = path.with_name(path.name + description.SUFFIX)
    described = description.parse(beside.read_bytes(), str(beside)) if beside.is_file() else None
    return Origin(
        path=path,
        source=str(path),
        sha256="",
        name=described.name if described else "",
        arch=described.arch if described else "",
        description=described,
    )


# --- an image server -----------------------------------------------------------------------------


def find_offers(server: str) -> list[streams.Offer]:
    """All images of a simplestreams server that are for our architectures."""
    base = server.rstrip("/")
    index = read_url(f"{base}/{streams.INDEX}")
    offers = []
    for path in streams.parse_index(index, public_url(base)):
        text = read_url(f"{base}/{path}")
        offers += streams.parse_products(text, public_url(f"{base}/{path}"))
    return offers


def _from_server(wanted: Wanted) -> Origin:
    base, shown = wanted.source.rstrip("/"), public_url(wanted.source)
    offer = streams.choose(find_offers(base), wanted.remote, wanted.arch or "amd64", shown)
    kinds = [kind for kind in (streams.SQUASHFS, streams.ROOT_XZ) if kind in offer.items]
    if not kinds:
        raise VctError(
            f"{shown} has no container image {wanted.remote} for {offer.arch}",
            hint="it may be a virtual machine's",
        )
    item = offer.items[kinds[0]]
    if item.size > wanted.size_max:
        raise VctError(
            f"{item.path} has {item.size} bytes, {wanted.size_max} are allowed",
            hint="allow more: --size-max",
        )
    check_sha256(f"{shown}/{item.path}", item.sha256, wanted.sha256)
    described = _described(base, offer)
    wanted.say(f"downloading {shown}/{item.path}")
    path = wanted.place / "download"
    download(f"{base}/{item.path}", path, sha256=item.sha256, size_max=item.size)
    made = _origin(path, f"{shown}/{item.path}", item.sha256, described)
    return replace(made, name=made.name or offer.name, arch=offer.arch)


def _described(base: str, offer: streams.Offer) -> Description | None:
    item = offer.items.get(streams.DESCRIPTION)
    if item is None:
        return None
    url = f"{base}/{item.path}"
    text = read_url(url, size_max=min(item.size, 32 * export.MIB))
    check_sha256(public_url(url), hashlib.sha256(text).hexdigest(), item.sha256)
    return description.parse(text, public_url(url))
