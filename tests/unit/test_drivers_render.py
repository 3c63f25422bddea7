"""The pure halves of the drivers: what is written for whom, and that it is read back as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vct.drivers.container_config import HEADER, layers_of, parse_config, render_config
from vct.drivers.dhcp import find_resolver, parse_dhcp, render_leases, render_names
from vct.drivers.dhcp import render_config as render_dhcp
from vct.drivers.files import render_hosts, render_resolver
from vct.drivers.lxc_config import root_in, uses_cgroup2
from vct.drivers.mounts import mounts_below
from vct.drivers.uplink import parse_tables, render_nat
from vct.paths import Home
from vct.plan.things import Container, Dhcp, DhcpHost

PATHS = Home(root=Path("/h"), run=Path("/r")).testbed("ring")
NODE = Container(
    node="0001",
    namespace="vct-ring-0001",
    hostname="rd0001",
    image="node-debian@0123",
    root="/images/n",
    arch="amd64",
    memory_mib=256,
)
DHCP = Dhcp(
    interface="vct-local",
    first="10.241.0.1",
    last="10.241.0.199",
    hosts=tuple(
        DhcpHost(
            mac=f"52:54:00:00:00:0{number}",
            address=f"10.241.0.{number}",
            name=f"rd000{number}",
            link_address=f"10.242.0.{number}",
        )
        for number in (1, 2)
    ),
)


def settings(text: str) -> dict[str, list[str]]:
    """Keys of an LXC configuration with all their values."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            key, _, value = line.partition(" = ")
            found.setdefault(key, []).append(value)
    return found


def test_it_works() -> None:
    assert parse_config(render_config(NODE, PATHS, cgroup2=False), "0001") == NODE


# --- containers ----------------------------------------------------------------------------------


@given(
    st.builds(
        replace,
        st.just(NODE),
        memory_mib=st.integers(16, 10**6),
        disk_mib=st.integers(16, 10**6),
        arch=st.sampled_from(["amd64", "i386"]),
        boot=st.sampled_from(["fast", "full"]),
        root=st.from_regex(r"/[a-z0-9/._-]{1,60}", fullmatch=True),
    ),
    st.booleans(),
)
def test_a_configuration_says_of_what_it_was_rendered(thing: Container, cgroup2: bool) -> None:
    text = render_config(thing, PATHS, cgroup2=cgroup2)
    assert parse_config(text, "0001") == thing
    assert root_in(text) == layers_of(thing, PATHS).root


def test_what_outlives_a_nodes_systems_is_mounted_in_it() -> None:
    disk = PATHS.node("0001").disk
    entries = settings(render_config(NODE, PATHS, cgroup2=False))["lxc.mount.entry"]
    assert f"{disk}/persist persist none bind,optional,create=dir 0 0" in entries


def test_a_trial_has_what_takes_its_place_at_a_reboot() -> None:
    trial = replace(NODE, system=2, fallback="1:/images/old")
    text = render_config(trial, PATHS, cgroup2=False)
    (hook,) = settings(text)["lxc.hook.pre-start"]
    assert " /images/old " in hook
    assert parse_config(text, "0001") == trial
    assert root_in(text).endswith("/trial/lower:/h/testbeds/ring/nodes/0001/trial/system/upper")


def test_only_a_trial_has_that() -> None:
    assert "lxc.hook" not in render_config(NODE, PATHS, cgroup2=False)


def test_a_configuration_has_what_keeps_the_host_safe() -> None:
    said = settings(render_config(NODE, PATHS, cgroup2=False))
    upper = f"{PATHS.node('0001').disk}/systems/1/upper"
    assert said["lxc.rootfs.path"] == [f"overlay:/images/n:{upper}"]
    assert said["lxc.init.cmd"] == ["/etc/vct/init"]
    assert "lxc.include" not in said
    assert said["lxc.namespace.share.net"] == ["/run/netns/vct-ring-0001"]
    assert {"sys_module", "sys_rawio", "sys_time"} <= set(said["lxc.cap.drop"][0].split())
    assert said["lxc.cgroup.devices.deny"] == ["a"]
    assert not [value for value in said["lxc.cgroup.devices.allow"] if value.startswith("b ")] or (
        "b *:* m" in said["lxc.cgroup.devices.allow"]
    )


@pytest.mark.parametrize(
    ("cgroup2", "key", "other"),
    [
        (False, "lxc.cgroup.memory.limit_in_bytes", "lxc.cgroup2.memory.max"),
        (True, "lxc.cgroup2.memory.max", "lxc.cgroup.memory.limit_in_bytes"),
    ],
)
def test_the_memory_limit_is_in_the_hosts_dialect(cgroup2: bool, key: str, other: str) -> None:
    said = settings(render_config(NODE, PATHS, cgroup2=cgroup2))
    assert said[key] == ["268435456"]
    assert other not in said


def test_an_i386_node_says_so_to_lxc() -> None:
    said = settings(render_config(replace(NODE, arch="i386"), PATHS, cgroup2=False))
    assert said["lxc.arch"] == ["i686"]


def test_how_a_node_was_seen_is_not_written() -> None:
    stopped = replace(NODE, running=False, intact=False, at_home=False)
    assert render_config(stopped, PATHS, cgroup2=False) == render_config(NODE, PATHS, cgroup2=False)


@pytest.mark.parametrize(
    "text", ["", "lxc.uts.name = x\n", HEADER, f"{HEADER}[]\n", f'{HEADER}{{"node": "0001"}}\n']
)
def test_a_file_that_does_not_say_is_nobodys_configuration(text: str) -> None:
    found = parse_config(text, "0001")
    assert (found.node, found.intact, found.root) == ("0001", False, "")


def test_the_last_root_file_system_of_a_file_counts() -> None:
    assert root_in("lxc.rootfs.path = a\n#lxc.rootfs.path = b\nlxc.rootfs.path=\n") == ""
    assert root_in("lxc.uts.name = x\n") == ""


def test_a_host_with_one_hierarchy_of_control_groups_is_known(tmp_path: Path) -> None:
    assert not uses_cgroup2(tmp_path)
    (tmp_path / "cgroup.controllers").touch()
    assert uses_cgroup2(tmp_path)


# --- DHCP and names ------------------------------------------------------------------------------


def test_dnsmasq_is_told_of_leases_and_names() -> None:
    assert render_leases(DHCP.hosts) == (
        "52:54:00:00:00:01,10.241.0.1,rd0001\n52:54:00:00:00:02,10.241.0.2,rd0002\n"
    )
    assert render_names(DHCP.hosts) == (
        "10.241.0.1 rd0001\n10.242.0.1 rd0001.link.vct\n"
        "10.241.0.2 rd0002\n10.242.0.2 rd0002.link.vct\n"
    )


def test_dnsmasq_listens_in_the_testbed_only_and_reads_nothing_of_the_hosts() -> None:
    lines = render_dhcp(DHCP, Path("/r/ring/dhcp"), None).splitlines()
    assert "interface=vct-local" in lines
    assert "dhcp-range=10.241.0.1,10.241.0.199,255.255.0.0,1h" in lines
    assert {"bind-interfaces", "except-interface=lo", "no-hosts", "no-resolv"} <= set(lines)


@pytest.mark.parametrize(
    "thing", [DHCP, replace(DHCP, hosts=()), replace(DHCP, hosts=DHCP.hosts[:1])]
)
def test_what_dnsmasq_was_told_is_read_back(thing: Dhcp) -> None:
    config = render_dhcp(thing, Path("/r"), Path("/etc/resolv.conf"))
    assert parse_dhcp(config, render_leases(thing.hosts), render_names(thing.hosts)) == thing


@pytest.mark.parametrize("leases", ["", "garbage\n", "a,b\n", "a,b,c,d\n"])
def test_damaged_files_of_dnsmasq_are_no_error_and_not_what_is_wanted(leases: str) -> None:
    config = render_dhcp(DHCP, Path("/r"), None)
    assert parse_dhcp(config, leases, render_names(DHCP.hosts)) != DHCP
    assert parse_dhcp("", "", "") != DHCP


def test_a_resolver_on_the_hosts_loopback_is_not_passed_on(tmp_path: Path) -> None:
    stub, real = tmp_path / "stub", tmp_path / "real"
    stub.write_text("# systemd\nnameserver 127.0.0.53\n")
    real.write_text("nameserver 192.0.2.1\nnameserver fe80::1%eth0\n")
    assert find_resolver((stub, real)) == real
    assert find_resolver((stub, tmp_path / "missing")) is None


def test_a_node_asks_the_testbeds_name_server_and_knows_itself() -> None:
    assert render_resolver() == "search vct\nnameserver 10.241.0.254\noptions timeout:1\n"
    assert "127.0.1.1 rd0001.vct rd0001\n" in render_hosts("rd0001")


# --- firewall and mounts -------------------------------------------------------------------------


def test_a_nat_table_is_replaced_whole_and_carries_the_mark() -> None:
    text = render_nat("vct-ring", "vct /h ring", source="10.240.0.0/30", way_out='oifname != "x"')
    assert (
        text
        == """\
table ip vct-ring
delete table ip vct-ring
table ip vct-ring {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 10.240.0.0/30 oifname != "x" masquerade comment "vct /h ring"
  }
}
"""
    )


def test_tables_are_told_apart_by_the_comment_of_their_rule() -> None:
    listing = """{"nftables": [
      {"metainfo": {"version": "1.0.6"}},
      {"table": {"family": "ip", "name": "vct-ring", "handle": 1}},
      {"chain": {"family": "ip", "table": "vct-ring", "name": "postrouting"}},
      {"rule": {"family": "ip", "table": "vct-ring", "comment": "vct /h ring"}},
      {"table": {"family": "ip", "name": "docker", "handle": 2}},
      {"rule": {"family": "ip", "table": "docker"}}]}"""
    assert parse_tables(listing) == {"vct-ring": "vct /h ring", "docker": ""}
    assert parse_tables("") == {}


def test_mounts_below_a_directory_are_found_and_no_namesakes() -> None:
    mountinfo = """\
22 1 0:20 / /run rw - tmpfs run rw
30 22 7:1 / /run/vct/ring/mounts/0001/disk rw - ext4 /dev/loop1 rw
31 22 0:40 / /run/vct/ring/mounts/0001/root rw - overlay vct-0001 rw
32 22 0:41 / /run/vct/ring/mounts2/0001/root rw - overlay vct-0001 rw
"""
    assert mounts_below(mountinfo, Path("/run/vct/ring/mounts")) == [
        "/run/vct/ring/mounts/0001/disk",
        "/run/vct/ring/mounts/0001/root",
    ]
