"""The verbs for nodes, on a running pair: get inside, copy, look at disks, stop, start, remove.

All tests of this module share one testbed: 0001 boots the short way on a small disk, 0002 with all
of Debian's scripts and little memory. Tests that change something bring it back.
"""

from __future__ import annotations

import os
import pty
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import VCT, Bed
from vct.drivers import process
from vct.drivers.containers import ContainerDriver
from vct.paths import Home, TestbedPaths

PAIR = """\
nodes:
  "0001": {disk: 64MiB}
  "0002": {boot: full, memory: 96MiB}
links:
  - {between: ["0001", "0002"], rate: 50mbit, loss: 0.01%, name: fast}
  - {between: ["0001", "0002"], delay: 5ms, name: slow}
"""


@pytest.fixture(scope="module")
def up(shared_bed: Bed) -> Bed:
    shared_bed.init(PAIR)
    return shared_bed


@pytest.fixture
def pair(up: Bed) -> Bed:
    assert up.init(PAIR)["ready"] == ["0001", "0002"]
    return up


def paths(bed: Bed) -> TestbedPaths:
    return Home(root=bed.home).testbed(bed.name)


def state(bed: Bed, node: str) -> str:
    return str(next(n["state"] for n in bed.json("node", "list") if n["id"] == node))


def wait(condition: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"gave up waiting for {what}"
        time.sleep(0.05)


def applied(bed: Bed) -> list[Any]:
    return [
        (link["name"], link["ok"], link["engine"], link["forward"]["applied"])
        for link in bed.json("link", "list")
    ]


def test_it_works(pair: Bed) -> None:
    assert state(pair, "0001") == state(pair, "0002") == "ready"


def test_the_full_boot_has_run_debians_scripts(pair: Bed) -> None:
    assert pair.sh("0002", "readlink /etc/vct/node/inittab").stdout.strip().endswith("full")
    assert pair.sh("0002", "runlevel").stdout.split() == ["N", "2"]
    assert not pair.json("status")["differences"]


# --- exec ----------------------------------------------------------------------------------------


def test_exec_ends_with_the_commands_exit_code(pair: Bed) -> None:
    assert pair.vct("node", "exec", "0001", "--", "sh", "-c", "exit 7", check=False).code == 7


def test_exec_passes_its_input_to_the_command(pair: Bed) -> None:
    assert pair.vct("node", "exec", "0001", "--", "wc", "-c", stdin="12345").stdout == "5\n"


def test_exec_on_several_nodes_says_who_said_what(pair: Bed) -> None:
    assert (
        pair.vct("node", "exec", "all", "--", "hostname").stdout == "0001: rd0001\n0002: rd0002\n"
    )


def test_exec_on_several_nodes_ends_with_the_first_failure(pair: Bed) -> None:
    script = 'test "$(hostname)" = rd0001 || exit 3'
    assert pair.vct("node", "exec", "all", "--", "sh", "-c", script, check=False).code == 3


def test_exec_as_json_has_code_and_both_outputs(pair: Bed) -> None:
    words = ["--json", "node", "exec", "0001", "--", "sh", "-c", "echo out; echo err >&2; exit 4"]
    done = pair.vct(*words, check=False)
    assert done.code == 4
    assert '"stdout": "out\\n"' in done.stdout
    assert '"stderr": "err\\n"' in done.stdout


def test_a_command_that_a_node_has_not_is_127(pair: Bed) -> None:
    assert pair.vct("node", "exec", "0001", "--", "no-such-thing", check=False).code == 127


# --- ssh, scp, console ---------------------------------------------------------------------------


def test_ssh_runs_a_command_and_ends_with_its_code(pair: Bed) -> None:
    done = pair.vct("node", "ssh", "0001", "--", "hostname; exit 5", check=False)
    assert (done.code, done.stdout) == (5, "rd0001\n")


def test_ssh_passes_its_input(pair: Bed) -> None:
    assert pair.vct("node", "ssh", "0002", "--", "wc", "-c", stdin="123").stdout == "3\n"


def test_ssh_leaves_known_hosts_of_the_user_alone(pair: Bed) -> None:
    def known() -> list[tuple[Path, float]]:
        return [(file, file.stat().st_mtime) for file in Path("/root/.ssh").glob("known_hosts*")]

    before = known()
    pair.vct("node", "ssh", "all", "--", "true")
    assert known() == before


def test_a_host_key_that_changed_is_refused(pair: Bed) -> None:
    pinned = paths(pair).node("0001").known_hosts
    right = pinned.read_text()
    other = paths(pair).node("0002").known_hosts.read_text().split(" ", 1)[1]
    pinned.write_text(f"rd0001 {other}")
    try:
        done = pair.vct("node", "ssh", "0001", "--", "true", check=False)
    finally:
        pinned.write_text(right)
    assert done.code == 255
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in done.stderr


def test_only_the_testbeds_key_opens_a_node(pair: Bed) -> None:
    options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    inside = ["ip", "netns", "exec", f"vct-{pair.name}", "ssh", "-F", "none", "-o", "BatchMode=yes"]
    done = process.run([*inside, *options, "root@10.241.0.1", "true"], check=False, timeout_s=20)
    assert done.code == 255
    assert "Permission denied (publickey)" in done.stderr


def test_scp_copies_both_ways(pair: Bed, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("text of mine\n")
    pair.vct("node", "scp", "all", str(tmp_path / "there"), "remote:/root/file")
    pair.vct("node", "scp", "0002", "remote:/root/file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "text of mine\n"


def test_the_console_asks_for_a_login_and_is_left_by_ctrl_a_q(pair: Bed) -> None:
    ours, theirs = pty.openpty()
    console = process.start(
        [*VCT, "node", "console", "0001"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=pair.environment,
        new_session=True,
    )
    try:
        assert "Connected to tty 0" in read_until(ours, "Ctrl+a itself")
        os.write(ours, b"\r")
        assert "rd0001 login:" in read_until(ours, "login:")
        os.write(ours, b"\x01q")
        wait(lambda: console.poll() is not None, "lxc-console to end")
        assert console.returncode == 0
    finally:
        console.kill()
        console.wait()
        os.close(ours)
        os.close(theirs)


def read_until(descriptor: int, word: str) -> str:
    text, deadline = "", time.monotonic() + 60
    while word not in text and time.monotonic() < deadline:
        if select.select([descriptor], [], [], 1)[0]:
            text += os.read(descriptor, 4096).decode(errors="replace")
    return text


def test_completion_knows_the_nodes(pair: Bed) -> None:
    words = {"_VCT_COMPLETE": "bash_complete", "COMP_WORDS": "vct node ssh 00", "COMP_CWORD": "3"}
    said = process.run(VCT, env=pair.environment | words).stdout
    assert [line.split(",")[-1] for line in said.split()] == ["0001", "0002"]


# --- limits --------------------------------------------------------------------------------------


def test_a_full_disk_is_that_nodes_alone(pair: Bed) -> None:
    full = pair.sh("0001", "dd if=/dev/zero of=/root/big bs=1M count=200", check=False)
    assert full.code != 0
    assert "No space left on device" in full.stderr
    pair.sh("0002", "dd if=/dev/zero of=/root/big bs=1M count=200 2>&1; rm /root/big")
    pair.sh("0001", "rm /root/big; echo again >/root/small")


def test_the_memory_limit_is_seen_inside_and_holds(pair: Bed) -> None:
    files = "/sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max"
    limit = pair.sh("0002", f"cat {files} 2>/dev/null", check=False).stdout
    assert int(limit) == 96 * 1024 * 1024
    hungry = pair.sh("0002", "head -c 200M /dev/zero | tail -c 150M | wc -c", check=False)
    assert hungry.stdout.strip() != str(150 * 1024 * 1024)
    assert state(pair, "0002") == "ready"


# --- halt, reboot, stop, start -------------------------------------------------------------------


def test_a_node_halted_from_inside_is_stopped_and_init_brings_it_back(pair: Bed) -> None:
    before = applied(pair)
    pair.sh("0001", "echo mine >/root/note; halt", check=False)
    wait(lambda: state(pair, "0001") == "stopped", "the node to halt")
    refused = pair.vct("node", "exec", "0001", "--", "true", check=False)
    assert refused.code == 4
    assert "vct node start 0001" in refused.stderr
    result = pair.init(PAIR)
    assert (result["create"], result["change"], result["delete"]) == (0, 1, 0)
    assert pair.sh("0001", "cat /root/note").stdout == "mine\n"
    assert applied(pair) == before


@pytest.mark.parametrize("node", ["0001", "0002"])
def test_a_node_rebooted_from_inside_comes_back_with_its_links_and_their_shaping(
    pair: Bed, node: str
) -> None:
    before = applied(pair)
    pair.sh(node, "echo mine >/root/note; touch /run/before; reboot", check=False)
    wait(
        lambda: pair.sh(node, "test ! -e /run/before && hostname", check=False).stdout != "",
        "the reboot",
    )
    wait(lambda: state(pair, node) == "ready", "the node to be ready")
    assert pair.sh(node, "cat /root/note").stdout == "mine\n"
    assert applied(pair) == before
    assert all(result["rtt_ms"] is not None for result in pair.json("demo")["pings"])
    assert pair.init(PAIR)["changed"] is False


def test_stop_and_start_say_what_they_did(pair: Bed) -> None:
    assert pair.json("node", "stop", "all") == {
        "nodes": ["0001", "0002"],
        "stopped": ["0001", "0002"],
    }
    assert pair.json("node", "stop", "0001") == {"nodes": ["0001"], "stopped": []}
    assert "was stopped already" in pair.vct("node", "stop", "0001").stdout
    assert pair.json("node", "start", "0001") == {"nodes": ["0001"], "started": ["0001"]}
    assert state(pair, "0001") == "ready"
    assert state(pair, "0002") == "stopped"


def test_a_killed_node_is_whole_after_its_next_start(pair: Bed) -> None:
    pair.sh("0001", "echo mine >/root/note; sync -f /")
    pair.vct("node", "stop", "--kill", "0001")
    assert state(pair, "0001") == "stopped"
    pair.vct("node", "start", "0001")
    assert pair.sh("0001", "cat /root/note").stdout == "mine\n"


def test_restart_restarts_one_node(pair: Bed) -> None:
    driver = ContainerDriver(paths(pair))
    before = driver.state("0001")[1], driver.state("0002")[1]
    assert pair.json("node", "restart", "0001")["restarted"] == ["0001"]
    assert driver.state("0001")[1] != before[0]
    assert driver.state("0002")[1] == before[1]
    assert state(pair, "0001") == "ready"


def test_a_removed_node_comes_back_empty(pair: Bed) -> None:
    pair.sh("0001", "echo mine >/root/note")
    refused = pair.vct("node", "remove", "0001", check=False)
    assert refused.code == 4
    assert "--yes" in refused.stderr
    assert pair.json("--yes", "node", "remove", "0001")["removed"] == ["0001"]
    assert state(pair, "0001") == "absent"
    pair.init(PAIR)
    assert pair.sh("0001", "cat /root/note", check=False).code != 0


def test_a_stopped_node_is_mounted_and_what_is_written_there_is_in_it(pair: Bed) -> None:
    assert pair.vct("node", "mount", "0001", check=False).code == 4  # it runs
    pair.vct("node", "stop", "0001")
    place = Path(pair.json("node", "mount", "0001")["0001"])
    assert (place / "etc/debian_version").exists()
    (place / "root/from-outside").write_text("hello\n")
    assert pair.json("node", "mount", "0001") == {"0001": str(place)}
    assert pair.json("node", "unmount", "0001")["unmounted"] == ["0001"]
    assert pair.json("node", "unmount", "0001")["unmounted"] == []
    pair.vct("node", "start", "0001")
    assert pair.sh("0001", "cat /root/from-outside").stdout == "hello\n"


def test_a_mounted_node_is_unmounted_before_it_starts(pair: Bed) -> None:
    pair.vct("node", "stop", "0001")
    place = Path(pair.json("node", "mount", "0001")["0001"])
    (place / "root/from-outside").write_text("again\n")
    pair.vct("node", "start", "0001")
    assert not place.exists()
    assert pair.sh("0001", "cat /root/from-outside").stdout == "again\n"
    assert not pair.json("status")["differences"]
