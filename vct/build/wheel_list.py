"""Wheels of others that an image gets: a list with versions and digests, fetched by pip.

A list is a requirements file of pip's that leaves nothing open: `name==version
--hash=sha256:DIGEST`, one wheel a line. pip knows where this host gets packages from; what it
fetched is kept in the cache by its digest. Only wheels without machine code are taken: the same
ones serve all architectures.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from vct.build.formats.tree import file_digest
from vct.build.wheel import DIRECTORY
from vct.drivers import process
from vct.errors import InputError, VctError

__all__ = ["DIRECTORY", "ListedWheel", "fetch", "read_list"]

LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.+!-]+) +--hash=sha256:([0-9a-f]{64})")
ANYWHERE = "-none-any.whl"  # PEP 427: no ABI, no platform
TIMEOUT_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedWheel:
    """One line of a list. `sha256` is the wheel's."""

    name: str
    version: str
    sha256: str


def read_list(file: Path) -> tuple[ListedWheel, ...]:
    """The wheels that a list names. Raises InputError for a line that leaves something open."""
    found = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = LINE.fullmatch(line.strip())
        if match is None:
            raise InputError(
                "is not a wheel with version and digest",
                file=str(file),
                line=number,
                hint="write name==version --hash=sha256:DIGEST, as pip hash prints it",
            )
        name, version, sha256 = match.groups()
        found.append(ListedWheel(name=name, version=version, sha256=sha256))
    return tuple(found)


def fetch(file: Path, cache: Path) -> dict[str, bytes]:
    """All wheels of a list by their path in the image, from the cache or by pip.

    `cache` has a directory `wheels` with a directory per digest. Raises VctError.
    """
    listed = read_list(file)
    cache = cache / "wheels"
    cache.mkdir(parents=True, exist_ok=True)
    missing = [wheel for wheel in listed if _kept(cache, wheel) is None]
    if missing:
        _download(missing, cache)
    found = {}
    for wheel in listed:
        path = _kept(cache, wheel)
        if path is None or not path.name.endswith(ANYWHERE):
            raise VctError(
                f"{wheel.name} {wheel.version} is not a wheel for every machine",
                hint=f"take it out of {file}: install it as a Debian package",
            )
        found[f"{DIRECTORY}/{path.name}"] = path.read_bytes()
    return found


def _kept(cache: Path, wheel: ListedWheel) -> Path | None:
    for path in (cache / wheel.sha256).glob("*.whl"):
        if file_digest(path) == wheel.sha256:
            return path
    return None


def _download(wheels: list[ListedWheel], cache: Path) -> None:
    """Have pip fetch wheels, with the configuration that it has on this host."""
    told = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    with tempfile.TemporaryDirectory(prefix=".new-", dir=cache) as directory:
        got, wanted = Path(directory) / "got", Path(directory) / "wanted.txt"
        lines = (f"{one.name}=={one.version} --hash=sha256:{one.sha256}\n" for one in wheels)
        wanted.write_text("".join(lines))
        try:
            process.run(
                [
                    *(sys.executable, "-m", "pip", "download", "--quiet", "--no-input"),
                    *("--no-deps", "--only-binary=:all:", "--require-hashes"),
                    *("--dest", str(got), "--requirement", str(wanted)),
                ],
                env=told,
                timeout_s=TIMEOUT_S,
            )
        except process.CommandError as error:
            error.hint = f"can pip reach its index? try: {sys.executable} -m pip download Django"
            raise
        for path in got.glob("*.whl"):
            place = cache / file_digest(path)
            place.mkdir(exist_ok=True)
            path.rename(place / path.name)
