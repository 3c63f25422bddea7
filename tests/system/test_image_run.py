"""`vct image run`: containers straight from an image, which leave nothing however they end.

`plain` is base-debian packed as a squashfs file, as somebody else's image: without an init of ours.
`node` is node-debian, packed.
"""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.system import snapshot
from tests.system.conftest import IMAGES, VCT, Bed
from tests.system.handmade import pack
from tests.system.runs import UP, Runs
from tests.system.trouble import PATIENCE_S, processes, until
from vct.build import store, usage
from vct.drivers import guest, process
from vct.drivers.disk_image import loop_devices
from vct.drivers.layers import Layers
from vct.drivers.lxc_config import INIT
from vct.drivers.run_config import group_of
from vct.errors import RefusedError

CYCLES = 9  # of each way to end: 54 in all
READY = "until cat /proc/[0-9]*/comm | grep -q getty; do sleep 0.1; done"
# As a service that is slow to end would: the system goes all its way down before it is killed.
BOOTED = f"trap '' TERM; {READY}; {UP}"


@pytest.fixture(scope="module")
def images(node_image: Path) -> Iterator[Path]:
    place = Path("/var/lib") / f"vct-test-{uuid.uuid4().hex[:8]}-images"
    try:
        base = store.find_image(IMAGES, "base-debian", "amd64")
        pack("plain", base, place, without=INIT.lstrip("/"))
        pack("node", store.find_image(IMAGES, "node-debian", "amd64"), place)
        yield place
    finally:
        shutil.rmtree(place)


@pytest.fixture
def here(shared_bed: Bed, images: Path) -> Iterator[Runs]:
    """All tests share a state root; after the last one the host must be as before."""
    runs = Runs(home=shared_bed.home, name=shared_bed.name, images=images)
    yield runs
    for name in runs.names():
        runs.vct("image", "runs", "--remove", name)


@pytest.fixture
def alone(bed: Bed, images: Path) -> Runs:
    """A state root for one test."""
    return Runs(home=bed.home, name=bed.name, images=images)


def test_it_works(here: Runs) -> None:
    assert here.run("plain", "--", "cat", "/etc/debian_version").stdout.startswith("12")
    assert here.names() == []


# --- a command -----------------------------------------------------------------------------------


def test_the_exit_code_is_the_commands(here: Runs) -> None:
    assert here.run("plain", "--", "sh", "-c", "exit 7", check=False).code == 7
    assert here.run("plain", "--", "no-such-thing", check=False).code == 127


def test_the_command_gets_what_comes_in(here: Runs) -> None:
    assert here.run("plain", "--", "wc", "-c", stdin="12345").stdout == "5\n"


def test_options_after_the_dashes_are_the_commands(here: Runs) -> None:
    assert here.run("plain", "--", "echo", "--rm", "--name").stdout == "--rm --name\n"


def test_as_json_there_are_code_and_both_outputs(here: Runs) -> None:
    done = here.vct(
        "--json",
        "image",
        "run",
        "plain",
        "--",
        "sh",
        "-c",
        "echo a; echo b >&2; exit 3",
        check=False,
    )
    assert done.code == 3
    assert '"stdout": "a\\n"' in done.stdout
    assert '"stderr": "b\\n"' in done.stdout


def test_there_is_no_network_but_lo(here: Runs) -> None:
    script = "ls /sys/class/net; cat /sys/class/net/lo/operstate; cat /proc/net/dev | wc -l"
    assert here.run("plain", "--", "sh", "-c", script).stdout.split() == ["lo", "unknown", "3"]


def test_proc_is_as_apparmor_and_boot_scripts_want_it(here: Runs) -> None:
    """A read-only /proc kept the original's slivers from starting on AppArmor hosts."""
    same = "cat /proc/sys/vm/swappiness >/proc/sys/vm/swappiness"
    script = f"echo 100 >/proc/self/oom_score_adj && ls /proc/self/attr; {same}"
    done = here.run("plain", "--", "sh", "-c", script, check=False)
    assert "current" in done.stdout.split()
    assert "Read-only file system" in done.stderr  # what is not a process' own


def test_a_directory_image_runs_too(shared_bed: Bed) -> None:
    assert shared_bed.vct("image", "run", "base-debian", "--", "echo", "up").stdout == "up\n"


# --- a booted system -----------------------------------------------------------------------------


def test_without_a_command_the_image_boots_and_there_is_a_shell(here: Runs) -> None:
    done = here.run("plain", stdin="cat /proc/1/comm; tty; exit 4\n", check=False)
    assert done.stdout.splitlines() == ["init", "not a tty"]
    assert done.code == 4


def test_at_a_terminal_ctrl_c_is_the_containers(here: Runs) -> None:
    ours, theirs = pty.openpty()
    shell = process.start(
        ["setsid", "--ctty", "--wait", *VCT, "image", "run", "plain"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=here.environment,
    )
    try:
        assert read_until(ours, "# ")
        os.write(ours, b"sh -c 'echo a${x}b; exec sleep 1000'\n")
        assert "ab" in read_until(ours, "ab")
        os.write(ours, b"\x03")
        assert read_until(ours, "# ")
        os.write(ours, b"echo c${x}d; exit 6\n")
        assert "cd" in read_until(ours, "cd")
        assert shell.wait(timeout=PATIENCE_S) == 6
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)
        os.close(theirs)


def read_until(descriptor: int, word: str) -> str:
    text, deadline = "", time.monotonic() + PATIENCE_S
    while word not in text and time.monotonic() < deadline:
        if select.select([descriptor], [], [], 1)[0]:
            text += os.read(descriptor, 4096).decode(errors="replace")
    return text


def test_halt_inside_ends_the_run(here: Runs) -> None:
    script = f"{READY}\nhalt; sleep 100\n"
    assert here.run("node", stdin=script).code == 0


def test_after_a_reboot_there_is_another_shell_on_the_same_files(here: Runs) -> None:
    script = f"{READY}\necho mine >/root/note\nreboot; sleep 100\ncat /root/note\n"
    assert here.run("node", stdin=script).stdout.splitlines()[-1] == "mine"


# --- the writable layer --------------------------------------------------------------------------


def test_a_full_layer_is_its_own_containers_trouble(here: Runs) -> None:
    fill = "dd if=/dev/zero of=/big bs=1M count=100; df --output=size,avail -m / | tail -1; " + UP
    with here.running("full", "--size", "32MiB", script=f"({fill}) 2>&1 | cat >/out & {UP}"):
        until(lambda: "up" in here.attach("full", "cat", "/out").stdout, "a full disk")
        told = here.attach("full", "cat", "/out").stdout
        other = here.run("plain", "--size", "32MiB", "--", "sh", "-c", "echo x >/y && cat /y")
    assert "No space left on device" in told
    size, available = map(int, told.splitlines()[-2].split())
    assert 24 <= size <= 32
    assert available <= 1
    assert other.stdout == "x\n"


def test_the_image_is_left_as_it_is(here: Runs) -> None:
    file = store.find_image(here.images, "plain", "amd64").path
    before = file.stat()
    here.run("plain", "--", "sh", "-c", "rm -rf /usr/share/doc; echo x >/etc/debian_version")
    assert here.run("plain", "--", "cat", "/etc/debian_version").stdout.startswith("12")
    assert file.stat().st_mtime_ns == before.st_mtime_ns


def test_a_named_run_goes_on_where_it_ended(here: Runs) -> None:
    here.run("plain", "--name", "mine", "--size", "32MiB", "--", "sh", "-c", "echo a >>/root/note")
    here.run("plain", "--name", "mine", "--", "sh", "-c", "echo b >>/root/note")
    (seen,) = here.json("image", "runs")
    assert (seen["name"], seen["running"], seen["run"]["size_mib"]) == ("mine", False, 32)
    assert here.run("plain", "--name", "mine", stdin="cat /root/note\n").stdout == "a\nb\n"
    here.run("plain", "--name", "mine", "--rm", "--", "true")
    assert here.names() == []


def test_a_named_run_is_of_one_image_and_size(here: Runs) -> None:
    here.run("plain", "--name", "mine", "--", "true")
    for wanted in (["node"], ["plain", "--size", "64MiB"]):
        done = here.run(*wanted, "--name", "mine", "--", "true", check=False)
        assert done.code == 4
        assert "vct image runs --remove mine" in done.stderr


def test_an_image_that_a_run_needs_is_not_removed(here: Runs) -> None:
    here.run("plain", "--name", "mine", "--", "true")
    done = here.vct("image", "remove", "plain", check=False)
    assert done.code == 4
    assert "run mine" in done.stderr


def test_a_run_that_is_running_is_locked(here: Runs) -> None:
    with here.running("mine"):
        assert here.run("plain", "--name", "mine", "--", "true", check=False).code == 4
        assert here.vct("image", "runs", "--remove", "mine", check=False).code == 4
        assert here.json("image", "runs")[0]["running"]
        image = store.find_image(here.images, "plain", "amd64").path
        assert usage.mounted_by(image)


def test_a_wrong_size_or_image_is_told(here: Runs) -> None:
    assert here.run("plain", "--size", "12", "--", "true", check=False).code == 2
    assert "not built" in here.run("nothing", "--", "true", check=False).stderr
    assert here.names() == []


# --- the guard -----------------------------------------------------------------------------------


def test_a_configuration_that_lost_its_root_is_never_started(here: Runs) -> None:
    here.run("plain", "--name", "mine", "--", "true")
    paths = here.state.image_run("mine")
    image = store.find_image(here.images, "plain", "amd64").path
    layers = Layers(image=image, place=paths.root, below=paths.below)
    text = paths.config.read_text()
    paths.config.write_text(text.replace("lxc.rootfs.path", "#"))
    container = guest.Guest(
        called="run mine",
        name="mine",
        lxc_path=here.state.image_runs,
        layers=layers,
        group=group_of(here.state.image_runs, "mine"),
        again="",
    )
    for wanted in (text, paths.config.read_text()):
        with pytest.raises(RefusedError, match="root file system: none"):
            guest.verify(container, wanted)
    here.run("plain", "--name", "mine", "--", "true")  # written anew


def test_an_image_without_an_init_of_ours_is_not_started_as_a_node(here: Runs) -> None:
    done = here.vct(
        "init", str(here.file('nodes: {"0001": {image: plain, disk: 64MiB}}\n')), check=False
    )
    assert done.code == 1
    assert f"it has no {INIT}" in done.stderr


# --- endings -------------------------------------------------------------------------------------


def stop(here: Runs, name: str, _running: process.Process) -> None:
    process.run(["lxc-stop", "-k", "-P", str(here.state.image_runs), "-n", name])


def halt(here: Runs, name: str, _running: process.Process) -> None:
    here.attach(name, "halt")


def reboot(here: Runs, name: str, running: process.Process) -> None:
    here.attach(name, "reboot")
    until(lambda: running.poll() is not None, "the end of the command, and of the run with it")


def kill_init(here: Runs, name: str, _running: process.Process) -> None:
    os.kill(here.pid(name), signal.SIGKILL)


def kill_monitor(here: Runs, name: str, _running: process.Process) -> None:
    (monitor,) = processes(f"[lxc monitor] {here.state.image_runs} {name}")
    os.kill(monitor, signal.SIGKILL)


def interrupt(_here: Runs, _name: str, running: process.Process) -> None:
    running.send_signal(signal.SIGINT)


Ending = Callable[[Runs, str, process.Process], None]
ENDINGS: tuple[Ending, ...] = (stop, halt, reboot, kill_init, kill_monitor, interrupt)


def test_however_runs_end_they_leave_nothing(here: Runs) -> None:
    """In CYCLES rounds, all ways at once."""
    here.run("plain", "--", "true")
    before = snapshot.take(here.home)

    def cycle(number: int, ending: Ending) -> None:
        name = f"{ending.__name__.replace('_', '-')}-{number}"
        script = BOOTED if ending in (halt, reboot) else UP
        boot = ["--boot"] if ending in (halt, reboot) else []
        with here.running(name, "--rm", "--size", "16MiB", *boot, script=script) as running:
            ending(here, name, running)
            code = running.wait(timeout=PATIENCE_S)
        assert code == (130 if ending is interrupt else 137), f"{name}: {code}"

    with ThreadPoolExecutor(max_workers=4) as pool:
        cycles = [pool.submit(cycle, number, way) for number in range(CYCLES) for way in ENDINGS]
        for one in cycles:
            one.result()
    assert snapshot.leaks(before, here.home) == {}
    assert not loop_devices(here.images)


def test_what_a_killed_vct_leaves_is_cleared_by_the_next(here: Runs) -> None:
    with here.running("left", "--rm") as running:
        running.kill()
        running.wait()
        assert here.names() == ["left"]
        here.run("plain", "--", "true")
        assert here.names() == []


def test_purge_removes_runs(alone: Runs) -> None:
    alone.run("plain", "--name", "mine", "--", "true")
    with alone.running("left") as running:
        running.kill()
        running.wait()
        alone.vct("--yes", "purge")
    assert not alone.home.exists()


# --- nodes from squashfs images ------------------------------------------------------------------


def test_a_node_from_a_squashfs_image_is_a_node(here: Runs) -> None:
    text = 'nodes: {"0001": {image: node, disk: 64MiB}}\n'
    assert here.init(text)["ready"] == ["0001"]
    assert here.json("--dry-run", "init", str(here.file(text)))["steps"] == []
    root = process.run(["losetup", "-a"]).stdout
    assert store.find_image(here.images, "node", "amd64").path.name in root
    here.sh("0001", "echo mine >/root/note")
    here.vct("node", "restart", "0001")
    assert here.sh("0001", "cat /root/note").stdout == "mine\n"
    here.vct("node", "stop", "0001")
    place = Path(here.json("node", "mount", "0001")["0001"])
    assert (place / "root/note").read_text() == "mine\n"
    assert (place / "etc/debian_version").exists()
    here.vct("node", "unmount", "0001")
    here.vct("cleanup", "--flush")
    until(lambda: not loop_devices(here.images), "the release of the image")
