"""What an image is made from, as a readable manifest whose sha256 is the image's identity.

Every input is in it, nothing else: no time, no host name, nothing of the result. So the digest of
an image is known before it, or its parent, is built; and two manifests can be compared to say why
an image must be built again.
"""

from __future__ import annotations

import hashlib
import io
import json
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vct.build.apt import AptSource, checks_dates
from vct.build.modules import module_files
from vct.build.wheel import wheel_files
from vct.build.wheel_list import DIRECTORY, read_list
from vct.model.recipe import HOOKS, Recipe, Run

Manifest = dict[str, Any]

# Raised when the same inputs would give another image, because a builder step changed.
BUILDER_VERSION = 4
EPOCH = 1_735_689_600  # 2025-01-01: the date of all that has no better one (SOURCE_DATE_EPOCH)


def manifest(
    recipe: Recipe,
    arch: str,
    *,
    parent: str | None,
    sources: Sequence[AptSource],
    tools: Mapping[str, str],
    lock: str = "",
) -> Manifest:
    """All inputs of an image. `parent` is the parent's digest, `sources` is for a bootstrap.

    `lock` is the digest of the packages that it is pinned to; empty for the newest.
    """
    made: Manifest = {
        "builder": BUILDER_VERSION,
        "name": recipe.name,
        "kind": recipe.kind,
        "version": recipe.version,
        "arch": arch,
        "packages": list(recipe.packages),
        "exclude": list(recipe.exclude),
        "files": (tree(recipe.files) if recipe.files else {}) | _wheels(recipe),
        "run": [render_run(run) for run in recipe.run],
        "output": recipe.output,
    }
    if recipe.output == "squashfs":
        made["compression"] = recipe.compression
    if lock:
        made["lock"] = lock
    return made | _beginning(recipe, parent, sources, tools)


def _beginning(
    recipe: Recipe, parent: str | None, sources: Sequence[AptSource], tools: Mapping[str, str]
) -> Manifest:
    """What an image starts from."""
    if recipe.bootstrap is not None:
        bootstrap: Manifest = {
            "suite": recipe.bootstrap.suite,
            "variant": recipe.bootstrap.variant,
            "sources": [source.public for source in sources],
        }
        if not checks_dates(recipe.bootstrap):
            bootstrap["dates"] = "not checked"
        return {"bootstrap": bootstrap, "tools": dict(tools)}
    if recipe.fetch is not None:
        fetch = recipe.fetch
        # Neither its place nor its limit (size_max): they only decide whether it is had at all.
        return {"fetch": {"sha256": fetch.sha256, "format": fetch.format, "strip": fetch.strip}}
    return {"from": {"name": recipe.parent, "digest": parent}}


def render_run(run: Run) -> str | dict[str, Any]:
    """A command as a manifest has it: its text, and what is special about it."""
    return {"command": run.text, "network": True} if run.network else run.text


def render(inputs: Manifest) -> str:
    """The manifest as it is stored and hashed: sorted, indented JSON."""
    return json.dumps(inputs, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def digest(inputs: Manifest) -> str:
    """The image's identity: sha256 of its manifest, 64 hex digits."""
    return hashlib.sha256(render(inputs).encode()).hexdigest()


# --- file trees ----------------------------------------------------------------------------------


def tree(directory: Path) -> dict[str, str]:
    """Path to mode and content of every file and link below a directory, owners left out.

    Modes are those that git keeps: 0755 for what its owner may execute, else 0644. The directory
    `hooks` at the top is left out: it holds what runs while the image is built.
    """
    found = {}
    for path, name in _walk(directory):
        if path.is_symlink():
            found[name] = f"link {path.readlink()}"
        else:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            found[name] = f"{_mode(path):04o} {content}"
    return found


def _own(recipe: Recipe) -> dict[str, bytes]:
    """Of vct itself, by path: its wheel, modules. Raises InputError for one that it has not."""
    own = wheel_files() if recipe.own_wheel else {}
    try:
        return own | module_files(recipe.modules)
    except ValueError as error:
        raise recipe.error(
            "modules", f"vct has no {error}", hint="see which there are: the directories of vct/"
        ) from error


def _wheels(recipe: Recipe) -> dict[str, str]:
    own = _own(recipe)
    others = {
        f"{DIRECTORY}/{wheel.name}-{wheel.version}": f"wheel {wheel.sha256}"
        for file in recipe.wheel_lists
        for wheel in read_list(file)
    }
    return others | {name: f"0644 {hashlib.sha256(text).hexdigest()}" for name, text in own.items()}


def tar_of(recipe: Recipe, others: Mapping[str, bytes] | None = None) -> bytes:
    """A recipe's tree, wheels and modules as an archive to unpack in the new root.

    `others` are the wheels of its lists (vct.build.wheel_list.fetch), by their path.
    """
    own = _own(recipe)
    return tar(recipe.files, own | dict(others or {}))


def tar(directory: Path | None, more: Mapping[str, bytes] | None = None) -> bytes:
    """The same tree as an archive to unpack in the new root: owner root, one date, sorted.

    `more` are plain files beside it, by their path.
    """
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as writer:
        for name, content in (more or {}).items():
            entry = tarfile.TarInfo(name)
            entry.mtime, entry.mode, entry.size = EPOCH, 0o644, len(content)
            writer.addfile(entry, io.BytesIO(content))
        for path, name in _walk(directory) if directory else ():
            entry = tarfile.TarInfo(name)
            entry.mtime = EPOCH
            if path.is_symlink():
                entry.type, entry.linkname, entry.mode = (
                    tarfile.SYMTYPE,
                    str(path.readlink()),
                    0o777,
                )
                writer.addfile(entry)
            else:
                content = path.read_bytes()
                entry.mode, entry.size = _mode(path), len(content)
                writer.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


def _walk(directory: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory)
        if (path.is_symlink() or path.is_file()) and name.parts[0] != HOOKS:
            yield path, name.as_posix()


def _mode(path: Path) -> int:
    return 0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644


# --- differences ---------------------------------------------------------------------------------


def differences(old: Manifest, new: Manifest) -> list[str]:
    """Which inputs changed, one line each, in the words of the recipe."""
    lines: list[str] = []
    for key in sorted(old.keys() | new.keys()):
        lines += _difference(key, old.get(key), new.get(key))
    return lines


def _difference(key: str, old: Any, new: Any) -> list[str]:
    if old == new:
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        if key == "from" and old.get("name") == new.get("name"):
            return [f"from: {new['name']} changed"]
        lines: list[str] = []
        for name in sorted(old.keys() | new.keys()):
            lines += _difference(f"{key}: {name}", old.get(name), new.get(name))
        return lines
    if isinstance(old, list) and isinstance(new, list):
        gone = [f"{key}: removed {item}" for item in old if item not in new]
        come = [f"{key}: added {item}" for item in new if item not in old]
        return gone + come or [f"{key}: another order"]
    if old is None or new is None:
        return [f"{key}: {'added' if old is None else 'removed'}"]
    if key.startswith("files: "):
        return [f"{key}: changed"]
    return [f"{key}: {_short(old)} → {_short(new)}"]


def _short(value: Any) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text
