"""Programs that vct runs, the Debian packages that have them, and installing those packages.

PROGRAMS is the one list of what vct needs from Debian. Installing starts and enables nothing: LXC's
package would otherwise bring up a bridge (lxcbr0) with DHCP and NAT that nobody asked for.
Called by `vct doctor`, `vct install` and `vct.drivers.host.check_host`.
"""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from vct.drivers import process
from vct.drivers.base import Support

log = logging.getLogger("vct.packages")


class Program(NamedTuple):
    """A program (or, with a slash, a file), its Debian package, and what is lost without it."""

    name: str
    package: str
    without: str


PROGRAMS = (
    Program("lxc-start", "lxc", "nodes cannot be started"),
    Program("lxc-stop", "lxc", "nodes cannot be stopped"),
    Program("mmdebstrap", "mmdebstrap", "images cannot be built"),
    Program(
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "debian-archive-keyring",
        "Debian's packages cannot be verified, so images cannot be built",
    ),
    Program("ip", "iproute2", "network namespaces and links cannot be made"),
    Program("tc", "iproute2", "links cannot be shaped"),
    Program("nft", "nftables", "nodes cannot reach the outside"),
    Program("dnsmasq", "dnsmasq-base", "nodes get no address and no names"),
    Program("ssh", "openssh-client", "nodes cannot be entered with vct node ssh"),
    Program("scp", "openssh-client", "files cannot be copied with vct node scp"),
    Program("mkfs.ext4", "e2fsprogs", "nodes cannot have a writable layer of fixed size"),
    Program("unshare", "util-linux", "nodes cannot be started in their own mount namespace"),
    Program("nsenter", "util-linux", "nodes cannot be looked into"),
    Program("losetup", "mount", "disk images of nodes cannot be mounted"),
    Program("mksquashfs", "squashfs-tools", "images cannot be made or exported as squashfs"),
    Program("unsquashfs", "squashfs-tools", "squashfs images cannot be imported"),
    Program("zstd", "zstd", "images cannot be exported to or imported from tar.zst"),
    Program("xz", "xz-utils", "images for LXC and Incus cannot be exported or published"),
)

APT_OPTIONS = (
    "--yes",
    "--no-install-recommends",
    "--option=DPkg::Lock::Timeout=300",
    "--option=Dpkg::Options::=--force-confold",
)
APT_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
SERVICE_STARTERS = ("invoke-rc.d", "deb-systemd-invoke")
"""What packages call, by name, to start their services after installation (Debian policy 9.3)."""

UNIT = re.compile(r"(?:/usr)?/lib/systemd/system/([^/]+\.(?:service|socket|timer))")
INIT_SCRIPT = re.compile(r"/etc/init\.d/([^/]+)")


def supports() -> list[Support]:
    """One finding per program of PROGRAMS. Looks at files only."""
    return [_finding(program) for program in PROGRAMS]


def _finding(program: Program) -> Support:
    if "/" in program.name:
        path = Path(program.name) if Path(program.name).is_file() else None
    else:
        path = process.find(program.name)
    return Support(
        what=Path(program.name).name,
        found=path is not None,
        detail=str(path or "not installed"),
        without=program.without,
        fix=f"apt-get install {program.package}",
        packages=(program.package,),
    )


def install(packages: Sequence[str]) -> None:
    """Install Debian packages without recommended ones; none of their services start.

    The package lists are only fetched when the first try fails. Raises CommandError.
    """
    before = observe_installed()
    with tempfile.TemporaryDirectory(prefix="vct-apt-") as directory:
        shims = _make_shims(Path(directory))
        argv = install_command(packages, shims)
        try:
            process.run(argv, env=APT_ENVIRONMENT)
        except process.CommandError as error:
            log.info("fetching the package lists: %s", error.message)
            process.run(["apt-get", *APT_OPTIONS, "update"], env=APT_ENVIRONMENT)
            process.run(argv, env=APT_ENVIRONMENT)
    _disable_services(sorted(observe_installed() - before))


def install_command(packages: Sequence[str], shims: Path) -> list[str]:
    """The apt-get command; `shims` is searched first by the packages' own scripts."""
    path = f"--option=DPkg::Path={shims}:{process.SEARCH_PATH}"
    return ["apt-get", *APT_OPTIONS, path, "install", *packages]


def observe_installed() -> frozenset[str]:
    """The names of all installed packages; those of a foreign architecture with `:arch`."""
    shown = process.run(["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package}\n"])
    return parse_installed(shown.stdout)


def parse_installed(text: str) -> frozenset[str]:
    """`installed lxc` lines to names; other states (config-files, half-installed) do not count."""
    pairs = (line.split(" ", 1) for line in text.splitlines())
    return frozenset(pair[1] for pair in pairs if len(pair) == 2 and pair[0] == "installed")


def parse_services(files: Iterable[str]) -> tuple[list[str], list[str]]:
    """The systemd units and the init scripts among a package's files, sorted by name."""
    names = [file.strip() for file in files]
    units = sorted({found[1] for name in names if (found := UNIT.fullmatch(name))})
    scripts = sorted({found[1] for name in names if (found := INIT_SCRIPT.fullmatch(name))})
    return units, scripts


def _make_shims(directory: Path) -> Path:
    """Links to `true` under the names of SERVICE_STARTERS: dpkg finds them first in its PATH.

    A policy-rc.d file would do the same, but it is one for the whole system, may be there already,
    and would stay after a crash. Links work where /tmp is mounted noexec, too.
    """
    directory.chmod(0o755)
    for name in SERVICE_STARTERS:
        (directory / name).symlink_to(process.find("true") or Path("/bin/true"))
    return directory


def _disable_services(packages: Sequence[str]) -> None:
    """Newly installed services stay off at the next boot, too. `systemctl enable` turns them on."""
    if not packages:
        return
    units, scripts = parse_services(
        process.run(["dpkg-query", "--listfiles", *packages]).stdout.splitlines()
    )
    if units and process.find("systemctl"):
        process.run(["systemctl", "disable", "--quiet", *units])
    elif process.find("update-rc.d"):
        for script in scripts:
            process.run(["update-rc.d", script, "disable"])
