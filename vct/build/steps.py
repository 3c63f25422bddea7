"""The programs that make an image, as values: pure, from a recipe and the places of a build.

Each layer has its group of steps. A bootstrap fills an empty directory by mmdebstrap; every other
group works in an overlay over the layers below, in which the host's apt installs packages (so
proxies, certificates and resolver are the host's). Then what the overlay's upper directory has got
is copied to the store's disk: that is the layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vct.build.fetch import fetch_argv
from vct.build.inputs import EPOCH
from vct.build.layers import BOOTSTRAP, FETCH, FILES, PACKAGES, TIDY
from vct.build.places import ARCHIVES_IN_ROOT, Places
from vct.build.suites import suite_of
from vct.build.supplies import Supplies
from vct.model.recipe import Recipe, Run

ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "SOURCE_DATE_EPOCH": str(EPOCH)}
ARCHIVE_IN_ROOT = "/.vct-files.tar"

# What must not be in an image: who built it, traces of building, keys that all nodes would share.
TIDYING = """
rm -f /etc/apt/apt.conf.d/99mmdebstrap /etc/dpkg/dpkg.cfg.d/99mmdebstrap
rm -f /etc/hostname /etc/machine-id /var/lib/dbus/machine-id /etc/ssh/ssh_host_*
[ -L /etc/resolv.conf ] || rm -f /etc/resolv.conf
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/ldconfig/* /var/cache/debconf/*-old
rm -rf /var/lib/dpkg/*-old /tmp/* /var/tmp/* /run/*
# in the order of the file system's directories, and only for startpar, which is not installed
rm -f /etc/init.d/.depend.*
[ ! -d /var/log/. ] || find /var/log -type f -exec rm -f {} ';'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One program. `title` is for people; steps without one are too short to be named.

    `key` is the recipe's key that asked for it, for errors.
    """

    argv: tuple[str, ...]
    title: str = ""
    key: str = ""
    network: bool = False
    env: Mapping[str, str] = field(default_factory=dict)


# --- a build -------------------------------------------------------------------------------------


def work_steps(places: Places, tmpfs_mib: int, squashfs_parent: Path | None) -> list[Step]:
    """What comes before all layers. `tmpfs_mib` 0 builds on the disk."""
    steps = []
    if tmpfs_mib:
        size = f"size={tmpfs_mib}m,mode=755"
        steps += [_step("mount", "-t", "tmpfs", "-o", size, "work", places.work)]
    steps += [_step("mkdir", "-m", "755", places.root, places.parent)]
    steps += [_step("mkdir", "-p", places.work / "lists" / "partial")]
    if squashfs_parent is not None:
        steps += [_step("mount", "-t", "squashfs", "-o", "loop,ro", squashfs_parent, places.parent)]
    return steps


def layer_steps(
    label: str,
    recipe: Recipe,
    supplies: Supplies | None,
    places: Places,
    below: int,
    fetched: Path,
) -> list[Step]:
    """The steps of one layer over `below` others; its files are in `places.layer` afterwards.

    `supplies`: None to use what the root itself has. `fetched` is a directory for fetched files.
    """
    upper = places.upper
    steps = [_step("mkdir", "-m", "755", upper.parent, upper)]
    if label == BOOTSTRAP:
        steps += bootstrap_steps(recipe, supplies, places)
    elif label == FETCH:
        steps += fetch_steps(recipe, places, fetched)
    else:
        steps += mount_steps(places, below)
        steps += group_steps(label, recipe, places, supplies)
        steps += [_step("umount", "--recursive", places.root)]
    return [
        *steps,
        _step("cp", "-a", "--reflink=auto", upper, places.layer),
        _step("rm", "-rf", "--one-file-system", upper.parent),
    ]


def mount_steps(places: Places, below: int) -> list[Step]:
    """Mount the layers below with the new one above them, and /proc."""
    lowers = ":".join(str(number) for number in reversed(range(below)))
    work = places.upper.parent / "overlay"
    # What a layer has must not depend on how this kernel is configured.
    ways = "redirect_dir=off,index=off,metacopy=off"
    options = f"lowerdir={lowers},upperdir={places.upper},workdir={work},{ways}"
    return [
        _step("mkdir", work),
        _step(
            *("env", "-C", places.below),
            *("mount", "-t", "overlay", "-o", options, "overlay", places.root),
        ),
        _step("mount", "-t", "proc", "proc", f"{places.root}/proc"),
    ]


def group_steps(
    label: str, recipe: Recipe, places: Places, supplies: Supplies | None
) -> list[Step]:
    """What is done in the overlay for the layer of this label."""
    if label == PACKAGES:
        return package_steps(recipe, places, supplies)
    if label == FILES:
        return file_steps(places)
    if label == TIDY:
        return [_step(*_chroot(places), "/bin/sh", "-ec", TIDYING)]
    command = next(run for run in recipe.run if run.key == label)
    return command_steps(command, places)


def _chroot(places: Places) -> tuple[str, str]:
    return "chroot", str(places.root)


def _step(*argv: str | Path) -> Step:
    """A step that is too short to be named."""
    return Step(argv=tuple(str(word) for word in argv))


# --- the groups ----------------------------------------------------------------------------------


def bootstrap_steps(recipe: Recipe, supplies: Supplies | None, places: Places) -> list[Step]:
    """Fill the layer from nothing, with the recipe's packages."""
    assert recipe.bootstrap is not None  # noqa: S101 - the layer's label
    assert supplies is not None  # noqa: S101 - a bootstrap has sources
    include = [f"--include={','.join(recipe.packages)}"] if recipe.packages else []
    argv = (
        "mmdebstrap",
        "--mode=root",
        "--format=directory",
        f"--variant={recipe.bootstrap.variant}",
        f"--architectures={recipe.arch}",
        *include,
        f"--aptopt={places.apt_conf}",
        f"--dpkgopt={places.dpkg_conf}",
        *(f"--hook-directory={hook}" for hook in suite_of(recipe.bootstrap.suite).hooks),
        f"--hook-directory={places.hooks}",
        "--skip=check/qemu,essential/unlink,update",  # i386 runs on amd64 as it is
        recipe.bootstrap.suite,
        str(places.upper),
        *(str(source) for source in supplies.used),
    )
    words = f"bootstrap Debian {recipe.bootstrap.suite}"
    env = {"TMPDIR": str(places.work)}
    return [
        Step(argv=argv, title=words, key="bootstrap", network=True, env=env),
        _step("install", "-m", "644", supplies.wanted_list, places.upper / "etc/apt/sources.list"),
        *_exclude_steps(recipe, places, places.upper),
    ]


def _exclude_steps(recipe: Recipe, places: Places, root: Path) -> list[Step]:
    if not recipe.exclude:
        return []
    kept = f"{root}/etc/dpkg/dpkg.cfg.d/vct-{recipe.name}"
    return [_step("install", "-m", "644", places.dpkg_conf, kept)]


def fetch_steps(recipe: Recipe, places: Places, fetched: Path) -> list[Step]:
    """Fill the layer with what somebody else made."""
    assert recipe.fetch is not None  # noqa: S101 - the layer's label
    argv = fetch_argv(recipe.fetch, fetched, places.upper)
    return [Step(argv=argv, title=f"fetch {recipe.fetch.url}", key="fetch", network=True)]


def package_steps(recipe: Recipe, places: Places, supplies: Supplies | None) -> list[Step]:
    """Install packages by the host's apt, from its archive cache."""
    exclude = _exclude_steps(recipe, places, places.root)
    if not recipe.packages:
        return exclude
    env = {"APT_CONFIG": str(places.apt_conf)}
    count = len(recipe.packages)
    noun = "package and what it needs" if count == 1 else "packages and what they need"
    get = ("apt-get", "--yes", "-o", "APT::Update::Error-Mode=any")
    archives = f"{places.root}{ARCHIVES_IN_ROOT}"
    update = Step(
        argv=(*get, "update"), title="read package lists", key="packages", network=True, env=env
    )
    return [
        *exclude,
        _step("mkdir", "-p", archives),
        _step("mount", "--bind", places.archives, archives),
        *_no_services(places),
        *([] if supplies else [update]),
        Step(
            argv=(*get, "install", "--no-install-recommends", *recipe.packages),
            title=f"install {count} {noun}",
            key="packages",
            network=True,
            env=env,
        ),
        *_services_again(places),
    ]


def file_steps(places: Places) -> list[Step]:
    """Unpack the recipe's tree, following the root's own links to directories."""
    unpack = ("tar", "--no-overwrite-dir", "--keep-directory-symlink", "-xpf", ARCHIVE_IN_ROOT)
    archive = f"{places.root}{ARCHIVE_IN_ROOT}"
    return [
        _step("cp", places.files, archive),
        Step(argv=(*_chroot(places), *unpack), title="copy files", key="files"),
        _step("rm", archive),
    ]


def command_steps(command: Run, places: Places) -> list[Step]:
    """Run a piece of shell text in the root."""
    return [
        *_no_services(places),
        Step(
            argv=(*_chroot(places), "/bin/sh", "-ec", command.text),
            title=f"run {_first_line(command.text)}",
            key=command.key,
            network=command.network,
        ),
        *_services_again(places),
    ]


def _no_services(places: Places) -> list[Step]:
    return [_step("install", "-m", "755", places.policy, f"{places.root}/usr/sbin/policy-rc.d")]


def _services_again(places: Places) -> list[Step]:
    return [_step("rm", "-f", f"{places.root}/usr/sbin/policy-rc.d")]


def _first_line(text: str) -> str:
    line = text.strip().splitlines()[0]
    return line if len(line) <= 60 else f"{line[:59]}…"


# --- the image -----------------------------------------------------------------------------------


def copy_steps(places: Places, below: int) -> list[Step]:
    """Copy all layers together to the store's disk, where they cannot be linked."""
    target = f"{places.finished}/root"
    copy = ("cp", "-a", "--reflink=auto", str(places.root), target)
    return [*_whole(places, below), Step(argv=copy, title="copy to the store")]


def squashfs_steps(places: Places, below: int, level: int) -> list[Step]:
    """Pack all layers together. Reproducible: mksquashfs(1) honours SOURCE_DATE_EPOCH and sorts."""
    target = f"{places.finished}/root.squashfs"
    pack = (
        *("mksquashfs", str(places.root), target),
        *("-comp", "zstd", "-Xcompression-level", str(level)),
        *("-noappend", "-no-exports", "-no-progress", "-xattrs"),
    )
    return [*_whole(places, below), Step(argv=pack, title="pack", key="output")]


def _whole(places: Places, below: int) -> list[Step]:
    upper = places.upper
    return [
        _step("mkdir", "-m", "755", upper.parent, upper),
        *mount_steps(places, below),
        _step("umount", f"{places.root}/proc"),
    ]
