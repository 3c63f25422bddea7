"""Settings of this installation: /etc/vct/config.yaml, overridden by VCT_* variables, by flags.

Plain and quick to load: every command reads it, `vct --help` does not.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from vct.errors import InputError, UsageError
from vct.paths import Home

CONFIG_FILE = Path("/etc/vct/config.yaml")
KINDS: dict[str, type[Path | str | float | int]] = {
    "home": Path,
    "images": Path,
    "run": Path,
    "testbed": str,
    "ready_timeout_s": float,
    "jobs": int,
}
PLACE = re.compile(r"/[A-Za-z0-9/._+@-]*")
PLACE_LENGTH = 80  # nftables' comments, interfaces' aliases and sockets' names hold it
NOUNS = {Path: "path", str: "word", float: "number", int: "whole number"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`home` and `images` are directories; `images` is inside `home` unless set.

    `testbed` is the one that commands act on by default. `ready_timeout_s` is how long `init`
    waits for each node. `jobs` bounds what runs side by side, 0 means by the number of CPUs.
    """

    home: Path = Path("/var/lib/vct")
    images: Path | None = None
    run: Path = Path("/run/vct")
    testbed: str = ""
    ready_timeout_s: float = 60.0
    jobs: int = 0

    @property
    def places(self) -> Home:
        return Home(root=self.home, images=self.images or self.home / "images", run=self.run)


def load_settings(
    file: Path = CONFIG_FILE, environment: Mapping[str, str] = os.environ
) -> Settings:
    """The settings that hold now. Raises InputError (file) or UsageError (variable)."""
    settings = Settings()
    for name, value in _file_values(file).items():
        settings = _with(settings, name, value, str(file))
    for field in fields(Settings):
        variable = f"VCT_{field.name.upper()}"
        if environment.get(variable):
            settings = _with(settings, field.name, environment[variable], variable)
    return settings


def _file_values(file: Path) -> Mapping[str, object]:
    if not file.exists():
        return {}
    from vct.model.textfile import read_text  # most hosts have no settings file
    from vct.model.yamltext import parse_tree

    tree = parse_tree(read_text(file), str(file))
    values = tree.value if tree else {}
    if not isinstance(values, dict):
        raise InputError("must be a mapping of settings", file=str(file))
    known = {field.name for field in fields(Settings)}
    for name in values:
        if name not in known:
            raise InputError(
                "unknown setting", file=str(file), key=str(name), hint=f"known: {sorted(known)}"
            )
    return values


def _with(settings: Settings, name: str, value: object, source: str) -> Settings:
    kind = KINDS[name]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UsageError(f"{source}: {name}: {value!r} is not a {NOUNS[kind]}")
    try:
        converted = kind(str(value))
    except ValueError:
        raise UsageError(f"{source}: {name}: {value!r} is not a {NOUNS[kind]}") from None
    if isinstance(converted, Path) and not converted.is_absolute():
        raise UsageError(f"{source}: {name}: {value} must be an absolute path")
    if isinstance(converted, Path):
        _check_place(converted, f"{source}: {name}")
    if isinstance(converted, int | float) and not 0 <= converted < math.inf:
        raise UsageError(f"{source}: {name}: {value} must be zero or more")
    changes: dict[str, Any] = {name: converted}
    return replace(settings, **changes)


def _check_place(place: Path, source: str) -> None:
    """LXC, the kernel's overlay, nftables and DHCP all get these paths: no character may mean
    something to one of them, and there must be room for what comes below."""
    if not PLACE.fullmatch(str(place)) or len(str(place)) > PLACE_LENGTH:
        raise UsageError(
            f"{source}: {place} cannot be used: only letters, digits and / . _ + @ - may be in it, "
            f"at most {PLACE_LENGTH}",
            hint="choose another directory, or make a bind mount of it with a plain name",
        )
