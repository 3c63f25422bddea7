"""Parts of a running testbed die or are taken away: status shows it, init repairs that and leaves
the rest alone. After a reboot of the host, or with the testbed's files gone, all comes back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.conftest import Bed
from tests.system.trouble import kill_all, node_pids, paths_of, processes, reboot, steps_left
from vct import names
from vct.drivers import process
from vct.drivers.netns import namespace_path
from vct.drivers.process import run
from vct.drivers.shaping_support import has_netem

MIXED = """\
nodes: {"0001": {}, "0002": {}, "0003": {}}
links:
  - {between: ["0001", "0002"], rate: 50mbit}
  - {between: ["0002", "0003"], delay: 5ms}
segments: [{name: roof, members: ["0001", "0003"]}]
"""
RELAY = [] if has_netem() else ["relay"]
# A host that forwards anyway must go on doing so after the tests.
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
SWITCHABLE = FORWARDING.read_text().strip() == "0"


@pytest.fixture(scope="module")
def mixed(shared_bed: Bed) -> Bed:
    """One testbed for all harms: each test repairs what it broke."""
    shared_bed.init(MIXED)
    return shared_bed


def ip(bed: Bed, node: str, *words: str) -> None:
    """Run `ip` in a node's namespace, or (node empty) in the fabric."""
    namespace = names.node_namespace(bed.name, node) if node else names.fabric_namespace(bed.name)
    run(["ip", "-n", namespace, *words])


def kill_monitor(bed: Bed) -> None:
    kill_all(processes(f"[lxc monitor] {paths_of(bed).nodes} 0003"))


def kill_init(bed: Bed) -> None:
    kill_all([node_pids(bed)["0003"]])


def lose_config(bed: Bed) -> None:
    paths_of(bed).node("0003").config.unlink()


def empty_config(bed: Bed) -> None:
    paths_of(bed).node("0003").config.write_text("")


def fabric_lost(bed: Bed) -> None:
    run(["ip", "netns", "del", names.fabric_namespace(bed.name)])


def node_namespace_lost(bed: Bed) -> None:
    run(["ip", "netns", "del", names.node_namespace(bed.name, "0003")])


NETWORKS = ["network of node 0001", "network of node 0002", "network of node 0003"]
LINK = "link 0001-0002"
SHAPED = ["shaping of link 0001-0002:backward", "shaping of link 0001-0002:forward"]
HARMS: dict[str, tuple[Callable[[Bed], object], list[str], list[str]]] = {
    # what is done, what init must repair, which nodes must start again
    "dnsmasq killed": (
        lambda bed: kill_all(processes(f"--conf-file={paths_of(bed).run}")),
        ["DHCP server vct-local"],
        [],
    ),
    "veth deleted": (
        lambda bed: ip(bed, "0001", "link", "del", "eth1"),
        [LINK, *SHAPED],
        [],
    ),
    "link down": (
        lambda bed: ip(bed, "0001", "link", "set", "dev", "eth1", "down"),
        [LINK, *SHAPED],
        [],
    ),
    "eth0 deleted": (lambda bed: ip(bed, "0001", "link", "del", "eth0"), NETWORKS[:1], []),
    "address lost": (
        lambda bed: ip(bed, "0001", "-4", "addr", "flush", "dev", "eth0"),
        NETWORKS[:1],
        [],
    ),
    "port off the bridge": (
        lambda bed: ip(bed, "", "link", "set", "dev", names.local_port("0001"), "nomaster"),
        NETWORKS[:1],
        [],
    ),
    "local bridge deleted": (
        lambda bed: ip(bed, "", "link", "del", names.LOCAL_BRIDGE),
        [f"bridge {names.LOCAL_BRIDGE}", *NETWORKS],
        [],
    ),
    "segment bridge deleted": (
        lambda bed: ip(bed, "", "link", "del", names.segment_bridge("roof")),
        [f"bridge {names.segment_bridge('roof')}", "port roof:0001", "port roof:0003"],
        [],
    ),
    "uplink deleted": (
        lambda bed: run(["ip", "link", "del", names.uplink_interface(bed.name)]),
        ["uplink"],
        [],
    ),
    "firewall table deleted": (
        lambda bed: run(["nft", "delete", "table", "ip", names.firewall_table(bed.name)]),
        ["uplink"],
        [],
    ),
    "forwarding switched off": (
        lambda _bed: FORWARDING.write_text("0"),
        ["uplink"],
        [],
    ),
    "monitor killed": (kill_monitor, ["node 0003"], ["0003"]),
    "init of a node killed": (kill_init, ["node 0003"], ["0003"]),
    "configuration deleted": (lose_config, ["node 0003"], ["0003"]),
    "configuration emptied": (empty_config, ["node 0003"], ["0003"]),
    "namespace of a node lost": (
        node_namespace_lost,
        ["network of node 0003", "link 0002-0003", "port roof:0003", "node 0003", *RELAY],
        ["0003"],
    ),
    "fabric lost": (
        fabric_lost,
        [
            "fabric",
            f"bridge {names.LOCAL_BRIDGE}",
            f"bridge {names.segment_bridge('roof')}",
            "uplink",
            "DHCP server vct-local",
            "port roof:0001",
            "port roof:0003",
            *NETWORKS,
        ],
        [],
    ),
    "run directory lost": (
        lambda bed: shutil.rmtree(paths_of(bed).run),
        ["DHCP server vct-local", *RELAY],
        [],
    ),
} | (
    {
        "relay killed": (
            lambda bed: kill_all(processes(f"relay_process {bed.name} ")),
            ["relay"],
            [],
        )
    }
    if RELAY
    else {}
)


def test_it_works(mixed: Bed) -> None:
    assert mixed.json("status")["ready"] is True
    assert steps_left(mixed, "init", str(mixed.file(MIXED))) == []


@pytest.mark.parametrize(
    "harm", [name for name in HARMS if name != "forwarding switched off" or SWITCHABLE]
)
def test_init_repairs_what_died_and_nothing_else(mixed: Bed, harm: str) -> None:
    harming, repairs, restarts = HARMS[harm]
    file, before = str(mixed.file(MIXED)), node_pids(mixed)
    harming(mixed)
    assert mixed.json("status")["differences"]
    named = [step.split(" ", 1)[1].removesuffix(f" {mixed.name}") for step in planned(mixed, file)]
    assert set(named) == set(repairs)
    assert mixed.json("init", file)["ready"] == ["0001", "0002", "0003"]
    assert steps_left(mixed, "init", file) == []
    after = node_pids(mixed)
    assert [node for node in before if before[node] != after[node]] == restarts
    mixed.sh("0002", "ping -c1 -W2 rd0001.link && ping -c1 -W2 rd0003.link && ping -c1 -W2 rd0001")
    mixed.sh("0001", f"ping -c1 -W2 {names.link_ipv4('0003')}")


def planned(bed: Bed, file: str) -> list[str]:
    """The steps of a plan, without the testbed's names for things that have only those."""
    return [
        step.replace(names.uplink_interface(bed.name), bed.name).replace(
            names.fabric_namespace(bed.name), bed.name
        )
        for step in steps_left(bed, "init", file)
    ]


def test_a_reboot_of_the_host_is_seen_and_repaired(bed: Bed) -> None:
    file = str(bed.file(MIXED))
    bed.init(MIXED)
    bed.sh("0001", "echo precious >/root/kept; sync")
    reboot(bed)
    assert [node["state"] for node in bed.json("node", "list")] == ["stopped"] * 3
    assert "vct init" in bed.json("node", "info", "0001")[0]["reason"]
    assert bed.json("init", file)["ready"] == ["0001", "0002", "0003"]
    assert bed.sh("0001", "cat /root/kept").stdout == "precious\n"
    assert steps_left(bed, "init", file) == []


def test_cleanup_after_a_reboot_leaves_nothing(bed: Bed) -> None:
    bed.init(MIXED)
    reboot(bed)
    bed.vct("cleanup", "--flush")


def test_stale_files_that_name_a_living_process_of_others_do_it_no_harm(bed: Bed) -> None:
    """After a reboot, pid files name whoever has the numbers now."""
    bed.init(MIXED)
    reboot(bed)
    bystander = process.start(["sleep", "300"])
    try:
        directory = paths_of(bed).run
        (directory / "dhcp").mkdir(parents=True)
        for name in ("dhcp/dnsmasq.pid", "relay.pid", "lock"):
            (directory / name).write_text(f"{bystander.pid}\n")
        bed.vct("init", str(bed.file(MIXED)))
        bed.vct("cleanup")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_names_without_a_namespace_are_remnants(bed: Bed) -> None:
    """A crash between the two leaves an empty file where a namespace should be."""
    file = str(bed.file(MIXED))
    bed.init(MIXED)
    for lost in (names.node_namespace(bed.name, "0001"), names.fabric_namespace(bed.name)):
        run(["ip", "netns", "del", lost])
        namespace_path(lost).touch()
        assert steps_left(bed, "init", file)
        assert bed.json("init", file)["ready"] == ["0001", "0002", "0003"]
        assert steps_left(bed, "init", file) == []
    run(["ip", "netns", "del", lost])
    namespace_path(lost).touch()
    bed.vct("cleanup")
    assert not namespace_path(lost).exists()


def test_cleanup_finds_what_runs_when_all_files_are_gone(bed: Bed) -> None:
    """Somebody removed the state root by hand, under a running testbed."""
    bed.init(MIXED)
    shutil.rmtree(bed.home)
    shutil.rmtree(paths_of(bed).run)
    assert steps_left(bed, "cleanup")
    bed.vct("cleanup")
    assert steps_left(bed, "cleanup") == []
