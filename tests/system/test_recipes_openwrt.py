"""The recipes that take OpenWrt's root file system, with a small one in its place: the layout of
OpenWrt and our busybox template's programs, served on loopback. No genuine OpenWrt is fetched.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.system.boots import booted
from tests.system.conftest import IMAGES, VCT
from vct.build import store
from vct.drivers import process

INIT = "#!/bin/busybox sh\nexec /bin/busybox sh /lib/standin-init\n"
PROGRAMS = (
    "sh", "cat", "sed", "rm", "mkdir", "ln", "mount", "sleep", "hostname", "ifup", "kill", "sync",
    "halt", "reboot", "poweroff", "find", "uname", "ip", "ls",
)  # fmt: skip


@dataclass(frozen=True)
class Mirror:
    """Files served on loopback, and a store of this module's own."""

    directory: Path
    url: str
    images: Path

    def add(self, name: str, files: dict[str, str | bytes], arch: str = "x86_64") -> str:
        """An archive as OpenWrt has it; its sha256."""
        (self.directory / name).write_bytes(openwrt(files, arch))
        return hashlib.sha256((self.directory / name).read_bytes()).hexdigest()

    def build(self, name: str, url: str, sha256: str, arch: str = "amd64") -> process.Completed:
        return process.run(
            [*VCT, "build", name, "--arch", arch, "--set", f"url={url}",
             "--set", f"sha256={sha256}"],
            env={"VCT_IMAGES": str(self.images)},
            check=False,
            timeout_s=120,
        )  # fmt: skip


class Silent(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *words: object) -> None:  # noqa: A002 - the base class'
        pass


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The busybox template's files."""
    process.run([*VCT, "build", "sliver-busybox"], env={"VCT_IMAGES": str(IMAGES)}, timeout_s=1200)
    packed = store.find_image(IMAGES, "sliver-busybox", "amd64").path
    root = tmp_path_factory.mktemp("template") / "root"
    process.run(["unsquashfs", "-quiet", "-no-progress", "-dest", str(root), str(packed)])
    return root


def openwrt(files: dict[str, str | bytes], arch: str) -> bytes:
    """A tar.gz with these files beside what every OpenWrt has."""
    everything: dict[str, str | bytes] = {
        "etc/openwrt_release": f"DISTRIB_ID='OpenWrt'\nDISTRIB_ARCH='{arch}'\n",
        "etc/shadow": "root:::0:99999:7:::\ndaemon:*:0:0:99999:7:::\n",
        "etc/inittab": "::sysinit:/etc/init.d/rcS S boot\n::shutdown:/etc/init.d/rcS K shutdown\n"
        "tty1::askfirst:/usr/libexec/login.sh\n",
        "etc/config/dropbear": "config dropbear\n\toption PasswordAuth 'on'\n",
        "etc/config/network": "config interface 'loopback'\n",
        "etc/hosts": "127.0.0.1 localhost\n",
        "usr/sbin/.keep": "",
        **files,
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in ("dev", "proc", "sys", "tmp", "root", "overlay", "etc/rc.d", "etc/ssh"):
            entry = tarfile.TarInfo(f"./{name}")
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            archive.addfile(entry)
        for name, target in (("var", "tmp"), *((f"bin/{one}", "busybox") for one in PROGRAMS)):
            entry = tarfile.TarInfo(f"./{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
        for name, text in everything.items():
            content = text.encode() if isinstance(text, str) else text
            entry = tarfile.TarInfo(f"./{name}")
            entry.size, entry.mode = (
                len(content),
                0o755 if content[:2] in (b"#!", b"\x7fE") else 0o644,
            )
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture(scope="module")
def standin(template: Path) -> dict[str, str | bytes]:
    """What makes the archive boot: busybox, dropbear and its libraries, an init."""
    libraries = [
        path for lib in ("lib", "lib64") for path in (template / lib).rglob("*") if path.is_file()
    ]
    programs = [template / "bin/busybox", template / "usr/sbin/dropbear"]
    files: dict[str, str | bytes] = {
        str(path.relative_to(template)): path.read_bytes() for path in [*libraries, *programs]
    }
    init = (
        (template / "etc/vct/init").read_text().replace(". /etc/vct/rc.boot", "ip link set lo up")
    )
    files |= {name: (template / name).read_text() for name in ("etc/passwd", "etc/group")}
    return files | {"sbin/init": INIT, "lib/standin-init": init}


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    directory, images = tmp_path_factory.mktemp("www"), tmp_path_factory.mktemp("openwrt")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(directory)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        port = server.server_address[1]
        yield Mirror(directory=directory, url=f"http://127.0.0.1:{port}", images=images / "store")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def sliver(mirror: Mirror, standin: dict[str, str | bytes]) -> store.Image:
    sha256 = mirror.add("openwrt-x86-64-rootfs.tar.gz", standin)
    done = mirror.build("sliver-openwrt", f"{mirror.url}/openwrt-x86-64-rootfs.tar.gz", sha256)
    assert done.code == 0, done.stderr
    return store.find_image(mirror.images, "sliver-openwrt", "amd64")


def content(image: store.Image, name: str) -> str:
    if image.path.is_dir():
        return (image.path / name).read_text()
    return process.run(["unsquashfs", "-cat", str(image.path), name]).stdout


def test_it_works(sliver: store.Image) -> None:
    with booted(sliver.path, "amd64") as box:
        box.wait(box.listens, "its ssh server listens")
        assert "DISTRIB_ID='OpenWrt'" in box.sh("cat /etc/openwrt_release")
        box.tell("halt")
        box.wait(box.is_stopped, "it is stopped")


def test_openwrts_open_door_is_shut(sliver: store.Image) -> None:
    assert content(sliver, "etc/shadow").startswith("root:*:")
    config = content(sliver, "etc/config/dropbear")
    assert "option PasswordAuth off" in config
    assert "option RootPasswordAuth off" in config


def test_it_asks_for_no_terminal_but_the_console(sliver: store.Image) -> None:
    lines = content(sliver, "etc/inittab").splitlines()
    assert [line for line in lines if "ask" in line] == ["::askconsole:/usr/libexec/login.sh"]
    assert [line for line in lines if line.startswith("::sysinit")] != []


def test_the_archive_of_another_architecture_is_refused(
    mirror: Mirror, standin: dict[str, str | bytes]
) -> None:
    sha256 = mirror.add("other.tar.gz", standin, arch="x86_64")
    done = mirror.build("sliver-openwrt", f"{mirror.url}/other.tar.gz", sha256, arch="i386")
    assert done.code == 1
    assert "this is OpenWrt for x86_64, not for i386" in done.stderr


def test_another_archive_than_the_one_that_was_named_is_refused(mirror: Mirror) -> None:
    mirror.add("changed.tar.gz", {})
    done = mirror.build("sliver-openwrt", f"{mirror.url}/changed.tar.gz", "0" * 64)
    assert done.code == 1
    assert "sha256" in done.stderr


def test_a_recipe_that_was_not_told_says_what_it_needs(mirror: Mirror) -> None:
    done = process.run(
        [*VCT, "build", "sliver-openwrt"], env={"VCT_IMAGES": str(mirror.images)}, check=False
    )
    assert done.code == 2
    assert "sliver-openwrt.yaml" in done.stderr
    assert "needs --set url=… --set sha256=…" in done.stderr


# --- as a node -----------------------------------------------------------------------------------


def test_a_node_needs_the_ssh_server_that_a_testbed_talks_to(
    mirror: Mirror, standin: dict[str, str | bytes]
) -> None:
    sha256 = mirror.add("no-sshd.tar.gz", standin)
    done = mirror.build("node-openwrt", f"{mirror.url}/no-sshd.tar.gz", sha256)
    assert done.code == 1
    assert "this OpenWrt has no openssh-server" in done.stderr


def test_a_node_is_made_from_a_file_and_has_its_own_things_in_one_directory(
    mirror: Mirror, standin: dict[str, str | bytes]
) -> None:
    sha256 = mirror.add("node.tar.gz", standin | {"usr/sbin/sshd": "#!/bin/sh\n"})
    done = mirror.build("node-openwrt", f"file://{mirror.directory}/node.tar.gz", sha256)
    assert done.code == 0, done.stderr
    root = store.find_image(mirror.images, "node-openwrt", "amd64").path
    assert (root / "etc/vct/init").readlink() == Path("/sbin/init")
    assert (root / "etc/hosts").readlink() == Path("/etc/vct/node/hosts")
    config = (root / "etc/ssh/sshd_config").read_text()
    assert "HostKey /etc/vct/node/ssh_host_ed25519_key" in config
    assert "PasswordAuthentication no" in config
