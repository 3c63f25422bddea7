"""Making trouble on purpose: signals at a chosen step of a verb, and waiting for the end of it."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.system.conftest import IMAGES, VCT, Bed
from tests.system.signalling import NEVER
from vct import names
from vct.drivers import process
from vct.drivers.containers import ContainerDriver, locks_of
from vct.drivers.files import node_directories
from vct.model.load import load_testbed
from vct.paths import Home, TestbedPaths
from vct.verbs import testbed as verbs

PATIENCE_S = 60.0
SIGNALLING = Path(__file__).with_name("signalling.py")


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; fail with what it was when it does not come."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.001)


def talking(bed: Bed, *arguments: str) -> process.Process:
    """Start `vct --json …`; the caller reads what it says and ends it."""
    argv = [*VCT, "--json", *arguments]
    return process.start(argv, env=bed.environment, new_session=True, stdout=process.PIPE)


def vct_with(bed: Bed, environment: dict[str, str], *arguments: str) -> process.Completed:
    """Run vct with more in its environment."""
    told = bed.environment | environment
    return process.run([*VCT, *arguments], env=told, check=False, timeout_s=120)


def journal(bed: Bed) -> Path:
    """The testbed's journal."""
    return bed.home / "testbeds" / bed.name / "journal.jsonl"


def lines_of(bed: Bed) -> list[dict[str, Any]]:
    """The journal's whole lines."""
    file = journal(bed)
    text = file.read_text() if file.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def signalling(
    bed: Bed,
    arguments: tuple[str, ...],
    kind: str,
    *numbers: signal.Signals,
    after_s: float = 0.002,
) -> process.Process:
    """Start vct, which gets these signals when its journal tells that a step of this kind begins.

    They come while the step is under way: vct waits for the first one before the step is over.
    """
    told = ",".join(str(int(number)) for number in numbers)
    argv = [sys.executable, str(SIGNALLING), kind, str(after_s), told, *arguments]
    return process.start(argv, env=bed.environment, new_session=True, stdout=process.PIPE)


def signalled(
    bed: Bed,
    arguments: tuple[str, ...],
    kind: str,
    *numbers: signal.Signals,
    after_s: float = 0.002,
) -> int:
    """Run vct to its end with signals at a step; its exit code. There must be such a step."""
    running = signalling(bed, arguments, kind, *numbers, after_s=after_s)
    running.communicate(timeout=PATIENCE_S)
    assert running.returncode != NEVER, f"vct {arguments} has no step {kind}"
    return running.returncode


def steps_left(bed: Bed, verb: str, word: str = "") -> list[str]:
    """What `init FILE` or `cleanup [--flush]` would do, asked for in this process."""
    home = Home(root=bed.home, images=IMAGES)
    if verb == "init":
        plan = verbs.plan_init(home, load_testbed(Path(word), bed.name)).plan
    else:
        plan = verbs.plan_end(home, bed.name, flush=word == "--flush")
    return [f"{step.action} {step.thing}" for step in plan.steps]


def sleeps_in_select(pid: int) -> bool:
    """Whether a process' main thread waits in epoll, as `init` does for nodes' ssh servers.

    By its open files: the kernel does not tell everywhere where a process sleeps.
    """
    try:
        files = [str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()]
    except FileNotFoundError:
        return False
    return "anon_inode:[eventpoll]" in files and not any("/lock" in file for file in files)


def paths_of(bed: Bed) -> TestbedPaths:
    """The testbed's files."""
    return Home(root=bed.home).testbed(bed.name)


def node_pids(bed: Bed) -> dict[str, int]:
    """Node to its init's process, of those that run."""
    driver, paths = ContainerDriver(paths_of(bed)), paths_of(bed)
    states = {node: driver.state(node) for node in node_directories(paths)}
    return {node: pid for node, (state, pid) in states.items() if state == "RUNNING"}


def processes(part: str) -> list[int]:
    """Processes whose command line, words joined by spaces, has this in it."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            command = (directory / "cmdline").read_text(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if part in command and int(directory.name) != os.getpid():
            found.append(int(directory.name))
    return found


def kill_all(pids: list[int]) -> None:
    """Kill these processes, of which there must be some, and wait for their end.

    Their command lines and executables are gone earlier, when they still hold their ports.
    """
    assert pids, "nothing to kill"
    handles = {os.pidfd_open(pid): pid for pid in pids}
    for handle, pid in handles.items():
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        assert select.select([handle], [], [], PATIENCE_S)[0], f"process {pid} does not end"
        os.close(handle)


def reboot(bed: Bed) -> None:
    """What a reboot of the host does to a testbed: processes, network and /run are gone; files
    stay. (Control groups stay here, which a reboot would take: the harder case.)"""
    paths = paths_of(bed)
    kill_all(processes(f"[lxc monitor] {paths.nodes} "))
    kill_all(processes(f"--conf-file={paths.run}"))
    for pid in processes(f"relay_process {bed.name} "):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not node_pids(bed), "the nodes' end")
    for name in [names.node_namespace(bed.name, node) for node in node_directories(paths)]:
        process.run(["ip", "netns", "del", name])
    process.run(["ip", "netns", "del", names.fabric_namespace(bed.name)])
    uplink = Path("/sys/class/net") / names.uplink_interface(bed.name)
    until(lambda: not uplink.exists(), "the kernel's removal of the uplink")
    process.run(["nft", "delete", "table", "ip", names.firewall_table(bed.name)])
    shutil.rmtree(paths.run)
    shutil.rmtree(locks_of(paths))
