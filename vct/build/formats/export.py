"""Exporting an image of the store: a tree, an archive, a squashfs, an image for LXC or for Incus.

Everything is written under a temporary name beside its place and renamed when it is complete and on
the disk. The same image gives the same bytes. Called by the command line and by publishing.
"""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from vct.build import store
from vct.build.events import Progress, Report, told
from vct.build.formats import description, metadata, programs
from vct.build.formats.description import Description, FileFacts
from vct.build.formats.source import opened
from vct.build.formats.tree import TreeFacts, file_digest, joined_digest, tree_facts
from vct.build.inputs import EPOCH
from vct.build.trees import remove_tree
from vct.drivers import process
from vct.errors import RefusedError, UsageError, VctError

MIB = 1 << 20
SUMS = "SHA256SUMS"
FINGERPRINT = "fingerprint"
META_XZ, ROOT_XZ, INCUS_META, ROOT_SQUASHFS = (
    "meta.tar.xz", "rootfs.tar.xz", "incus.tar.xz", "rootfs.squashfs",
)  # fmt: skip
PACKED = 4  # a squashfs in the store unpacks to about so many times its size
STEPS = 3  # of an export: reading, writing, describing


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written. `path` is a file or a directory; `files` are those in it, or it alone.

    `fingerprint` is what Incus calls the image, empty for other formats.
    """

    path: Path
    format: str
    tree: str
    size: int
    files: Mapping[str, FileFacts]
    fingerprint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One export under way: from `root`, the image's tree, into `into`, a new directory.

    `level` is what was asked for, None for the format's own.
    """

    image: store.Image
    root: Path
    into: Path
    name: str
    level: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How one format is written: `write` returns the names of its files, in their order.

    `ending` is for a name that vct chooses; `single`: the export is one file, not a directory.
    """

    write: Callable[[Job], list[str]]
    ending: str
    levels: range
    single: bool = False


def _write_tree(job: Job) -> list[str]:
    target = job.into / job.name
    target.mkdir()
    process.run(programs.copy_tree(job.root, target))
    return []


def _write_tar_zst(job: Job) -> list[str]:
    level = 12 if job.level is None else job.level
    process.run(programs.tar_zst(job.root, job.into / job.name, level))
    return [job.name]


def _write_squashfs(job: Job) -> list[str]:
    _squashfs(job, job.into / job.name)
    return [job.name]


def _squashfs(job: Job, target: Path) -> None:
    if job.image.format == store.SQUASHFS and job.level is None:
        process.run(["cp", "--reflink=auto", "--", str(job.image.path), str(target)])
    else:
        level = 15 if job.level is None else job.level
        process.run(programs.mksquashfs(job.root, target, level))


def _write_lxc(job: Job) -> list[str]:
    files = metadata.lxc_metadata(
        job.image.name, job.image.arch, init=_init(job.root), devices=_devices(job.root)
    )
    _pack(job, META_XZ, files)
    level = 6 if job.level is None else job.level
    process.run(programs.tar_xz(job.root, job.into / ROOT_XZ, level))
    return [META_XZ, ROOT_XZ]


def _write_incus(job: Job) -> list[str]:
    texts = {"metadata.yaml": metadata.incus_metadata(job.image.name, job.image.arch)}
    _pack(job, INCUS_META, texts)
    _squashfs(job, job.into / ROOT_SQUASHFS)
    found = joined_digest(job.into / INCUS_META, job.into / ROOT_SQUASHFS)
    (job.into / FINGERPRINT).write_text(f"{found}\n")
    return [INCUS_META, ROOT_SQUASHFS]


FORMATS: dict[str, Format] = {
    "directory": Format(write=_write_tree, ending="", levels=range(0), single=True),
    "tar.zst": Format(
        write=_write_tar_zst, ending=".tar.zst", levels=programs.ZSTD_LEVELS, single=True
    ),
    "squashfs": Format(
        write=_write_squashfs, ending=".squashfs", levels=programs.SQUASHFS_LEVELS, single=True
    ),
    "lxc": Format(write=_write_lxc, ending="-lxc", levels=programs.XZ_LEVELS),
    "incus": Format(write=_write_incus, ending="-incus", levels=programs.SQUASHFS_LEVELS),
}


def _pack(job: Job, target: str, texts: Mapping[str, str]) -> None:
    """Small files as tar.xz: root's, and of one date."""
    with tempfile.TemporaryDirectory(dir=job.into) as directory:
        for name, text in texts.items():
            file = Path(directory) / name
            file.write_text(text)
            file.chmod(0o644)
            os.utime(file, (EPOCH, EPOCH))
        argv = programs.tar_xz(Path(directory), job.into / target, 6, sorted(texts))
        process.run([argv[0], "--owner=0", "--group=0", *argv[1:]])


def _init(root: Path) -> str:
    """What LXC starts: a path that is in our images only, where there is one."""
    ours = root / metadata.OUR_INIT.removeprefix("/")
    return metadata.OUR_INIT if ours.is_symlink() or ours.exists() else metadata.OTHER_INIT


def _devices(root: Path) -> list[str]:
    """Device nodes, as an unprivileged container's tar must leave them out."""
    try:
        found = sorted((root / "dev").iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    kinds = (stat.S_ISCHR, stat.S_ISBLK)
    return [
        f"./dev/{path.name}" for path in found if any(is_a(path.lstat().st_mode) for is_a in kinds)
    ]


# --- the whole export ----------------------------------------------------------------------------


def check_level(format: str, level: int | None) -> None:  # noqa: A002 - the field's word
    """Raises UsageError for a compression level that the format does not have."""
    levels = FORMATS[format].levels
    if level is None or level in levels:
        return
    words = f"{levels[0]} to {levels[-1]}" if levels else "none"
    raise UsageError(
        f"the format {format} has no compression level {level}", hint=f"it has: {words}"
    )


def default_name(name: str, arch: str, format: str) -> str:  # noqa: A002
    """How an export is called where the user does not say."""
    return f"{name}-{arch}{FORMATS[format].ending}"


def target_of(name: str, arch: str, format: str, output: Path | None) -> Path:  # noqa: A002
    """Where an image's export goes: `output`, or in it if it is a directory, under its name.

    Raises RefusedError when something is there, UsageError when its directory is not.
    """
    target = (output or Path()).absolute()
    if output is None or target.is_dir():
        target /= default_name(name, arch, format)
    if not target.parent.is_dir():
        raise UsageError(f"there is no directory {target.parent}", hint="make it first")
    for path in (target, *_beside(target, format)):
        if path.exists() or path.is_symlink():
            raise RefusedError(
                f"{path} is there already", hint="remove it, or choose another place: --output PATH"
            )
    return target


def _beside(target: Path, format: str) -> list[Path]:  # noqa: A002
    if not FORMATS[format].single:
        return []
    endings = [description.SUFFIX] if format == "directory" else [description.SUFFIX, ".sha256"]
    return [target.with_name(target.name + ending) for ending in endings]


def export(
    image: store.Image,
    *,
    format: str,  # noqa: A002 - the field's word
    target: Path,
    level: int | None = None,
    report: Report,
) -> Exported:
    """Write an image to `target` (see target_of). Needs root. `report` gets its three steps.

    Raises VctError when there is no room, CommandError when a program fails; nothing is left then.
    """
    check_level(format, level)
    _check_room(image, format, target.parent)
    chosen, started = FORMATS[format], time.monotonic()
    with _job_directory(target) as place, opened(image.path, place) as root:
        into = place / "out"
        into.mkdir(mode=0o755)
        job = Job(image=image, root=root, into=into, name=target.name, level=level)
        event = Progress(image=image.name, arch=image.arch, step="read its files", at=1, of=STEPS)
        with told(report, event):
            facts = tree_facts(root)
        with told(report, replace(event, step=f"write {format}", at=2, lasting=True)):
            names = chosen.write(job)
        with told(report, replace(event, step="bring it to the disk", at=3)):
            files = {name: _file_facts(into / name) for name in names}
            _describe(job, format, facts, files)
            process.run(["sync", "-f", str(into)])
            _move(job, target, single=chosen.single)
    report(replace(event, step="", at=0, of=0, done=True, seconds=time.monotonic() - started))
    fingerprint = target / FINGERPRINT
    return Exported(
        path=target,
        format=format,
        tree=facts.digest,
        size=sum(file.size for file in files.values()) or facts.size,
        files=files,
        fingerprint=fingerprint.read_text().strip() if format == "incus" else "",
    )


def _file_facts(path: Path) -> FileFacts:
    return FileFacts(sha256=file_digest(path), size=path.stat().st_size)


def _check_room(image: store.Image, format: str, place: Path) -> None:  # noqa: A002
    """Refuse early what cannot go well: an export is at most as large as the tree."""
    wanted = image.size_mib
    if image.format == store.SQUASHFS and format != "squashfs":
        wanted *= PACKED
    status = os.statvfs(place)
    free = status.f_bavail * status.f_frsize / MIB
    if free < wanted:
        raise VctError(
            f"{place} has {free:.0f} MiB free, the export may need {wanted:.0f} MiB",
            hint="free some room, or choose another place: --output PATH",
        )


@contextmanager
def _job_directory(target: Path) -> Iterator[Path]:
    job = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield job
    finally:
        remove_tree(job)


def _describe(job: Job, format: str, facts: TreeFacts, files: Mapping[str, FileFacts]) -> None:  # noqa: A002
    """Write what stands beside an export: its description, and digests for sha256sum."""
    image = job.image
    imported = image.manifest.get("imported", {})
    text = description.render(
        Description(
            name=image.name,
            arch=image.arch,
            kind=str(image.manifest.get("kind", "")),
            format=format,
            stored=image.format,
            digest=image.digest,
            tree=facts.digest,
            size=facts.size,
            entries=facts.entries,
            built=image.built,
            files=files,
            manifest=imported.get("manifest", image.manifest),
            packages=image.packages,
        )
    )
    sums = "".join(f"{file.sha256}  {name}\n" for name, file in files.items())
    single = FORMATS[format].single
    beside = job.name + description.SUFFIX if single else description.INSIDE
    (job.into / beside).write_text(text)
    if files:
        (job.into / (f"{job.name}.sha256" if single else SUMS)).write_text(sums)


def _move(job: Job, target: Path, *, single: bool) -> None:
    """To the final names, what stands beside it first."""
    if not single:
        job.into.rename(target)
        return
    for path in sorted(job.into.iterdir(), key=lambda path: path.name == job.name):
        path.rename(target.with_name(path.name))
