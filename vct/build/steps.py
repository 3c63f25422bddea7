"""The programs that make an image, as values: pure, from a recipe and the places of a build.

A bootstrap fills an empty directory by mmdebstrap; a layer is an overlay over its parent's root in
which the host's apt installs packages (so proxies, certificates and resolver are the host's). Then
both go the same way: files, commands, tidying up, and a copy to the store's disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vct.build.apt import AptSource
from vct.build.inputs import EPOCH
from vct.model.recipe import Recipe

ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "SOURCE_DATE_EPOCH": str(EPOCH)}
# Merges /usr before packages are unpacked, where the suite wants it; else Debian's own way of doing
# it (usrmerge) keeps 45 MiB of perl in the image for ever.
MERGED_USR = "/usr/share/mmdebstrap/hooks/maybe-merged-usr"
ARCHIVE_IN_ROOT = "/.vct-files.tar"
POLICY = "#!/bin/sh\n# No service starts while the image is built.\nexit 101\n"

# What must not be in an image: who built it, traces of building, keys that all nodes would share.
TIDY = f"""
rm -f {ARCHIVE_IN_ROOT} /usr/sbin/policy-rc.d
rm -f /etc/apt/apt.conf.d/99mmdebstrap /etc/dpkg/dpkg.cfg.d/99mmdebstrap
rm -f /etc/hostname /etc/machine-id /var/lib/dbus/machine-id /etc/ssh/ssh_host_*
[ -L /etc/resolv.conf ] || rm -f /etc/resolv.conf
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/ldconfig/* /var/cache/debconf/*-old
rm -rf /var/lib/dpkg/*-old /tmp/* /var/tmp/* /run/*
find /var/log -type f -delete
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where one image is built: a directory in the store's tmp/. `work` may be a tmpfs."""

    job: Path

    @property
    def work(self) -> Path:
        return self.job / "work"

    @property
    def root(self) -> Path:
        return self.work / "root"

    @property
    def finished(self) -> Path:
        """What is renamed into the store: root, manifest, record."""
        return self.job / "image"

    @property
    def files(self) -> Path:
        return self.job / "files.tar"

    @property
    def apt_conf(self) -> Path:
        return self.job / "apt.conf"

    @property
    def dpkg_conf(self) -> Path:
        return self.job / "dpkg.conf"

    @property
    def policy(self) -> Path:
        return self.job / "policy-rc.d"


def bootstrap_steps(
    recipe: Recipe, arch: str, sources: Sequence[AptSource], places: Places, tmpfs_mib: int
) -> list[Step]:
    """All steps of an image that starts from nothing. `tmpfs_mib` 0 builds on the disk."""
    assert recipe.bootstrap is not None  # noqa: S101 - the caller's choice of function
    include = [f"--include={','.join(recipe.packages)}"] if recipe.packages else []
    argv = (
        "mmdebstrap",
        "--mode=root",
        "--format=directory",
        f"--variant={recipe.bootstrap.variant}",
        f"--architectures={arch}",
        *include,
        f"--aptopt={places.apt_conf}",
        f"--dpkgopt={places.dpkg_conf}",
        f"--hook-directory={MERGED_USR}",
        "--skip=check/qemu",  # i386 runs on amd64 as it is
        recipe.bootstrap.suite,
        str(places.root),
        *(str(source) for source in sources),
    )
    words = f"bootstrap Debian {recipe.bootstrap.suite}"
    return [
        *_work_steps(places, tmpfs_mib),
        Step(
            argv=argv,
            title=words,
            key="bootstrap",
            network=True,
            env={"TMPDIR": str(places.work)},
        ),
        *_exclude_steps(recipe, places),
        *_common_steps(recipe, places),
    ]


def layer_steps(recipe: Recipe, parent_root: Path, places: Places, tmpfs_mib: int) -> list[Step]:
    """All steps of an image that starts from another's root."""
    upper, overlay_work = places.work / "upper", places.work / "overlay"
    options = f"lowerdir={parent_root},upperdir={upper},workdir={overlay_work}"
    return [
        *_work_steps(places, tmpfs_mib),
        Step(argv=("mkdir", "-m", "755", str(upper), str(overlay_work), str(places.root))),
        Step(argv=("mount", "-t", "overlay", "-o", options, "overlay", str(places.root))),
        *_exclude_steps(recipe, places),
        *_apt_steps(recipe, places),
        *_common_steps(recipe, places),
    ]


def _work_steps(places: Places, tmpfs_mib: int) -> list[Step]:
    if not tmpfs_mib:
        return []
    size = f"size={tmpfs_mib}m,mode=755"
    return [Step(argv=("mount", "-t", "tmpfs", "-o", size, "work", str(places.work)))]


def _exclude_steps(recipe: Recipe, places: Places) -> list[Step]:
    if not recipe.exclude:
        return []
    kept = f"{places.root}/etc/dpkg/dpkg.cfg.d/vct-{recipe.name}"
    return [Step(argv=("install", "-m", "644", str(places.dpkg_conf), kept))]


def _apt_steps(recipe: Recipe, places: Places) -> list[Step]:
    if not recipe.packages:
        return []
    env = {"APT_CONFIG": str(places.apt_conf)}
    count = len(recipe.packages)
    noun = "package and what it needs" if count == 1 else "packages and what they need"
    get = ("apt-get", "--yes", "-o", "APT::Update::Error-Mode=any")
    policy = f"{places.root}/usr/sbin/policy-rc.d"
    return [
        Step(argv=("mount", "-t", "proc", "proc", f"{places.root}/proc")),
        Step(argv=("install", "-m", "755", str(places.policy), policy)),
        Step(
            argv=(*get, "update"), title="read package lists", key="packages", network=True, env=env
        ),
        Step(
            argv=(*get, "install", "--no-install-recommends", *recipe.packages),
            title=f"install {count} {noun}",
            key="packages",
            network=True,
            env=env,
        ),
        Step(argv=("umount", f"{places.root}/proc")),
    ]


def _common_steps(recipe: Recipe, places: Places) -> list[Step]:
    steps = [Step(argv=("mount", "-t", "proc", "proc", f"{places.root}/proc"))]
    chroot = ("chroot", str(places.root))
    if recipe.files is not None:
        unpack = ("tar", "--no-overwrite-dir", "--keep-directory-symlink", "-xpf", ARCHIVE_IN_ROOT)
        steps += [
            Step(argv=("cp", str(places.files), f"{places.root}{ARCHIVE_IN_ROOT}")),
            Step(argv=(*chroot, *unpack), title="copy files", key="files"),
        ]
    steps += [
        Step(
            argv=(*chroot, "/bin/sh", "-ec", text),
            title=f"run {_first_line(text)}",
            key=f"run[{index}]",
        )
        for index, text in enumerate(recipe.run)
    ]
    return [
        *steps,
        Step(argv=(*chroot, "/bin/sh", "-ec", TIDY)),
        Step(argv=("umount", f"{places.root}/proc")),
        Step(
            argv=("cp", "-a", "--reflink=auto", str(places.root), f"{places.finished}/root"),
            title="copy to the store",
        ),
    ]


def _first_line(text: str) -> str:
    line = text.strip().splitlines()[0]
    return line if len(line) <= 60 else f"{line[:59]}…"


# --- configuration files of the tools ------------------------------------------------------------


def render_dpkg_conf(recipe: Recipe) -> str:
    """dpkg.cfg(5) that stays in the image, so that later layers leave out the same."""
    return "".join(f"path-exclude={pattern}\n" for pattern in recipe.exclude)


def render_apt_conf(arch: str, acquire: Iterable[str], root: Path | None) -> str:
    """apt.conf(5) for mmdebstrap (no `root`: it adds its own), or for the host's apt on a root."""
    lines = ['Acquire::Languages "none";', 'Acquire::Retries "3";', *acquire]
    if root is not None:
        lines += [
            f'APT::Architecture "{arch}";',
            f'APT::Architectures {{ "{arch}"; }};',
            'APT::Install-Recommends "false";',
            'APT::Sandbox::User "root";',
            f'Dir "{root}";',
            f'Dir::State::status "{root}/var/lib/dpkg/status";',
            f'DPkg::Chroot-Directory "{root}";',
            'DPkg::Options { "--force-unsafe-io"; };',
            'DPkg::Use-Pty "false";',
        ]
    return "\n".join(lines) + "\n"
