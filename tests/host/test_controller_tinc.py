"""The controller's scripts around tincd, as root, in namespaces of their own with a real tincd.

What is below the controller's directory is written by its user, who may be anybody's puppet.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.host.mesh import new_key
from vct.wire import tinc

UID = 810
PATIENCE_S = 20.0
IMAGE = Path("images/controller/etc/vct").resolve()
SERVER_KEY, NODE_KEY, OTHER_KEY = 0, 1, 2
# what the container's boot has done, and its init would do
WORLD = """
mount -t tmpfs run /run
mount -t tmpfs log /var/log
mount -t tmpfs data /var/lib
mkdir /run/upper /run/work
mount -t overlay etc -o lowerdir=/etc,upperdir=/run/upper,workdir=/run/work /etc
echo "vct:x:810:810::/var/lib/vct-controller:/bin/sh" >>/etc/passwd
echo "vct:x:810:" >>/etc/group
cp -r "$1" /etc/vct
mkdir /etc/vct/controller
: >/etc/vct/controller/controller.json
mkdir -p /etc/tinc
ln -sfn /run/tinc /etc/tinc/confine
install -d -m 700 -o vct -g vct /var/lib/vct-controller /var/lib/vct-controller/pki
install -d -o vct -g vct /var/lib/vct-controller/tinc /var/lib/vct-controller/tinc/hosts
. /etc/vct/boot.d/10-controller
/etc/vct/controller-tinc watch &
/etc/vct/controller-tinc serve &
touch /run/ready
wait
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """What is inside, seen from outside."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "var/lib/vct-controller"

    @property
    def conf(self) -> Path:
        return self.root / "run/tinc"

    @property
    def log(self) -> str:
        path = self.root / "var/log/vct-controller/tinc.log"
        return path.read_text() if path.exists() else ""

    def put(self, name: str, text: str) -> None:
        """As the controller does."""
        part = self.data / f"{name}.part"
        part.write_text(text)
        os.chown(part, UID, UID)
        part.rename(self.data / name)

    def tell(self) -> None:
        end = os.open(self.root / "run/vct-controller/changed", os.O_WRONLY | os.O_NONBLOCK)
        os.write(end, b"\n")
        os.close(end)

    def seen(self) -> dict[str, tuple[int, int]]:
        """Mode and time of everything that tincd is told."""
        return {
            str(path.relative_to(self.conf)): (path.stat().st_mode & 0o777, path.stat().st_mtime_ns)
            for path in self.conf.rglob("*")
            if path.is_file() and not path.name.startswith("tinc-")
        }


@cache
def key(number: int) -> tuple[str, str]:
    """Private and public, in PEM; the same for the same number."""
    with TemporaryDirectory() as place:
        public = new_key(Path(place) / str(number))
        return (Path(place) / str(number) / "rsa_key.priv").read_text(), public


def wait_for(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def host(number: int, network: str, at: str = "") -> str:
    addresses = f"Address = {at} 655\n" if at else ""
    return f"{addresses}Subnet = {network}\n\n{key(number)[1]}"


@pytest.fixture
def container() -> Iterator[Container]:
    argv = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    argv += ["--propagation", "private", "sh", "-ec", WORLD, "sh", str(IMAGE)]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        wait_for(lambda: process.poll() is not None or bool(children.read_text()))
        root = Path(f"/proc/{children.read_text().strip()}/root")
        wait_for(lambda: process.poll() is not None or (root / "run/ready").exists())
        assert process.poll() is None
        yield Container(root=root)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def mesh(container: Container) -> Container:
    """One with a server and a node that it connects to."""
    container.put("pki/tinc.key", key(SERVER_KEY)[0])
    container.put("tinc/hosts/server", host(SERVER_KEY, "fd65:fc41:c50f::2/128"))
    container.put("tinc/hosts/node_1", host(NODE_KEY, "fd65:fc41:c50f:1::/64", "192.0.2.1"))
    container.put("tinc/address", "fd65:fc41:c50f::2\n")
    container.put("tinc/connect", "node_1\n")
    container.tell()
    wait_for(lambda: "Ready" in container.log)
    return container


def test_it_works(mesh: Container) -> None:
    assert {name: mode for name, (mode, _) in mesh.seen().items()} == {
        "tinc.conf": 0o644,
        "address": 0o644,
        "rsa_key.priv": 0o600,
        "hosts/server": 0o644,
        "hosts/node_1": 0o644,
    }
    conf = tinc.parse_conf((mesh.conf / "tinc.conf").read_text())
    assert conf == tinc.Conf(name="server", connect_to=("node_1",), strict=True)
    there = (mesh.root / "proc/1/net/if_inet6").read_text()
    assert "fd65fc41c50f00000000000000000002" in there


def test_without_a_mesh_nothing_runs(container: Container) -> None:
    container.tell()
    time.sleep(0.5)
    assert container.log == ""
    assert container.seen() == {}


def test_only_what_changed_is_written_and_tincd_is_told(mesh: Container) -> None:
    before = mesh.seen()
    mesh.put("tinc/hosts/node_1", host(OTHER_KEY, "fd65:fc41:c50f:1::/64", "192.0.2.1"))
    mesh.tell()
    wait_for(lambda: "Got HUP signal" in mesh.log)
    after = mesh.seen()
    assert {name for name in after if after[name] != before[name]} == {"hosts/node_1"}


def test_who_leaves_is_forgotten(mesh: Container) -> None:
    (mesh.data / "tinc/hosts/node_1").unlink()
    mesh.put("tinc/connect", "")
    mesh.tell()
    wait_for(lambda: "Got HUP signal" in mesh.log)
    assert "hosts/node_1" not in mesh.seen()
    assert "ConnectTo" not in (mesh.conf / "tinc.conf").read_text()


def test_a_mesh_that_is_not_wanted_any_more_ends(mesh: Container) -> None:
    (mesh.data / "tinc/connect").unlink()
    mesh.tell()
    wait_for(lambda: "Terminating" in mesh.log)
    assert "tinc.conf" not in mesh.seen()


def test_only_plain_files_with_proper_names_are_taken(mesh: Container) -> None:
    hosts = mesh.data / "tinc/hosts"
    (mesh.root / "run/secret").write_text("secret")
    (mesh.root / "run/secret").chmod(0o600)
    for name in ("node_1-up", "node.2", ".hidden", "a b", "a\nb", "x;reboot"):
        (hosts / name).write_text("#!/bin/sh\ntouch /run/was-run\n")
        (hosts / name).chmod(0o755)
    (hosts / "evil").symlink_to("/run/secret")
    (hosts / "directory").mkdir()
    os.mkfifo(hosts / "fifo")
    mesh.put("tinc/tinc-up", "#!/bin/sh\ntouch /run/was-run\n")
    mesh.put("tinc/hosts/node_2", host(OTHER_KEY, "fd65:fc41:c50f:2::/64"))
    mesh.put("tinc/connect", "node_1\nnode_2\nevil\n../x\nnode_2 x\nName = evil\n-x\n\nnode_9")
    mesh.tell()
    wait_for(lambda: "hosts/node_2" in mesh.seen())
    wait_for(lambda: "Got HUP signal" in mesh.log)
    names = {name for name in mesh.seen() if name.startswith("hosts/")}
    assert names == {"hosts/server", "hosts/node_1", "hosts/node_2"}
    conf = tinc.parse_conf((mesh.conf / "tinc.conf").read_text())
    assert conf == tinc.Conf(name="server", connect_to=("node_1", "node_2"), strict=True)
    assert not (mesh.root / "run/was-run").exists()


@pytest.mark.parametrize("where", ["hosts", "."])
def test_a_directory_that_leads_elsewhere_gives_nothing_away(mesh: Container, where: str) -> None:
    """What root may read and the controller's user may not stays there."""
    private = mesh.root / "run/private"
    (private / "hosts").mkdir(mode=0o700, parents=True)
    private.chmod(0o700)
    (private / "hosts/secret").write_text("secret")
    for name in ("connect", "address"):
        (private / name).write_text((mesh.data / "tinc" / name).read_text())
    place = mesh.data / "tinc" / where
    place.rename(mesh.data / "away")
    place.symlink_to("/run/private/hosts" if where == "hosts" else "/run/private")
    mesh.tell()
    wait_for(lambda: "hosts/node_1" not in mesh.seen() or "tinc.conf" not in mesh.seen())
    assert "hosts/secret" not in mesh.seen()


@pytest.mark.parametrize("address", ["", "$(touch /run/was-run)", "::1/0 dev lo; reboot"])
def test_an_address_that_is_none_changes_nothing(mesh: Container, address: str) -> None:
    before = mesh.seen()
    mesh.put("tinc/address", f"{address}\n")
    mesh.put("tinc/connect", "")
    mesh.tell()
    time.sleep(0.5)
    assert mesh.seen() == before
    assert not (mesh.root / "run/was-run").exists()


def test_another_key_is_used_by_another_tincd(mesh: Container) -> None:
    mesh.put("pki/tinc.key", key(OTHER_KEY)[0])
    mesh.tell()
    wait_for(lambda: "Terminating" in mesh.log)
    assert (mesh.conf / "rsa_key.priv").read_text() == key(OTHER_KEY)[0]


def test_a_pid_that_is_somebody_elses_now_gets_no_signal(mesh: Container) -> None:
    """The file of a tincd that was killed names whoever came after it."""
    pidfile = mesh.root / "run/tinc.confine.pid"
    inside = pidfile.read_text().strip()
    (mesh.root / "run/tinc.confine.pid").write_text("1\n")  # the shell of this container
    mesh.put("tinc/connect", "")
    mesh.tell()
    wait_for(lambda: "ConnectTo" not in (mesh.conf / "tinc.conf").read_text())
    assert (mesh.root / "proc/1/comm").read_text().strip() == "sh"
    assert (mesh.root / "proc" / inside / "comm").read_text().strip() == "tincd"
