"""A node as a whole system for use elsewhere: its image, and in it the node's own files, keys too.

What is written in a running node is not in it. It boots with all of Debian's scripts, which set up
the network by DHCP, as nothing else does that outside of a testbed; with the agent, if the node
has its firmware. Called by the command line.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from vct import names
from vct.apply.lock import locked
from vct.build import inputs, store
from vct.build.events import Report
from vct.build.formats import export as exporting
from vct.build.formats.source import unsquash
from vct.build.trees import remove_tree
from vct.drivers import process
from vct.drivers.firmware_files import AGENT, INITTAB, has_agent
from vct.drivers.textfiles import read
from vct.errors import RefusedError
from vct.paths import Home, NodePaths, TestbedPaths
from vct.verbs.record import require_applied
from vct.verbs.systems import chosen_systems

FORMATS = {"directory": "directory", "tar": "tar.zst", "lxc": "lxc"}
BOOT = "full"
NODE_FILES = Path("etc/vct/node")
PRIVATE = b"PRIVATE KEY-----"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to write, a key of FORMATS, and where to. `level` is how hard to compress."""

    form: str
    output: Path | None = None
    level: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    """What was written. `private_keys` are the paths of private keys in the system, `agent`
    whether it starts one."""

    node: str
    image: str
    path: Path
    format: str
    size: int
    private_keys: tuple[str, ...]
    agent: bool


def firmware_target(paths: TestbedPaths, node: str, wanted: Wanted) -> Path:
    """Where a node's system goes: `output`, or in it if it is a directory. Raises RefusedError when
    something is there or the node was never made."""
    testbed = require_applied(paths).testbed
    (one,) = [one for one in testbed.nodes if one.id == _known(paths, node)]
    name = f"{paths.name}-{names.hostname(one.id)}"
    return exporting.target_of(name, one.arch, FORMATS[wanted.form], wanted.output)


def export_firmware(
    home: Home,
    paths: TestbedPaths,
    node: str,
    wanted: Wanted,
    *,
    say: Callable[[str], None],
    report: Report,
) -> Firmware:
    """Write a node's system to a new file or directory. Needs root. Its files are root's alone; of
    a directory, the keys in it are."""
    form = FORMATS[wanted.form]
    exporting.check_level(form, wanted.level)
    target = firmware_target(paths, node, wanted)
    image = _image_of(home, paths, node)
    with store.lock_for_build(home.images, say), _tree(home, paths, node, image) as root:
        keys, agent = _private_keys(root), _has_agent(root)
        with _for_owner_only(wanted.form):
            done = exporting.export(
                _as_image(paths, node, image, root),
                format=form,
                target=target,
                level=wanted.level,
                report=report,
            )
    return Firmware(
        node=node,
        image=f"{image.name}@{image.digest[:12]}",
        path=done.path,
        format=wanted.form,
        size=done.size,
        private_keys=keys,
        agent=agent,
    )


def _known(paths: TestbedPaths, node: str) -> str:
    known = [one.id for one in require_applied(paths).testbed.nodes]
    (found, *more) = names.parse_node_set(node, known)
    if more:
        raise RefusedError("firmware is one node's", hint="name one node")
    if not paths.node(found).disk_image.exists():  # what is made last of a node's files
        raise RefusedError(f"node {found} was never made", hint="make it: vct init")
    return found


def _image_of(home: Home, paths: TestbedPaths, node: str) -> store.Image:
    """The image that a node boots: what it was updated to, else what the file names."""
    testbed = require_applied(paths).testbed
    system = chosen_systems(paths, testbed).get(node)
    if system and system.image:
        return store.read_image(home.images, Path(system.image.root).parent.name)
    (one,) = [one for one in testbed.nodes if one.id == node]
    return store.find_image(home.images, one.image, one.arch)


def _as_image(paths: TestbedPaths, node: str, image: store.Image, root: Path) -> store.Image:
    """The system as something that can be exported: an image that no store has."""
    name = f"{image.name}-{names.hostname(node)}"
    manifest = {
        "name": name,
        "arch": image.arch,
        "kind": "node",
        "firmware": {"testbed": paths.name, "node": node, "image": image.digest},
    }
    return replace(
        image,
        name=name,
        digest=inputs.digest(manifest),
        format=store.DIRECTORY,
        path=root,
        manifest=manifest,
    )


# --- the tree ------------------------------------------------------------------------------------


@contextmanager
def _tree(home: Home, paths: TestbedPaths, node: str, image: store.Image) -> Iterator[Path]:
    """The image's tree with the node's files in it, in the store's place for work under way.

    Files that are the image's are shared with it: what is another's here is another file.
    """
    place = Path(tempfile.mkdtemp(prefix="firmware-", dir=home.images / "tmp"))
    root = place / "root"
    try:
        if image.path.is_dir():
            process.run(["cp", "--archive", "--link", str(image.path), str(root)])
        else:
            unsquash(image.path, root)
        _check_places(root, image)
        with locked(paths.lock):
            _put_files(paths.node(node), root)
        _put_link(root / NODE_FILES / "inittab", f"/{INITTAB}.{BOOT}{_variant(paths, node, root)}")
        (root / "etc/hostname").unlink(missing_ok=True)
        (root / "etc/hostname").write_text(f"{names.hostname(node)}\n")
        yield root
    finally:
        remove_tree(place)


def _check_places(root: Path, image: store.Image) -> None:
    """Raises RefusedError where a link in the image would lead out of its tree."""
    for place in (*reversed(NODE_FILES.parents[:-1]), NODE_FILES):
        if (root / place).is_symlink() or not (root / place).is_dir():
            raise RefusedError(
                f"the image {image.name} is not one of vct's nodes: it has no directory /{place}",
                hint="vct node update gives the node another",
            )


def _put_files(paths: NodePaths, root: Path) -> None:
    target = root / NODE_FILES
    remove_tree(target)
    process.run(["cp", "--archive", "--", str(paths.node_config), str(target)])
    process.run(["chown", "--recursive", "--no-dereference", "0:0", str(target)])


def _put_link(link: Path, target: str) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _variant(paths: TestbedPaths, node: str, root: Path) -> str:
    return AGENT if paths.node(node).confine.config.exists() and has_agent(root, BOOT) else ""


def _has_agent(root: Path) -> bool:
    return str((root / NODE_FILES / "inittab").readlink()).endswith(AGENT)


def _private_keys(root: Path) -> tuple[str, ...]:
    """Private keys among the node's files, as paths in the system."""
    files = sorted(path for path in (root / NODE_FILES).rglob("*") if path.is_file())
    return tuple(
        f"/{path.relative_to(root)}"
        for path in files
        if not path.is_symlink() and PRIVATE in read(path).encode()
    )


@contextmanager
def _for_owner_only(form: str) -> Iterator[None]:
    """What is made in the block, of files that hold a whole system, only root can read."""
    before = os.umask(0o022 if form == "directory" else 0o077)
    try:
        yield
    finally:
        os.umask(before)
