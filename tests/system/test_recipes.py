"""Every recipe of ours, built for real, booted from what the store keeps, halted and rebooted.

Images come from the shared store and are built when they are not there. What only repeats for i386
what was shown with others is marked slow, and so are the large ones.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.system.boots import Booted, booted
from tests.system.conftest import IMAGES, VCT, Bed
from vct.build import store
from vct.drivers import process

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
MACHINES = {"amd64": "x86_64", "i386": "i686"}
GETTY = frozenset({"base-debian", "controller"})  # no ssh server there
QUICK_ON_I386 = frozenset({"base-debian", "node-debian", "sliver-busybox", "sliver-debian"})
NAMES = (
    "base-debian",
    "node-debian",
    "sliver-busybox",
    "sliver-debian",
    "controller",
    "vct-container",
    "sliver-debian-full",
)
LOG = re.compile(r"/var/log/.*\.log|/var/log/apt/.+|/var/log/[bw]tmp|/var/log/(last|fail)log")
FORBIDDEN = re.compile(
    r"/etc/ssh/ssh_host_.*|/etc/dropbear/.+|/etc/vct/node/ssh_host_.*|/root/\.ssh/.+"
    r"|/etc/(hostname|machine-id)|/var/lib/dbus/machine-id|/var/lib/systemd/random-seed"
    r"|/var/lib/dhcp/.+|/var/lib/apt/lists/.+|/var/cache/apt/.+|/usr/sbin/policy-rc\.d"
    r"|/etc/apt/apt\.conf\.d/99mmdebstrap|/\.vct.*|/(run|tmp|var/tmp)/.+"
)


def _cases(*, archs: tuple[str, ...] = ("amd64", "i386"), names: tuple[str, ...] = NAMES) -> list:  # type: ignore[type-arg]
    found = []
    for name in names:
        for arch in archs:
            slow = name == "sliver-debian-full" or (arch == "i386" and name not in QUICK_ON_I386)
            marks = [pytest.mark.slow] if slow else []
            found.append(pytest.param(name, arch, marks=marks, id=f"{name}-{arch}"))
    return found


NODES = {"0001": "amd64", "0002": "i386", "0003": "i386"}  # of mixed.yaml
EVERY = pytest.mark.parametrize(("name", "arch"), _cases())


@cache
def built(name: str, arch: str) -> store.Image:
    """The image, built from the cache or from nothing."""
    process.run(
        [*VCT, "build", name, "--arch", arch], env={"VCT_IMAGES": str(IMAGES)}, timeout_s=1800
    )
    return store.find_image(IMAGES, name, arch)


def artefact(name: str, arch: str = "amd64") -> Path:
    return built(name, arch).path


@dataclass(frozen=True)
class Entry:
    """A file of an image: `mode` as ls shows it."""

    path: str
    mode: str
    owner: str


def listing(path: Path) -> list[Entry]:
    """All files of an image."""
    if path.is_dir():
        form = "/%P\t%M\t%U/%G\\0"
        lines = process.run(["find", str(path), "-mindepth", "1", "-printf", form]).stdout
        rows = [line.split("\t") for line in lines.split("\0") if line]
        return [Entry(path=row[0], mode=row[1], owner=row[2]) for row in rows]
    found = []
    for line in process.run(["unsquashfs", "-lln", str(path)]).stdout.splitlines():
        match = re.fullmatch(r"(\S{10}) (\d+/\d+) .*? squashfs-root(/.+?)(?: -> .*)?", line)
        if match:
            found.append(Entry(path=match[3], mode=match[1], owner=match[2]))
    return found


def content(path: Path, name: str) -> str:
    """The text of one file of an image."""
    if path.is_dir():
        return (path / name).read_text()
    return process.run(["unsquashfs", "-cat", str(path), name]).stdout


def ready(name: str, box: Booted) -> float:
    """Wait until the image's init has done its work; the seconds since the start."""
    if name in GETTY:
        return box.wait(lambda: box.runs("getty"), "its getty runs")
    return box.wait(box.listens, "its ssh server listens")


# --- what an image has and has not ---------------------------------------------------------------


@EVERY
def test_it_works(name: str, arch: str) -> None:
    image = built(name, arch)
    assert (image.name, image.arch) == (name, arch)
    assert any(package.startswith("libc6=") for package in image.packages)
    assert any(entry.path == "/etc/vct/init" for entry in listing(image.path))


@EVERY
def test_an_image_has_no_identity_no_keys_and_no_traces_of_its_making(name: str, arch: str) -> None:
    files = [entry for entry in listing(artefact(name, arch)) if not entry.mode.startswith("d")]
    assert len(files) > 200
    assert [e.path for e in files if FORBIDDEN.fullmatch(e.path) or LOG.fullmatch(e.path)] == []


@EVERY
def test_no_password_opens_an_image(name: str, arch: str) -> None:
    fields = [line.split(":") for line in content(artefact(name, arch), "etc/shadow").splitlines()]
    assert {field[1] for field in fields} <= {"*", "!", "!*"}
    assert [field[1] for field in fields if field[0] == "root"] == ["*"]


@EVERY
def test_no_file_that_matters_can_be_written_by_others(name: str, arch: str) -> None:
    for entry in listing(artefact(name, arch)):
        if entry.mode[8] == "w" and entry.mode[0] in "-d":
            assert entry.mode[9] in "tT", entry
    modes = {entry.path: entry.mode for entry in listing(artefact(name, arch))}
    assert modes["/root"] == "drwx------"
    assert modes["/tmp"] == "drwxrwxrwt"
    assert not modes["/etc/shadow"].endswith("r--")


# --- booting -------------------------------------------------------------------------------------


@EVERY
def test_an_image_boots_as_a_container_of_its_architecture(name: str, arch: str) -> None:
    with booted(artefact(name, arch), arch) as box:
        ready(name, box)
        assert box.sh("uname -m").strip() == MACHINES[arch]
        if name != "sliver-busybox":
            assert box.sh("dpkg --print-architecture").strip() == arch


@EVERY
def test_an_image_halts_from_inside(name: str, arch: str) -> None:
    with booted(artefact(name, arch), arch) as box:
        ready(name, box)
        box.tell("halt")
        box.wait(box.is_stopped, "it is stopped")


@EVERY
def test_an_image_reboots_from_inside_and_lxc_can_halt_it(name: str, arch: str) -> None:
    with booted(artefact(name, arch), arch) as box:
        ready(name, box)
        before = box.pid
        box.tell("reboot")
        box.wait(lambda: box.pid not in (before, -1), "it has a new init")
        ready(name, box)
        box.stop("--nokill", "--timeout=20")  # asks only: SIGPWR
        assert box.is_stopped()


@pytest.mark.parametrize("name", ["sliver-busybox", "sliver-debian"])
def test_a_sliver_template_boots_and_halts_in_a_user_namespace(name: str) -> None:
    with booted(artefact(name), "amd64", shifted=True) as box:
        ready(name, box)
        assert box.sh("id -u; cat /proc/self/uid_map").split() == ["0", "0", "1000000", "65536"]
        box.tell("halt")
        box.wait(box.is_stopped, "it is stopped")


@pytest.mark.parametrize("name", ["base-debian", "node-debian", "sliver-debian"])
def test_debians_own_boot_scripts_work_too(name: str) -> None:
    tab = content(artefact(name), "etc/vct/inittab.full")
    node = {"etc/vct/node/inittab": tab} if name == "node-debian" else {"etc/inittab": tab}
    with booted(artefact(name), "amd64", files=node) as box:
        ready(name, box)
        assert "rcS" in box.sh("cat /etc/inittab")
        box.tell("halt")
        box.wait(box.is_stopped, "it is stopped")


# --- what whoever makes a sliver writes into it --------------------------------------------------

INTERFACES = """\
auto lo
iface lo inet loopback
  up ip addr add 192.0.2.7/32 dev lo
"""
EXPERIMENT = "#!/bin/sh\nhostname >/root/experiment\n"


@pytest.mark.parametrize("name", ["sliver-busybox", "sliver-debian"])
def test_a_sliver_is_what_was_written_into_it(name: str) -> None:
    written = {
        "etc/hostname": "sliver-0001\n",
        "etc/network/interfaces": INTERFACES,
        "etc/resolv.conf": "nameserver 192.0.2.1\n",
        "etc/rc.local": EXPERIMENT,
    }
    with booted(artefact(name), "amd64", files=written) as box:
        ready(name, box)
        assert box.sh("hostname").strip() == "sliver-0001"
        assert "192.0.2.7" in box.sh("ip addr show dev lo")
        box.wait(
            lambda: "sliver-0001" in box.sh("cat /root/experiment; :"), "the experiment has run"
        )


def test_init_scripts_of_an_experiment_start_as_in_confine() -> None:
    script = '#!/bin/sh\n[ "$1" = start ] && echo started >/root/experiment\n'
    with booted(artefact("sliver-debian"), "amd64", files={"etc/rc2.d/S94mine": script}) as box:
        ready("sliver-debian", box)
        box.wait(lambda: "started" in box.sh("cat /root/experiment; :"), "it has run")


@pytest.mark.parametrize("name", ["sliver-busybox", "sliver-debian"])
def test_its_key_opens_a_container_and_nothing_else_does(name: str, tmp_path: Path) -> None:
    for key in ("mine", "other"):
        process.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / key)])
    public = (tmp_path / "mine.pub").read_text()
    with booted(artefact(name), "amd64", files={"root/.ssh/authorized_keys": public}) as box:
        ready(name, box)
        assert login(box, tmp_path / "mine", tmp_path).stdout.strip() == "0"
        refused = login(box, tmp_path / "other", tmp_path)
        assert refused.code == 255
        assert "Permission denied (publickey)" in refused.stderr


def login(box: Booted, key: Path, directory: Path) -> process.Completed:
    """`id -u` by ssh; no key but this one, and the host key as it is met first."""
    options = [
        "IdentitiesOnly=yes",
        "StrictHostKeyChecking=accept-new",
        f"UserKnownHostsFile={directory}/hosts-{box.name}",
        "NumberOfPasswordPrompts=0",
        "ConnectTimeout=10",
    ]
    words = [word for option in options for word in ("-o", option)]
    ssh = ["ssh", "-F", "none", "-i", str(key), *words, "root@127.0.0.1", "id -u"]
    enter = ["nsenter", f"--net=/proc/{box.pid}/ns/net", "--"]
    return process.run([*enter, *ssh], check=False, timeout_s=30)


def test_two_slivers_of_one_template_have_different_host_keys() -> None:
    keys = []
    for _ in range(2):
        with booted(artefact("sliver-debian"), "amd64") as box:
            ready("sliver-debian", box)
            keys.append(box.sh("cat /etc/ssh/ssh_host_ed25519_key.pub").strip())
    assert all(key.startswith("ssh-ed25519 ") for key in keys)
    assert keys[0] != keys[1]


@pytest.mark.parametrize("arch", ["amd64", pytest.param("i386", marks=pytest.mark.slow, id="i386")])
def test_a_controller_that_is_nobodys_serves_with_secrets_of_its_own(arch: str) -> None:
    request = "import urllib.request as u; print(u.urlopen('http://localhost/health/').read())"
    with booted(artefact("controller", arch), arch) as box:
        ready("controller", box)
        box.wait(lambda: '"ok"' in box.sh(f'python3 -c "{request}" 2>&1; :'), "it is well")
        settings = box.sh("stat -c %a /etc/vct/controller/controller.json")
        assert settings.strip() == "600"


# --- 32 and 64 bits in one testbed ---------------------------------------------------------------


def test_a_32_bit_and_a_64_bit_node_reach_each_other(bed: Bed) -> None:
    for arch in MACHINES:
        built("node-debian", arch)
    bed.vct("init", str(EXAMPLES / "mixed.yaml"))
    says = {node: bed.sh(node, "dpkg --print-architecture").stdout.strip() for node in NODES}
    assert says == NODES
    assert bed.sh("0002", "uname -m").stdout.strip() == "i686"
    for source, target in (("0001", "0002.link"), ("0002", "0001.link"), ("0003", "0001")):
        bed.sh(source, f"ping -n -c2 -i0.2 -W2 rd{target}")


def test_nothing_of_these_tests_is_left() -> None:
    deadline = time.monotonic() + 10
    while process.run(["losetup", "-a"]).stdout.count("/var/lib/vct-test-boot"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert list(Path("/var/lib").glob("vct-test-boot*")) == []
