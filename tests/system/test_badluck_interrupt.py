"""Ctrl-C, SIGTERM and kill -9 in the middle: of init, of cleanup, of node start, at every kind of
step. An interrupted verb takes back what it did; after a kill, init or cleanup makes all whole."""

from __future__ import annotations

import json
import shutil
from itertools import cycle
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM

from tests.system.conftest import Bed
from tests.system.trouble import (
    lines_of,
    paths_of,
    signalled,
    signalling,
    sleeps_in_select,
    steps_left,
    talking,
    until,
)
from vct import names
from vct.drivers.process import run

PAIR = """\
nodes: {"0001": {}, "0002": {}}
links: [{between: ["0001", "0002"], rate: 50mbit}]
segments: [{name: roof, members: ["0001", "0002"]}]
"""
MAKING = (
    "Keys",
    "NodeFiles",
    "Fabric",
    "Bridge",
    "Uplink",
    "NodeNetwork",
    "Dhcp",
    "Wire",
    "Port",
    "Shaping",
    "Container",
)
UNMAKING = ("Container", "Dhcp", "NodeNetwork", "Uplink", "Fabric")


def test_it_works(bed: Bed) -> None:
    """Ctrl-C as the first container starts: exit 130, and nothing of the run is left."""
    code = signalled(bed, ("init", str(bed.file(PAIR))), "Container", SIGINT)
    assert code == 130
    assert steps_left(bed, "cleanup", "--flush") == []


def test_an_interrupted_init_takes_back_what_it_did(bed: Bed) -> None:
    file = str(bed.file(PAIR))
    for kind, number in zip(MAKING, cycle((SIGINT, SIGTERM, SIGHUP)), strict=False):
        code = signalled(bed, ("init", file), kind, number)
        assert (kind, code) == (kind, 130)
        assert (kind, steps_left(bed, "cleanup", "--flush")) == (kind, [])


def test_a_second_ctrl_c_does_not_disturb_the_undoing(bed: Bed) -> None:
    file = str(bed.file(PAIR))
    for kind in ("NodeNetwork", "Container"):
        code = signalled(bed, ("init", file), kind, SIGINT, SIGINT, SIGINT, SIGTERM)
        assert (kind, code) == (kind, 130)
        assert (kind, steps_left(bed, "cleanup", "--flush")) == (kind, [])


def test_ctrl_c_says_what_became_of_it(bed: Bed) -> None:
    running = signalling(bed, ("--json", "init", str(bed.file(PAIR))), "Wire", SIGINT)
    told = json.loads(running.communicate()[0])
    assert (told["exit_code"], told["error"]) == (130, "InterruptedByUser")
    assert "was undone" in told["message"]
    assert "vct init" in told["hint"]


def test_ctrl_c_while_waiting_leaves_the_testbed_up(bed: Bed) -> None:
    """What was made is whole; only the waiting was interrupted."""
    file = str(bed.file(PAIR))
    bed.init(PAIR)
    bed.sh("0002", "echo nonsense >/etc/ssh/sshd_config.d/bad.conf; pkill -x sshd; sleep 0.2")
    running = talking(bed, "init", file)
    until(lambda: sleeps_in_select(running.pid), "the waiting")
    running.send_signal(SIGINT)
    told = json.loads(running.communicate()[0])
    assert told["exit_code"] == 130
    assert "vct cleanup" in told["hint"]
    assert bed.json("node", "list")[0]["state"] == "ready"
    assert steps_left(bed, "init", file) == []


def test_an_init_killed_at_every_step_in_turn_gets_there(bed: Bed) -> None:
    """Each run begins with what the one before left half-made."""
    file = str(bed.file(PAIR))
    for kind in MAKING:
        assert signalled(bed, ("init", file), kind, SIGKILL) == -SIGKILL
    assert bed.json("init", file)["ready"] == ["0001", "0002"]
    assert steps_left(bed, "init", file) == []
    bed.sh("0001", "ping -c1 -W2 rd0002.link")


def test_cleanup_after_a_kill_at_any_step_of_init_leaves_nothing(bed: Bed) -> None:
    file = str(bed.file(PAIR))
    for kind in MAKING:
        assert signalled(bed, ("init", file), kind, SIGKILL) == -SIGKILL
        bed.vct("cleanup", "--flush")
        assert (kind, steps_left(bed, "cleanup", "--flush")) == (kind, [])


def test_a_start_that_outlives_its_vct_is_taken_over(bed: Bed) -> None:
    """lxc-start goes on when vct is killed: the next run must wait for it, and not trip."""
    file = str(bed.file(PAIR))
    for after_s in (0.0, 0.02, 0.05):
        code = signalled(bed, ("init", file), "Container", SIGKILL, after_s=after_s)
        assert code == -SIGKILL
        assert bed.json("init", file)["ready"] == ["0001", "0002"]
        bed.vct("node", "stop", "--kill", "all")
        if after_s < 0.03:
            bed.vct("cleanup")


def test_an_interrupted_cleanup_puts_back_what_it_removed(bed: Bed) -> None:
    file = str(bed.file(PAIR))
    bed.init(PAIR)
    for kind, number in zip(UNMAKING[:-1], cycle((SIGINT, SIGTERM)), strict=False):
        assert signalled(bed, ("cleanup",), kind, number) == 130
        assert (kind, steps_left(bed, "init", file)) == (kind, [])
    assert bed.json("init", file)["ready"] == ["0001", "0002"]


def test_a_cleanup_killed_at_every_step_in_turn_gets_there(bed: Bed) -> None:
    bed.init(PAIR)
    for kind in UNMAKING:
        assert signalled(bed, ("cleanup",), kind, SIGKILL) == -SIGKILL
    bed.vct("cleanup")
    assert steps_left(bed, "cleanup") == []


def test_init_after_a_killed_cleanup_brings_all_back(bed: Bed) -> None:
    file = str(bed.file(PAIR))
    for kind in UNMAKING:
        assert bed.json("init", file)["ready"] == ["0001", "0002"]
        assert signalled(bed, ("cleanup",), kind, SIGKILL) == -SIGKILL
    assert bed.json("init", file)["ready"] == ["0001", "0002"]
    assert steps_left(bed, "init", file) == []


def test_a_node_start_killed_half_way_is_taken_up_again(bed: Bed) -> None:
    bed.init(PAIR)
    for after_s in (0.0, 0.02, 0.05):
        bed.vct("node", "stop", "0001")
        signalled(bed, ("node", "start", "0001"), "Container", SIGKILL, after_s=after_s)
        bed.vct("node", "start", "0001")
        assert bed.json("node", "list")[0]["state"] == "ready"


def test_an_interrupted_repair_does_not_damage_again(bed: Bed) -> None:
    """There is no going back to an interface that lost its address."""
    file = str(bed.file(PAIR))
    bed.init(PAIR)
    fabric = names.fabric_namespace(bed.name)
    first, second = (names.node_namespace(bed.name, node) for node in ("0001", "0002"))
    run(["ip", "link", "del", names.uplink_interface(bed.name)])
    run(["ip", "-n", first, "link", "del", "eth0"])
    run(["ip", "-n", second, "link", "set", "dev", "eth1", "alias", "unknown"])
    run(["ip", "-n", fabric, "link", "del", names.segment_bridge("roof")])
    paths_of(bed).node("0002").config.write_text("")
    shutil.rmtree(paths_of(bed).run)
    assert signalled(bed, ("init", file), "Container", SIGINT) == 130
    assert not [line for line in lines_of(bed) if line["event"] == "stuck"]
    assert bed.json("init", file)["ready"] == ["0001", "0002"]
    assert steps_left(bed, "init", file) == []
    bed.sh("0001", "ping -c1 -W2 rd0002.link && ping -c1 -W2 rd0002")
