"""Editing a testbed's file and running init again: only the difference is applied, and what did not
change goes on running.

All tests of this module share one testbed; each begins with it as BASE says.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.system.conftest import Bed
from vct.drivers.containers import ContainerDriver
from vct.paths import Home

NODES = 'nodes: {"0001": {}, "0002": {}, "0003": {}}\n'
LINKS = """\
links:
  - {between: ["0001", "0002"], rate: 50mbit}
  - {between: ["0002", "0003"], name: far}
"""
BASE = NODES + LINKS
ROOF = """\
segments:
  - {name: roof, members: ["0001", "0002", "0003"]}
"""


@pytest.fixture
def line(shared_bed: Bed) -> Bed:
    shared_bed.init(BASE)
    return shared_bed


def init_pids(bed: Bed, *nodes: str) -> dict[str, int]:
    """The nodes' init processes: another one says that the node was restarted."""
    driver = ContainerDriver(Home(root=bed.home).testbed(bed.name))
    return {node: driver.state(node)[1] for node in nodes}


def interfaces(bed: Bed) -> dict[str, dict[str, str]]:
    return {node["id"]: node["interfaces"] for node in bed.json("status")["nodes"]}


def links(bed: Bed) -> dict[str, Any]:
    return {link["name"]: link for link in bed.json("link", "list")}


def disk_mib(bed: Bed, node: str) -> int:
    return int(bed.sh(node, "df -m --output=size / | tail -1").stdout)


def counts(result: Any) -> tuple[int, int, int]:
    return result["create"], result["change"], result["delete"]


def test_it_works(line: Bed) -> None:
    assert interfaces(line) == {
        "0001": {"eth1": "0001-0002"},
        "0002": {"eth1": "0001-0002", "eth2": "far"},
        "0003": {"eth1": "far"},
    }
    assert line.init(BASE)["changed"] is False


def test_a_dry_run_gives_a_reason_for_each_step_and_changes_nothing(line: Bed) -> None:
    before = line.json("status")
    more = line.file(BASE.replace('"0003": {}', '"0003": {memory: 128MiB}, "0004": {}'))
    steps = line.json("--dry-run", "init", str(more))["steps"]
    found = {(step["action"], step["kind"], step["key"]): step["reason"] for step in steps}
    assert found["create", "node", "0004"] == "missing"
    assert found["change", "node", "0003"] == "memory_mib: 256 -> 128"
    assert ("change", "node", "0001") not in found
    assert line.json("status") == before
    assert "create  node 0004: missing" in line.vct("--dry-run", "init", str(more)).stdout


def test_a_node_is_added_while_the_others_run_on(line: Bed) -> None:
    before = init_pids(line, "0001", "0002", "0003")
    result = line.init(
        BASE.replace('"0003": {}', '"0003": {}, "0004": {}') + '  - {between: ["0003", "0004"]}\n'
    )
    assert result["ready"] == ["0001", "0002", "0003", "0004"]
    assert result["delete"] == 0
    assert init_pids(line, "0001", "0002", "0003") == before
    line.sh("0003", "ping -c1 -W2 rd0004.link")
    line.sh("0001", "ping -c1 -W2 rd0004")


def test_a_node_is_removed_while_the_others_run_on(line: Bed) -> None:
    before = init_pids(line, "0001", "0002")
    line.init(
        'nodes: {"0001": {}, "0002": {}}\nlinks: [{between: ["0001", "0002"], rate: 50mbit}]\n'
    )
    status = line.json("status")
    assert status["ready"]
    assert [node["id"] for node in status["nodes"]] == ["0001", "0002"]
    assert init_pids(line, "0001", "0002") == before
    assert not (line.home / "testbeds" / line.name / "nodes" / "0003").exists()
    line.sh("0001", "ping -c1 -W2 rd0002.link")
    assert line.sh("0001", "getent hosts rd0003", check=False).code != 0


def test_a_links_quality_is_changed_in_place(line: Bed) -> None:
    before = init_pids(line, "0001", "0002", "0003")
    index = line.sh("0001", "cat /sys/class/net/eth1/ifindex").stdout
    result = line.init(BASE.replace("50mbit", "20mbit"))
    assert counts(result) == (0, 2, 0)  # both directions
    assert links(line)["0001-0002"]["forward"]["applied"] == "rate 20mbit"
    assert line.sh("0001", "cat /sys/class/net/eth1/ifindex").stdout == index
    assert init_pids(line, "0001", "0002", "0003") == before


def test_a_link_that_is_no_longer_shaped_is_as_fast_as_it_can(line: Bed) -> None:
    line.init(BASE.replace(", rate: 50mbit", ""))
    assert links(line)["0001-0002"]["engine"] == "none"
    assert links(line)["0001-0002"]["ok"]


def test_a_link_gets_another_engine_without_a_restart_of_its_nodes(line: Bed) -> None:
    before = init_pids(line, "0001", "0002", "0003")
    line.init(BASE.replace("rate: 50mbit", "delay: 20ms"))
    delayed = links(line)["0001-0002"]
    assert delayed["ok"]
    assert delayed["engine"] in ("netem", "relay")
    said = line.sh("0001", "ping -n -c8 -i0.2 -W5 rd0002.link").stdout
    # The quickest: a busy machine makes others late.
    assert 39 < min(float(time) for time in re.findall(r"time=(\S+)", said)) < 79
    line.init(BASE)
    assert links(line)["0001-0002"]["engine"] in ("netem", "kernel")
    line.sh("0001", "ping -c1 -W2 rd0002.link")
    assert init_pids(line, "0001", "0002", "0003") == before


def test_a_new_link_leaves_the_numbers_of_the_others_alone(line: Bed) -> None:
    text = BASE.replace("links:\n", 'links:\n  - {between: ["0003", "0001"], name: new}\n')
    assert counts(line.init(text))[2] == 0
    assert interfaces(line) == {
        "0001": {"eth1": "0001-0002", "eth2": "new"},
        "0002": {"eth1": "0001-0002", "eth2": "far"},
        "0003": {"eth1": "far", "eth2": "new"},
    }
    line.sh("0001", "ping -c1 -W2 -I eth2 rd0003.link")


def test_a_removed_link_leaves_a_gap_that_the_next_one_fills(line: Bed) -> None:
    line.init(NODES + 'links: [{between: ["0002", "0003"], name: far}]\n')
    assert interfaces(line)["0002"] == {"eth2": "far"}
    assert line.sh("0002", "ip link show eth1", check=False).code != 0
    line.sh("0002", "ping -c1 -W2 rd0003.link")
    line.init(
        NODES
        + 'links: [{between: ["0002", "0003"], name: far}, {between: ["0002", "0001"], name: x}]\n'
    )
    assert interfaces(line)["0002"] == {"eth1": "x", "eth2": "far"}


def test_a_segment_joins_nodes_and_goes_again(line: Bed) -> None:
    line.init(BASE + ROOF)
    status = line.json("status")
    assert status["ready"]
    assert status["segments"] == [{"name": "roof", "members": ["0001", "0002", "0003"], "ok": True}]
    line.sh("0001", "ping -c1 -W2 -I eth2 rd0003.link")
    line.init(BASE)
    assert line.sh("0001", "ip link show eth2", check=False).code != 0
    assert line.json("status")["differences"] == []


def test_a_segment_gets_another_member_without_a_restart(line: Bed) -> None:
    line.init(BASE + ROOF.replace('"0002", ', ""))
    before = init_pids(line, "0001", "0002", "0003")
    line.init(BASE + ROOF)
    assert interfaces(line)["0002"] == {"eth1": "0001-0002", "eth2": "far", "eth3": "roof"}
    line.sh("0001", "ping -c1 -W2 -I eth2 rd0003.link")
    assert init_pids(line, "0001", "0002", "0003") == before


def test_a_node_with_another_memory_limit_is_restarted_alone_and_keeps_its_disk(line: Bed) -> None:
    line.sh("0002", "echo mine >/root/note")
    before = init_pids(line, "0001", "0002", "0003")
    result = line.init(BASE.replace('"0002": {}', '"0002": {memory: 100MiB}'))
    assert counts(result) == (0, 1, 0)
    after = init_pids(line, "0001", "0002", "0003")
    assert [node for node in before if before[node] != after[node]] == ["0002"]
    assert line.sh("0002", "cat /root/note").stdout == "mine\n"
    line.sh("0001", "ping -c1 -W2 rd0002.link")


def test_a_disk_grows_at_a_restart_of_its_node_and_keeps_what_is_on_it(line: Bed) -> None:
    line.sh("0001", "echo mine >/root/note")
    before = init_pids(line, "0002", "0003")
    result = line.init(BASE.replace('"0001": {}', '"0001": {disk: 900MiB}'))
    assert counts(result) == (0, 2, 0)  # disk, container
    assert disk_mib(line, "0001") > 800
    assert line.sh("0001", "cat /root/note").stdout == "mine\n"
    assert init_pids(line, "0002", "0003") == before
    line.vct("node", "stop", "0001")


def test_a_disk_shrinks_only_when_its_node_is_stopped_and_keeps_what_is_on_it(line: Bed) -> None:
    line.sh("0001", "echo mine >/root/note")
    smaller = BASE.replace('"0001": {}', '"0001": {disk: 300MiB}')
    refused = line.vct("init", str(line.file(smaller)), check=False)
    assert refused.code == 4
    assert "vct node stop 0001" in refused.stderr
    assert disk_mib(line, "0001") > 400
    line.vct("node", "stop", "0001")
    line.init(smaller)
    assert disk_mib(line, "0001") < 300
    assert line.sh("0001", "cat /root/note").stdout == "mine\n"


def test_init_without_a_file_heals_what_was_broken(line: Bed) -> None:
    before = init_pids(line, "0001", "0002", "0003")
    line.sh("0001", "ip addr flush dev eth1; ip route del default")
    line.sh("0002", "ip addr flush dev eth0")
    line.sh("0003", "tc qdisc add dev eth1 root pfifo")
    assert not line.json("status")["ready"]
    line.vct("init")
    status = line.json("status")
    assert status["ready"]
    assert init_pids(line, "0001", "0002", "0003") == before
    line.sh("0001", "ping -c1 -W2 rd0002.link")
