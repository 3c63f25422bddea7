"""The JSON that stands beside an exported image: what it is, and what an import must find.

    {"vct-image": 1, "name": …, "arch": …, "kind": …, "format": …, "stored": …,
     "digest": of the image in the store it came from, "tree": digest, "size": bytes, "entries": n,
     "files": {"rootfs.squashfs": {"sha256": …, "size": …}},
     "manifest": its inputs, "packages": [name=version], "built": time}

It is not trusted: names are checked, sizes are limits. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from vct.errors import VctError
from vct.model.recipe import ARCHITECTURES

VERSION = 1
NAME_MAX = 63  # as in recipes
SUFFIX = ".json"
INSIDE = "image.json"  # in exports that are directories
NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
SHA256 = re.compile(r"[0-9a-f]{64}")
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
SIZE_MAX = 1 << 50


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """One file of an export."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """An exported image. `stored` is the format that it had in the store, `tree` the digest of its
    file tree (vct.build.formats.tree), `size` the bytes and `entries` the number of its files."""

    name: str
    arch: str
    kind: str
    format: str
    stored: str
    digest: str
    tree: str
    size: int
    entries: int
    built: str
    files: Mapping[str, FileFacts]
    manifest: Mapping[str, Any] = field(default_factory=dict)
    packages: tuple[str, ...] = ()


def render(description: Description) -> str:
    """As it is written."""
    document = {"vct-image": VERSION, **asdict(description)}
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def parse(text: str | bytes, source: str) -> Description:
    """As render wrote it. Raises VctError, naming `source`, for anything else."""
    try:
        document = json.loads(text)
        if document.pop("vct-image") != VERSION:
            raise _wrong(source, "is of a version that this vct does not know")
        files = {
            checked(FILE_NAME, name, source): FileFacts(
                sha256=checked(SHA256, facts["sha256"], source), size=_number(facts["size"], source)
            )
            for name, facts in document.pop("files").items()
        }
        found = Description(files=files, packages=tuple(document.pop("packages")), **document)
        texts = (found.kind, found.format, found.stored, found.built, *found.packages)
        if not all(isinstance(one, str) for one in texts) or not isinstance(found.manifest, dict):
            raise _wrong(source, "has values of wrong types")
        _number(found.size, source)
        _number(found.entries, source)
        for one in (found.tree, found.digest):
            checked(SHA256, one, source)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _wrong(source, f"is not a description of an image ({error})") from None
    check_name(found.name, source)
    check_arch(found.arch, source)
    return found


def check_name(name: str, source: str) -> str:
    """The name, if an image can have it. It becomes a file name."""
    if len(name) > NAME_MAX:
        raise _wrong(source, "gives a name that is too long")
    return checked(NAME, name, source)


def check_arch(arch: str, source: str) -> str:
    """The architecture, if it is one of ours."""
    if arch not in ARCHITECTURES:
        raise _wrong(source, f"is for {str(arch)[:40]!r}, not for {' or '.join(ARCHITECTURES)}")
    return arch


def checked(pattern: re.Pattern[str], text: Any, source: str) -> str:
    """The text, if it is one and looks as it must."""
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise _wrong(source, f"has {str(text)[:80]!r} where it may not stand")
    return text


def _number(value: Any, source: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= SIZE_MAX:
        raise _wrong(source, f"has {str(value)[:40]!r} for a size")
    return value


def _wrong(source: str, problem: str) -> VctError:
    return VctError(f"{source} {problem}", hint="get it again, or export the image again")
