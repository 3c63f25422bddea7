"""Lock files: which package versions, from which lists, an image was made of, so that it can be
made again from the same.

    {"lock": 1, "images": {"base-debian": {"amd64": {suite, tree, sources, left_out, tools,
        "packages": {"apt": {"version": "2.6.1", "sha256": "…"}}}}}}

Written from images' records by `vct image lock`; `vct build --locked FILE` then takes exactly these
versions, by apt's pinning, and fails where the mirror has them no more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vct.build.bill import Package
from vct.errors import InputError, VctError
from vct.model.recipe import Recipe

VERSION = 1
NAME = "vct.lock"
PINNED, FORBIDDEN = 1001, -1  # apt_preferences(5): even a downgrade; never


class LockError(VctError):
    """The mirror has not, or has otherwise, what a lock file wants."""

    def __init__(self, name: str, arch: str, faults: Iterable[str]) -> None:
        lines = sorted(faults)
        more = [f"| and {len(lines) - 10} more"] if len(lines) > 10 else []
        super().__init__(
            f"{name} for {arch} cannot be built as locked: the mirror differs",
            hint="\n".join(
                [
                    *(f"| {line}" for line in lines[:10]),
                    *more,
                    "build without --locked and lock anew (vct image lock), or let this host's apt "
                    "use an archive that keeps old packages; an image that is built already is "
                    "carried by: vct image export",
                ]
            ),
        )
        self.faults = lines

    def details(self) -> dict[str, object]:
        return {"packages": self.faults}


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """What a lock file says of one image. `packages` maps a name to (version, sha256), `tree` is
    the digest of the files that came out when it was locked ("" where nobody knows)."""

    name: str
    arch: str
    suite: str
    tree: str
    packages: Mapping[str, tuple[str, str]]

    @property
    def digest(self) -> str:
        """sha256 of what is pinned."""
        text = json.dumps(dict(self.packages), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def preferences(self) -> str:
        """apt_preferences(5) that allow these versions and nothing else."""
        stanzas = [
            f"Package: {name}\nPin: version {version}\nPin-Priority: {PINNED}\n"
            for name, (version, _) in sorted(self.packages.items())
        ]
        stanzas.append(f"Package: *\nPin: release *\nPin-Priority: {FORBIDDEN}\n")
        return "\n".join(stanzas)

    def missing(self, available: Mapping[tuple[str, str, str], str]) -> list[str]:
        """What the mirror's lists (name, version, arch to sha256) have not as it is locked."""
        offered: dict[str, dict[str, str]] = {}
        for (name, version, _), digest in available.items():
            offered.setdefault(name, {})[version] = digest
        faults = []
        for name, (version, sha256) in self.packages.items():
            versions = offered.get(name, {})
            found = versions.get(version)
            if found is None:
                has = f"the mirror has {', '.join(sorted(versions))}"
                words = has if versions else "nor is any other version"
                faults.append(f"{name} {version} is not there, {words}")
            elif sha256 and found != sha256:
                faults.append(f"{name} {version} is another file: sha256 {found[:12]}…")
        return faults

    def deviations(self, packages: Iterable[Package]) -> list[str]:
        """What came out other than it is locked."""
        made = {one.name: one.version for one in packages}
        wanted = {name: version for name, (version, _) in self.packages.items()}
        return [
            f"{name}: {wanted.get(name, 'not')} locked, {made.get(name, 'not')} installed"
            for name in sorted(made.keys() | wanted.keys())
            if made.get(name) != wanted.get(name)
        ]


# --- the file ------------------------------------------------------------------------------------


def render(images: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole file. `images` maps name and architecture to an entry."""
    value = {"lock": VERSION, "images": images}
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def load(file: Path) -> dict[str, dict[str, Any]]:
    """The images of a lock file: by name, by architecture. Raises InputError."""
    try:
        value = json.loads(file.read_bytes())
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", file=str(file), hint="write one: vct image lock"
        ) from None
    except ValueError as error:
        line = getattr(error, "lineno", None)
        raise InputError(
            "is not JSON", file=str(file), line=line, hint="write it anew: vct image lock"
        ) from None
    if not isinstance(value, dict) or not isinstance(value.get("images"), dict):
        raise InputError("is not a lock file", file=str(file), hint="write one: vct image lock")
    if value.get("lock") != VERSION:
        raise InputError(
            f"is of another version ({value.get('lock')}) than this vct reads ({VERSION})",
            file=str(file),
            key="lock",
            hint="write it anew: vct image lock",
        )
    return dict(value["images"])


def locked_image(file: Path, name: str, arch: str) -> Locked:
    """What a lock file says of one image. Raises InputError when it says nothing or nonsense."""
    images = load(file)
    try:
        found = images[name][arch]
    except (KeyError, TypeError):
        raise InputError(
            f"has nothing on {name} for {arch}",
            file=str(file),
            key=f"images.{name}.{arch}",
            hint=f"build it, then: vct image lock {name} --arch {arch}",
        ) from None
    try:
        packages = {
            package: (str(facts["version"]), str(facts.get("sha256", "")))
            for package, facts in found["packages"].items()
        }
        return Locked(
            name=name, arch=arch, suite=found["suite"], tree=found["tree"], packages=packages
        )
    except (KeyError, TypeError, AttributeError):
        raise InputError(
            "is damaged",
            file=str(file),
            key=f"images.{name}.{arch}",
            hint="write it anew: vct image lock",
        ) from None


def lock_of(file: Path, recipes: Iterable[Recipe]) -> dict[tuple[str, str], Locked]:
    """What a lock file says of each of these. Raises InputError, also for another release."""
    found = {}
    for recipe in recipes:
        locked = found[recipe.name, recipe.arch] = locked_image(file, recipe.name, recipe.arch)
        if recipe.bootstrap is not None and recipe.bootstrap.suite != locked.suite:
            raise InputError(
                f"is of {locked.suite}, the recipe is of {recipe.bootstrap.suite}",
                file=str(file),
                key=f"images.{recipe.name}.{recipe.arch}.suite",
                hint=f"build it with --set suite={locked.suite}, or lock it anew: vct image lock",
            )
    return found
