"""What is in an image: its packages with versions, sources and the digests of their .deb files.

Asked of the image's own dpkg database and of the mirror's lists that it was made from. The builder
writes it into the image's record; lock files and bills of materials are made of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vct.drivers import process

FORMAT = "\t".join(
    "${%s}" % field  # noqa: UP031 - dpkg's braces
    for field in (
        "Package",
        "Version",
        "Architecture",
        "source:Package",
        "source:Version",
        "Installed-Size",
        "db:Status-Status",
    )
)
AT_ONCE = 500  # packages named on one command line


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """An installed Debian package. `sha256` is of its .deb file, empty where nobody knows it."""

    name: str
    version: str
    arch: str
    source: str
    source_version: str
    size_kib: int
    sha256: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.name, self.version, self.arch


def installed(root: Path) -> list[Package]:
    """What dpkg says is installed in a root; nothing where there is no dpkg."""
    database = root / "var/lib/dpkg"
    if not (database / "status").is_file():
        return []
    asked = ["dpkg-query", f"--admindir={database}", "-W", f"-f={FORMAT}\n"]
    return parse_installed(process.run(asked).stdout)


def parse_installed(text: str) -> list[Package]:
    """Lines of dpkg-query in FORMAT, sorted by name."""
    found = []
    for line in text.splitlines():
        name, version, arch, source, source_version, size, status = line.split("\t")
        if status == "installed":
            found.append(
                Package(
                    name=name,
                    version=version,
                    arch=arch,
                    source=source,
                    source_version=source_version,
                    size_kib=int(size or 0),
                )
            )
    return sorted(found, key=lambda package: package.key)


def with_digests(
    packages: Sequence[Package],
    known: Iterable[Package],
    look_up: Mapping[tuple[str, str, str], str],
) -> list[Package]:
    """The same with sha256: as `known` (the parent's) has it, else from `look_up`."""
    digests = dict(look_up) | {one.key: one.sha256 for one in known if one.sha256}
    return [
        Package(**asdict(one) | {"sha256": digests.get(one.key, one.sha256)}) for one in packages
    ]


def deb_digests(packages: Sequence[Package], apt_conf: Path) -> dict[tuple[str, str, str], str]:
    """The sha256 of the .deb files that the lists of `apt_conf` have for these packages."""
    return offered([f"{one.name}={one.version}" for one in packages], apt_conf)


def offered(names: Sequence[str], apt_conf: Path) -> dict[tuple[str, str, str], str]:
    """As deb_digests, for `name=version`, or for all versions of `name`."""
    found: dict[tuple[str, str, str], str] = {}
    for start in range(0, len(names), AT_ONCE):
        some = names[start : start + AT_ONCE]
        shown = process.run(
            ["apt-cache", "show", *some], env={"APT_CONFIG": str(apt_conf)}, check=False
        )
        found |= parse_shown(shown.stdout)
    return found


def parse_shown(text: str) -> dict[tuple[str, str, str], str]:
    """`apt-cache show`: name, version and architecture to sha256."""
    found = {}
    for stanza in text.split("\n\n"):
        fields = dict(
            line.split(": ", 1)
            for line in stanza.splitlines()
            if ": " in line and not line.startswith(" ")
        )
        if {"Package", "Version", "Architecture", "SHA256"} <= fields.keys():
            key = fields["Package"], fields["Version"], fields["Architecture"]
            found[key] = fields["SHA256"]
    return found


def render(packages: Iterable[Package]) -> list[dict[str, Any]]:
    """For a record: plain values."""
    return [asdict(one) for one in packages]


def parse(values: Iterable[Mapping[str, Any]]) -> list[Package]:
    """As `render` wrote them. Raises KeyError or TypeError for anything else."""
    return [Package(**value) for value in values]
